"""The topics, and which partition a key goes to: Kafka's Java client's arithmetic, so both agree."""

import functools
import re
import struct
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import schemas
from gateway.ports import UnknownTopic

MASK = 0xFFFFFFFF
M = 0x5BD1E995
CLIENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
DEAD = "-dlt"


class Topics:
    """Topic name -> number of partitions. Immutable."""

    def __init__(self, partitions: Mapping[str, int], per_client: Mapping[str, int] = MappingProxyType({})) -> None:
        """`per_client`: families, of which every client may have a topic, `<family>.<client>`.

        Raises ValueError for a topic without partitions."""
        if any(count < 1 for count in (*partitions.values(), *per_client.values())):
            raise ValueError("a topic has at least one partition")
        self._partitions = MappingProxyType(dict(partitions))
        self._per_client = MappingProxyType(dict(per_client))
        self._count = functools.lru_cache(maxsize=4096)(self._counted)

    def __iter__(self) -> Iterator[str]:
        """The names, without those of single clients."""
        return iter(self._partitions)

    def __contains__(self, topic: object) -> bool:
        """Is it declared?"""
        return isinstance(topic, str) and self._count(topic) is not None

    def partitions(self, topic: str) -> int:
        """How many. Raises UnknownTopic."""
        if (count := self._count(topic)) is None:
            raise UnknownTopic(topic)
        return count

    def _counted(self, topic: str) -> int | None:
        if (count := self._partitions.get(topic)) is not None:
            return count
        family, _, client = topic.rpartition(".")
        return self._per_client.get(family) if CLIENT.fullmatch(client) else None

    def family(self, topic: str) -> str:
        """`topic`, or for one that a single client has what all clients' are called. Raises UnknownTopic."""
        if topic not in self:
            raise UnknownTopic(topic)
        return topic if topic in self._partitions else topic.rpartition(".")[0]

    def of_one_client(self, topic: str) -> bool:
        """Is it a topic that a single client has for itself, and writes to?"""
        return topic not in self._partitions and topic in self

    def of_client(self, client: str) -> "Topics":
        """The topics that one client has for itself. Raises ValueError for a name that no client has."""
        if not CLIENT.fullmatch(client):
            raise ValueError("no client has such a name")
        return Topics({f"{family}.{client}": count for family, count in self._per_client.items()})

    def place(self, topic: str, key: str) -> int:
        """The partition of `key`. Raises UnknownTopic."""
        return (murmur2(key.encode()) & 0x7FFFFFFF) % self.partitions(topic)

    def places(self, topics: Iterable[str]) -> list[tuple[str, int]]:
        """Every (topic, partition) of `topics`, sorted. Raises UnknownTopic."""
        return sorted((topic, number) for topic in set(topics) for number in range(self.partitions(topic)))


@functools.cache
def declared() -> Topics:
    """Those of ``schemas/topics.toml``."""
    entries = tomllib.loads(schemas.read_text("topics.toml"))["topic"]
    per_client = {entry["name"]: entry["partitions"] for entry in entries if entry.get("per_client")}
    shared = {entry["name"]: entry["partitions"] for entry in entries if entry["name"] not in per_client}
    dead = {f"{entry['name']}{DEAD}": 1 for entry in entries if entry.get("dead_letters")}
    return Topics(shared | dead, per_client)


@functools.lru_cache(maxsize=4096)
def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, seed 0x9747b28c: `org.apache.kafka.common.utils.Utils.murmur2`, unsigned. Remembered: a
    certificate's messages come in swarms, under one key."""
    length = len(data)
    result = 0x9747B28C ^ length
    whole = length >> 2
    for word in struct.unpack_from(f"<{whole}I", data):
        word = word * M & MASK
        result = result * M & MASK ^ (word ^ word >> 24) * M & MASK
    if length & 3:
        result = (result ^ int.from_bytes(data[whole << 2 :], "little")) * M & MASK
    result = (result ^ result >> 13) * M & MASK
    return result ^ result >> 15
