"""What operators did to the registry of clients: who, when, what. Rows are only ever appended, by the transaction that
does what they tell."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from adapters.postgres.errors import unavailable
from adapters.postgres.pool import Connection
from gateway.operations import ActItem

NOTE: Final = """
INSERT INTO origin.operator_act (who, what, client, detail)
SELECT $1, $2, t.client, t.detail::jsonb FROM unnest($3::text[], $4::text[]) AS t (client, detail)
"""
LIST: Final = """
SELECT at, who, what, client, detail::text AS detail FROM origin.operator_act
WHERE $1::text IS NULL OR client = $1 ORDER BY id DESC LIMIT $2
"""
MOST: Final = 500


async def note(connection: Connection, who: str, what: str, client: str, **detail: Any) -> None:
    """One act, in the transaction that does it. `what`: see `gateway.operations.ActItem`."""
    await note_all(connection, who, what, [(client, detail)])


async def note_all(connection: Connection, who: str, what: str, about: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """The same act on several clients: (client, detail) each."""
    details = [orjson.dumps(detail).decode() for _, detail in about]
    await connection.execute(NOTE, who, what, [client for client, _ in about], details)


async def acts(connection: Connection, client: str | None) -> Sequence[ActItem]:
    """Newest first, at most `MOST`; of one client or all. Raises Unavailable."""
    with unavailable("acts"):
        rows = await connection.fetch(LIST, client, MOST)
    return [ActItem(**{**dict(row), "detail": orjson.loads(row["detail"])}) for row in rows]
