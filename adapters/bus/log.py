"""Appending to the log table: one statement, meant to be the last before COMMIT.

It does not NOTIFY: PostgreSQL holds one lock for the whole server from a NOTIFY to the end of its commit's flush, so
that commits would stand in line (with a flush of 5 ms, 6 connections: 166 instead of 824 commits a second).
The bus wakes readers after the commit, on its own connection; a reader that was not woken looks every second.
"""

from collections.abc import Sequence

import asyncpg
import orjson

from adapters.bus.topics import Topics, declared
from adapters.postgres.pool import Connection
from gateway.ports import Message, UnknownTopic

# `held` locks the partitions' counters in one order for everybody (no deadlock) and until commit, so offsets
# have no gaps and rise in the order of commits. Counters are hot: nothing should follow before COMMIT.
APPEND = """
WITH input AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::text[], $5::text[], $6::bytea[])
        AS m (topic, partition, rank, key, headers, body)
), wanted AS (
    SELECT topic, partition, count(*) AS n FROM input GROUP BY topic, partition
), held AS (
    SELECT p.topic, p.partition, p.next_offset, w.n
    FROM origin.log_partition p JOIN wanted w USING (topic, partition)
    ORDER BY p.topic, p.partition
    FOR UPDATE OF p
), moved AS (
    UPDATE origin.log_partition p SET next_offset = h.next_offset + h.n
    FROM held h WHERE p.topic = h.topic AND p.partition = h.partition
    RETURNING p.topic, p.partition, h.next_offset AS first
)
INSERT INTO origin.log (topic, partition, "offset", key, headers, body)
SELECT i.topic, i.partition, m.first + i.rank, i.key, i.headers::jsonb, i.body
FROM input i LEFT JOIN moved m USING (topic, partition)
"""  # a partition that is not there gives no offset, and the statement fails as a whole


async def append(connection: Connection, messages: Sequence[Message], topics: Topics | None = None) -> None:
    """Writes `messages` inside the caller's transaction, in order per (topic, key).

    The partitions stay locked until the transaction ends: make it the last statement before COMMIT. After the
    commit call `PostgresBus.wake` with the topics. Raises UnknownTopic (nothing was written) and asyncpg's errors.
    """
    if not messages:
        return
    known = declared() if topics is None else topics
    ranks: dict[tuple[str, int], int] = {}
    rows: list[tuple[str, int, int, str, str, bytes]] = []
    for message in messages:
        place = message.topic, known.place(message.topic, message.key)
        rank = ranks.get(place, 0)
        ranks[place] = rank + 1
        headers = orjson.dumps(dict(message.headers)).decode()
        rows.append((*place, rank, message.key, headers, message.body))
    try:
        await connection.execute(APPEND, *zip(*rows, strict=True))
    except asyncpg.NotNullViolationError as error:
        if error.column_name != "offset":
            raise
        raise UnknownTopic("a topic of this batch has no partitions in the database: run declare()") from error


async def declare(connection: Connection, topics: Topics | None = None) -> None:
    """Makes the partitions of every declared topic. Run at start, after the migrations.

    Raises ValueError when a topic has another number of partitions in the database: keys would change theirs,
    and order per key would be lost.
    """
    known = declared() if topics is None else topics
    rows = await connection.fetch(
        "SELECT topic, count(*) AS n FROM origin.log_partition WHERE topic = ANY($1) GROUP BY topic", list(known)
    )
    if wrong := sorted(row["topic"] for row in rows if row["n"] != known.partitions(row["topic"])):
        raise ValueError(f"partitions in the database differ from topics.toml: {', '.join(wrong)}")
    names, numbers = zip(*known.places(known), strict=True)
    await connection.execute(
        "INSERT INTO origin.log_partition (topic, partition) SELECT * FROM unnest($1::text[], $2::int[])"
        " ON CONFLICT DO NOTHING",
        names,
        numbers,
    )
