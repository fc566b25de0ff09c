"""Handles on a real Kafka broker, each with an event loop and a thread of its own: one can stand still alone."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, TypeVar

from adapters.bus import kafka_topics
from adapters.bus.kafka import Cluster, KafkaBus
from adapters.store.memory import MemoryBlobs, MemoryStore
from gateway.ports import Bus, Consumer, Message, Positions, Record
from tests.contract.bus_suite import Harness

T = TypeVar("T")
SESSION = 6.0
"""Seconds: the shortest that a broker allows unless told otherwise."""


class Process:
    """An event loop in a thread: what it runs stands still when the thread does, as under SIGSTOP."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._go_on = threading.Event()
        self._go_on.set()

    @property
    def stands_still(self) -> bool:
        """It was paused."""
        return not self._go_on.is_set()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` over there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def pause(self) -> None:
        """Nothing happens over there until `go_on`."""
        self._go_on.clear()
        self.loop.call_soon_threadsafe(self._go_on.wait)

    def go_on(self) -> None:
        """After `pause`."""
        self._go_on.set()

    def end(self) -> None:
        """The thread ends."""
        self.go_on()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(20)
        self.loop.close()


class Remote:
    """A KafkaBus in a process of its own."""

    def __init__(self, process: Process, bus: KafkaBus) -> None:
        self.process = process
        self.bus = bus

    async def __aenter__(self) -> Self:
        await self.process.do(self.bus.__aenter__())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.process.do(self.bus.__aexit__())

    async def publish(self, messages: Sequence[Message]) -> None:
        await self.process.do(self.bus.publish(messages))

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        return self._member(group, topics)

    @contextlib.asynccontextmanager
    async def _member(self, group: str, topics: Sequence[str]) -> AsyncIterator[Consumer]:
        async def enter() -> tuple[AbstractAsyncContextManager[Consumer], Consumer]:
            member = self.bus.consumer(group, topics)
            return member, await member.__aenter__()

        member, consumer = await self.process.do(enter())
        far = RemoteConsumer(self.process, consumer, member)
        try:
            yield far
        finally:
            if not self.process.stands_still:
                await far.leave()


class RemoteConsumer:
    """Its consumer."""

    def __init__(self, process: Process, near: Consumer, member: AbstractAsyncContextManager[Consumer]) -> None:
        self.process = process
        self.near = near
        self._member: AbstractAsyncContextManager[Consumer] | None = member

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        return await self.process.do(_call(self.near.poll(max_records, timeout)))

    async def commit(self, positions: Positions) -> None:
        await self.process.do(_call(self.near.commit(positions)))

    async def rewind(self) -> None:
        await self.process.do(_call(self.near.rewind()))

    async def leave(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            await self.process.do(_call(member.__aexit__(None, None, None)))


async def _call(awaitable: Awaitable[T]) -> T:
    return await awaitable


class KafkaHarness(Harness):
    """Each handle has a thread, a loop, connections and group membership of its own."""

    settle = 20.0

    def __init__(self, bootstrap: str, **options: Any) -> None:
        super().__init__()
        self.cluster = Cluster(bootstrap, session=SESSION)
        self.blobs = MemoryBlobs(MemoryStore(lambda messages: None))
        self.options = options
        self._processes: dict[int, Process] = {}
        self._paused: list[RemoteConsumer] = []

    async def prepare(self) -> None:
        await kafka_topics.apply(self.cluster, kafka_topics.plain(self.topics))

    async def open(self) -> Bus:
        process = Process()
        bus = Remote(process, KafkaBus(self.cluster, self.blobs, self.topics, **self.options))
        self._processes[id(bus)] = process
        return await bus.__aenter__()

    async def close(self, bus: Bus) -> None:
        await bus.__aexit__(None, None, None)
        await asyncio.to_thread(self._processes.pop(id(bus)).end)

    async def crash(self, bus: Bus, consumer: Consumer) -> None:
        """For its broker a process that was killed is one that says nothing any more."""
        assert isinstance(consumer, RemoteConsumer)
        self._paused.append(consumer)
        consumer.process.pause()

    async def pause(self, bus: Bus, consumer: Consumer) -> Callable[[], Awaitable[None]]:
        process = self._processes[id(bus)]
        process.pause()

        async def go_on() -> None:
            process.go_on()

        return go_on

    async def end(self) -> None:
        """Whatever a test left: those that stand still leave now."""
        for process in self._processes.values():
            process.go_on()
        for consumer in self._paused:
            await consumer.leave()
        for process in self._processes.values():
            await asyncio.to_thread(process.end)
