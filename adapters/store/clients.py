"""The client registry: who may speak to the gateway, and for which enterprise. Keys are stored as SHA-256 only."""

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg
import orjson

from adapters.bus.log import declare_client
from adapters.postgres.errors import unavailable
from adapters.store.acts import note
from gateway.core.predicates import valid_uscc
from gateway.core.quotas import NO_LIMITS, Limits
from gateway.operations import OPERATOR, ClientItem, NewClient, Refusal
from gateway.runtime.door import Client

KEY_PREFIX: Final = "ok_"
"""Every key starts so: a key that leaked into a text can be searched for."""
TTL: Final = 1.0
"""Seconds an answer is believed; revocation takes effect within two."""
MOST_CACHED: Final = 10_000
"""More than that are asked one by one: nobody's made-up keys fill the memory."""
WAIT: Final = 10.0
"""Seconds for a free connection."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""A client's id is also its folder's name."""

GIVEN: Final = """ARRAY(
    SELECT l.exporter FROM origin.leave l
    WHERE l.client = c.id AND l.revoked_at IS NULL AND l.since IS NOT NULL ORDER BY l.exporter)"""
PROPOSED: Final = """ARRAY(
    SELECT l.exporter FROM origin.leave l WHERE l.client = c.id AND l.revoked_at IS NULL AND l.since IS NULL)"""
DRAFTS: Final = """(
    SELECT count(*) FROM (SELECT FROM origin.open_draft d WHERE d.client = c.id LIMIT 100000) AS open)"""
ITEM: Final = f"id, enterprise, prefix, prints_itself, bus, {GIVEN} AS exporters, created_at, revoked_at"
ACTIVE: Final = f"""
SELECT id, enterprise, prefix, prints_itself, key_sha256, {GIVEN} AS exporters, {PROPOSED} AS proposed,
       quotas::text AS quotas, {DRAFTS} AS drafts
FROM origin.client c
WHERE (key_sha256 = ANY($1::bytea[]) OR id = ANY($2::text[])) AND revoked_at IS NULL
"""  # noqa: S608 - made of constants
ADD: Final = """
INSERT INTO origin.client (id, enterprise, key_sha256, prefix, prints_itself, bus) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING RETURNING id
"""
LIST: Final = f"SELECT {ITEM} FROM origin.client c ORDER BY id"  # noqa: S608
REVOKE: Final = f"UPDATE origin.client c SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING {ITEM}"  # noqa: S608
BUS: Final = f"UPDATE origin.client c SET bus = $2 WHERE id = $1 RETURNING {ITEM}"  # noqa: S608
ON_BUS: Final = "SELECT id FROM origin.client WHERE bus ORDER BY id"


Name: TypeAlias = bytes | str
"""What a client is asked by: the SHA-256 of its key, or its id."""

Met: TypeAlias = Callable[[Sequence[str]], Awaitable[None]]


async def _nobody_asks(clients: Sequence[str]) -> None:
    """Where nothing need be known of clients beforehand."""


@dataclass(slots=True)
class _Cached:
    client: Client | None
    until: float
    asked: float
    """When it was last asked for. Those who send all the time are looked up together."""


class Clients:
    """Authenticates on the hot path (`gateway.reading.Authenticator`) and keeps the registry."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        limits: Limits = NO_LIMITS,
        *,
        met: Met = _nobody_asks,
        ttl: float = TTL,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limits`: quotas of a client that has none of its own. `met` hears of clients before they are given out, by
        whatever way in; it may raise Unavailable."""
        self._pool = pool
        self._limits = limits
        self._met = met
        self._ttl = ttl
        self._monotonic = monotonic
        self._cache: dict[Name, _Cached] = {}
        self._wanted: set[Name] = set()
        self._looking: asyncio.Task[None] | None = None

    async def authenticate(self, key: str) -> Client | None:
        """The client this key belongs to. Raises Unavailable when the database can't say."""
        if not key.startswith(KEY_PREFIX):
            return None
        return await self._client(hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest())

    async def by_id(self, name: str) -> Client | None:
        """A client that may speak, by its id: the owner of a hot folder. Raises Unavailable."""
        return await self._client(name)

    async def on_bus(self) -> Sequence[str]:
        """Whose topics are read; revoked clients too, so that they hear why nothing is accepted. Raises Unavailable."""
        with unavailable("client"):
            return [row["id"] for row in await self._pool.fetch(ON_BUS)]

    async def add(
        self,
        name: str,
        enterprise: str,
        prefix: str = "",
        prints_itself: bool = True,
        bus: bool = False,
        by: str = OPERATOR,
    ) -> NewClient:
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
        if not valid_uscc(code):
            raise Refusal(
                "CLIENT-ENTERPRISE",
                "This is not a unified social credit code (统一社会信用代码): 18 characters, the last a check digit.",
                "Copy it from the business licence.",
            )
        key = KEY_PREFIX + secrets.token_urlsafe(32)
        digest = hashlib.sha256(key.encode()).digest()
        with unavailable("client"):
            async with self._pool.acquire(timeout=WAIT) as connection, connection.transaction():
                made = await connection.fetchval(ADD, name, code, digest, prefix, prints_itself, bus)
                if made is not None:
                    await note(connection, by, "client.add", name, enterprise=code, prefix=prefix)
                    if bus:
                        await declare_client(connection, name)
        if made is None:
            raise Refusal(
                "CLIENT-EXISTS",
                "There is, or was, a client of this name; names are never given twice.",
                "Choose another name; origin client list shows those in use.",
            )
        return NewClient(id=name, enterprise=code, key=key)

    async def bus(self, name: str, wanted: bool, by: str = OPERATOR) -> ClientItem:
        """Give a client its topics, or stop reading them. Raises Refusal when there is no such client, Unavailable."""
        with unavailable("client"):
            async with self._pool.acquire(timeout=WAIT) as connection, connection.transaction():
                row = await connection.fetchrow(BUS, name, wanted)
                if row is not None:
                    await note(connection, by, "client.bus", name, bus=wanted)
                    if wanted:
                        await declare_client(connection, name)
        return _item(row)

    async def list(self) -> Sequence[ClientItem]:
        """Every client, revoked ones too. Raises Unavailable."""
        with unavailable("client"):
            return [ClientItem(**dict(row)) for row in await self._pool.fetch(LIST)]

    async def revoke(self, name: str, by: str = OPERATOR) -> ClientItem:
        """The client's key opens nothing any more. Raises Refusal when there is no such client, Unavailable."""
        with unavailable("client"):
            async with self._pool.acquire(timeout=WAIT) as connection, connection.transaction():
                row = await connection.fetchrow(REVOKE, name)
                if row is not None:
                    await note(connection, by, "client.revoke", name)
        self.forget()
        return _item(row)

    def forget(self) -> None:
        """What was looked up may have changed: this process looks again at once, the others within `TTL`."""
        self._cache.clear()

    async def _client(self, name: Name) -> Client | None:
        """The cached client; else by the next look, which serves everybody who asks meanwhile."""
        now = self._monotonic()
        while (known := self._cache.get(name)) is None or now >= known.until:
            self._wanted.add(name)
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
                self._looking.add_done_callback(_looked_at)
            await asyncio.shield(self._looking)  # it outlives an asker that goes away
            now = self._monotonic()
        known.asked = now
        return known.client

    async def _look(self) -> None:
        """One query for those who wait and for all that were asked for since the last one. Raises Unavailable.

        Hundreds of clients that send all the time cost one query a second, not one each.
        """
        now = self._monotonic()
        steady = (name for name, known in self._cache.items() if now - known.asked < 2 * self._ttl)
        wanted = {*self._wanted, *steady}
        if len(wanted) > MOST_CACHED:
            wanted = self._wanted
        self._wanted = set()
        digests = [name for name in wanted if isinstance(name, bytes)]
        ids = [name for name in wanted if isinstance(name, str)]
        try:
            with unavailable("client"):
                rows = await self._pool.fetch(ACTIVE, digests, ids)
            clients = {row["id"]: _client(row, self._limits) for row in rows}
            await self._met(list(clients))
        finally:
            self._looking = None
        keys = {row["key_sha256"]: clients[row["id"]] for row in rows}
        before = self._cache
        fresh = {name: known for name, known in before.items() if now < known.until}
        self._cache = fresh if len(fresh) < MOST_CACHED else {}
        for name in wanted:
            client = clients.get(name) if isinstance(name, str) else keys.get(name)
            asked = before[name].asked if name in before else now
            self._cache[name] = _Cached(client, now + self._ttl, asked)


def _looked_at(task: asyncio.Task[None]) -> None:
    """Those who wait have its trouble; where nobody waits any more, nobody has to."""
    if not task.cancelled():
        task.exception()


def _item(row: asyncpg.Record | None) -> ClientItem:
    if row is None:
        raise Refusal("CLIENT-UNKNOWN", "There is no client of this name.", "origin client list shows them.")
    return ClientItem(**dict(row))


def _client(row: asyncpg.Record, limits: Limits) -> Client:
    return Client(
        id=row["id"],
        enterprise=row["enterprise"],
        prefix=row["prefix"],
        prints_itself=row["prints_itself"],
        exporters=frozenset(row["exporters"]),
        proposed=frozenset(row["proposed"]),
        limits=limits.but(orjson.loads(row["quotas"])),
        open_drafts=row["drafts"],
    )
