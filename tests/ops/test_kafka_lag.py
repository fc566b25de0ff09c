"""How far behind a group is on a real cluster, and that a broker that is away is told and come back to."""

import asyncio
import uuid

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from prometheus_client import CollectorRegistry

from adapters.bus import kafka_client, kafka_lag
from adapters.bus.kafka_client import Cluster
from adapters.bus.kafka_lag import Lags
from gateway import gauges
from gateway.dev_kafka.cluster import Kafka
from gateway.metrics import Metrics
from gateway.ports import Unavailable
from tests.fixtures_kafka import BROKER_GOES_AWAY
from tests.integration.process import eventually

pytestmark = BROKER_GOES_AWAY

FAMILY = "origin.intake.submitted.v1"


async def topic(cluster: Cluster) -> str:
    """A topic of a client of its own."""
    name = f"{FAMILY}.lag-{uuid.uuid4().hex[:8]}"
    admin = kafka_client.admin(cluster)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 4, 1)])
    except TopicAlreadyExistsError:
        pass
    finally:
        await admin.close()
    return name


async def test_unread_records_are_counted_and_grow_old(kafka_bootstrap: str) -> None:
    # given a group that has read two of three records
    cluster = Cluster(kafka_bootstrap)
    name, group = await topic(cluster), f"lag-{uuid.uuid4().hex[:8]}"
    producer, reader = kafka_client.producer(cluster), kafka_client.consumer(cluster, group)
    await producer.start()
    await reader.start()
    lags = Lags(cluster, ["nobody", group])
    try:
        for _ in range(3):
            await producer.send_and_wait(name, b"{}", partition=1)
        reader.assign([TopicPartition(name, 1)])
        await reader.commit({TopicPartition(name, 1): 2})
        # then
        (behind,) = await lags.look()
        assert (behind.group, behind.topic, behind.records) == (group, FAMILY, 1)
        await asyncio.sleep(0.3)
        (older,) = await lags.look()
        assert older.age >= behind.age + 0.3
        # and when it reads the rest, nothing is old
        await reader.commit({TopicPartition(name, 1): 3})
        (done,) = await lags.look()
        assert (done.records, done.age) == (0, 0.0)
    finally:
        await lags.close()
        await reader.stop()
        await producer.stop()


@pytest.mark.long
async def test_a_broker_that_is_away_shows_and_is_come_back_to(
    kafka_server: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gauges, "BROKER_PAUSE", 0.2)
    monkeypatch.setattr(kafka_lag, "ANSWER", 3.0)
    found = CollectorRegistry()

    async def until(value: float) -> None:
        def told() -> bool:
            return found.get_sample_value("origin_neighbour_up", {"neighbour": "broker"}) == value

        assert await asyncio.to_thread(eventually, told, 40, 0.1)

    lags = Lags(Cluster(kafka_server.bootstrap), ["turn"])
    watching = asyncio.create_task(gauges.watch_broker(lags, Metrics(found)))
    try:
        await until(1)
        await asyncio.to_thread(kafka_server.kill)
        await until(0)
        await asyncio.to_thread(kafka_server.start)
        await until(1)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await lags.close()


async def test_no_broker_at_all_is_unavailable() -> None:
    lags = Lags(Cluster("127.0.0.1:9"), ["turn"])
    with pytest.raises(Unavailable):
        await lags.look()
    await lags.close()
