"""What the auditor says of states that somebody, or a newer version, changed."""

from datetime import timedelta

import asyncpg
import pytest

from adapters.store.audit import Auditor, Report
from gateway.core.state import VERSION
from tests.runtime.house import taken
from tests.security.test_turn_on_postgres import Place

NEWER = """{"carried": "x", "version": 99, "overdue": ["form_stock"]}"""


async def verified(pool: asyncpg.Pool, place: Place) -> Report:
    today = place.clock.now().date()
    async with pool.acquire() as connection:
        return await Auditor(connection).everything(today - timedelta(days=2), today, lambda done, total: None)


async def sent(pool: asyncpg.Pool) -> Place:
    """Two certificates that customs took."""
    place = Place(pool)
    declared = await place.declare(2)
    await place.turn.handle(place.inbound(*(taken(number) for _, number in declared)))
    return place


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("NULL", "state.unreadable"),
        ("'{}'", "state.unreadable"),
        ("'[]'", "state.unreadable"),
        ("'\"x\"'", "state.unreadable"),
        ("'null'", "state.unreadable"),
        ("""state || '{"review": "bogus"}'""", "state.unreadable"),
        ("""state || '{"review": "bogus", "version": "x"}'""", "state.unreadable"),
        ("""state || '{"papers": [1]}'""", "state.unreadable"),
        ("""state || '{"papers": null}'""", "state.unreadable"),
        ("""jsonb_set(state, '{papers,copy,print}', '"none!"')""", "state.unreadable"),
        ("""state || '{"review": "bogus", "version": 99}'""", "state.newer"),
        ("""state || '{"resends": 3}'""", "state.differs"),
        ("""state || '{"overdue": ["customs_verdict"]}'""", "state.differs"),
        ("""jsonb_set(state, '{papers,copy,prints}', '1')""", "state.differs"),
    ],
)
async def test_a_changed_state_is_told_and_the_others_are_looked_at(
    database_pool: asyncpg.Pool, change: str, code: str
) -> None:
    place = await sent(database_pool)
    one = await database_pool.fetchval("SELECT min(id::text) FROM origin.subject")
    await database_pool.execute(f"UPDATE origin.subject SET state = {change} WHERE id::text = $1", one)
    report = await verified(database_pool, place)
    assert [(flaw.code, str(flaw.certificate)) for flaw in report.flaws] == [(code, one)]
    assert (report.certificates, report.unfolded) == (2, 0)


async def test_what_a_newer_version_added_is_no_flaw(database_pool: asyncpg.Pool) -> None:
    place = await sent(database_pool)
    await database_pool.execute("UPDATE origin.subject SET state = state || $1::text::jsonb", NEWER)
    more = """jsonb_set(jsonb_set(state, '{papers,overlay}', '{"x": 1}'), '{papers,copy,tray}', '"upper"')"""
    await database_pool.execute(f"UPDATE origin.subject SET state = {more}")
    assert (await verified(database_pool, place)).flaws == []


async def test_what_an_older_version_wrote_last_is_no_flaw(
    database_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await sent(database_pool)
    monkeypatch.setattr("gateway.core.certificate.VERSION", VERSION + 1)
    assert (await verified(database_pool, place)).flaws == []


@pytest.mark.parametrize("data", ["[]", '"x"', "null", "{}"])
async def test_an_event_that_is_none_is_told(database_pool: asyncpg.Pool, data: str) -> None:
    place = await sent(database_pool)
    await database_pool.execute("UPDATE origin.event SET data = $1::text::jsonb WHERE sequence = 1", data)
    assert "event.changed" in {flaw.code for flaw in (await verified(database_pool, place)).flaws}
