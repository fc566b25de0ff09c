"""Quotas as data, and the pure part of counting."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import schemas
from gateway.app import problems_at_start
from gateway.core.quotas import NO_LIMITS, Limits, Over, Quota, QuotasRefused, Used, load_quotas, over, windows
from gateway.operator_files import limits
from gateway.runtime.catalog import load_limits
from gateway.settings import Settings

SHIPPED = schemas.read_text("quotas.toml")
MIDNIGHT = datetime(2026, 11, 22, 16, 0, tzinfo=UTC).timestamp()
"""Of Shanghai."""


def at(now: float, **used: int) -> Used:
    minute, day = windows(now)
    return Used(minute, day, **used)


def test_the_shipped_quotas_are_beyond_a_real_exporter_and_below_a_series() -> None:
    shipped = load_limits()
    assert None not in [getattr(shipped, quota.value) for quota in Quota]
    assert shipped.declarations_per_minute is not None
    assert shipped.declarations_per_day is not None
    assert shipped.declarations_per_minute >= 2000, "a whole NDJSON batch"
    assert shipped.declarations_per_day < 9999, "one client empties no series in a day"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("quota = ", "no TOML|not TOML"),
        (SHIPPED.replace("most = 3000", "most = 0"), "most"),
        (SHIPPED.replace('"streams"', '"rivers"'), "name"),
        (SHIPPED.replace('"streams"', '"connections"'), "one of each"),
        ("", "one of each"),
    ],
)
def test_quotas_that_cannot_be_used_are_refused(text: str, told: str) -> None:
    with pytest.raises(QuotasRefused, match=told):
        load_quotas(text)


def test_a_quota_without_a_number_is_no_limit() -> None:
    assert load_quotas(re.sub("most = .*", "", SHIPPED)) == NO_LIMITS


def test_a_clients_own_quotas_go_first_and_unknown_ones_are_passed_over() -> None:
    shipped = Limits(streams=3, connections=9)
    own = shipped.but({"streams": None, "connections": 5, "of_a_newer_version": 7})
    assert own == Limits(streams=None, connections=5)
    assert shipped.but({}) is shipped


def test_a_day_is_shanghais() -> None:
    before, after = windows(MIDNIGHT - 1), windows(MIDNIGHT)
    assert after[1] == before[1] + 1
    assert after[0] == before[0] + 1


def test_there_is_room_while_anything_is_left_and_then_until_the_window_ends() -> None:
    now = MIDNIGHT - 3600 + 12
    some = Limits(declarations_per_minute=5, bytes_per_day=100)
    assert over(some, at(now, declarations_in_minute=4, bytes_in_day=99), at(now), now) is None
    full = over(some, at(now, declarations_in_minute=3), at(now, declarations_in_minute=2), now)
    assert full == Over(Quota.DECLARATIONS_PER_MINUTE, 5, 48)
    both = over(some, at(now, declarations_in_minute=9, bytes_in_day=1000), at(now), now)
    assert both == Over(Quota.BYTES_PER_DAY, 100, 3588), "whatever leaves room last is told"
    assert over(NO_LIMITS, at(now, declarations_in_minute=10**9), at(now), now) is None


def test_what_is_over_begins_anew() -> None:
    used = at(MIDNIGHT - 1)
    used.add(3, 500)
    used.turn_to(*windows(MIDNIGHT - 1))
    assert (used.declarations_in_minute, used.bytes_in_day) == (3, 500)
    used.turn_to(windows(MIDNIGHT)[0], windows(MIDNIGHT - 1)[1])
    assert (used.declarations_in_minute, used.bytes_in_minute, used.declarations_in_day) == (0, 0, 3)
    used.take_back(5, 10_000)
    assert used.declarations_in_day == used.bytes_in_day == 0, "what was not counted can't be taken back"
    used.turn_to(*windows(MIDNIGHT))
    assert used.declarations_in_day == 0


def test_an_operators_own_file_goes_first_and_quotas_can_be_off(tmp_path: Path) -> None:
    own = tmp_path / "quotas.toml"
    own.write_text(SHIPPED.replace("most = 20\n", "most = 7\n"), "utf-8")
    assert limits(Settings()) == load_limits()
    assert limits(Settings(quotas=own)).streams == 7
    assert limits(Settings(quotas=Path("off"))) == NO_LIMITS
    own.write_text("", "utf-8")
    with pytest.raises(QuotasRefused):
        limits(Settings(quotas=own))
    assert issubclass(QuotasRefused, problems_at_start()), "told in a sentence, without a trace"
