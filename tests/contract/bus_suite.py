"""What every Bus promises, run on every Bus: memory, PostgreSQL, later Kafka.

A test module derives a class from `BusSuite` and gives it a `harness` fixture.
"""

import asyncio
import itertools
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

import pytest

from adapters.bus.topics import Topics
from gateway.ports import Bus, Consumer, Fenced, Message, Record, UnknownTopic

Place = tuple[str, int]


class Harness(ABC):
    """How a test opens handles on one bus, and what may happen to them."""

    settle: float = 5.0
    """Seconds within which partitions have changed hands."""

    def __init__(self) -> None:
        """Names of this test's own."""
        self.one, self.two, self.group = (f"test.{name}.{uuid.uuid4().hex}" for name in ("one", "two", "group"))
        self.topics = Topics({self.one: 4, self.two: 4})

    @abstractmethod
    async def open(self) -> Bus:
        """A handle, as another process would have it."""

    @abstractmethod
    async def close(self, bus: Bus) -> None:
        """An orderly end."""

    @abstractmethod
    async def crash(self, bus: Bus, consumer: Consumer) -> None:
        """The process of `bus` ends without a word."""

    @abstractmethod
    async def pause(self, bus: Bus, consumer: Consumer) -> Callable[[], Awaitable[None]]:
        """The process of `bus` stands still; call the result to let it go on."""


def numbered(topic: str, keys: int, count: int, start: int = 0) -> list[Message]:
    """`count` messages round-robin over `keys` keys; the body is the running number."""
    return [Message(topic, f"key-{n % keys}", str(n).encode(), {"ce_id": str(n)}) for n in range(start, start + count)]


async def take(consumer: Consumer, count: int, within: float, batch: int = 100) -> list[Record]:
    """Polls until `count` records came, or fails."""
    records: list[Record] = []
    deadline = time.monotonic() + within
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records in {within} s"
        records += await consumer.poll(batch, 0.2)
    return records


async def nothing_comes(consumer: Consumer, seconds: float = 0.5) -> None:
    """No record for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert await consumer.poll(100, 0.1) == []


def ends(records: Sequence[Record]) -> dict[Place, int]:
    """The positions that acknowledge all of `records`."""
    result: dict[Place, int] = {}
    for record in records:
        result[record.place] = max(result.get(record.place, 0), record.offset + 1)
    return result


def bodies(records: Sequence[Record]) -> list[int]:
    """The running numbers, sorted."""
    return sorted(int(record.body) for record in records)


def by_key(records: Sequence[Record]) -> Mapping[str, list[int]]:
    """The running numbers of each key, in the order they came."""
    result: dict[str, list[int]] = {}
    for record in records:
        result.setdefault(record.key, []).append(int(record.body))
    return result


class BusSuite:
    """The contract."""

    async def test_records_of_one_key_come_in_the_order_they_were_written(self, harness: Harness) -> None:
        bus = await harness.open()
        messages = numbered(harness.one, 17, 300)
        for at in range(0, 300, 50):
            await bus.publish(messages[at : at + 50])
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            records = await take(consumer, 300, harness.settle, batch=40)
        assert bodies(records) == list(range(300))
        assert all(numbers == sorted(numbers) for numbers in by_key(records).values())
        assert all(record.partition == harness.topics.place(harness.one, record.key) for record in records)
        await harness.close(bus)

    async def test_bytes_key_and_headers_arrive_as_written(self, harness: Harness) -> None:
        bus = await harness.open()
        sent = [
            Message(harness.one, "原产地证书-1", "中文\n<x/>".encode(), {"ce_subject": "广州", "empty": ""}),
            Message(harness.one, "原产地证书-1", bytes(range(256)), {"quote": "\"\\'\t"}),
            Message(harness.one, "原产地证书-1", b"", {}),
            Message(harness.one, "原产地证书-1", bytes(1024 * 1024), {"size": "1 MiB"}),
        ]
        await bus.publish(sent)
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            records = await take(consumer, 4, harness.settle)
        assert [(r.key, bytes(r.body), dict(r.headers)) for r in records] == [
            (m.key, m.body, dict(m.headers)) for m in sent
        ]
        await harness.close(bus)

    async def test_a_crash_before_the_acknowledgement_brings_the_records_again(self, harness: Harness) -> None:
        bus, other = await harness.open(), await harness.open()
        await other.publish(numbered(harness.one, 5, 40))
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(bus.consumer(harness.group, [harness.one]))
            seen = await take(first, 40, harness.settle)
            await harness.crash(bus, first)
            async with other.consumer(harness.group, [harness.one]) as second:
                again = await take(second, 40, harness.settle)
        assert by_key(again) == by_key(seen)
        await harness.close(other)

    async def test_what_was_written_is_there_after_a_restart(self, harness: Harness) -> None:
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 5, 25))
        await harness.close(bus)
        bus = await harness.open()
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            assert bodies(await take(consumer, 25, harness.settle)) == list(range(25))
        await harness.close(bus)

    async def test_a_group_goes_on_where_it_acknowledged(self, harness: Harness) -> None:
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 8, 40))
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            await consumer.commit(ends(await take(consumer, 40, harness.settle)))
        await harness.close(bus)
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 8, 20, start=40))
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            assert bodies(await take(consumer, 20, harness.settle)) == list(range(40, 60))
            await nothing_comes(consumer)
        await harness.close(bus)

    async def test_only_what_was_acknowledged_is_gone(self, harness: Harness) -> None:
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 16, 64))
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            records = await take(consumer, 64, harness.settle)
            places = sorted({record.place for record in records})
            assert len(places) > 2
            whole, half = places[0], places[1]
            lines = {place: [record for record in records if record.place == place] for place in places}
            middle = lines[half][len(lines[half]) // 2]
            await consumer.commit({whole: lines[whole][-1].offset + 1, half: middle.offset})
        rest = [r for r in records if r.place != whole and not (r.place == half and r.offset < middle.offset)]
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            again = await take(consumer, len(rest), harness.settle)
            assert by_key(again) == by_key(rest)
            await nothing_comes(consumer)
        await harness.close(bus)

    async def test_a_poll_goes_on_and_a_rewind_goes_back(self, harness: Harness) -> None:
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 3, 30))
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            first = await take(consumer, 10, harness.settle, batch=10)
            assert len(first) == 10
            await consumer.commit(ends(first))
            rest = await take(consumer, 20, harness.settle, batch=7)
            assert bodies([*first, *rest]) == list(range(30))
            await consumer.rewind()
            assert by_key(await take(consumer, 20, harness.settle)) == by_key(rest)
        await harness.close(bus)

    async def test_an_acknowledgement_never_moves_back(self, harness: Harness) -> None:
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 1, 10))
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            records = await take(consumer, 10, harness.settle)
            await consumer.commit({records[0].place: 10})
            await consumer.commit({records[0].place: 3})
            await consumer.rewind()
            await nothing_comes(consumer)
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            await nothing_comes(consumer)
        await harness.close(bus)

    async def test_a_paused_reader_that_comes_back_moves_nothing(self, harness: Harness) -> None:
        bus, other = await harness.open(), await harness.open()
        await other.publish(numbered(harness.one, 8, 40))
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(bus.consumer(harness.group, [harness.one]))
            seen = await take(first, 40, harness.settle)
            go_on = await harness.pause(bus, first)
            async with other.consumer(harness.group, [harness.one]) as second:
                await take(second, 40, harness.settle)
                half = {place: position // 2 for place, position in ends(seen).items()}
                await second.commit(half)
                await go_on()
                with pytest.raises(Fenced):
                    await first.commit(ends(seen))
        await harness.crash(bus, first)
        async with other.consumer(harness.group, [harness.one]) as third:
            again = await take(third, 40 - sum(half.values()), harness.settle)
            starts = {place: min(r.offset for r in again if r.place == place) for place in half}
            assert starts == half
        await harness.close(other)

    async def test_members_share_and_nothing_is_lost_or_out_of_order(self, harness: Harness) -> None:
        bus, other = await harness.open(), await harness.open()
        handled: list[tuple[str, Record]] = []
        done = asyncio.Event()

        async def work(name: str, handle: Bus, stop: asyncio.Event) -> None:
            async with handle.consumer(harness.group, [harness.one, harness.two]) as consumer:
                while not stop.is_set():
                    records = await consumer.poll(20, 0.1)
                    handled.extend((name, record) for record in records)
                    try:
                        await consumer.commit(ends(records))
                    except Fenced:
                        await consumer.rewind()

        total, written = 600, 0
        early = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work("a", bus, early))
            tasks.create_task(work("b", other, done))
            deadline = time.monotonic() + 4 * harness.settle
            while written < total:
                for topic in (harness.one, harness.two):
                    await other.publish(numbered(topic, 12, 10, start=written))
                    written += 10
                await asyncio.sleep(harness.settle / 100)
                if written == total // 2:  # both have partitions by now, or soon; then one leaves in good order
                    while {name for name, _ in handled} != {"a", "b"} and time.monotonic() < deadline:
                        await asyncio.sleep(0.05)
                        await other.publish(numbered(harness.one, 12, 10, start=written))
                        written, total = written + 10, total + 10
                    assert {name for name, _ in handled} == {"a", "b"}, "no partition was given back"
                    early.set()
            for _ in range(int(4 * harness.settle / 0.05)):
                if len({int(r.body) for _, r in handled}) == written:
                    break
                await asyncio.sleep(0.05)
            done.set()
        assert {name for name, _ in handled} == {"a", "b"}
        assert {int(record.body) for _, record in handled} == set(range(written))
        seen: set[tuple[Place, int]] = set()
        last: dict[str, int] = {}
        for _, record in handled:
            if (record.place, record.offset) in seen:
                continue  # handed out again when partitions changed hands
            seen.add((record.place, record.offset))
            key = f"{record.topic} {record.key}"
            assert int(record.body) > last.get(key, -1), "out of order"
            last[key] = int(record.body)
        await harness.close(bus)
        await harness.close(other)

    async def test_every_group_gets_everything(self, harness: Harness) -> None:
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 4, 20))
        for group in (harness.group, f"{harness.group}.other"):
            async with bus.consumer(group, [harness.one]) as consumer:
                records = await take(consumer, 20, harness.settle)
                assert bodies(records) == list(range(20))
                await consumer.commit(ends(records))
        await harness.close(bus)

    async def test_a_topic_nobody_declared(self, harness: Harness) -> None:
        bus = await harness.open()
        stranger = Message("test.never.declared", "k", b"x")
        with pytest.raises(UnknownTopic):
            await bus.publish([*numbered(harness.one, 2, 4), stranger])
        with pytest.raises(UnknownTopic):
            async with bus.consumer(harness.group, [harness.one, stranger.topic]):
                pytest.fail("a consumer of a topic that is not there")
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            await nothing_comes(consumer)
        await harness.close(bus)

    async def test_positions_of_partitions_we_never_had_are_refused(self, harness: Harness) -> None:
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 4, 8))
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            records = await take(consumer, 8, harness.settle)
            with pytest.raises(Fenced):
                await consumer.commit({**ends(records), (harness.two, 0): 1})
            await consumer.rewind()  # ours may have moved, or not
            again = await consumer.poll(100, 0.5)
            assert set(bodies(again)) <= set(bodies(records))
            await consumer.commit(ends(again))
            await nothing_comes(consumer)
        await harness.close(bus)

    async def test_an_idle_reader_waits_and_is_woken(self, harness: Harness) -> None:
        bus, other = await harness.open(), await harness.open()
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            await other.publish(numbered(harness.one, 1, 1))
            await take(consumer, 1, harness.settle)
            begin = time.monotonic()
            assert await consumer.poll(10, 0.3) == []
            assert 0.25 < time.monotonic() - begin < 1.0
            waiting = asyncio.create_task(consumer.poll(10, 10.0))
            await asyncio.sleep(0.1)
            begin = time.monotonic()
            await other.publish(numbered(harness.one, 1, 1, start=1))
            assert bodies(await waiting) == [1]
            assert time.monotonic() - begin < 0.5
        await harness.close(bus)
        await harness.close(other)

    async def test_a_poll_gives_no_more_than_asked(self, harness: Harness) -> None:
        bus = await harness.open()
        await bus.publish(numbered(harness.one, 9, 50))
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            sizes: list[int] = []
            while sum(sizes) < 50:
                sizes.append(len(await consumer.poll(7, harness.settle)))
        assert max(sizes) <= 7
        await harness.close(bus)

    async def test_writers_side_by_side_while_a_reader_reads(self, harness: Harness) -> None:
        handles = [await harness.open() for _ in range(4)]
        each, writers = 60, handles[1:]

        async def write(number: int, bus: Bus) -> None:
            for at in range(0, each, 3):
                start = number * each + at
                await bus.publish(numbered(harness.one, 6, 3, start=start))

        async with handles[0].consumer(harness.group, [harness.one]) as consumer:
            tasks = [asyncio.create_task(write(number, bus)) for number, bus in enumerate(writers)]
            records = await take(consumer, each * len(writers), 2 * harness.settle, batch=11)
            await asyncio.gather(*tasks)
            await nothing_comes(consumer, 0.2)
        assert bodies(records) == list(range(each * len(writers)))
        for place in {record.place for record in records}:
            offsets = [record.offset for record in records if record.place == place]
            assert all(before < after for before, after in itertools.pairwise(offsets))
        for bus in handles:
            await harness.close(bus)
