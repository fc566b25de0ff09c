"""What only the Kafka bus promises: large bodies, strangers' records, zombies, static members, the watchdog."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from adapters.bus.kafka import KafkaBus, KafkaConsumer
from adapters.bus.kafka_claims import CLAIM, Claims
from adapters.bus.kafka_client import Cluster
from adapters.bus.kafka_watch import Stuck
from adapters.bus.topics import Topics
from gateway.ports import Bus, Consumer, Fenced, Message, Record, Unavailable
from tests.contract.bus_suite import bodies, ends, nothing_comes, numbered, take
from tests.contract.kafka_harness import KafkaHarness

LARGE = 400 * 1024


@pytest.fixture
async def harness(kafka_bootstrap: str) -> AsyncIterator[KafkaHarness]:
    harness = KafkaHarness(kafka_bootstrap)
    await harness.prepare()
    yield harness
    await harness.end()


def opened(harness: KafkaHarness, cluster: Cluster | None = None, **options: Any) -> KafkaBus:
    """A handle in this event loop."""
    return KafkaBus(cluster or harness.cluster, harness.blobs, harness.topics, **options)


async def raw(harness: KafkaHarness, topic: str, count: int) -> list[ConsumerRecord]:
    """The records as a foreign client sees them."""
    async with AIOKafkaConsumer(bootstrap_servers=harness.cluster.bootstrap, auto_offset_reset="earliest") as client:
        places = [TopicPartition(topic, number) for number in range(harness.topics.partitions(topic))]
        client.assign(places)
        await client.seek_to_beginning(*places)
        return [await client.getone() for _ in range(count)]


# ---------------------------------------------------------------- large bodies


async def test_a_large_body_travels_by_its_hash_and_arrives_whole(harness: KafkaHarness) -> None:
    body = bytes(range(256)) * (LARGE // 256)
    sha256 = hashlib.sha256(body).hexdigest()
    sent = [Message(harness.one, "k", b"small", {"ce_id": "1"}), Message(harness.one, "k", body, {"ce_id": "2"})]
    async with opened(harness) as bus:
        await bus.publish(sent)
        small, large = await raw(harness, harness.one, 2)
        assert (small.value, dict(small.headers)) == (b"small", {"ce_id": b"1"})
        assert (large.value, dict(large.headers)) == (b"", {"ce_id": b"2", CLAIM: sha256.encode()})
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            records = await take(consumer, 2, harness.settle)
    assert [(record.body, dict(record.headers)) for record in records] == [(m.body, dict(m.headers)) for m in sent]


class Shelf:
    """Blobs that can be lost, damaged or away."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.away = False

    async def put(self, content: bytes, *, kind: str, media_type: str) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        self.content[sha256] = content
        return sha256

    async def get(self, sha256: str) -> bytes:
        if self.away:
            raise Unavailable("the shelf is away")
        return self.content[sha256]


async def test_a_claim_nobody_can_answer_holds_up_nothing_and_a_store_that_is_away_loses_nothing(
    harness: KafkaHarness,
) -> None:
    shelf = Shelf()
    large = [Message(harness.one, "k", bytes([n]) * LARGE, {"ce_id": str(n)}) for n in range(3)]
    async with KafkaBus(harness.cluster, shelf, harness.topics) as bus:
        await bus.publish(large)
        lost, damaged, _ = list(shelf.content)
        del shelf.content[lost]
        shelf.content[damaged] = b"something else"
        shelf.away = True
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            with pytest.raises(Unavailable):
                await take(consumer, 1, harness.settle)
            shelf.away = False
            records = await take(consumer, 3, harness.settle)
    assert [(record.body, record.headers.get(CLAIM)) for record in records] == [
        (b"", lost),
        (b"", damaged),
        (large[2].body, None),
    ]


async def test_a_client_can_not_send_by_hash_what_it_does_not_have() -> None:
    shelf = Shelf()
    sha256 = await shelf.put(b"another enterprise's document", kind="declaration", media_type="text/xml")
    topic = "origin.intake.submitted.v1"
    of_client = Record(f"{topic}.erp", 0, 0, "k", b"", {CLAIM: sha256})
    of_ours = Record(topic, 0, 0, "k", b"", {CLAIM: sha256})
    desk = Claims(shelf, Topics({topic: 1}, {topic: 1}))
    assert await desk.check_out(of_client) == of_client
    assert (await desk.check_out(of_ours)).body == b"another enterprise's document"


async def test_what_we_send_on_a_client_s_own_topic_travels_whole() -> None:
    """An answer, or a dead letter of his that is sent again: on his topic no claim is redeemed."""
    shelf = Shelf()
    desk = Claims(shelf, Topics({"t": 1}, {"t": 1}), most=10)
    large = bytes(11)
    travels = {name: await desk.check_in(Message(name, "k", large, {})) for name in ("t", "t.erp")}
    assert (travels["t.erp"].body, travels["t.erp"].headers) == (large, {})
    assert travels["t"].body == b""
    assert CLAIM in travels["t"].headers


# ---------------------------------------------------------------- strangers


async def test_what_strangers_write_is_a_record_too(harness: KafkaHarness) -> None:
    async with AIOKafkaProducer(bootstrap_servers=harness.cluster.bootstrap) as stranger:
        await stranger.send_and_wait(harness.one, b"no key", partition=0)
        await stranger.send_and_wait(harness.one, None, key=b"no body", partition=0)
        headers = [("a", b"\xff\xfe"), ("b", b"1"), ("b", b"2"), ("c", None)]
        await stranger.send_and_wait(harness.one, b"x", key=b"\xff", partition=0, headers=headers)
    async with opened(harness) as bus, bus.consumer(harness.group, [harness.one]) as consumer:
        records = await take(consumer, 3, harness.settle)
        await consumer.commit(ends(records))
    assert [(r.key, r.body, dict(r.headers)) for r in records] == [
        ("", b"no key", {}),
        ("no body", b"", {}),
        ("\ufffd", b"x", {"a": "\ufffd\ufffd", "b": "2", "c": ""}),
    ]


async def test_what_a_stranger_rolled_back_is_not_read_and_its_gaps_are_no_standstill(harness: KafkaHarness) -> None:
    place = harness.one, harness.topics.place(harness.one, "key-0")
    async with (
        opened(harness, stuck=1.0) as bus,
        AIOKafkaProducer(bootstrap_servers=harness.cluster.bootstrap, transactional_id=harness.group) as stranger,
        bus.consumer(harness.group, [harness.one]) as consumer,
    ):
        await bus.publish(numbered(harness.one, 1, 2))
        async with stranger.transaction():
            await stranger.send(harness.one, b"2", key=b"key-0", partition=place[1])
        await stranger.begin_transaction()
        await stranger.send_and_wait(harness.one, b"666", key=b"key-0", partition=place[1])
        await stranger.abort_transaction()
        await bus.publish(numbered(harness.one, 1, 1, start=3))
        async with stranger.transaction():
            await stranger.send(harness.one, b"4", key=b"key-0", partition=place[1])
        records = await take(consumer, 5, harness.settle)
        assert [int(record.body) for record in records] == [0, 1, 2, 3, 4]
        await consumer.commit(ends(records))
        await nothing_comes(consumer, 3.0)  # three times as long as the watchdog waits


# ---------------------------------------------------------------- membership


async def test_a_member_finishes_what_it_holds_before_it_gives_it_back(harness: KafkaHarness) -> None:
    async with opened(harness) as bus, opened(harness) as other, AsyncExitStack() as stack:
        first = await stack.enter_async_context(bus.consumer(harness.group, [harness.one]))
        await bus.publish(numbered(harness.one, 16, 48))
        seen = await take(first, 48, harness.settle)

        async def second() -> list[int]:
            async with other.consumer(harness.group, [harness.one]) as consumer:
                found = await take(consumer, 1, harness.settle)
                await consumer.commit(ends(found))
                return bodies(found)

        joining = asyncio.create_task(second())
        begin = time.monotonic()
        while time.monotonic() < begin + 3:  # busy with the records, polling on as the port asks
            assert await first.poll(100, 0.2) == []
        await first.commit(ends(seen))
        last = 48
        while not joining.done():
            await bus.publish(numbered(harness.one, 16, 16, start=last))
            last += 16
            again = await first.poll(100, 0.2)
            assert not set(bodies(again)) & set(range(48))
            await first.commit(ends(again))
        assert not set(await joining) & set(range(48)), "handed out twice though nobody died"


async def test_a_zombie_moves_nothing_in_a_group_that_is_empty_again(harness: KafkaHarness) -> None:
    bus, other = await harness.open(), opened(harness)
    await other.publish(numbered(harness.one, 1, 10))
    async with bus.consumer(harness.group, [harness.one]) as first:
        seen = await take(first, 10, harness.settle)
        go_on = await harness.pause(bus, first)
        async with other.consumer(harness.group, [harness.one]) as second:
            await second.commit(ends(await take(second, 10, harness.settle)))
        await go_on()
        await asyncio.sleep(1.5)  # by now its heartbeat was refused: it has no generation, and the group no member
        place = seen[0].place
        with pytest.raises(Fenced):
            await first.commit({place: 5})
    async with other.consumer(harness.group, [harness.one]) as third:
        await nothing_comes(third, 2.0)
    await other.__aexit__()
    await harness.close(bus)


async def test_a_static_member_comes_back_at_once_and_disturbs_nobody(harness: KafkaHarness) -> None:
    named = replace(harness.cluster, instance="press-room-1", session=30.0)
    async with opened(harness) as bus, bus.consumer(harness.group, [harness.one]) as neighbour:
        await bus.publish(numbered(harness.one, 16, 32))

        async def visit() -> tuple[set[tuple[str, int]], int]:
            """One life of the process: which partitions it had, and the generation of the group."""
            async with opened(harness, named) as home, home.consumer(harness.group, [harness.one]) as consumer:
                ours = cast(KafkaConsumer, consumer)
                end = time.monotonic() + 10
                while ours._generation is None or len(ours._client.assignment()) != 2:
                    assert time.monotonic() < end, "it waits for its own session to end"
                    await consumer.poll(10, 0.1)
                    found = await neighbour.poll(100, 0.1)
                    await neighbour.commit(ends(found))
                return {(tp.topic, tp.partition) for tp in ours._client.assignment()}, ours._generation

        first = await visit()
        assert await visit() == first, "the group shared out anew"
        assert cast(KafkaConsumer, neighbour)._generation == first[1]


# ---------------------------------------------------------------- the watchdog


async def test_a_client_that_stands_still_ends_its_process(harness: KafkaHarness) -> None:
    told: list[str] = []
    async with (
        opened(harness, stuck=1.0, progress=told.append) as bus,
        bus.consumer(harness.group, [harness.one]) as consumer,
    ):
        await bus.publish(numbered(harness.one, 4, 8))
        await consumer.commit(ends(await take(consumer, 8, harness.settle)))
        assert set(told) == {harness.group}
        await nothing_comes(consumer, 2.5)
        assert len(told) > 2, "an idle member is no standstill, and says so"
        client = cast(KafkaConsumer, consumer)._client
        client.pause(*client.assignment())
        await bus.publish(numbered(harness.one, 4, 8, start=8))
        before = len(told)
        with pytest.raises(Stuck, match=r"no records of test\.one"):
            await nothing_comes(consumer, 6.0)
        assert len(told) == before


async def test_a_member_that_gets_no_partitions_for_ever_ends_its_process(harness: KafkaHarness) -> None:
    async with opened(harness, stuck=1.0) as bus, bus.consumer(harness.group, [harness.one]) as consumer:
        await nothing_comes(consumer, 0.5)
        ours = cast(KafkaConsumer, consumer)
        ours._generation = None
        ours._watchdog._joining = 1.0
        with pytest.raises(Stuck, match="no partitions"):
            await nothing_comes(consumer, 6.0)


# ---------------------------------------------------------------- topics


async def test_a_topic_the_cluster_lacks_is_waited_for(harness: KafkaHarness) -> None:
    lacking = KafkaHarness(harness.cluster.bootstrap)
    async with opened(lacking) as bus:
        with pytest.raises(Unavailable, match="origin topics apply"):
            await bus.publish(numbered(lacking.one, 1, 1))
        with pytest.raises(Unavailable, match="origin topics apply"):
            async with bus.consumer(lacking.group, [lacking.one]):
                pytest.fail("a consumer of a topic that is not there")
        await lacking.prepare()
        await bus.publish(numbered(lacking.one, 1, 1))
        async with bus.consumer(lacking.group, [lacking.one]) as consumer:
            assert bodies(await take(consumer, 1, harness.settle)) == [0]


# ---------------------------------------------------------------- the producer


async def test_a_broken_sequence_makes_a_new_producer_and_keeps_the_order(harness: KafkaHarness) -> None:
    async with opened(harness) as bus:
        written = 0
        for round_ in range(4):
            await bus.publish(numbered(harness.one, 5, 40, start=written))
            written += 40
            publisher = bus._publisher
            before = publisher._producer
            assert before is not None
            if round_ < 3:  # as after a broker's blip: it expects another number than comes
                for place in list(before._txn_manager._sequence_numbers):
                    before._txn_manager.increment_sequence_number(place, 7)
                await bus.publish(numbered(harness.one, 5, 40, start=written))
                written += 40
                assert publisher._producer is not before
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            records = await take(consumer, written, harness.settle)
    first: dict[int, None] = dict.fromkeys(int(record.body) for record in records)
    assert set(first) == set(range(written))
    for key in range(5):
        line = [number for number in first if number % 5 == key]
        assert line == sorted(line), "out of order"


def test_the_password_is_in_no_text(kafka_bootstrap: str) -> None:
    cluster = Cluster(kafka_bootstrap, protocol="SASL_PLAINTEXT", username="u", password="hush-hush")
    assert "hush-hush" not in f"{cluster!r} {cluster}"


def _port_holds(bus: KafkaBus, consumer: KafkaConsumer) -> tuple[Bus, Consumer]:
    """For the type checker: these are what they claim to be."""
    return bus, consumer
