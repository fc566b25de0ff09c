"""The database of a process: where it is, started if it is our own, waited for if it is away, and migrated."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from adapters.bus.log import declare
from adapters.postgres.embedded import Embedded
from adapters.postgres.migrate import migrate
from adapters.postgres.pool import check_server, connect
from gateway.ports import Unavailable
from gateway.runtime.observer import Observer
from gateway.runtime.patience import Patience
from gateway.settings import Settings

WHO: Final = "start"
"""Who misses the database, in the log and in the metrics, before any role runs."""

T = TypeVar("T")


class Ended(Exception):
    """The end was asked for before the database answered."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where PostgreSQL is: `pooled` may go through pgbouncer, `direct` never does."""

    pooled: str
    direct: str
    embedded: bool


@contextlib.asynccontextmanager
async def database(settings: Settings, observer: Observer, ending: asyncio.Event) -> AsyncIterator[Database]:
    """The database, running and migrated. The embedded one is started, and stopped at the end; another one is waited
    for. Raises EmbeddedError, ServerRefused, MigrationRefused, Ended."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.database_url:
            direct = settings.database_direct_url or settings.database_url
            place = Database(settings.database_url, direct, embedded=False)
        else:
            server = Embedded(settings.data / "postgres")
            await asyncio.to_thread(server.start)
            stack.push_async_callback(asyncio.to_thread, server.stop)
            place = Database(server.dsn, server.dsn, embedded=True)
        await patiently(partial(_prepare, place.direct), observer, ending)
        yield place


async def patiently(call: Callable[[], Awaitable[T]], observer: Observer, ending: asyncio.Event) -> T:
    """What `call` gives, as soon as the database answers: one that restarts or recovers is no reason to end. Told once
    at the start and once at the end. Raises Ended, and whatever no waiting mends."""

    async def sleep(seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await ending.wait()

    patience = Patience(WHO, observer, sleep=sleep)
    while True:
        try:
            given = await call()
        except Unavailable as trouble:
            if ending.is_set():
                raise Ended from trouble
            await patience.wait("database", trouble)
        else:
            patience.over()
            return given


async def _prepare(direct: str) -> None:
    connection = await connect(direct)
    try:
        await check_server(connection)
        await migrate(connection)
        await declare(connection)
    finally:
        await connection.close()
