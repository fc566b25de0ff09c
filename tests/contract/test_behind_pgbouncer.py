"""The store's contract behind pgbouncer in transaction mode, and the log bus with its pool there: two server sessions
for everybody, so that statements of one caller change sessions all the time."""

from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from typing import cast

import asyncpg
import pytest

from adapters.bus.log import declare
from adapters.bus.postgres import PostgresBus
from adapters.postgres import install, pool
from adapters.postgres.migrate import migrate
from adapters.store.postgres import PostgresStore
from gateway.ports import Bus
from gateway.storage import Store
from tests.contract import test_bus_postgres, test_store_postgres
from tests.contract.bus_suite import BusSuite
from tests.contract.life_suite import LifeSuite
from tests.contract.opening_suite import OpeningSuite
from tests.contract.store_suite import StoreSuite
from tests.contract.test_store_postgres import Wire
from tests.fixtures_postgres import in_thread
from tests.integration.bouncer import Bouncer
from tests.integration.servers import Server

pytestmark = pytest.mark.needs("pgbouncer")

NUMBERS = count(1)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Bouncer]]:
    """A server whose database `template` is migrated, and pgbouncer before it."""
    folder: Path = tmp_path_factory.mktemp("pgbouncer")
    with Server(install.binaries(), folder / "server") as server, Bouncer(server.url, folder / "b", size=2) as bouncer:
        in_thread(lambda: _prepare(server.url))
        yield server, bouncer


@pytest.fixture
def urls(servers: tuple[Server, Bouncer]) -> tuple[str, str]:
    """(through pgbouncer, direct): a database of the test's own."""
    server, bouncer = servers
    name = f"test_{next(NUMBERS)}"
    in_thread(lambda: _execute(server.url, f"CREATE DATABASE {name} TEMPLATE template"))
    return bouncer.database(name), _database(server.url, name)


class StoreHarness(test_store_postgres.PostgresHarness):
    """The store's pool behind pgbouncer; what the test looks at, direct."""

    def __init__(self, pooled: str, direct: str) -> None:
        super().__init__(direct)
        self._pooled = pooled

    async def open(self) -> Store:
        lent = await pool.create_pool(self._pooled, smallest=1, largest=4, pooled=True)
        self.pools.append(lent)
        wire = Wire(lent)
        store = PostgresStore(cast(asyncpg.Pool, wire), self.wake)
        self.wires[id(store)] = wire
        return store


class BusHarness(test_bus_postgres.PostgresHarness):
    """The bus's pool behind pgbouncer; its session, direct."""

    def __init__(self, pooled: str, direct: str) -> None:
        super().__init__(direct)
        self._pooled = pooled

    async def open(self) -> Bus:
        lent = await pool.create_pool(self._pooled, largest=4, pooled=True)
        bus = PostgresBus(lent, self.connect, self.topics, lease=test_bus_postgres.LEASE)
        await bus.__aenter__()
        self._pools[id(bus)] = lent
        self._open.append(bus)
        return bus


class TestStore(StoreSuite, LifeSuite, OpeningSuite):
    """Every promise."""

    @pytest.fixture
    async def harness(self, urls: tuple[str, str]) -> AsyncIterator[StoreHarness]:
        harness = StoreHarness(*urls)
        yield harness
        for lent in harness.pools:
            lent.terminate()


class TestBus(BusSuite):
    """Every promise."""

    @pytest.fixture
    async def harness(self, urls: tuple[str, str]) -> AsyncIterator[BusHarness]:
        harness = BusHarness(*urls)
        await harness.prepare()
        yield harness
        await harness.end()


def _database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


async def _prepare(url: str) -> None:
    await _execute(url, "CREATE DATABASE template")
    connection = await pool.connect(_database(url, "template"))
    try:
        await migrate(connection)
        await declare(connection)
    finally:
        await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await pool.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
