"""The contract, on PostgreSQL's log."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import asyncpg
import pytest

from adapters.bus.log import declare
from adapters.bus.postgres import PostgresBus, PostgresConsumer
from adapters.postgres import pool
from gateway.ports import Bus, Consumer
from tests.contract.bus_suite import BusSuite, Harness

LEASE = 1.0


class PostgresHarness(Harness):
    """Each handle has its own pool and its own session, as another process would."""

    settle = 5.0

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self._pools: dict[int, asyncpg.Pool] = {}
        self._open: list[Bus] = []

    async def prepare(self) -> None:
        connection = await self.connect()
        await declare(connection, self.topics)
        await connection.close()

    async def connect(self) -> asyncpg.Connection:
        return await pool.connect(self.url)

    async def open(self) -> Bus:
        lent = await pool.create_pool(self.url, largest=4)
        bus = PostgresBus(lent, self.connect, self.topics, lease=LEASE)
        await bus.__aenter__()
        self._pools[id(bus)] = lent
        self._open.append(bus)
        return bus

    async def close(self, bus: Bus) -> None:
        await bus.__aexit__(None, None, None)
        await self._pools[id(bus)].close()
        self._open.remove(bus)

    async def crash(self, bus: Bus, consumer: Consumer) -> None:
        await cast(PostgresConsumer, consumer).halt()
        self._pools[id(bus)].terminate()
        await bus.__aexit__(None, None, None)
        self._open.remove(bus)

    async def pause(self, bus: Bus, consumer: Consumer) -> Callable[[], Awaitable[None]]:
        await cast(PostgresConsumer, consumer).halt()  # the session lives, the lease runs out

        async def go_on() -> None:
            """Its process goes on before it could learn anything."""

        return go_on

    async def end(self) -> None:
        for bus in list(self._open):
            await self.close(bus)


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[PostgresHarness]:
    harness = PostgresHarness(database_url)
    await harness.prepare()
    yield harness
    await harness.end()


class TestPostgresBus(BusSuite):
    """Every promise."""
