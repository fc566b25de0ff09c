"""The proxy before a real PostgreSQL and a real Kafka: what it holds and cuts is what it says, all else passes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from adapters.bus import kafka_topics
from adapters.bus.kafka_client import Cluster
from adapters.bus.topics import Topics
from gateway.dev_kafka.cluster import Kafka
from ops.storm.proxy import Frontend, Unread, Way

TABLE = "CREATE TABLE IF NOT EXISTS origin.storm_test (n int)"


@asynccontextmanager
async def way_to(database_url: str) -> AsyncIterator[tuple[Way, str]]:
    parts = urlsplit(database_url)
    where = parse_qs(parts.query)
    path = f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}"
    way = Way(lambda: asyncio.open_unix_connection(path))
    await way.open()
    try:
        yield way, f"postgresql://origin@127.0.0.1:{way.port}{parts.path}?sslmode=disable"
    finally:
        await way.close()


async def rows(database_url: str) -> list[int]:
    connection = await asyncpg.connect(database_url)
    try:
        return [row["n"] for row in await connection.fetch("SELECT n FROM origin.storm_test ORDER BY n")]
    finally:
        await connection.close()


async def write(connection: asyncpg.Connection, n: int) -> None:
    await connection.execute("BEGIN")
    await connection.execute("INSERT INTO origin.storm_test VALUES ($1)", n)
    await connection.execute("COMMIT")


async def test_a_commit_is_done_and_its_answer_never_comes(database_url: str) -> None:
    async with way_to(database_url) as (way, dsn):
        connection = await asyncpg.connect(dsn)
        await connection.execute(TABLE)
        await write(connection, 1)
        cut = asyncio.create_task(way.cut_next_commit(answered=True, patience=10))
        await asyncio.sleep(0)
        with pytest.raises((asyncpg.PostgresConnectionError, ConnectionError)):
            await write(connection, 2)
        assert await cut
        assert await rows(database_url) == [1, 2]
        again = await asyncpg.connect(dsn)
        await write(again, 3)
        await again.close()
        assert await rows(database_url) == [1, 2, 3]


async def test_without_a_commit_nothing_is_cut(database_url: str) -> None:
    async with way_to(database_url) as (way, dsn):
        connection = await asyncpg.connect(dsn)
        cut = asyncio.create_task(way.cut_next_commit(answered=False, patience=0.3))
        await connection.execute("BEGIN")
        assert await connection.fetchval("SELECT count(*) FROM origin.migration")
        await connection.execute("ROLLBACK")
        assert not await cut
        await connection.close()


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
async def test_what_is_held_arrives_late(database_url: str, direction: str) -> None:
    async with way_to(database_url) as (way, dsn):
        connection = await asyncpg.connect(dsn)
        gate: asyncio.Event = getattr(way, direction)
        gate.clear()
        asked = asyncio.create_task(connection.fetchval("SELECT 7"))
        await asyncio.sleep(0.2)
        assert not asked.done()
        assert way.held
        gate.set()
        assert await asked == 7
        await connection.close()


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


STARTUP = (12).to_bytes(4, "big") + b"\0\3\0\0user"
OPEN = message(b"P", b"s1\0SELECT origin.open_certificates($1)\0\0\0")
OTHER = message(b"P", b"s1\0SELECT 1\0\0\0")
RUN = message(b"B", b"\0s1\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0")
SYNC = message(b"S", b"")


@pytest.mark.parametrize(
    ("said", "commits"),
    [
        ([message(b"Q", b"COMMIT\0")], 1),
        ([message(b"Q", b"commit;\0")], 1),
        ([message(b"Q", b"SELECT 'COMMIT'\0")], 0),
        ([OPEN, SYNC], 0),
        ([OPEN, SYNC, RUN, SYNC, RUN, SYNC], 2),
        ([OPEN, SYNC, OTHER, RUN, SYNC], 0),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_commits_are_seen_however_the_stream_is_cut(said: Sequence[bytes], commits: int, chunk: int) -> None:
    stream = STARTUP + b"".join(said)
    frontend = Frontend()
    pieces = [piece for at in range(0, len(stream), chunk) for piece in frontend.feed(stream[at : at + chunk])]
    assert b"".join(piece for piece, _ in pieces) == stream
    assert sum(commit for _, commit in pieces) == commits


async def test_a_broker_sends_the_clients_of_a_detour_to_its_proxy(tmp_path: Path) -> None:
    # given a broker with a listener of which only the proxy knows
    with Kafka(tmp_path / "kafka", detours=1, die_with_parent=True) as kafka:
        ((listener, port),) = kafka.detour(0)
        way = Way(lambda: asyncio.open_connection("127.0.0.1", listener), port, Unread)
        await way.open()
        await kafka_topics.apply(Cluster(kafka.bootstrap), kafka_topics.plain(Topics({"storm.test": 1})))
        async with AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{port}") as producer:
            await producer.send_and_wait("storm.test", b"1")
            # when one direction is held
            way.to_server.clear()
            sent = asyncio.create_task(producer.send_and_wait("storm.test", b"2"))
            await asyncio.sleep(0.5)
            assert not sent.done()
            assert way.held
            # then it arrives late, and the others' way is another one
            async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as other:
                await other.send_and_wait("storm.test", b"3")
            way.to_server.set()
            await sent
        await way.close()
