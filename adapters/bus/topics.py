"""The topics, and which partition a key goes to: Kafka's Java client's arithmetic, so both agree."""

import functools
import struct
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import schemas
from gateway.ports import UnknownTopic

MASK = 0xFFFFFFFF
M = 0x5BD1E995


class Topics:
    """Topic name -> number of partitions. Immutable."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        """Raises ValueError for a topic without partitions."""
        if any(count < 1 for count in partitions.values()):
            raise ValueError("a topic has at least one partition")
        self._partitions = MappingProxyType(dict(partitions))

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._partitions)

    def __contains__(self, topic: object) -> bool:
        """Is it declared?"""
        return topic in self._partitions

    def partitions(self, topic: str) -> int:
        """How many. Raises UnknownTopic."""
        try:
            return self._partitions[topic]
        except KeyError:
            raise UnknownTopic(topic) from None

    def place(self, topic: str, key: str) -> int:
        """The partition of `key`. Raises UnknownTopic."""
        return (murmur2(key.encode()) & 0x7FFFFFFF) % self.partitions(topic)

    def places(self, topics: Iterable[str]) -> list[tuple[str, int]]:
        """Every (topic, partition) of `topics`, sorted. Raises UnknownTopic."""
        return sorted((topic, number) for topic in set(topics) for number in range(self.partitions(topic)))


@functools.cache
def declared() -> Topics:
    """Those of ``schemas/topics.toml``."""
    table = tomllib.loads(schemas.read_text("topics.toml"))
    return Topics({entry["name"]: entry["partitions"] for entry in table["topic"]})


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, seed 0x9747b28c: `org.apache.kafka.common.utils.Utils.murmur2`, unsigned."""
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
