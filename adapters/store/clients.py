"""The client registry: who may speak to the gateway, and for which enterprise. Keys are stored as SHA-256 only."""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
from stdnum.cn import uscc

from adapters.postgres.errors import unavailable
from gateway.operations import ClientItem, NewClient, Refusal
from gateway.runtime.door import Client

KEY_PREFIX: Final = "ok_"
"""Every key starts so: a key that leaked into a text can be searched for."""
TTL: Final = 1.0
"""Seconds an answer is believed; revocation takes effect within two."""
MOST_CACHED: Final = 10_000
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""A client's id is also its folder's name."""

BY_KEY: Final = """
SELECT id, enterprise, prefix, prints_itself, key_sha256 FROM origin.client
WHERE key_sha256 = $1 AND revoked_at IS NULL
"""
BY_ID: Final = """
SELECT id, enterprise, prefix, prints_itself, key_sha256 FROM origin.client WHERE id = $1 AND revoked_at IS NULL
"""
ADD: Final = """
INSERT INTO origin.client (id, enterprise, key_sha256, prefix, prints_itself) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
LIST: Final = """
SELECT id, enterprise, prefix, prints_itself, created_at, revoked_at FROM origin.client ORDER BY id
"""
REVOKE: Final = """
UPDATE origin.client SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1
RETURNING id, enterprise, prefix, prints_itself, created_at, revoked_at
"""


@dataclass(frozen=True, slots=True)
class _Cached:
    client: Client | None
    until: float


class Clients:
    """Authenticates on the hot path (`gateway.reading.Authenticator`) and keeps the registry."""

    def __init__(
        self, pool: asyncpg.Pool, *, ttl: float = TTL, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._ttl = ttl
        self._monotonic = monotonic
        self._cache: dict[bytes | str, _Cached] = {}
        self._asking: dict[bytes | str, asyncio.Task[Client | None]] = {}

    async def authenticate(self, key: str) -> Client | None:
        """The client this key belongs to. Raises Unavailable when the database can't say."""
        if not key.startswith(KEY_PREFIX):
            return None
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        known = self._cache.get(digest)
        if known is not None and self._monotonic() < known.until:
            return known.client
        return await self._ask(digest, lambda: self._by_key(digest))

    async def by_id(self, name: str) -> Client | None:
        """A client that may speak, by its id: the owner of a hot folder. Raises Unavailable."""
        known = self._cache.get(name)
        if known is not None and self._monotonic() < known.until:
            return known.client
        return await self._ask(name, lambda: self._by_id(name))

    async def add(self, name: str, enterprise: str, prefix: str = "", prints_itself: bool = True) -> NewClient:
        """A new client of an enterprise, with its key: the only time it is shown. Raises Refusal, Unavailable."""
        if not NAME.fullmatch(name):
            raise Refusal(
                "CLIENT-NAME",
                "A client's name is 1 to 63 lower-case letters, digits, '-' or '_', and starts with a letter or digit.",
                "It is also the name of its hot folder; choose one like erp-1.",
            )
        if not re.fullmatch(r"[0-9A-Za-z]{0,3}", prefix):
            raise Refusal(
                "CLIENT-PREFIX", "A serial prefix is 0 to 3 letters or digits.", "Leave it out, or shorten it."
            )
        code = enterprise.strip().upper()
        if not uscc.is_valid(code):
            raise Refusal(
                "CLIENT-ENTERPRISE",
                "This is not a unified social credit code (统一社会信用代码): 18 characters, the last a check digit.",
                "Copy it from the business licence.",
            )
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        digest = hashlib.sha256(key.encode()).digest()
        with unavailable("client"):
            made = await self._pool.fetchval(ADD, name, code, digest, prefix, prints_itself)
        if made is None:
            raise Refusal(
                "CLIENT-EXISTS",
                "There is, or was, a client of this name; names are never given twice.",
                "Choose another name; origin client list shows those in use.",
            )
        return NewClient(id=name, enterprise=code, key=key)

    async def list(self) -> Sequence[ClientItem]:
        """Every client, revoked ones too. Raises Unavailable."""
        with unavailable("client"):
            return [ClientItem(**dict(row)) for row in await self._pool.fetch(LIST)]

    async def revoke(self, name: str) -> ClientItem:
        """The client's key opens nothing any more. Raises Refusal when there is no such client, Unavailable."""
        with unavailable("client"):
            row = await self._pool.fetchrow(REVOKE, name)
        if row is None:
            raise Refusal("CLIENT-UNKNOWN", "There is no client of this name.", "origin client list shows them.")
        self._cache.clear()
        return ClientItem(**dict(row))

    async def _ask(self, what: bytes | str, query: Callable[[], Awaitable[Client | None]]) -> Client | None:
        """One query however many ask at once; it outlives an asker that goes away."""
        task = self._asking.get(what)
        if task is None:
            task = self._asking[what] = asyncio.create_task(self._remembered(what, query))
            task.add_done_callback(lambda done: self._asked(what, done))
        return await asyncio.shield(task)

    def _asked(self, what: bytes | str, done: "asyncio.Task[Client | None]") -> None:
        self._asking.pop(what, None)
        if not done.cancelled():
            done.exception()  # looked at: those who asked have it

    async def _remembered(self, what: bytes | str, query: Callable[[], Awaitable[Client | None]]) -> Client | None:
        asked_at = self._monotonic()
        client = await query()
        if len(self._cache) >= MOST_CACHED:
            self._cache.clear()
        self._cache[what] = _Cached(client, asked_at + self._ttl)
        return client

    async def _by_key(self, digest: bytes) -> Client | None:
        with unavailable("client"):
            row = await self._pool.fetchrow(BY_KEY, digest)
        if row is None or not hmac.compare_digest(row["key_sha256"], digest):
            return None
        return _client(row)

    async def _by_id(self, name: str) -> Client | None:
        with unavailable("client"):
            row = await self._pool.fetchrow(BY_ID, name)
        return None if row is None else _client(row)


def _client(row: asyncpg.Record) -> Client:
    return Client(id=row["id"], enterprise=row["enterprise"], prefix=row["prefix"], prints_itself=row["prints_itself"])
