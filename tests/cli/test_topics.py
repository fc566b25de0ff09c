"""`origin topics` against a real broker, and what the doctor says of it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from adapters.bus import kafka_topics
from adapters.bus.kafka_client import Cluster
from adapters.bus.kafka_topics import Wanted, apply, differences
from adapters.bus.topics import declared
from gateway.dev_kafka.cluster import Kafka
from tests.cli.command import origin
from tests.integration.process import Serve

DAY = "86400000"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker without a topic."""
    with Kafka(tmp_path_factory.mktemp("empty"), die_with_parent=True) as server:
        yield server


@pytest.mark.parametrize("command", ["topics list", "topics diff", "topics apply"])
def test_help_has_an_example_and_json(command: str, tmp_path: Path) -> None:
    done = origin(*command.split(), "--help", folder=tmp_path)
    assert done.returncode == 0
    assert f"Example: origin {command}" in " ".join(done.stdout.split())
    assert "--json" in done.stdout


def test_list_needs_no_cluster(tmp_path: Path) -> None:
    done = origin("topics", "list", "--json", "--client", "erp-1", folder=tmp_path)
    listed = {topic["name"]: topic["partitions"] for topic in json.loads(done.stdout)}
    assert listed == {name: declared().partitions(name) for name in (*declared(), *declared().of_client("erp-1"))}
    for options in ([], ["--client", "No Such Name"]):
        done = origin("topics", "diff", *options, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
    assert "Name" not in done.stderr


def test_a_cluster_that_is_away_is_exit_code_3(tmp_path: Path) -> None:
    done = origin("topics", "diff", folder=tmp_path, ORIGIN_KAFKA_BOOTSTRAP="127.0.0.1:9")
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1


def test_made_once_and_as_declared_then(empty: Kafka, tmp_path: Path) -> None:
    def say(*words: str) -> tuple[int, list[list[str]]]:
        done = origin("topics", *words, folder=tmp_path, ORIGIN_KAFKA_BOOTSTRAP=empty.bootstrap)
        return done.returncode, [line.split("\t") for line in done.stdout.splitlines()]

    code, rows = say("diff")
    assert code == 1
    assert {row[0] for row in rows} == set(declared())
    assert {row[1] for row in rows} == {"missing"}
    assert say("apply", "--dry-run")[0] == 0
    assert say("diff") == (code, rows), "a dry run changed something"
    assert say("apply")[0] == 0
    assert say("diff") == (0, [])
    assert say("apply") == (0, [])
    code, rows = say("diff", "--client", "erp-1")
    assert (code, {row[0] for row in rows}) == (1, set(declared().of_client("erp-1")))


async def test_what_can_be_mended_is_mended_and_the_rest_is_left_with_a_word(empty: Kafka) -> None:
    cluster = Cluster(empty.bootstrap)
    wanted = [Wanted(f"mend.{name}", 4, {"retention.ms": DAY}) for name in ("empty", "used", "wide", "other")]
    admin = AIOKafkaAdminClient(bootstrap_servers=empty.bootstrap)
    await admin.start()
    own = {"retention.ms": "1000", "segment.ms": "777777"}
    await admin.create_topics(
        [
            NewTopic("mend.empty", 2, 1, topic_configs={"retention.ms": DAY}),
            NewTopic("mend.used", 2, 1, topic_configs={"retention.ms": DAY}),
            NewTopic("mend.wide", 9, 1, topic_configs={"retention.ms": DAY}),
            NewTopic("mend.other", 4, 1, topic_configs=own),
        ]
    )
    async with AIOKafkaProducer(bootstrap_servers=empty.bootstrap) as producer:
        await producer.send_and_wait("mend.used", b"x", partition=1)

    done, left = await apply(cluster, wanted)
    assert [(d.topic, d.what, d.declared, d.found) for d in done] == [
        ("mend.empty", "partitions", "4", "2"),
        ("mend.other", "retention.ms", DAY, "1000"),
    ]
    assert [(d.topic, d.what, d.declared, d.found) for d in left] == [
        ("mend.used", "partitions", "4", "2"),
        ("mend.wide", "partitions", "4", "9"),
    ]
    assert "order per key" in left[0].remedy
    assert await differences(cluster, wanted) == left
    response, *_ = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "mend.other")])
    config = {entry[0]: entry[1] for entry in response.resources[0][4]}
    assert (config["retention.ms"], config["segment.ms"]) == (DAY, "777777"), "somebody else's setting went with it"
    await admin.close()


async def test_copies_that_are_too_few_are_told_and_never_make_a_topic_unwritable(empty: Kafka) -> None:
    cluster = Cluster(empty.bootstrap)
    wanted = [Wanted("copies.one", 1)]
    assert await apply(cluster, wanted) != ([], [])
    done, left = await apply(cluster, wanted, replicas=3)
    assert (done, [(d.what, d.declared, d.found) for d in left]) == ([], [("replicas", "3", "1")])
    async with AIOKafkaProducer(bootstrap_servers=empty.bootstrap, acks="all") as producer:
        await producer.send_and_wait("copies.one", b"x")


async def test_with_three_copies_two_confirm() -> None:
    three = kafka_topics._config(Wanted("t", 1, {"retention.ms": DAY}), 3)
    assert three == {"retention.ms": DAY, "min.insync.replicas": "2"}
    assert kafka_topics._config(Wanted("t", 1), 2) == {}


def test_the_doctor_looks_at_the_cluster(tmp_path: Path) -> None:
    with (
        Kafka(tmp_path / "kafka", die_with_parent=True) as kafka,
        Serve(tmp_path / "home", roles="intake", environment={"ORIGIN_KAFKA_BOOTSTRAP": kafka.bootstrap}) as serve,
    ):
        serve.start()

        def findings() -> dict[str, tuple[bool, str]]:
            found = origin("doctor", "--json", "--url", serve.url, "--data", str(serve.data), folder=tmp_path)
            return {row["about"]: (row["ok"], row["remedy"]) for row in json.loads(found.stdout)}

        first = findings()
        assert first["kafka"][0]
        assert first["topic origin.print.job.v1"] == (False, "origin topics apply")
        asyncio.run(apply(Cluster(kafka.bootstrap), kafka_topics.declared()))
        assert findings()["topics"][0]
        kafka.kill()
        assert not findings()["kafka"][0]
        assert serve.stop() == 0
