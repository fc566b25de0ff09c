"""Rounds that begin before the rounds before them are done: what overlaps, what never does, and what trouble does."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

import pytest

from adapters.bus.memory import MemoryBus, MemoryConsumer, MemoryLog
from adapters.bus.topics import Topics
from gateway.ports import Fenced, Message, Positions, Record, Unavailable
from gateway.runtime.consume import consume
from gateway.runtime.draining import Drained, DrainingBus
from gateway.runtime.rounds import Overtaken, Place
from gateway.storage import Collision
from tests.runtime.house import Told

TOPIC = "test.one"
MOST, DEPTH = 4, 2


class Line:
    """A worker that begins ahead, on a bus in memory. `done`: the effects, in order; `met`: what it went through."""

    def __init__(self, records: int, broken: Callable[[str, int], Exception | None] = lambda step, n: None) -> None:
        self.log = MemoryLog(Topics({TOPIC: 1}))
        self.log.append([Message(TOPIC, "key", b"%d" % n) for n in range(records)])
        self.records = records
        self.broken = broken
        self.done: list[int] = []
        self.met: list[str] = []
        self.under_way = self.most = 0
        self.leaves = False
        self.ending = asyncio.Event()
        self.bus = DrainingBus(MemoryBus(self.log), self.ending)

    async def handle(self, records: Sequence[Record]) -> None:
        assert self.under_way == 0, "it is alone"
        await self._pass("alone", records)
        self.done += [int(record.body) for record in records]

    async def ahead(self, records: Sequence[Record], place: Place) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self._pass("begin", records)
            place.release()
            await self._pass("think", records)
            await place.mine()
            if self.leaves:
                place.leaving()
            await self._pass("write", records)
            self.done += [int(record.body) for record in records]
        except Overtaken:
            self.met.append("overtaken")
            raise
        finally:
            self.under_way -= 1

    async def _pass(self, step: str, records: Sequence[Record]) -> None:
        first = int(records[0].body)
        self.met.append(f"{step} {first}")
        for _ in range(9 if step == "write" else 3):
            await asyncio.sleep(0)
        if (error := self.broken(step, first)) is not None:
            self.met.append(f"{type(error).__name__} at {step} {first}")
            raise error

    @property
    def position(self) -> int:
        group = self.log.groups.get("group")
        return group.positions.get((TOPIC, 0), 0) if group else 0

    def start(self) -> "asyncio.Task[None]":
        async def sleep(_: float) -> None:
            await asyncio.sleep(0)

        return asyncio.create_task(
            consume(
                self.bus, "group", [TOPIC], self.handle, Told(), MOST, ahead=self.ahead, depth=DEPTH, sleep=sleep
            )
        )  # fmt: skip

    async def work(self, until: Callable[[], bool] | None = None) -> None:
        task = self.start()
        async with asyncio.timeout(10):
            while not (until or (lambda: self.position == self.records))() and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert self.under_way == 0, "nothing is left running"
        if not task.cancelled() and (error := task.exception()):
            raise error


async def test_the_next_rounds_begin_while_the_first_is_written() -> None:
    line = Line(12)
    await line.work()
    assert line.met.index("begin 4") < line.met.index("write 0")
    assert line.met.index("write 0") < line.met.index("write 4") < line.met.index("write 8")
    assert (line.most, line.done) == (DEPTH + 1, list(range(12)))


async def test_one_more_begins_while_the_first_only_waits_for_its_neighbour() -> None:
    line = Line(24)
    line.leaves = True
    await line.work()
    assert line.met.index("write 0") < line.met.index("begin 12") < line.met.index("write 4")
    assert (line.most, line.done) == (DEPTH + 2, list(range(24)))


async def test_what_is_not_a_backlog_is_handled_alone() -> None:
    line = Line(MOST - 1)
    await line.work()
    assert line.met == ["alone 0"]


async def test_nothing_is_acknowledged_before_it_is_done() -> None:
    line = Line(12)
    positions: list[tuple[int, int]] = []

    def seen(step: str, first: int) -> None:
        positions.append((line.position, len(line.done)))

    line.broken = seen
    await line.work()
    assert all(position <= done for position, done in positions)


async def test_what_was_begun_behind_a_neighbours_absence_has_no_effect_and_comes_again_after_it() -> None:
    trouble = [Unavailable("away")]
    line = Line(12, lambda step, first: trouble.pop() if (step, first) == ("write", 0) and trouble else None)
    await line.work()
    assert line.met.count("overtaken") == DEPTH
    assert line.met[line.met.index("Unavailable at write 0") :][DEPTH + 1] == "alone 0", "a pilot"
    assert line.done == list(range(12)), "each once, in order"


async def test_what_broke_while_others_were_under_way_is_done_alone_and_what_gave_up_after_it() -> None:
    trouble: list[Exception] = [Collision("again")]
    line = Line(12, lambda step, first: trouble.pop() if (step, first) == ("write", 0) and trouble else None)
    await line.work()
    assert [word for word in line.met if word.startswith("alone")] == ["alone 0", "alone 4", "alone 8"]
    assert line.done == list(range(12))


async def test_a_round_that_fails_before_it_lets_the_next_begin_is_alone_with_its_trouble() -> None:
    trouble = [Unavailable("away")]
    line = Line(12, lambda step, first: trouble.pop() if (step, first) == ("begin", 4) and trouble else None)
    await line.work()
    before = line.met[: line.met.index("Unavailable at begin 4")]
    assert "begin 8" not in before
    assert line.met.count("overtaken") == 0
    assert line.done == list(range(12))


async def test_who_is_ended_while_it_waits_for_what_gave_up_leaves_nothing_running() -> None:
    """Found by the simulation: a round that nobody ended held its locks for ever."""
    line = Line(12, lambda step, first: Unavailable("away") if (step, first) == ("write", 0) else None)

    async def stands_still(step: str, records: Sequence[Record]) -> None:
        if step == "think" and int(records[0].body) == 4:
            await asyncio.Event().wait()
        await Line._pass(line, step, records)

    line._pass = stands_still  # type: ignore[method-assign]
    task = line.start()
    async with asyncio.timeout(10):
        while "Unavailable at write 0" not in line.met:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert line.under_way == 0


async def test_an_error_of_ours_that_comes_again_ends_the_worker() -> None:
    line = Line(12, lambda step, first: ZeroDivisionError() if first == 4 and step in ("think", "alone") else None)
    with pytest.raises(ZeroDivisionError):
        await line.work(lambda: False)
    assert (line.done, line.position) == ([0, 1, 2, 3], 4)


async def test_a_drain_finishes_and_acknowledges_what_has_begun() -> None:
    line = Line(40)

    def ending(step: str, first: int) -> None:
        if (step, first) == ("write", 4):
            line.ending.set()

    line.broken = ending
    with pytest.raises(Drained):
        await line.work(lambda: False)
    assert 8 <= line.position == len(line.done) < 40


async def test_who_lost_a_partition_handles_nothing_of_it_while_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(12)
    commit, lost = MemoryConsumer.commit, [True]

    async def fenced(self: MemoryConsumer, positions: Positions) -> None:
        if lost:
            lost.clear()
            raise Fenced("another reader")
        await commit(self, positions)

    rewind = MemoryConsumer.rewind

    async def alone(self: MemoryConsumer) -> None:
        assert line.under_way == 0, "what comes again must not meet itself"
        await rewind(self)

    monkeypatch.setattr(MemoryConsumer, "commit", fenced)
    monkeypatch.setattr(MemoryConsumer, "rewind", alone)
    await line.work()
    assert line.position == 12
    assert list(dict.fromkeys(line.done)) == list(range(12)), "some twice, none too early"


async def test_the_next_round_begins_while_the_last_is_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(40)
    commit, under_way = MemoryConsumer.commit, [0]

    async def slow(self: MemoryConsumer, positions: Positions) -> None:
        under_way[0] += 1
        assert under_way == [1], "one after the other"
        line.met.append("acknowledging")
        for _ in range(40):
            await asyncio.sleep(0)
        await commit(self, positions)
        line.met.append("acknowledged")
        under_way[0] -= 1

    monkeypatch.setattr(MemoryConsumer, "commit", slow)
    await line.work()
    first = line.met[line.met.index("acknowledging") : line.met.index("acknowledged")]
    assert any(word.startswith("begin") for word in first)
    assert line.done == list(range(40))


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_becomes_of_an_acknowledgement_all_is_done_in_order(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The broker away or another reader in our place, before it counts or after; and whatever else fails meanwhile."""
    dice, line, commit = Random(seed), Line(60), MemoryConsumer.commit
    line.leaves = seed % 2 == 0

    async def unsure(self: MemoryConsumer, positions: Positions) -> None:
        for _ in range(dice.randrange(30)):
            await asyncio.sleep(0)
        fate = dice.randrange(9)
        if fate > 1:
            await commit(self, positions)
        if fate < 4:
            raise (Unavailable("away"), Fenced("another reader"))[fate % 2]

    line.broken = lambda step, first: Unavailable("away") if dice.randrange(15) == 0 else None
    monkeypatch.setattr(MemoryConsumer, "commit", unsure)
    await line.work()
    assert list(dict.fromkeys(line.done)) == list(range(60)), "some twice, none too early"


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_fails_wherever_all_is_done_in_order(seed: int) -> None:
    """A crash, a neighbour away or a collision between any two steps of any round."""
    dice = Random(seed)
    line = Line(60)
    line.leaves = seed % 2 == 0
    crash: list[bool] = []

    def broken(step: str, first: int) -> Exception | None:
        match dice.randrange(12):
            case 0:
                return Unavailable("away")
            case 1:
                return Collision("again")
            case 2:
                crash.append(True)
        return None

    line.broken = broken
    lives = 0
    while line.position < 60:
        lives += 1
        crash.clear()
        await line.work(lambda: bool(crash) or line.position == 60)
    assert list(dict.fromkeys(line.done)) == list(range(60)), f"in {lives} lives: some twice, none too early"
