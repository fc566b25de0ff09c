"""Appending to the log table: one statement (migrations/ has it), meant to be the last before COMMIT.

It does not NOTIFY: PostgreSQL holds one lock for the whole server from a NOTIFY to the end of its commit's flush, so
that commits would stand in line (with a flush of 5 ms, 6 connections: 166 instead of 824 commits a second).
The bus wakes readers after the commit, on its own connection; a reader that was not woken looks every second.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import orjson

from adapters.bus.topics import Topics, declared
from adapters.postgres.pool import Connection
from gateway.ports import Message, UnknownTopic

APPEND = "SELECT origin.append($1, $2, $3, $4, $5)"


async def append(connection: Connection, messages: Sequence[Message], topics: Topics | None = None) -> None:
    """Writes `messages` inside the caller's transaction, in order per (topic, key).

    The partitions stay locked until the transaction ends: make it the last statement before COMMIT. After the
    commit call `PostgresBus.wake` with the topics. Raises UnknownTopic (nothing was written) and asyncpg's errors.
    """
    if messages:
        with no_partition():
            await connection.execute(APPEND, *columns(messages, topics))


def columns(messages: Sequence[Message], topics: Topics | None = None) -> tuple[Sequence[Any], ...]:
    """Arguments of APPEND. Raises UnknownTopic."""
    known = declared() if topics is None else topics
    return (
        [message.topic for message in messages],
        [known.place(message.topic, message.key) for message in messages],
        [message.key for message in messages],
        [orjson.dumps(dict(message.headers)).decode() for message in messages],
        [message.body for message in messages],
    )


@contextlib.contextmanager
def no_partition() -> Iterator[None]:
    """An appended message found no partition in the database: UnknownTopic."""
    try:
        yield
    except asyncpg.NotNullViolationError as error:
        if error.column_name != "offset":
            raise
        raise UnknownTopic("a topic of this batch has no partitions in the database: run declare()") from error


def place(message: Message) -> int:
    """The partition of a message on a declared topic. Raises UnknownTopic."""
    return declared().place(message.topic, message.key)


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


async def declare_client(connection: Connection, client: str) -> None:
    """Makes the partitions of the topics that one client has for itself."""
    await declare(connection, declared().of_client(client))
