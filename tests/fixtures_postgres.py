"""A real PostgreSQL for tests: one embedded server a run, a fresh migrated database a test.

`database_url` costs about 60 ms. As root the server runs as another user; pytest's own temporary directory, which
only root may enter, is no hindrance (see adapters/postgres/embedded.py).
"""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import asyncpg
import pytest

from adapters.bus.log import declare
from adapters.postgres import pool
from adapters.postgres.embedded import Embedded
from adapters.postgres.migrate import migrate

TEMPLATE = "origin"
NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The run's server. Its database `origin` is migrated and nobody connects to it: it is the template."""
    server = Embedded(tmp_path_factory.mktemp("postgres"))
    server.start()
    try:
        in_thread(lambda: _prepare(server.dsn))
        yield server
    finally:
        server.stop()


@pytest.fixture
def database_url(postgres_server: Embedded) -> Iterator[str]:
    """The address of a database of the test's own, migrated, all topics declared; dropped afterwards."""
    name = f"test_{next(NUMBERS)}"
    admin = superuser(postgres_server.dsn)
    in_thread(lambda: _execute(admin, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER origin"))
    yield postgres_server.dsn.replace(f"/{TEMPLATE}?", f"/{name}?")
    in_thread(lambda: _execute(admin, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def database_pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the test's own database."""
    lent = await pool.create_pool(database_url, smallest=1, largest=10)
    yield lent
    lent.terminate()


def superuser(dsn: str) -> str:
    """The same server as its superuser, who may make databases and change settings."""
    return dsn.replace("//origin@/origin", "//postgres@/postgres")


def in_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine to its end from synchronous code, whether or not an event loop runs in this thread."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


async def _prepare(dsn: str) -> None:
    connection = await pool.connect(dsn)
    try:
        await pool.check_server(connection)
        await migrate(connection)
        await declare(connection)
    finally:
        await connection.close()


async def _execute(dsn: str, statement: str) -> None:
    connection = await pool.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
