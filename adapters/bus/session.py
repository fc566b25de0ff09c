"""The bus's own direct connection: hears and sends wake-ups, and shows other members that this process lives."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Self

import asyncpg

from adapters.postgres.errors import unavailable
from gateway.ports import Unavailable

log = logging.getLogger(__name__)

CHANNEL = "origin_log"
LOCK_CLASS = 1329744711  # "OBUG"; first half of the advisory lock of every living bus, see 0001_log.sql
ALL = ""
"""Heard after a reconnection: anything may have been missed."""
PAUSE = 0.005
"""Seconds between two NOTIFY: under load one tells of many commits."""
KEEPALIVE = 5.0


class Session:
    """One connection, made again whenever it breaks."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], heard: Callable[[str], None]) -> None:
        """`connect`: a direct connection, not through a pooler. `heard`: called with each word, or ALL."""
        self._connect = connect
        self._heard = heard
        self._words: set[str] = set()
        self._stir = asyncio.Event()
        self._up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._key: int | None = None

    @property
    def key(self) -> int:
        """The advisory lock that this session holds. Raises Unavailable while there is no connection."""
        if self._key is None:
            raise Unavailable("the bus has no connection to the database")
        return self._key

    def tell(self, words: set[str]) -> None:
        """Sends `words` to every session of the database, soon; lost without harm when the connection breaks."""
        self._words |= words
        self._stir.set()

    async def __aenter__(self) -> Self:
        """Connects, waiting up to 10 s; a database that is away is waited for in the background."""
        self._task = asyncio.create_task(self._run(), name="origin-bus-session")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10.0):
                await self._up.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnects."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                with unavailable("session"):
                    await self._live()
            except Exception as error:
                if not isinstance(error, Unavailable):
                    log.exception("bus.session_failed")
                pause = min(pause * 2, 1.0) if self._key is None else 0.05
            finally:
                self._key = None
            await asyncio.sleep(pause)

    async def _live(self) -> None:
        connection = await self._connect()
        try:
            # What is written here is worth no flush: wake-ups, which nobody relies on.
            await connection.execute("SET synchronous_commit = off")
            key = secrets.randbelow(2**31)
            await connection.execute(f"SELECT pg_advisory_lock({LOCK_CLASS}, {key})")
            connection.add_termination_listener(self._broken)
            await connection.add_listener(CHANNEL, self._notified)
            self._key = key
            self._up.set()
            self._heard(ALL)
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KEEPALIVE):
                        await self._stir.wait()
                self._stir.clear()
                words, self._words = sorted(self._words), set()
                await connection.execute(
                    "SELECT pg_notify($1, word) FROM unnest($2::text[]) word", CHANNEL, words, timeout=5.0
                )
                await asyncio.sleep(PAUSE)
        finally:
            connection.terminate()

    def _broken(self, _: Any) -> None:
        self._key = None
        self._stir.set()

    def _notified(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._heard(str(payload))
