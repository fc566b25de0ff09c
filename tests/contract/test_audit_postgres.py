"""The audit on PostgreSQL: whatever is changed, put in or taken away behind the gateway's back is found and named."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from adapters.store.audit import Auditor, PostgresDays, Report
from adapters.store.postgres import PostgresStore
from adapters.store.sql import json_text
from gateway.core.audit import GENESIS
from gateway.core.certificate import KIND
from gateway.core.decision import Event, EventKind
from gateway.ports import Unavailable
from gateway.runtime.history import chained
from gateway.runtime.sealing import over, seal_days
from gateway.storage import Store, TurnWork
from tests.contract.store_harness import about, admit, admitted, save, state_of
from tests.runtime.house import Clock

FIRST = date(2026, 11, 1)
DAYS = 3
LAST = FIRST + timedelta(days=DAYS - 1)
TODAY = LAST + timedelta(days=1)
EVENTS = 5
"""Of each certificate: one on each day, two on the last, and one today."""


@dataclass(frozen=True)
class Place:
    """Two certificates with a few days behind them, all sealed but today."""

    pool: asyncpg.Pool
    store: Store
    days: PostgresDays
    ids: tuple[UUID, UUID]

    async def look(self, last: date = LAST) -> Report:
        """What the auditor says on the day after `last`."""
        async with self.pool.acquire() as connection:
            auditor = Auditor(connection)  # type: ignore[arg-type]
            return await auditor.everything(last, last + timedelta(days=1), lambda done, total: None)

    async def look_at(self, day: date) -> Report:
        """Of one day."""
        async with self.pool.acquire() as connection:
            return await Auditor(connection).day(day, LAST, lambda done, total: None)  # type: ignore[arg-type]


async def happen(store: Store, identity: UUID, at: datetime) -> None:
    """One more event of this certificate."""
    async with store.turn() as turn:
        loaded = await turn.load([], about(identity))
        state = loaded.states[identity]
        state = state.model_copy(update={"sequence": state.sequence + 1})
        event = Event(EventKind.NOTED, {"what": "repeated", "running_no": 7, "late": True, "note": "原产地 \u007f/n"})
        head = loaded.heads.get(identity, GENESIS)
        await turn.save(
            TurnWork(states=[state], events=list(chained(KIND, identity, state.sequence, [event], uuid4(), at, head)))
        )


@pytest.fixture
async def place(database_pool: asyncpg.Pool) -> Place:
    store = PostgresStore(database_pool, lambda topics: None)
    rows = [admitted("C26MA9XYD0C20001"), admitted("C26MA9XYD0C20002")]
    await admit(store, *rows)
    await save(store, TurnWork(states=[state_of(row, sequence=0) for row in rows]))
    for n in (0, 1, 2, 2, 3):
        for row in rows:
            at = datetime(2026, 11, 1 + n, 9, 30, 15, 123000, tzinfo=UTC)
            await happen(store, row.certificate_id, at)
    days = PostgresDays(database_pool)
    await days.seal(LAST)
    first, second = sorted(row.certificate_id for row in rows)
    return Place(database_pool, store, days, (first, second))


async def test_what_nobody_touched_holds(place: Place) -> None:
    report = await place.look()
    assert report.flaws == []
    assert (report.certificates, report.events, report.unaudited, report.days) == (2, 2 * EVENTS, 0, DAYS)
    assert report.newest is not None
    assert (report.newest.day, report.newest.events) == (LAST, 4)
    for n in range(DAYS + 1):
        found = await place.look_at(FIRST + timedelta(days=n))
        assert (found.flaws, found.certificates) == ([], 2)


Wrong = tuple[str, int | None, date | None]
"""Code, sequence, day."""
MIDDLE = FIRST + timedelta(days=1)
OF = "subject_id = $1 AND sequence = 3"
"""One of two events of the last day."""
CHANGED: Wrong = ("event.changed", 3, LAST)
ROOT: Wrong = ("day.root", None, LAST)
NOTE = "'\"原产地 \\u007f/m\"'"


@pytest.mark.parametrize(
    "change",
    [
        f"data = jsonb_set(data, '{{note}}', {NOTE})",
        "data = jsonb_set(data, '{running_no}', '7.0')",
        "data = data - 'late'",
        "data = '1e999'",
        "kind = 'approved'",
        "at = at + interval '1 microsecond'",
        "at = 'infinity'",
        "id = gen_random_uuid()",
        "message_id = gen_random_uuid()",
    ],
)
async def test_one_value_changed_is_named(place: Place, change: str) -> None:
    await place.pool.execute(f"UPDATE origin.event SET {change} WHERE {OF}", place.ids[0])
    (flaw,) = (await place.look()).flaws
    assert (flaw.certificate, (flaw.code, flaw.sequence, flaw.day)) == (place.ids[0], CHANGED)


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        (f"UPDATE origin.event SET hash = sha256('') WHERE {OF}", [CHANGED, ("event.changed", 4, LAST), ROOT]),
        (f"UPDATE origin.event SET day = day - 1 WHERE {OF}", [("event.day", 3, MIDDLE), ROOT]),
        (f"UPDATE origin.event SET day = day + 1 WHERE {OF}", [ROOT]),
        (f"DELETE FROM origin.event WHERE {OF}", [("event.missing", 3, None), ROOT]),
        (
            "DELETE FROM origin.event WHERE subject_id = $1 AND sequence IN (2, 3)",
            [("event.missing", 2, None), ("day.root", None, MIDDLE), ROOT],
        ),
        ("DELETE FROM origin.event WHERE subject_id = $1 AND sequence = 5", [("event.missing", 5, None)]),
        ("DELETE FROM origin.event WHERE subject_id = $1 AND sequence > 3", [("event.missing", 4, None), ROOT]),
        (
            "WITH gone AS (DELETE FROM origin.event WHERE subject_id = $1 AND sequence = 5)"
            " UPDATE origin.certificate SET sequence = 4 WHERE id = $1",
            [("event.head", 4, None)],
        ),
        (
            "INSERT INTO origin.event"
            " SELECT subject_id, 6, gen_random_uuid(), kind, data, message_id, at, hash, day"
            " FROM origin.event WHERE subject_id = $1 AND sequence = 5",
            [("event.changed", 6, TODAY), ("event.surplus", 6, None)],
        ),
        ("UPDATE origin.certificate SET last_hash = sha256('') WHERE id = $1", [("event.head", 5, None)]),
    ],
)
async def test_a_row_behind_our_back_is_named(place: Place, statement: str, wrong: list[Wrong]) -> None:
    await place.pool.execute(statement, place.ids[0])
    flaws = (await place.look()).flaws
    assert [(flaw.code, flaw.sequence, flaw.day) for flaw in flaws] == wrong
    assert {flaw.certificate for flaw in flaws if flaw.sequence} <= {place.ids[0]}


async def test_a_hash_taken_away_is_named(place: Place) -> None:
    await place.pool.execute("ALTER TABLE origin.event DROP CONSTRAINT event_hashed")
    await place.pool.execute("UPDATE origin.event SET hash = NULL WHERE subject_id = $1 AND sequence > 3", place.ids[0])
    flaws = (await place.look()).flaws
    assert [(flaw.code, flaw.sequence) for flaw in flaws][:2] == [("event.unhashed", 4), ("event.head", 5)]


async def test_a_whole_life_taken_away_and_a_rewritten_one_are_found_by_the_roots(place: Place) -> None:
    """Somebody who can compute hashes makes the chain fit again: the sealed days tell."""
    (victim, _), pool = place.ids, place.pool
    rows = await pool.fetch("SELECT * FROM origin.event WHERE subject_id = $1 ORDER BY sequence", victim)
    head = GENESIS
    for row in rows:
        event = Event(EventKind.NOTED, {"what": "forged"} if row["sequence"] == 2 else {"what": "repeated"})
        (made,) = chained(KIND, victim, row["sequence"], [event], row["message_id"], row["at"], head)
        head = made.hash
        await pool.execute(
            "UPDATE origin.event SET data = $3::text::jsonb, hash = $4 WHERE subject_id = $1 AND sequence = $2",
            victim, row["sequence"], json_text(dict(event.data)), bytes.fromhex(head),
        )  # fmt: skip
    await pool.execute("UPDATE origin.certificate SET last_hash = $2 WHERE id = $1", victim, bytes.fromhex(head))
    flaws = (await place.look()).flaws
    assert {flaw.code for flaw in flaws} <= {"day.root", "day.events"}
    assert {flaw.day for flaw in flaws} == {FIRST, FIRST + timedelta(days=1), LAST}
    await pool.execute("DELETE FROM origin.event WHERE subject_id = $1", victim)
    await pool.execute("DELETE FROM origin.timer WHERE subject_id = $1", victim)
    await pool.execute("DELETE FROM origin.certificate WHERE id = $1", victim)
    assert {flaw.day for flaw in (await place.look()).flaws} == {FIRST, FIRST + timedelta(days=1), LAST}


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("UPDATE origin.audit_day SET root = sha256('forged') WHERE day = $1", [("day.root", MIDDLE)]),
        ("UPDATE origin.audit_day SET events = 1 WHERE day = $1", [("day.count", MIDDLE)]),
        ("DELETE FROM origin.audit_day WHERE day = $1", [("day.missing", MIDDLE)]),
        ("DELETE FROM origin.audit_day WHERE day < $1", [("day.missing", FIRST)]),
        ("DELETE FROM origin.audit_day WHERE day > $1", [("day.missing", LAST)]),
        ("DELETE FROM origin.audit_day WHERE day >= $1", [("day.missing", MIDDLE)]),
        ("INSERT INTO origin.audit_day VALUES ($1::date + 7, sha256(''), 0)", [("day.early", date(2026, 11, 9))]),
        (
            "WITH e AS (DELETE FROM origin.event WHERE day = $1) DELETE FROM origin.audit_day WHERE day = $1",
            [("event.missing", None), ("event.missing", None), ("day.missing", MIDDLE), ("day.root", LAST)],
        ),
    ],
)  # fmt: skip
async def test_a_root_behind_our_back_is_named(
    place: Place, statement: str, wrong: list[tuple[str, date | None]]
) -> None:
    await place.pool.execute(statement, MIDDLE)
    found = [(flaw.code, flaw.day) for flaw in (await place.look()).flaws]
    assert sorted(found, key=str) == sorted(wrong, key=str)


async def test_one_day_alone_and_one_certificate_alone(place: Place) -> None:
    await place.pool.execute(f"UPDATE origin.event SET kind = 'approved' WHERE {OF}", place.ids[0])
    assert [flaw.code for flaw in (await place.look_at(LAST)).flaws] == ["event.changed"]
    assert (await place.look_at(MIDDLE)).flaws == []
    await place.pool.execute("DELETE FROM origin.event WHERE subject_id = $1 AND sequence = 2", place.ids[0])
    assert [flaw.code for flaw in (await place.look_at(LAST)).flaws] == ["event.missing"]
    assert [flaw.code for flaw in (await place.look_at(MIDDLE)).flaws] == ["day.root"]
    async with place.pool.acquire() as connection:
        auditor = Auditor(connection)  # type: ignore[arg-type]
        broken = await auditor.certificate(str(place.ids[0]))
        whole = await auditor.certificate(str(place.ids[1]))
        assert await auditor.certificate("C26NOBODY0000001") is None
    assert broken is not None
    assert whole is not None
    assert ([flaw.code for flaw in broken.flaws], whole.flaws) == (["event.missing"], [])


async def test_events_from_before_the_audit_are_counted_and_a_chain_begins_after_them(place: Place) -> None:
    pool, identity = place.pool, place.ids[0]
    await pool.execute("ALTER TABLE origin.event DROP CONSTRAINT event_hashed")
    await pool.execute("DELETE FROM origin.audit_day")
    await pool.execute("UPDATE origin.event SET hash = NULL, day = NULL")
    await pool.execute("UPDATE origin.certificate SET last_hash = NULL")
    await pool.execute("UPDATE origin.migration SET applied_at = '2026-11-04T12:00:00Z' WHERE number = 3")
    await happen(place.store, identity, datetime(2026, 11, 4, 13, tzinfo=UTC))
    report = await place.look()
    assert (report.flaws, report.unaudited, report.events) == ([], 2 * EVENTS, 2 * EVENTS + 1)
    await pool.execute("UPDATE origin.migration SET applied_at = '2026-11-03T00:00:00Z' WHERE number = 3")
    assert {flaw.code for flaw in (await place.look()).flaws} == {"event.unhashed"}


# ---------------------------------------------------------------- sealing


async def test_days_are_sealed_once_without_a_gap_by_any_number_of_processes(place: Place) -> None:
    later = LAST + timedelta(days=4)
    async with place.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE origin.event IN ROW EXCLUSIVE MODE")  # so that all begin together
        sealing = [asyncio.create_task(PostgresDays(place.pool).seal(later)) for _ in range(4)]
        await asyncio.sleep(0.3)
    made = await asyncio.gather(*sealing)
    sealed = [one.day for each in made for one in each]
    assert sorted(sealed) == [LAST + timedelta(days=n) for n in (1, 2, 3, 4)]
    assert await place.days.seal(later) == []
    report = await place.look(later)
    assert (report.flaws, report.days) == ([], DAYS + 4)


async def test_an_event_that_comes_after_its_day_was_closed_counts_in_the_next(place: Place) -> None:
    await happen(place.store, place.ids[0], datetime(2026, 11, 3, 23, 59, 59, tzinfo=UTC))
    row = await place.pool.fetchrow("SELECT * FROM origin.event WHERE subject_id = $1 AND sequence = 6", place.ids[0])
    assert row is not None
    assert row["day"] == TODAY
    await place.days.seal(TODAY)
    assert (await place.look()).flaws == []


async def test_a_turn_in_flight_at_the_close_is_waited_for(place: Place) -> None:
    """It wrote an event of the day before the day was closed, and commits later: the root has it."""
    wrote, go = asyncio.Event(), asyncio.Event()
    identity = place.ids[0]

    async def slow() -> None:
        async with place.store.turn() as turn:
            loaded = await turn.load([], about(identity))
            state = loaded.states[identity].model_copy(update={"sequence": 6})
            at = datetime(2026, 11, 4, 23, 59, 59, tzinfo=UTC)
            events = list(chained(KIND, identity, 6, [Event(EventKind.SENT, {})], uuid4(), at, loaded.heads[identity]))
            await turn.save(TurnWork(states=[state], events=events))
            wrote.set()
            await go.wait()

    turning = asyncio.create_task(slow())
    await wrote.wait()
    sealing = asyncio.create_task(place.days.seal(TODAY))
    await asyncio.sleep(0.3)
    assert not sealing.done()
    go.set()
    await turning
    (sealed,) = await sealing
    assert sealed.events == 3
    assert (await place.look()).flaws == []


async def test_a_turn_that_never_ends_puts_the_seal_off(place: Place) -> None:
    async with place.pool.acquire() as connection, connection.transaction():
        await connection.execute("LOCK TABLE origin.event IN ROW EXCLUSIVE MODE")
        with pytest.raises(Unavailable):
            await place.days.seal(TODAY)
    assert len(await place.days.seal(TODAY)) == 1


async def test_the_loop_seals_when_a_day_is_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.at = datetime(2026, 11, 5, 0, 4, tzinfo=UTC)
    assert over(clock.at) == LAST
    monkeypatch.setattr("gateway.runtime.sealing.PAUSE", 0.01)
    task = asyncio.create_task(seal_days(place.days, clock))
    await asyncio.sleep(0.1)
    count = "SELECT count(root) FROM origin.audit_day"
    assert await place.pool.fetchval(count) == DAYS
    clock.move(minutes=2)
    for _ in range(500):
        await asyncio.sleep(0.02)
        if await place.pool.fetchval(count) > DAYS:
            break
    task.cancel()
    assert (await place.look(TODAY)).flaws == []
