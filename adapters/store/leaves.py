"""Whom a client may declare for besides its own enterprise: one list, whoever gives a leave (ops/decisions/0023)."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from adapters.postgres.errors import unavailable
from adapters.store.acts import note, note_all
from gateway.core.predicates import valid_uscc
from gateway.operations import LeaveItem, LeaveState, Refusal

WAIT: Final = 10.0
"""Seconds for a free connection."""
COLUMNS: Final = "client, exporter, proposed_at, given_by, since, revoked_at"
CLIENT: Final = "SELECT enterprise, revoked_at FROM origin.client WHERE id = $1 FOR SHARE"
OPEN: Final = """
SELECT since FROM origin.leave WHERE client = $1 AND exporter = $2 AND revoked_at IS NULL FOR UPDATE
"""
GRANT: Final = f"""
INSERT INTO origin.leave AS l (client, exporter, given_by, since) VALUES ($1, $2, 'operator', now())
ON CONFLICT (client, exporter) WHERE revoked_at IS NULL
DO UPDATE SET given_by = coalesce(l.given_by, excluded.given_by), since = coalesce(l.since, excluded.since)
RETURNING {COLUMNS}
"""  # noqa: S608 - made of constants
REVOKE: Final = f"""
UPDATE origin.leave SET revoked_at = now() WHERE client = $1 AND exporter = $2 AND revoked_at IS NULL
RETURNING {COLUMNS}
"""  # noqa: S608
ACCEPT: Final = f"""
UPDATE origin.leave SET given_by = 'operator', since = now()
WHERE since IS NULL AND revoked_at IS NULL AND ($1::text IS NULL OR client = $1)
RETURNING {COLUMNS}
"""  # noqa: S608
LIST: Final = f"""
SELECT {COLUMNS} FROM origin.leave
WHERE ($1::text IS NULL OR client = $1) AND (NOT $2 OR since IS NULL AND revoked_at IS NULL)
ORDER BY client, exporter, id
"""  # noqa: S608
PROPOSED: Final = "SELECT count(*) FROM origin.leave WHERE since IS NULL AND revoked_at IS NULL"


class Leaves:
    """The list, and what an operator does with it. Everything raises Unavailable; acts are noted (`acts`)."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def list(self, client: str | None, proposed: bool) -> Sequence[LeaveItem]:
        """Every leave, those that are over too; of one client or all. `proposed`: only what waits for an answer."""
        with unavailable("leave"):
            return [_item(row) for row in await self._pool.fetch(LIST, client, proposed)]

    async def proposed(self) -> int:
        """How many wait for the operator's answer."""
        with unavailable("leave"):
            count: int = await self._pool.fetchval(PROPOSED)
        return count

    async def grant(self, client: str, exporter: str, by: str) -> LeaveItem:
        """Give it, or say yes to a proposal; one that is in force stays as it is. Raises Refusal."""
        code = _code(exporter)
        with unavailable("leave"):
            async with self._pool.acquire(timeout=WAIT) as connection, connection.transaction():
                owner = await connection.fetchrow(CLIENT, client)
                if owner is None or owner["revoked_at"] is not None:
                    raise Refusal(
                        "CLIENT-UNKNOWN",
                        "There is no client of this name, or it was revoked.",
                        "origin client list shows them.",
                    )
                if owner["enterprise"] == code:
                    raise Refusal(
                        "LEAVE-OWN",
                        "This is the client's own enterprise: it needs no leave.",
                        "There is nothing to do.",
                    )
                before = await connection.fetchrow(OPEN, client, code)
                (row,) = await connection.fetch(GRANT, client, code)
                if before is None or before["since"] is None:
                    await note(connection, by, "leave.grant", client, exporter=code)
        return _item(row)

    async def revoke(self, client: str, exporter: str, by: str) -> LeaveItem:
        """It is over; a proposal is answered no. Raises Refusal when there is none."""
        code = _code(exporter)
        with unavailable("leave"):
            async with self._pool.acquire(timeout=WAIT) as connection, connection.transaction():
                row = await connection.fetchrow(REVOKE, client, code)
                if row is None:
                    raise Refusal(
                        "LEAVE-UNKNOWN",
                        "This client has no leave to declare for this exporter.",
                        "origin client grants shows what there is.",
                    )
                what = "leave.reject" if row["since"] is None else "leave.revoke"
                await note(connection, by, what, client, exporter=code)
        return _item(row)

    async def accept(self, client: str | None, by: str) -> Sequence[LeaveItem]:
        """Say yes to every proposal; of one client or all."""
        with unavailable("leave"):
            async with self._pool.acquire(timeout=WAIT) as connection, connection.transaction():
                rows = await connection.fetch(ACCEPT, client)
                about = [(row["client"], {"exporter": row["exporter"]}) for row in rows]
                await note_all(connection, by, "leave.grant", about)
        return sorted((_item(row) for row in rows), key=lambda item: (item.client, item.exporter))


def _code(exporter: str) -> str:
    code = exporter.strip().upper()
    if not valid_uscc(code):
        raise Refusal(
            "LEAVE-EXPORTER",
            "This is not a unified social credit code (统一社会信用代码): 18 characters, the last a check digit.",
            "Copy it from the exporter's business licence.",
        )
    return code


def _item(row: asyncpg.Record) -> LeaveItem:
    state: LeaveState = "proposed" if row["since"] is None else "given"
    if row["revoked_at"] is not None:
        state = "over"
    return LeaveItem(**dict(row), state=state)
