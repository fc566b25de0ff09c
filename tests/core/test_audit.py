"""The canonical form, worked out a second time with nothing but the standard library; chains and roots on values."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.audit import GENESIS, Leaves, Row, Sealed, Walk, check_days, event_hash, hash_of

SUBJECT = UUID("01900000-0000-7000-8000-000000000001")
FIRST = date(2026, 11, 1)
JSON = st.dictionaries(
    st.text("abcdefgh_", min_size=1), st.one_of(st.text(), st.integers(-(2**53), 2**53), st.booleans(), st.none())
)


def canonical(members: dict[str, object]) -> str:
    """RFC 8785 for members without fractions and names in ASCII, by the standard library."""
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@given(JSON.filter(lambda data: "\ufffd" not in str(data)), st.integers(1, 10**6))
def test_anybody_can_compute_the_hash_of_an_event(data: dict[str, object], sequence: int) -> None:
    identity, message = uuid5(SUBJECT, "id"), uuid5(SUBJECT, "message")
    at = "2026-11-22T08:00:00.123Z"
    members = {
        "at": at, "certificate": str(SUBJECT), "data": data, "id": str(identity), "kind": "approved",
        "message": str(message), "previous": GENESIS, "sequence": sequence,
    }  # fmt: skip
    expected = hashlib.sha256(canonical(members).encode()).hexdigest()
    assert event_hash("certificate", SUBJECT, sequence, identity, "approved", data, message, at, GENESIS) == expected


def test_a_root_is_made_of_the_days_hashes_and_the_root_before() -> None:
    leaves = Leaves()
    hashes = [hashlib.sha256(bytes([n])).hexdigest() for n in range(3)]
    for one in hashes:
        leaves.add(one)
    members = {
        "day": "2026-11-01",
        "events": 3,
        "leaves": hashlib.sha256(bytes.fromhex("".join(hashes))).hexdigest(),
        "previous": GENESIS,
    }
    assert leaves.root(FIRST, GENESIS) == hashlib.sha256(canonical(members).encode()).hexdigest()


def rows(count: int, subject: UUID = SUBJECT) -> list[Row]:
    """A whole chain, one event a day."""
    made, previous = [], GENESIS
    for sequence in range(1, count + 1):
        day = FIRST + timedelta(days=sequence - 1)
        row = Row(
            "certificate", subject, sequence, uuid5(subject, f"{sequence}"), "noted", f'{{"n":{sequence}}}',
            uuid5(subject, "m"), f"{day}T08:00:00.000000Z", None, day,
        )  # fmt: skip
        previous = hash_of(row, previous)
        made.append(replace(row, hash=previous))
    return made


def flaws(found: Sequence[Row], sequence: int, head: str | None) -> list[tuple[str, int | None]]:
    walk = Walk("2026-01-01T00:00:00.000000Z")
    return [(flaw.code, flaw.sequence) for flaw in walk.life(SUBJECT, sequence, head or GENESIS, found)]


@given(st.data())
def test_whatever_is_done_to_one_row_is_found_there(data: st.DataObject) -> None:
    chain = rows(data.draw(st.integers(1, 6)))
    at = data.draw(st.integers(0, len(chain) - 1))
    head = chain[-1].hash
    assert flaws(chain, len(chain), head) == []
    gone = flaws([*chain[:at], *chain[at + 1 :]], len(chain), head)
    assert gone == [("event.missing", at + 1)]
    change = data.draw(
        st.sampled_from(
            [
                {"data": '{"n":0}'}, {"data": "[]"}, {"kind": "sent"}, {"id": SUBJECT}, {"message": SUBJECT},
                {"at": chain[at].at.replace("08:00", "08:01")}, {"at": chain[at].at.replace("000Z", "001Z")},
                {"certificate": uuid5(SUBJECT, "another")},
            ]
        )
    )  # fmt: skip
    changed = [*chain[:at], replace(chain[at], **change), *chain[at + 1 :]]
    assert flaws(changed, len(chain), head) == [("event.changed", at + 1)]


def test_swapped_rows_extra_rows_and_a_forgotten_life() -> None:
    chain = rows(4)
    head = chain[-1].hash
    swapped = [chain[0], replace(chain[2], sequence=2), replace(chain[1], sequence=3), chain[3]]
    assert ("event.changed", 2) in flaws(swapped, 4, head)
    assert flaws(chain, 3, chain[2].hash) == [("event.surplus", 4)]
    assert flaws([], 4, head) == [("event.missing", 1)]
    assert flaws([], 0, None) == []
    assert flaws(chain[:3], 3, head) == [("event.head", 3)]


def sealed(days: int) -> tuple[list[Sealed], dict[date, Leaves]]:
    """So many days with one event each, sealed."""
    leaves: dict[date, Leaves] = {}
    roots, previous = [], GENESIS
    for row in rows(days):
        assert row.day is not None
        assert row.hash is not None
        leaves.setdefault(row.day, Leaves()).add(row.hash)
        previous = leaves[row.day].root(row.day, previous)
        roots.append(Sealed(row.day, previous, 1))
    return roots, leaves


def day(number: int) -> date:
    return FIRST + timedelta(days=number - 1)


def found(roots: list[Sealed], leaves: dict[date, Leaves], over: date) -> list[tuple[str, date | None]]:
    return [(flaw.code, flaw.day) for flaw in check_days(roots, leaves, over, over + timedelta(days=1))]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_wrong_root_a_missing_root_and_changed_events_are_told_apart(number: int) -> None:
    roots, leaves = sealed(5)
    assert found(roots, leaves, day(5)) == []
    forged = [replace(one, root="ab" * 32) if one.day == day(number) else one for one in roots]
    assert found(forged, leaves, day(5)) == [("day.root", day(number))]
    assert found([one for one in roots if one.day != day(number)], leaves, day(5)) == [("day.missing", day(number))]
    other = Leaves()
    other.add("cd" * 32)
    changed = found(roots, leaves | {day(number): other}, day(5))
    assert changed == [("day.events" if number < 5 else "day.root", day(number))]


def test_quiet_days_are_sealed_too_and_days_to_come_are_not() -> None:
    roots, leaves = sealed(1)
    previous = roots[0].root
    for number in (2, 3):
        previous = Leaves().root(day(number), previous)
        roots.append(Sealed(day(number), previous, 0))
    assert found(roots, leaves, day(3)) == []
    assert found([roots[0], roots[2]], leaves, day(3)) == [("day.missing", day(2))]
    assert found(roots, leaves, day(9)) == [("day.missing", day(4))], "one flaw for a run of days"
    assert found(roots, leaves, day(1)) == [("day.early", day(3))]
    assert found([], {}, day(9)) == []
