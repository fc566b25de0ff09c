"""The bus as a way in, on a real Kafka broker: a foreign producer writes, a foreign consumer reads the answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import uuid4

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from prometheus_client import CollectorRegistry

import schemas
from adapters.bus import kafka_topics
from adapters.bus.kafka import Cluster, KafkaBus
from adapters.bus.kafka_listing import on_the_cluster
from adapters.inbound.bus import BusIntake
from adapters.inbound.metrics import IntakeMetrics
from adapters.store.memory import MemoryBlobs, MemoryDeadLetters
from gateway.runtime.door import Client
from tests.inbound.bus_parts import ANSWERED, SUBMITTED, Registry
from tests.inbound.parts import quotas_of
from tests.runtime.house import ENTERPRISE, Clock, House, Told, document

XML = [("content-type", b"application/xml")]


@contextlib.asynccontextmanager
async def intake(house: House, cluster: Cluster, registry: Registry) -> AsyncIterator[None]:
    """The way in runs, as the role does."""
    async with house.open(), KafkaBus(cluster, MemoryBlobs(house.store)) as bus:
        work = BusIntake(
            bus, house.door, registry, quotas_of(house.clock), MemoryDeadLetters(house.store), Clock(),
            IntakeMetrics(CollectorRegistry()),
            Told(), lambda: on_the_cluster(cluster), look=0.2,
        )  # fmt: skip
        task = asyncio.create_task(work.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def answers(bootstrap: str, client: str, count: int) -> list[ConsumerRecord]:
    """What the ERP reads, whole partitions."""
    topic = f"{ANSWERED}.{client}"
    found: list[ConsumerRecord] = []
    async with asyncio.timeout(60), AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        places = [TopicPartition(topic, number) for number in range(4)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        while len(found) < count:
            found += [one for line in (await consumer.getmany(timeout_ms=500)).values() for one in line]
    return found


async def test_a_foreign_producers_declaration_and_poison_of_every_kind(kafka_bootstrap: str) -> None:
    client, late = (Client(f"t{uuid4().hex}", ENTERPRISE) for _ in range(2))
    cluster, house, registry = Cluster(kafka_bootstrap), House(), Registry(client, late)
    own = [wanted for wanted in kafka_topics.declared([client.id]) if wanted.name.endswith(client.id)]
    await kafka_topics.apply(cluster, own)
    topic = f"{SUBMITTED}.{client.id}"
    async with intake(house, cluster, registry), AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as erp:
        example = schemas.read_bytes("examples", "C-three-goods.xml")
        await erp.send_and_wait(topic, None, key=b"tombstone", headers=XML)
        await erp.send_and_wait(topic, b"\x00\xff", headers=XML)
        await erp.send_and_wait(topic, example, key=b"\xff\x00")
        await erp.send_and_wait(topic, example, headers=[*XML, ("ce_id", b"\xff\xfe")])
        await erp.send_and_wait(topic, example, key=b"order", headers=[*XML, ("ce_id", b"7"), ("traceparent", b"00-a")])
        found = await answers(kafka_bootstrap, client.id, 5)
        contents = [orjson.loads(record.value) for record in found]
        assert sorted(content["status"] for content in contents) == ["accepted"] + ["refused"] * 4
        (good,) = (record for record in found if record.key == b"order")
        headers = dict(good.headers)
        assert (headers["ce_causationid"], headers["origin_status"], headers["traceparent"]) == (
            b"7",
            b"accepted",
            b"00-a",
        )
        assert good.partition == int(headers["origin_submitted_partition"]), "the same key, the same partition"

        await kafka_topics.apply(cluster, [w for w in kafka_topics.declared([late.id]) if w.name.endswith(late.id)])
        json = [("content-type", b"application/json")]
        await erp.send_and_wait(f"{SUBMITTED}.{late.id}", document(invoice_no="2"), key=b"2", headers=json)
        (told,) = await answers(kafka_bootstrap, late.id, 1)
        assert orjson.loads(told.value)["status"] == "accepted", "heard without a restart"
