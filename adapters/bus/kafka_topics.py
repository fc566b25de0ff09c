"""Topics on a Kafka cluster against those declared in ``schemas/topics.toml``: what differs, and mending what is safe.

Nothing is ever deleted, and a topic that carries messages keeps its number of partitions: a key's messages would go to
another one, and their order would be lost.
"""

import asyncio
import tomllib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

import schemas
from adapters.bus import kafka_client, topics
from adapters.bus.kafka_client import Cluster, unavailable
from adapters.bus.topics import Topics

REPLICAS = 3
"""Copies of each partition where the cluster has as many brokers and nothing else is asked for."""
DAY = 24 * 60 * 60 * 1000
VISIBLE = 50
"""Looks for the leaders of a new topic, a tenth of a second apart."""
OF_THE_TOPIC = 1
"""The source of a configuration entry that was set on the topic itself."""


class TopicsRefused(Exception):
    """The cluster refused a change; one sentence."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One declared topic."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something on the cluster that is not as declared."""

    topic: str
    what: str
    """missing, partitions, replicas, or the name of a configuration entry."""
    declared: str
    found: str
    remedy: str
    mendable: bool
    """`apply` puts it right without harm to anything."""


@dataclass(frozen=True, slots=True)
class Found:
    """One topic as it is."""

    partitions: int
    replicas: int
    config: Mapping[str, str]
    """What was set on it, and the entries asked for wherever they come from."""
    own: Mapping[str, str]
    """Only what was set on it."""
    used: bool
    """It carries, or carried, messages."""


def declared(clients: Iterable[str] = ()) -> tuple[Wanted, ...]:
    """Those of ``schemas/topics.toml``, with what a cluster is to be told, and the ones of these clients.
    Raises ValueError for a name that no client has."""
    table = tomllib.loads(schemas.read_text("topics.toml"))
    days = {entry["name"]: entry.get("retention_days", table["retention_days"]) for entry in table["topic"]}
    known = topics.declared()
    of_clients = [known.of_client(client) for client in clients]
    return tuple(
        Wanted(
            name,
            some.partitions(name),
            {"cleanup.policy": "delete", "retention.ms": str(days[_family(name, days)] * DAY)},
        )
        for some in (known, *of_clients)
        for name in some
    )


def _family(name: str, days: Mapping[str, int]) -> str:
    """The entry in the table that a dead-letter topic, or a client's own, belongs to."""
    return next(family for family in (name, name.removesuffix(topics.DEAD), name.rpartition(".")[0]) if family in days)


def plain(chosen: Topics) -> tuple[Wanted, ...]:
    """Topics of which only the number of partitions matters."""
    return tuple(Wanted(name, chosen.partitions(name)) for name in chosen)


async def differences(cluster: Cluster, wanted: Sequence[Wanted], replicas: int | None = None) -> list[Difference]:
    """What is not as declared; empty: all is well. `replicas` None: `REPLICAS`, or all brokers where there are fewer.
    Raises Unavailable."""
    with unavailable("topics"):
        async with _admin(cluster) as admin:
            copies = await _copies(admin, replicas)
            return _compare(await _found(cluster, admin, {topic.name for topic in wanted}), wanted, copies)


async def apply(
    cluster: Cluster, wanted: Sequence[Wanted], replicas: int | None = None
) -> tuple[list[Difference], list[Difference]]:
    """Makes what is missing, and mends what can be mended without harm. (mended, left). Raises Unavailable,
    TopicsRefused."""
    with unavailable("topics"):
        async with _admin(cluster) as admin:
            by_name = {topic.name: topic for topic in wanted}
            there = await _found(cluster, admin, set(by_name))
            copies = await _copies(admin, replicas)
            found = _compare(there, wanted, copies)
            mendable = [difference for difference in found if difference.mendable]
            await _make(admin, [by_name[d.topic] for d in mendable if d.what == "missing"], copies)
            for difference in mendable:
                if difference.what == "partitions":
                    await _widen(admin, difference.topic, by_name[difference.topic].partitions)
            for name in sorted({d.topic for d in mendable if d.what not in ("missing", "partitions")}):
                await _configure(admin, by_name[name], there[name])
            return mendable, [difference for difference in found if not difference.mendable]


@asynccontextmanager
async def _admin(cluster: Cluster) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = kafka_client.admin(cluster)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _copies(admin: AIOKafkaAdminClient, replicas: int | None) -> int:
    return replicas or min(REPLICAS, len((await admin.describe_cluster())["brokers"]))


def _config(topic: Wanted, copies: int) -> dict[str, str]:
    """With three copies a write is confirmed when two have it: no confirmed message is on one disk only."""
    return {**topic.config, **({"min.insync.replicas": "2"} if copies >= REPLICAS else {})}


def _compare(there: Mapping[str, Found], wanted: Sequence[Wanted], copies: int) -> list[Difference]:
    result = []
    for topic in wanted:
        found = there.get(topic.name)
        if found is None:
            what = f"{topic.partitions} partitions, {copies} replicas"
            result.append(Difference(topic.name, "missing", what, "", "origin topics apply", True))
            continue
        if found.partitions != topic.partitions:
            result.append(_other_count(topic, found))
        if found.replicas != copies:
            remedy = "kafka-reassign-partitions, or ORIGIN_KAFKA_REPLICATION_FACTOR if it is meant"
            result.append(Difference(topic.name, "replicas", str(copies), str(found.replicas), remedy, False))
        for name, value in _config(topic, found.replicas).items():
            if found.config.get(name) != value:
                result.append(
                    Difference(topic.name, name, value, found.config.get(name, ""), "origin topics apply", True)
                )
    return result


def _other_count(topic: Wanted, found: Found) -> Difference:
    mendable = not found.used and found.partitions < topic.partitions
    if mendable:
        remedy = "origin topics apply"
    elif found.used:
        remedy = (
            "it carries messages, whose order per key would be lost: stop the writers, let every reader finish, then"
            " delete it by hand and run origin topics apply; or declare a new version of the topic"
        )
    else:
        remedy = "it is empty: delete it by hand, then origin topics apply"
    return Difference(topic.name, "partitions", str(topic.partitions), str(found.partitions), remedy, mendable)


async def _found(cluster: Cluster, admin: AIOKafkaAdminClient, names: set[str]) -> dict[str, Found]:
    # All topics, not ours by name: a cluster that makes topics when asked about them would make them its own way.
    rows = {row["topic"]: row["partitions"] for row in await admin.describe_topics() if row["topic"] in names}
    if not rows:
        return {}
    used = await _used(cluster, {name: len(partitions) for name, partitions in rows.items()})
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in rows]
    config: dict[str, dict[str, tuple[str, int]]] = {}
    for response in await admin.describe_configs(resources):
        for code, message, _, name, entries in response.resources:
            _check(code, name, message)
            config[name] = {entry[0]: (entry[1], entry[3]) for entry in entries}
    return {
        name: Found(
            len(partitions),
            min(len(one["replicas"]) for one in partitions),
            {key: value for key, (value, _) in config[name].items()},
            {key: value for key, (value, source) in config[name].items() if source == OF_THE_TOPIC},
            name in used,
        )
        for name, partitions in rows.items()
    }


async def _used(cluster: Cluster, counts: Mapping[str, int]) -> set[str]:
    """Topics that carry, or carried, messages."""
    client = AIOKafkaConsumer(**cluster.connection())
    try:
        await client.start()
        places = [TopicPartition(name, number) for name, count in counts.items() for number in range(count)]
        return {place.topic for place, end in (await client.end_offsets(places)).items() if end > 0}
    finally:
        await client.stop()


async def _make(admin: AIOKafkaAdminClient, topics: Sequence[Wanted], copies: int) -> None:
    new = [NewTopic(t.name, t.partitions, copies, topic_configs=_config(t, copies)) for t in topics]
    if new:
        response = await admin.create_topics(new)
        for name, code, message in response.topic_errors:
            if for_code(code) is not TopicAlreadyExistsError:  # somebody else was first
                _check(code, name, message)
        await _visible(admin, {topic.name for topic in topics})


async def _visible(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """The controller made them; the brokers hear of it a moment later. Who writes at once finds them there."""
    for _ in range(VISIBLE):
        rows = {row["topic"]: row["partitions"] for row in await admin.describe_topics() if row["topic"] in names}
        if len(rows) == len(names) and all(one["leader"] >= 0 for line in rows.values() for one in line):
            return
        await asyncio.sleep(0.1)


async def _widen(admin: AIOKafkaAdminClient, name: str, partitions: int) -> None:
    try:
        await admin.create_partitions({name: NewPartitions(partitions)})
    except KafkaError as error:
        if error.retriable:
            raise
        raise TopicsRefused(f"{name}: {type(error).__name__}") from error


async def _configure(admin: AIOKafkaAdminClient, topic: Wanted, found: Found) -> None:
    """This request replaces everything that was set on a topic, so what is there goes with it."""
    config = {**found.own, **_config(topic, found.replicas)}
    resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, config)
    for response in await admin.alter_configs([resource]):
        for code, message, _, name in response.resources:
            _check(code, name, message)


def _check(code: int, name: str, message: str | None) -> None:
    if code:
        raise TopicsRefused(f"{name}: {for_code(code).__name__} {message or ''}".rstrip())
