"""Certificate numbers: series, shape, the year in Shanghai."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.numbers import Series, SeriesFull, series, well_formed

EXPORTER = "91330299MA9XYD0C2A"


def test_a_number_is_type_year_organisation_serial() -> None:
    wish = series("RC", EXPORTER, "", datetime(2026, 11, 22, tzinfo=UTC))
    assert wish.number(1) == "RC26MA9XYD0C20001"
    assert wish.number(9999) == "RC26MA9XYD0C29999"


@pytest.mark.parametrize(
    ("now", "year"),
    [
        (datetime(2026, 12, 31, 15, 59, 59, tzinfo=UTC), "26"),
        (datetime(2026, 12, 31, 16, 0, 0, tzinfo=UTC), "27"),
        (datetime(2027, 1, 1, 0, 0, 0, tzinfo=UTC), "27"),
    ],
)
def test_the_year_turns_at_midnight_in_shanghai(now: datetime, year: str) -> None:
    assert series("C", EXPORTER, "", now).year == year


@pytest.mark.parametrize(("prefix", "capacity", "last"), [("", 9999, "9999"), ("A", 999, "A999"), ("AB1", 9, "AB19")])
def test_a_prefix_takes_its_letters_from_the_serial(prefix: str, capacity: int, last: str) -> None:
    wish = Series("MA9XYD0C2", "C", "26", prefix)
    assert wish.capacity == capacity
    assert wish.number(capacity).endswith(last)
    with pytest.raises(SeriesFull) as full:
        wish.number(capacity + 1)
    assert full.value.series == wish


@given(st.sampled_from(["C", "RC"]), st.from_regex(r"\A[0-9A-Za-z]{0,3}\Z"), st.integers(1, 9999))
def test_what_we_give_is_well_formed(kind: str, prefix: str, serial: int) -> None:
    wish = series(kind, EXPORTER, prefix, datetime(2026, 11, 22, tzinfo=UTC))
    number = wish.number(min(serial, wish.capacity))
    assert well_formed(number, kind, EXPORTER)
    assert len(number) == len(kind) + 15 <= 20


@pytest.mark.parametrize(
    "number",
    [
        "",
        "RC26MA9XYD0C20001",  # another type
        "C26MA9HTQ7K60001",  # another organisation
        "C26MA9XYD0C2001",  # too short
        "C26MA9XYD0C200011",  # too long
        "C٢٦MA9XYD0C20001",  # digits of another script
        "C26MA9XYD0C2000\n",
        "C26MA9XYD0C2-001",
    ],
)
def test_what_is_not_well_formed(number: str) -> None:
    assert not well_formed(number, "C", EXPORTER)
