"""A series that empties faster than its owner's history is found; what is usual, little or old is not."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry

from adapters.bus.log import declare
from adapters.postgres import pool
from adapters.postgres.migrate import files, migrate
from gateway import keyfile, number_pace
from gateway.core.numbers import Pace, Series
from gateway.metrics import Metrics
from gateway.number_pace import FORGET, NOTE, unusual
from tests.inbound.gateway import running
from tests.runtime.house import ENTERPRISE, document

OWNER, OTHER = "MA9XYD0C2", "MA9HTQ7K6"
YEAR = "to_char(now() AT TIME ZONE 'Asia/Shanghai', 'YY')"
SET = f"""
INSERT INTO origin.number_series (organisation, certificate_type, year, prefix, last) VALUES ($1, $2, {YEAR}, $3, $4)
ON CONFLICT (organisation, certificate_type, year, prefix) DO UPDATE SET last = excluded.last
"""
PAST = """
INSERT INTO origin.number_series_past (organisation, certificate_type, prefix, hour, year, last, drawn)
SELECT $1, 'C', $4, date_trunc('hour', now()) - make_interval(days => $2) + make_interval(hours => h), 'xx', 0, $3
FROM generate_series(0, 2) h
"""
"""Three hours of a day `$2` days ago, with `$3` numbers each."""


async def draw(pool: asyncpg.Pool, last: int, owner: str = OWNER, kind: str = "C", prefix: str = "") -> None:
    await pool.execute(SET, owner, kind, prefix, last)
    await pool.execute(NOTE)


async def found(pool: asyncpg.Pool) -> Sequence[tuple[str, str]]:
    return [(pace.series.organisation, pace.series.certificate_type) for pace in await unusual(pool)]


@pytest.mark.parametrize(
    ("capacity_prefix", "hour", "day", "busiest_hour", "busiest_day", "expected"),
    [
        ("", 499, 499, 0, 0, False),
        ("", 500, 500, 0, 0, True),
        ("", 900, 900, 300, 900, False),
        ("", 901, 901, 300, 900, True),
        ("", 600, 2701, 300, 900, True),
        ("AB", 50, 50, 0, 0, False),
        ("AB", 51, 51, 0, 0, True),
        ("ABC", 9, 9, 0, 0, False),
    ],
)
def test_far_more_than_ever_is_unusual_and_little_is_not(
    capacity_prefix: str, hour: int, day: int, busiest_hour: int, busiest_day: int, expected: bool
) -> None:
    pace = Pace(Series(OWNER, "C", "26", capacity_prefix), hour, day, busiest_hour, busiest_day)
    assert pace.unusual is expected


async def test_a_flood_is_found_and_the_others_are_not(database_pool: asyncpg.Pool) -> None:
    await draw(database_pool, 600)
    await draw(database_pool, 400, OTHER)
    assert await found(database_pool) == [(OWNER, "C")]


async def test_what_is_usual_for_the_owner_is_not_and_anothers_past_is_no_excuse(database_pool: asyncpg.Pool) -> None:
    for owner in (OWNER, OTHER):
        await draw(database_pool, 800, owner, kind="RC")
    assert await found(database_pool) == [(OTHER, "RC"), (OWNER, "RC")]
    await database_pool.execute(PAST, OWNER, 5, 300, "")
    assert await found(database_pool) == [(OTHER, "RC")], "busy with another type, days ago"
    await draw(database_pool, 950, OWNER, kind="RC")
    assert await found(database_pool) == [(OWNER, "RC"), (OTHER, "RC")]
    await database_pool.execute(PAST, OWNER, 40, 500, "")
    assert len(await found(database_pool)) == 2, "what is older than four weeks does not count"


async def test_what_each_hour_drew_is_kept(database_pool: asyncpg.Pool) -> None:
    for last in (850, 1700, 2600, 3500):
        await draw(database_pool, last)
        await hours_pass(database_pool, 3)
    rows = await database_pool.fetch("SELECT drawn FROM origin.number_series_past ORDER BY hour")
    assert [row["drawn"] for row in rows] == [850, 850, 900, 900]


async def hours_pass(pool: asyncpg.Pool, hours: int) -> None:
    """All that is on file happened so many hours earlier."""
    move = "UPDATE origin.number_series_past SET hour = hour - make_interval(hours => $1) WHERE year <> 'xx'"
    await pool.execute(move, hours)


async def test_an_hour_has_one_row_and_what_stands_still_none(database_pool: asyncpg.Pool) -> None:
    count = "SELECT count(*) FROM origin.number_series_past"
    for last in (10, 20, 30):
        await draw(database_pool, last)
    assert await database_pool.fetchval(count) == 1
    await hours_pass(database_pool, 2)
    await database_pool.execute(NOTE)
    await database_pool.execute(NOTE)
    assert await database_pool.fetchval(count) == 2
    await hours_pass(database_pool, 2)
    await database_pool.execute(NOTE)
    assert await database_pool.fetchval(count) == 2, "nothing was drawn"


async def test_old_rows_go_but_for_the_last_of_a_series(database_pool: asyncpg.Pool) -> None:
    await database_pool.execute(PAST, OWNER, 100, 5, "")
    await database_pool.execute(PAST, OWNER, 100, 5, "A")
    await database_pool.execute(PAST, OWNER, 10, 5, "A")
    await database_pool.execute(FORGET, 60)
    rows = await database_pool.fetch(
        "SELECT prefix, count(*) AS n FROM origin.number_series_past GROUP BY 1 ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [("", 1), ("A", 3)]


async def test_a_full_series_of_before_the_upgrade_is_no_flood(database_url: str) -> None:
    lent = await pool.create_pool(database_url, smallest=1, largest=2)
    try:
        await lent.execute("DROP SCHEMA origin CASCADE")
        async with lent.acquire() as connection:
            await migrate(connection, dict(list(files().items())[:6]))
            await lent.execute(SET, OWNER, "C", "", 9000)
            await migrate(connection)
            await declare(connection)
        await lent.execute(NOTE)
        assert await unusual(lent) == []
        await draw(lent, 9600)
        assert [pace.in_day for pace in await unusual(lent)] == [600]
    finally:
        lent.terminate()


async def test_it_is_told_once_until_it_is_usual_again(
    database_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(number_pace.log, "warning", lambda event, **about: told.append({"event": event, **about}))
    monkeypatch.setattr(number_pace, "PAUSE", 0.01)
    metrics = Metrics(CollectorRegistry())
    await draw(database_pool, 600)
    watching = asyncio.create_task(number_pace.watch_paces(database_pool, metrics))

    async def until(count: float) -> None:
        async with asyncio.timeout(10):
            while metrics.numbers_unusual._value.get() != count:  # noqa: ASYNC110 - the watch's own work
                await asyncio.sleep(0.01)

    await until(1)
    await asyncio.sleep(0.2)
    assert [(one["event"], one["in_day"], one["organisation"]) for one in told] == [("numbers.unusual", 600, OWNER)]
    await database_pool.execute(PAST, OWNER, 5, 300, "")
    await until(0)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


async def test_a_client_with_leave_empties_no_series_in_a_day_and_is_noticed(
    tmp_path: Path, database_url: str, database_pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As attack/series.py does, by an agent that may declare for the exporter: five batches of 2,000 lines."""
    monkeypatch.setattr(number_pace, "PAUSE", 0.2)
    agency = "91310199MA9GWR4P61"
    async with running(tmp_path / "data", database_url) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        operator = {"authorization": f"Bearer {keyfile.read(gateway.settings.operator_key_path)}"}
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=200) as client:
            keys = {}
            for name, enterprise in (("owner", ENTERPRISE), ("agent", agency)):
                wish = {"name": name, "enterprise": enterprise}
                made = await client.post("/v1/admin/clients", json=wish, headers=operator)
                keys[name] = {"authorization": f"Bearer {made.raise_for_status().json()['key']}"}
            leave = {"exporter": ENTERPRISE}
            (await client.post("/v1/admin/clients/agent/leaves", json=leave, headers=operator)).raise_for_status()
            quota = {"set": {"declarations_per_day": 600}}
            (await client.post("/v1/admin/clients/agent/quotas", json=quota, headers=operator)).raise_for_status()
            lines = [document(applicant_code=agency, marks=f"N/M {n}").replace(b"\n", b"") for n in range(2000)]
            statuses = []
            for _ in range(5):
                answer = await client.post(
                    "/v1/declarations",
                    content=b"\n".join(lines),
                    headers=keys["agent"] | {"content-type": "application/x-ndjson"},
                )
                statuses.append(answer.status_code)
                if answer.status_code == 200:
                    verdicts = [orjson.loads(line)["http"] for line in answer.content.splitlines()]
                    assert verdicts == [202] * 600 + [429] * 1400
            assert statuses == [200] + [429] * 4
            own = await client.post(
                "/v1/declarations", content=document(), headers=keys["owner"] | {"content-type": "application/json"}
            )
            assert own.json()["number"].endswith("0601")
            async with asyncio.timeout(20):
                told = ""
                while "origin_number_series_unusual 1.0" not in told:
                    await asyncio.sleep(0.1)
                    told = (await client.get("/metrics")).text
            findings = (await client.get("/v1/admin/doctor", headers=operator)).json()
            finding = next(one for one in findings if one["about"] == "number series")
            assert not finding["ok"]
            assert f"{ENTERPRISE[8:17]}: 601 numbers today, 0 on the busiest day before." in finding["detail"]
