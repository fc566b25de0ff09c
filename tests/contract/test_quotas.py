"""Where processes tell each other what they counted: one suite, in memory and on PostgreSQL."""

from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest

from adapters.store.memory_quotas import MemoryQuotas
from adapters.store.quotas import PostgresQuotas
from gateway.core.quotas import NO_LIMITS, Used
from gateway.ports import Unavailable
from gateway.runtime.quotas import Count, QuotaTable

ONE, TWO, THREE = uuid4(), uuid4(), uuid4()
MINUTE, DAY = 29_000_000, 20_500


@pytest.fixture(params=["memory", "postgres"])
def table(request: pytest.FixtureRequest) -> QuotaTable:
    if request.param == "memory":
        return MemoryQuotas()
    return PostgresQuotas(request.getfixturevalue("database_pool"), NO_LIMITS)


def used(declarations: int = 0, size: int = 0, minute: int = MINUTE, day: int = DAY) -> Used:
    return Used(minute, day, declarations, size, declarations * 10, size * 10)


async def tell(table: QuotaTable, process: UUID, client: str, what: Used) -> None:
    await table.exchange(process, [Count(client, what)], [], MINUTE, DAY)


async def test_others_are_added_up_and_oneself_is_not_among_them(table: QuotaTable) -> None:
    await tell(table, ONE, "erp", used(1, 10))
    await tell(table, TWO, "erp", used(2, 20))
    await tell(table, TWO, "other", used(5, 50))
    assert await table.exchange(THREE, [], ["erp", "nobody"], MINUTE, DAY) == {"erp": used(3, 30)}
    assert await table.exchange(ONE, [Count("erp", used(4, 40))], ["erp"], MINUTE, DAY) == {"erp": used(2, 20)}
    assert await table.exchange(TWO, [], ["erp", "other"], MINUTE, DAY) == {"erp": used(4, 40)}


async def test_told_twice_is_counted_once(table: QuotaTable) -> None:
    for _ in range(3):
        await tell(table, ONE, "erp", used(7, 70))
    assert (await table.exchange(TWO, [], ["erp"], MINUTE, DAY))["erp"] == used(7, 70)


async def test_another_minute_or_day_does_not_count(table: QuotaTable) -> None:
    await tell(table, ONE, "erp", used(7, 70, minute=MINUTE - 1))
    found = (await table.exchange(TWO, [], ["erp"], MINUTE, DAY))["erp"]
    assert found == replace(used(7, 70), declarations_in_minute=0, bytes_in_minute=0)
    await tell(table, ONE, "erp", used(7, 70, minute=MINUTE - 1, day=DAY - 1))
    found = (await table.exchange(TWO, [], ["erp"], MINUTE, DAY)).get("erp", used())
    assert found == used()


async def test_rows_of_old_days_go(database_pool: asyncpg.Pool) -> None:
    table = PostgresQuotas(database_pool, NO_LIMITS)
    await table.exchange(
        ONE, [Count("erp", used(1, day=DAY - 2)), Count("b", used(1, day=DAY - 1))], [], MINUTE, DAY - 2
    )
    await table.exchange(TWO, [], ["erp"], MINUTE, DAY)
    assert await database_pool.fetchval("SELECT array_agg(client) FROM origin.quota_use") == ["b"]


async def test_a_database_that_is_away(database_pool: asyncpg.Pool) -> None:
    table = PostgresQuotas(database_pool, NO_LIMITS)
    database_pool.terminate()
    with pytest.raises(Unavailable):
        await table.exchange(ONE, [], ["erp"], MINUTE, DAY)
