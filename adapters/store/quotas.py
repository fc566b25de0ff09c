"""The processes' common count of what clients do, and a client's own quotas (gateway/runtime/quotas.py)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from adapters.postgres.errors import unavailable
from adapters.store.acts import note
from gateway.core.quotas import Limits, Quota, Used, windows
from gateway.operations import QuotaChanges, QuotaItem, Refusal
from gateway.runtime.quotas import Count

WAIT: Final = 10.0
"""Seconds for a free connection."""
COUNTED: Final = "declarations_in_minute, bytes_in_minute, declarations_in_day, bytes_in_day"
# One round trip: what this process counted goes in, what the others counted comes out. Rows of another process are
# never written, so nobody waits for anybody.
EXCHANGE: Final = f"""
WITH told AS (
    INSERT INTO origin.quota_use (client, process, minute, day, {COUNTED})
    SELECT t.client, $1, t.minute, t.day, t.dm, t.bm, t.dd, t.bd
    FROM unnest($2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
        AS t (client, minute, day, dm, bm, dd, bd)
    ON CONFLICT (client, process) DO UPDATE SET
        minute = excluded.minute, day = excluded.day,
        declarations_in_minute = excluded.declarations_in_minute, bytes_in_minute = excluded.bytes_in_minute,
        declarations_in_day = excluded.declarations_in_day, bytes_in_day = excluded.bytes_in_day
)
SELECT client,
       coalesce(sum(declarations_in_minute) FILTER (WHERE minute = $10), 0)::bigint AS dm,
       coalesce(sum(bytes_in_minute) FILTER (WHERE minute = $10), 0)::bigint AS bm,
       coalesce(sum(declarations_in_day) FILTER (WHERE day = $11), 0)::bigint AS dd,
       coalesce(sum(bytes_in_day) FILTER (WHERE day = $11), 0)::bigint AS bd
FROM origin.quota_use WHERE client = ANY ($9::text[]) AND process <> $1 GROUP BY client
"""  # noqa: S608 - made of constants
FORGET: Final = "DELETE FROM origin.quota_use WHERE day < $1"
USED: Final = """
SELECT coalesce(sum(declarations_in_minute) FILTER (WHERE minute = $2), 0)::bigint AS declarations_per_minute,
       coalesce(sum(bytes_in_minute) FILTER (WHERE minute = $2), 0)::bigint AS bytes_per_minute,
       coalesce(sum(declarations_in_day) FILTER (WHERE day = $3), 0)::bigint AS declarations_per_day,
       coalesce(sum(bytes_in_day) FILTER (WHERE day = $3), 0)::bigint AS bytes_per_day,
       (SELECT count(*) FROM origin.open_draft d WHERE d.client = $1) AS open_drafts
FROM origin.quota_use WHERE client = $1
"""
OWN: Final = "SELECT quotas::text FROM origin.client WHERE id = $1"
LOCKED: Final = f"{OWN} FOR UPDATE"
SET: Final = "UPDATE origin.client SET quotas = $2::jsonb WHERE id = $1"


class PostgresQuotas:
    """See `gateway.runtime.quotas.QuotaTable`; and what an operator sees and sets. Everything raises Unavailable."""

    def __init__(self, pool: asyncpg.Pool, defaults: Limits) -> None:
        """`defaults`: of a client that has no quotas of its own."""
        self._pool = pool
        self._defaults = defaults
        self._day = 0

    async def exchange(
        self, process: UUID, own: Sequence[Count], asked: Sequence[str], minute: int, day: int
    ) -> Mapping[str, Used]:
        """What others count of `asked`. Rows of the days before yesterday go, once a day."""
        used = [one.used for one in own]
        arguments = (
            process,
            [one.client for one in own],
            [one.minute for one in used],
            [one.day for one in used],
            [one.declarations_in_minute for one in used],
            [one.bytes_in_minute for one in used],
            [one.declarations_in_day for one in used],
            [one.bytes_in_day for one in used],
            list(asked),
            minute,
            day,
        )
        with unavailable("quotas"):
            rows = await self._pool.fetch(EXCHANGE, *arguments)
            if day != self._day:
                await self._pool.execute(FORGET, day - 1)
                self._day = day
        return {row["client"]: Used(minute, day, row["dm"], row["bm"], row["dd"], row["bd"]) for row in rows}

    async def show(self, client: str, now: datetime) -> Sequence[QuotaItem]:
        """Each quota of a client: how much, whether that is its own, and what is used now. Raises Refusal."""
        with unavailable("quotas"):
            async with self._pool.acquire(timeout=WAIT) as connection:
                own = _known(await connection.fetchval(OWN, client))
                (used,) = await connection.fetch(USED, client, *windows(now.timestamp()))
        return self._items(own, dict(used))

    async def set(self, client: str, changes: QuotaChanges, by: str, now: datetime) -> Sequence[QuotaItem]:
        """Change some: a number, None for no limit, "default". Within two seconds on every process. Raises Refusal."""
        with unavailable("quotas"):
            async with self._pool.acquire(timeout=WAIT) as connection, connection.transaction():
                own = _known(await connection.fetchval(LOCKED, client))
                for quota, most in changes.items():
                    own.pop(quota.value, None)
                    if not isinstance(most, str):
                        own[quota.value] = most
                await connection.execute(SET, client, orjson.dumps(own).decode())
                told = {quota.value: most for quota, most in changes.items()}
                await note(connection, by, "client.quota", client, **told)
        return await self.show(client, now)

    def _items(self, own: Mapping[str, int | None], used: Mapping[str, int]) -> Sequence[QuotaItem]:
        limits = self._defaults.but(own)
        return [
            QuotaItem(
                quota=quota,
                most=getattr(limits, quota.value),
                default=quota.value not in own,
                used=used.get(quota.value),
            )
            for quota in Quota
        ]


def _known(text: str | None) -> dict[str, Any]:
    if text is None:
        raise Refusal("CLIENT-UNKNOWN", "There is no client of this name.", "origin client list shows them.")
    own: dict[str, Any] = orjson.loads(text)
    return own
