"""The graceful end of a reader: it takes nothing more, finishes and acknowledges what it has in hand, leaves its group.

A worker polls again only when what it polled before is done, or has begun and will be finished when a poll ends it
(`runtime.consume`). So it is the poll that ends it: no worker needs to know.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Self

from gateway.ports import Bus, Consumer, Message, Positions, Record


class Drained(Exception):
    """The end was asked for: there is nothing more to read."""


class DrainingBus:
    """A bus whose readers end, with Drained, once `ending` is set. Everything else goes to the bus below."""

    def __init__(self, bus: Bus, ending: asyncio.Event) -> None:
        """`bus` is entered, and left, by whoever made it."""
        self._bus = bus
        self._ending = ending
        self._reading = 0
        self._left = asyncio.Event()
        self._left.set()

    async def __aenter__(self) -> Self:
        """The bus below is connected by its owner."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """The bus below is disconnected by its owner."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """See the port; also while it ends, for what is in hand."""
        await self._bus.publish(messages)

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        """See the port. Entering raises Drained too."""
        return self._member(group, topics)

    async def drained(self) -> None:
        """Returns when no reader of this bus is at work."""
        await self._left.wait()

    @contextlib.asynccontextmanager
    async def _member(self, group: str, topics: Sequence[str]) -> AsyncIterator[Consumer]:
        self._reading += 1
        self._left.clear()
        try:
            if self._ending.is_set():
                raise Drained
            async with self._bus.consumer(group, topics) as consumer:
                yield _Reader(consumer, self._ending)
        finally:
            self._reading -= 1
            if not self._reading:
                self._left.set()


class _Reader:
    """One member; see `gateway.ports.Consumer`."""

    def __init__(self, consumer: Consumer, ending: asyncio.Event) -> None:
        self._consumer = consumer
        self._ending = ending

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """See the port. Raises Drained; what came in that moment was not handed out, and comes again elsewhere."""
        if self._ending.is_set():
            raise Drained
        records = await self._consumer.poll(max_records, timeout)
        if self._ending.is_set():
            raise Drained
        return records

    async def commit(self, positions: Positions) -> None:
        """See the port."""
        await self._consumer.commit(positions)

    async def rewind(self) -> None:
        """See the port."""
        await self._consumer.rewind()
