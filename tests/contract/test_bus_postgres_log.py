"""What only the log table promises: gapless offsets in commit order, the caller's transaction, outages."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from aiokafka import partitioner as kafka
from hypothesis import given
from hypothesis import strategies as st

from adapters.bus.group import change_hands, shares
from adapters.bus.log import append, declare
from adapters.bus.postgres import PostgresBus, PostgresConsumer
from adapters.bus.topics import Topics, declared, murmur2
from adapters.postgres import pool
from adapters.postgres.embedded import Embedded
from adapters.postgres.errors import unavailable
from adapters.postgres.migrate import migrate
from gateway.ports import Fenced, Message, Record, Unavailable, UnknownTopic
from tests.contract.bus_suite import bodies, ends, numbered, take

TOPICS = Topics({"stress.one": 3, "stress.two": 2})
CHILD = """
import asyncio, sys
from adapters.bus.postgres import PostgresBus
from adapters.bus.topics import Topics
from adapters.postgres import pool

async def main(url):
    lent = await pool.create_pool(url)
    async with PostgresBus(lent, lambda: pool.connect(url), Topics({"stress.one": 3})) as bus:
        async with bus.consumer("g", ["stress.one"]) as consumer:
            while True:
                for record in await consumer.poll(100, 1.0):
                    print(record.body.decode(), flush=True)

asyncio.run(main(sys.argv[1]))
"""


@given(st.binary(max_size=70))
def test_keys_go_where_kafka_puts_them(data: bytes) -> None:
    assert murmur2(data) == kafka.murmur2(data) & 0xFFFFFFFF


def test_known_hashes_of_the_java_client() -> None:
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    assert {data: (murmur2(data) ^ 0x80000000) - 0x80000000 for data in known} == known


@given(st.integers(1, 9), st.integers(1, 6))
def test_shares_are_fair_and_complete(partitions: int, members: int) -> None:
    who = [(UUID(int=number + 1), ["a", "b"]) for number in range(members)]
    places = [(topic, number) for topic in ("a", "b") for number in range(partitions)]
    result = shares(who, places)
    assert set(result) == set(places)
    for member, _ in who:
        mine = [place for place, owner in result.items() if owner == member]
        assert len(mine) <= 2 * -(-partitions // members)
    assert all(result["a", number] == result["b", number] for number in range(partitions))


async def test_offsets_are_gapless_and_in_commit_order_while_a_reader_never_skips(
    database_url: str, database_pool: asyncpg.Pool
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    async with database_pool.acquire() as connection:
        await declare(connection, TOPICS)
    committed: list[int] = []
    numbers = iter(range(10**9))

    async def write() -> None:
        for _ in range(40):
            async with database_pool.acquire() as connection:
                transaction = connection.transaction()
                await transaction.start()
                mine = [next(numbers) for _ in range(chance.randint(1, 6))]
                await append(
                    connection,
                    [Message(chance.choice(list(TOPICS)), f"k{chance.randint(0, 9)}", str(n).encode()) for n in mine],
                    TOPICS,
                )
                await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01)))
                if chance.random() < 0.2:
                    await transaction.rollback()
                else:
                    await transaction.commit()
                    committed.extend(mine)

    async with (
        PostgresBus(database_pool, lambda: pool.connect(database_url), TOPICS) as bus,
        bus.consumer("g", list(TOPICS)) as consumer,
    ):
        writers = asyncio.gather(*(write() for _ in range(6)))
        records: list[Record] = []
        while not writers.done() or len(records) < len(committed):
            found = await consumer.poll(chance.randint(1, 30), 0.05)
            records += found
            bus.wake(TOPICS)
            assert len(records) <= len(committed) + 36, f"seed {seed}"
        await writers
    assert bodies(records) == sorted(committed), f"seed {seed}"
    for place in {record.place for record in records}:
        offsets = [record.offset for record in records if record.place == place]
        assert offsets == list(range(len(offsets))), f"seed {seed}"


async def test_a_partition_that_went_and_came_back_is_another_one(
    database_url: str, database_pool: asyncpg.Pool
) -> None:
    async with database_pool.acquire() as connection:
        await declare(connection, TOPICS)
        await append(connection, numbered("stress.one", 6, 12), TOPICS)
    async with (
        PostgresBus(database_pool, lambda: pool.connect(database_url), TOPICS) as bus,
        bus.consumer("g", ["stress.one"]) as consumer,
    ):
        assert isinstance(consumer, PostgresConsumer)
        records = await take(consumer, 12, 5.0)
        await consumer.halt()
        places = sorted(ends(records))
        async with database_pool.acquire() as connection:
            await change_hands(connection, "g", places, None)
            await change_hands(connection, "g", places, consumer.member)
        with pytest.raises(Fenced):
            await consumer.commit(ends(records))
        assert await database_pool.fetchval("SELECT sum(position) FROM origin.consumer_position") == 0


async def test_what_is_rolled_back_was_never_there(database_pool: asyncpg.Pool) -> None:
    async with database_pool.acquire() as connection:
        await declare(connection, TOPICS)
        transaction = connection.transaction()
        await transaction.start()
        await append(connection, numbered("stress.one", 3, 9), TOPICS)
        await transaction.rollback()
        assert await connection.fetchval("SELECT sum(next_offset) FROM origin.log_partition") == 0
        assert await connection.fetchval("SELECT count(*) FROM origin.log") == 0


async def test_a_topic_the_database_lacks_writes_nothing(database_pool: asyncpg.Pool) -> None:
    async with database_pool.acquire() as connection:
        name = next(iter(declared()))
        batch = [Message(name, "k", b""), Message("stress.one", "k", b"")]
        with pytest.raises(UnknownTopic):
            await append(connection, batch, Topics({name: 8, "stress.one": 3}))
        assert await connection.fetchval("SELECT count(*) FROM origin.log") == 0


async def test_a_topic_keeps_its_number_of_partitions(database_pool: asyncpg.Pool) -> None:
    async with database_pool.acquire() as connection:
        await declare(connection, TOPICS)
        for count in (2, 4):
            with pytest.raises(ValueError, match=r"stress\.one"):
                await declare(connection, Topics({"stress.one": count}))
        await declare(connection, TOPICS)


async def test_a_commit_wakes_a_reader_of_another_process_in_milliseconds(database_url: str) -> None:
    pools = [await pool.create_pool(database_url), await pool.create_pool(database_url)]
    topic = next(iter(declared()))
    async with (
        PostgresBus(pools[0], lambda: pool.connect(database_url)) as reading,
        PostgresBus(pools[1], lambda: pool.connect(database_url)) as writing,
        reading.consumer("g", [topic]) as consumer,
    ):
        waits = []
        for number in range(20):
            waiting = asyncio.create_task(consumer.poll(10, 5.0))
            await asyncio.sleep(0.02)
            begin = time.perf_counter()
            await writing.publish(numbered(topic, 1, 1, start=number))
            assert bodies(await waiting) == [number]
            waits.append(time.perf_counter() - begin)
    assert sorted(waits)[10] < 0.05
    for lent in pools:
        await lent.close()


async def test_a_reader_nobody_woke_looks_by_itself(database_url: str, database_pool: asyncpg.Pool) -> None:
    topic = next(iter(declared()))
    async with (
        PostgresBus(database_pool, lambda: pool.connect(database_url)) as bus,
        bus.consumer("g", [topic]) as consumer,
    ):
        waiting = asyncio.create_task(consumer.poll(10, 5.0))
        await asyncio.sleep(0.05)
        async with database_pool.acquire() as connection:
            await append(connection, numbered(topic, 1, 1))
        assert bodies(await asyncio.wait_for(waiting, 1.5)) == [0]


async def test_a_killed_process_is_replaced_before_its_lease_is_over(
    database_url: str, database_pool: asyncpg.Pool
) -> None:
    async with database_pool.acquire() as connection:
        await declare(connection, TOPICS)
        await append(connection, numbered("stress.one", 5, 5), TOPICS)
    command = [sys.executable, "-c", CHILD, database_url]
    child = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        lines = [await asyncio.to_thread(child.stdout.readline) for _ in range(5)]
        assert sorted(map(int, lines)) == list(range(5))
        child.send_signal(signal.SIGKILL)
        child.wait(120)
        child.stdout.close()
        async with (
            PostgresBus(database_pool, lambda: pool.connect(database_url), TOPICS, lease=60.0) as bus,
            bus.consumer("g", ["stress.one"]) as consumer,
        ):
            assert bodies(await take(consumer, 5, 5.0)) == list(range(5))
    finally:
        child.kill()


async def test_the_same_consumer_goes_on_when_the_database_is_back(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "pg")
    server.start()
    try:
        connection = await pool.connect(server.dsn)
        await migrate(connection)
        await declare(connection, TOPICS)
        await connection.close()
        lent = await pool.create_pool(server.dsn)
        async with (
            PostgresBus(lent, lambda: pool.connect(server.dsn), TOPICS) as bus,
            bus.consumer("g", ["stress.one"]) as consumer,
        ):
            await bus.publish(numbered("stress.one", 4, 8))
            first = await take(consumer, 8, 5.0)
            await asyncio.to_thread(server.stop)
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await consumer.poll(10, 0.2)
                with pytest.raises(Unavailable):
                    await consumer.commit(ends(first))
                with pytest.raises(Unavailable):
                    await bus.publish(numbered("stress.one", 1, 1))
            await asyncio.to_thread(server.start)
            deadline = time.monotonic() + 10
            records: list[Record] = []
            while not records and time.monotonic() < deadline:
                try:
                    await bus.publish(numbered("stress.one", 4, 4, start=8))
                    records = await take(consumer, 1, 5.0)
                    await consumer.commit(ends(records))
                except (Unavailable, Fenced):
                    await consumer.rewind()
                    await asyncio.sleep(0.05)
            assert records, "the consumer did not come back"
        lent.terminate()
    finally:
        await asyncio.to_thread(server.stop)


async def test_who_is_told_to_end_while_his_connection_breaks_ends(database_url: str) -> None:
    """asyncpg's failed ROLLBACK stands in the place of the cancellation then; a keeper that took it for an absence
    went on renewing a seat that nobody sat on, and its process waited for it for ever."""
    lent = await pool.create_pool(database_url, largest=2)
    begun = asyncio.Event()

    async def hold() -> None:
        try:
            with unavailable("group"):
                async with lent.acquire() as connection, connection.transaction():
                    begun.set()
                    try:
                        await asyncio.Event().wait()
                    finally:
                        connection.terminate()
        except Unavailable:
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await begun.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=20)
    assert task.cancelled()
    await lent.close()
