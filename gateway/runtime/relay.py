"""The relay: one more reader of the log, which publishes to Kafka what it reads and acknowledges it then.

A crash between the two sends some messages twice; readers drop doubles by id. While Kafka is away the log grows and
the ways in go on accepting.
"""

from collections.abc import Awaitable, Callable, Sequence

from gateway.ports import Bus, Message, Record
from gateway.runtime.consume import consume
from gateway.runtime.following import follow
from gateway.runtime.observer import Observer
from gateway.runtime.rounds import Place

GROUP = "relay"
BATCH = 500
LOOK = 5.0
"""Seconds between two looks for topics that came into being, as a new client's do."""


class Relay:
    """Carries every topic of `log` to `broker`."""

    def __init__(
        self, log: Bus, broker: Bus, topics: Callable[[], Awaitable[frozenset[str]]], observer: Observer
    ) -> None:
        """`topics`: those that are on the log now; raises Unavailable."""
        self._log = log
        self._broker = broker
        self._topics = topics
        self._observer = observer

    async def run(self) -> None:
        """Until cancelled."""
        await follow(self._wanted, self._read, LOOK)

    async def _read(self, topics: frozenset[str]) -> None:
        await consume(
            self._log,
            GROUP,
            sorted(topics),
            self.handle,
            self._observer,
            BATCH,
            ahead=self.ahead,
            neighbour="broker",
        )

    async def _wanted(self, reading: frozenset[str]) -> frozenset[str]:
        """Those that are on the log, and those that were: what is left of them goes over too."""
        return reading | await self._topics()

    async def handle(self, records: Sequence[Record]) -> None:
        """Publish in the order of the log. Raises Unavailable."""
        await self._broker.publish(
            [Message(record.topic, record.key, record.body, record.headers) for record in records]
        )

    async def ahead(self, records: Sequence[Record], place: Place) -> None:
        """The same; the log is read on while the broker takes what was read before."""
        await place.mine()
        await self.handle(records)
