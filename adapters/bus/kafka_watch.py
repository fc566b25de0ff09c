"""The progress watchdog: aiokafka is known to stand still after rebalances and broker restarts without any error.

A member that waits for records while the broker has some, for half a minute, is broken for good: `Stuck` ends the
process, and its supervisor starts it again. A broker that does not answer is no such case: it is away, not we.
"""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from adapters.bus.kafka_client import REBALANCE

PAUSE = 5.0
"""Seconds of waiting between two looks."""
STUCK = 30.0
ANSWER = 5.0


class Stuck(Exception):
    """A partition has records and its member gets none: start the process again."""


class Watchdog:
    """Watches one member. Time is counted while its owner waits in `poll`: what is busy with records is not stuck."""

    def __init__(self, client: AIOKafkaConsumer, session: float, patience: float = STUCK) -> None:
        """`session`: seconds after which a group goes on without a member that does not come back."""
        self._client = client
        self._patience = patience
        self._joining = patience + session + REBALANCE
        self._pause = min(PAUSE, patience / 3)
        self._marks: dict[TopicPartition, tuple[int | None, float]] = {}
        self._outside: float | None = None
        self._next = self._pause

    async def look(self, waited: float, joined: bool) -> bool:
        """Call after every poll with the seconds waited in all of them. True: nothing is left to read, as far as seen.

        `joined`: the group has told this member its partitions. Raises Stuck.
        """
        if waited < self._next:
            return False
        self._next = waited + self._pause
        try:
            async with asyncio.timeout(ANSWER):
                if not joined:
                    await self._client.topics()
                    return self._waits_outside(waited)
                ends = await self._client.end_offsets(sorted(self._client.assignment()))
        except (KafkaError, TimeoutError):
            self._marks.clear()
            self._outside = None
            return False
        self._outside = None
        behind = {}
        for place, last in ends.items():
            position = await self._position(place)
            if position is None or position < last:
                if position is None and not last:
                    continue
                before, since = self._marks.get(place, (position, waited))
                behind[place] = (position, since if before == position else waited)
        self._marks = behind
        late = sorted(place for place, (_, since) in behind.items() if waited - since > self._patience)
        if late:
            raise Stuck(f"no records of {late[0].topic}[{late[0].partition}] though the broker has some")
        return not behind

    def _waits_outside(self, waited: float) -> bool:
        if self._outside is None:
            self._outside = waited
        if waited - self._outside > self._joining:
            raise Stuck("the group gives this member no partitions though the broker answers")
        return False

    async def _position(self, place: TopicPartition) -> int | None:
        try:
            async with asyncio.timeout(ANSWER / 10):
                return int(await self._client.position(place))
        except (KafkaError, TimeoutError):
            return None
