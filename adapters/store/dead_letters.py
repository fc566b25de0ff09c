"""The rows of the dead letters: what nobody could read, and what a person decided about it. See 0004."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID, uuid5

import asyncpg

from adapters.postgres.errors import unavailable
from adapters.store import sql
from adapters.store.postgres import Wake, writing
from gateway.ports import Unavailable
from gateway.runtime.dead_letters import message
from gateway.runtime.ids import time_of
from gateway.runtime.submission import Examined
from gateway.storage import Collision, DeadLetter

State = Literal["waiting", "replayed", "discarded"]

COLUMNS = """id, topic, partition, "offset", key, headers::text AS headers, code, detail, consumer_group AS "group",
    attempts, at, state, decided_at, decided_by, reason, octet_length(body) AS size,
    mended IS NOT NULL AS was_mended"""
LIST = f"""
SELECT {COLUMNS}, ''::bytea AS body, NULL::bytea AS mended FROM origin.dead_letter
WHERE $1::text IS NULL OR state = $1 ORDER BY at, id LIMIT $2
"""  # noqa: S608 - made of constants
GET = f"SELECT {COLUMNS}, body, mended FROM origin.dead_letter WHERE id = $1"  # noqa: S608
DECIDE = f"""
UPDATE origin.dead_letter SET state = $2, decided_at = $3, decided_by = $4, reason = $5, mended = $6
WHERE id = $1 AND state = 'waiting' RETURNING {COLUMNS}, body, mended
"""  # noqa: S608
STATE = "SELECT state FROM origin.dead_letter WHERE id = $1 FOR SHARE"
# What the door would correct: the same content, or what was answered before, changes nothing. The turn writes the event
# later than the door accepted: its message's id has the door's time.
CORRECTS = """
SELECT c.raw_sha256, c.updated_at, (
    SELECT e.message_id FROM origin.event e
    WHERE e.subject_id = c.id AND e.kind IN ('drafted', 'declared') AND (e.data->>'revision')::int = c.revision
    ORDER BY e.sequence DESC LIMIT 1) AS message_id
FROM origin.certificate c
WHERE c.number = $1 AND c.applicant = $2 AND c.content_sha256 <> $3
  AND NOT EXISTS (SELECT FROM origin.intake WHERE client = $4 AND key = $5)
"""
OF_ANOTHER = """
SELECT EXISTS (SELECT FROM origin.dead_letter
WHERE state = 'replayed' AND topic = $1 AND at <= $2 AND decided_at >= $3 AND sha256(body) = $4)
"""
TAKEN: Final = timedelta(minutes=1)
"""In which a document that was sent on by the bus is declared."""
MOMENT: Final = timedelta(milliseconds=1)
LETTER = frozenset(DeadLetter.__slots__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A dead letter and what became of it. Nothing is decided while it waits."""

    letter: DeadLetter
    size: int
    """Bytes of the body."""
    state: State
    decided_at: datetime | None
    decided_by: str | None
    reason: str | None
    was_mended: bool
    """It was replayed with other bytes."""
    mended: bytes | None
    """Those, where the letter was asked for by itself."""


class PostgresDeadLetters:
    """See `gateway.runtime.dead_letters.DeadLetters`; and what an operator asks. Everything raises Unavailable."""

    def __init__(self, pool: asyncpg.Pool, wake: Wake) -> None:
        self._pool = pool
        self._wake = wake

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep and publish those that are new, in one transaction."""
        try:
            async with writing(self._pool, self._wake) as writer:
                rows = await writer.connection.fetch(sql.BURY, *sql.dead_columns(letters))
                fresh = {row["id"] for row in rows}
                await writer.append([message(letter) for letter in letters if letter.id in fresh])
        except Collision as collision:
            raise Unavailable("the dead letter could not be kept") from collision

    async def keep(self, letter: DeadLetter) -> UUID:
        """See `gateway.runtime.kept.Letters`."""
        try:
            async with writing(self._pool, self._wake) as writer:
                while not await writer.connection.fetch(sql.BURY, *sql.dead_columns([letter])):
                    if await writer.connection.fetchval(STATE, letter.id) == "waiting":
                        return letter.id
                    letter = replace(letter, id=uuid5(letter.id, "again"))
                await writer.append([message(letter)])
                return letter.id
        except Collision as collision:
            raise Unavailable("the dead letter could not be kept") from collision

    async def overtaken(self, letter: DeadLetter, examined: Examined, number: str) -> bool:
        """Would its document correct a certificate that was declared anew since the letter was kept? What an earlier
        letter that was replayed declared is older."""
        content = bytes.fromhex(examined.content_sha256)
        with unavailable("dead letters"):
            row = await self._pool.fetchrow(CORRECTS, number, examined.applicant, content, *examined.key)
            if row is None:
                return False
            made = row["message_id"]
            accepted: datetime = row["updated_at"] if made is None else time_of(made) + MOMENT
            if accepted <= letter.at:
                return False
            asked = (letter.topic, letter.at, accepted - TAKEN, row["raw_sha256"])
            return not await self._pool.fetchval(OF_ANOTHER, *asked)

    async def list(self, state: State | None, limit: int) -> Sequence[Kept]:
        """Oldest first, without their bodies; of one state or all."""
        with unavailable("dead letters"):
            return [_kept(row) for row in await self._pool.fetch(LIST, state, limit)]

    async def get(self, identity: UUID) -> Kept | None:
        """One of them."""
        with unavailable("dead letters"):
            row = await self._pool.fetchrow(GET, identity)
        return None if row is None else _kept(row)

    async def decide(
        self, identity: UUID, state: State, by: str, reason: str, at: datetime, mended: bytes | None = None
    ) -> Kept | None:
        """Write who decided what, when and why, and the `mended` bytes; None when it does not wait any more."""
        with unavailable("dead letters"):
            row = await self._pool.fetchrow(DECIDE, identity, state, at, by, reason, mended)
        return None if row is None else _kept(row)


def _kept(row: asyncpg.Record) -> Kept:
    facts = {name: value for name, value in row.items() if name in LETTER}
    letter = DeadLetter(**{**facts, "headers": sql.json_data(row["headers"])})
    decided = (row["state"], row["decided_at"], row["decided_by"], row["reason"])
    return Kept(letter, row["size"], *decided, row["was_mended"], row["mended"])
