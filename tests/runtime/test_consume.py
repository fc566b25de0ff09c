"""The loop of every worker: what is acknowledged, and how it waits for a neighbour that is away."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
import structlog
import structlog.testing
from prometheus_client import CollectorRegistry

from adapters.bus.memory import MemoryBus, MemoryLog
from adapters.bus.topics import Topics
from gateway.metrics import Metrics
from gateway.ports import Message, Record, Unavailable
from gateway.runtime import patience
from gateway.runtime.consume import consume
from gateway.runtime.patience import Away, Patience
from gateway.storage import Collision
from tests.runtime.house import Told

TOPIC = "test.one"


class Worker:
    """A worker on a bus in memory; time does not pass, pauses are remembered. `trouble`: what the next calls raise."""

    def __init__(self) -> None:
        self.log = MemoryLog(Topics({TOPIC: 1}))
        self.told = Told()
        self.pauses: list[float] = []
        self.batches: list[list[bytes]] = []
        self.trouble: list[Exception] = []
        self.before: Callable[[], None] = lambda: None

    async def handle(self, records: Sequence[Record]) -> None:
        self.batches.append([record.body for record in records])
        if self.trouble:
            raise self.trouble.pop(0)

    async def sleep(self, pause: float) -> None:
        self.pauses.append(pause)
        self.before()
        await asyncio.sleep(0)

    def send(self, *bodies: bytes) -> None:
        self.log.append([Message(TOPIC, "key", body) for body in bodies])

    async def work(self, until: Callable[[], bool], uniform: Callable[[float, float], float] = lambda a, b: b) -> None:
        task = asyncio.create_task(
            consume(MemoryBus(self.log), "group", [TOPIC], self.handle, self.told, sleep=self.sleep, uniform=uniform)
        )
        async with asyncio.timeout(10):
            while not until() and not task.done():  # noqa: ASYNC110 - the condition is the test's own
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception():
            raise task.exception()  # type: ignore[misc]

    @property
    def position(self) -> int:
        """What is acknowledged."""
        group = self.log.groups.get("group")
        return group.positions.get((TOPIC, 0), 0) if group else 0


async def test_after_each_pause_one_pilot_and_then_batches_again() -> None:
    worker = Worker()
    worker.send(*[b"%d" % n for n in range(5)])
    worker.trouble = [Unavailable("the database went away"), Unavailable("still"), Collision("again")]
    await worker.work(lambda: worker.position == 5)
    everything = [b"0", b"1", b"2", b"3", b"4"]
    assert worker.batches == [everything, [b"0"], [b"0"], [b"0"], everything[1:]]
    assert worker.told.words == ["away: database", "back: database"], "one alarm at the start, one at the end"


async def test_pauses_are_anything_up_to_a_ceiling_that_doubles() -> None:
    worker = Worker()
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high / 2

    worker.send(b"x")
    worker.trouble = [Unavailable("away")] * 8
    await worker.work(lambda: worker.position == 1, uniform)
    assert asked == [(0.0, ceiling) for ceiling in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)]
    assert worker.pauses == [high / 2 for _, high in asked]


async def test_after_trouble_the_next_one_begins_with_a_short_pause() -> None:
    ceilings: list[float] = []

    def uniform(low: float, high: float) -> float:
        ceilings.append(high)
        return 0.0

    waiting = Patience("group", Told(), uniform=uniform)
    for _ in range(3):
        await waiting.wait("database", Unavailable("away"))
    waiting.over()
    await waiting.wait("database", Unavailable("away"))
    assert ceilings == [0.1, 0.2, 0.4, 0.1]


async def test_a_bus_that_is_away_is_waited_for_too() -> None:
    worker = Worker()
    worker.send(b"1", b"2")
    worker.log.away = True

    def back() -> None:
        worker.log.away = len(worker.pauses) < 3

    worker.before = back
    await worker.work(lambda: worker.position == 2)
    assert len(worker.pauses) == 3
    assert worker.batches == [[b"1"], [b"2"]]
    assert worker.told.words == ["away: bus", "back: bus"]


async def test_each_neighbour_is_told_by_its_name_and_once() -> None:
    worker = Worker()
    worker.send(b"1")
    worker.trouble = [Away("printer", "another process"), Unavailable("gone"), Away("printer", "another process")]
    await worker.work(lambda: worker.position == 1)
    assert worker.told.words == ["away: printer", "away: database", "back: database", "back: printer"]


async def test_an_error_of_ours_is_no_reason_to_wait() -> None:
    worker = Worker()
    worker.send(b"1")
    worker.trouble = [ZeroDivisionError()]
    with pytest.raises(ZeroDivisionError):
        await worker.work(lambda: False)
    assert (worker.pauses, worker.position) == ([], 0)


async def test_trouble_ends_in_silence_when_somebody_else_handled_the_record() -> None:
    told, pauses = Told(), []

    async def sleep(pause: float) -> None:
        pauses.append(pause)

    waiting = Patience("group", told, sleep=sleep)
    await waiting.wait("database", Unavailable("away"))
    for _ in range(patience.SILENCE - 1):
        waiting.nothing_came()
    assert (waiting.share(200), told.words) == (1, ["away: database"])
    waiting.nothing_came()
    assert (waiting.share(200), told.words) == (200, ["away: database", "back: database"])
    assert 0 <= pauses[0] <= patience.FIRST_PAUSE


def test_a_neighbour_is_up_when_no_worker_misses_it() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)

    def up(neighbour: str) -> float | None:
        return registry.get_sample_value("origin_neighbour_up", {"neighbour": neighbour})

    assert [up(name) for name in ("database", "broker", "printer", "customs")] == [1, 1, 1, 1]
    metrics.away("turn", "database", "gone")
    metrics.away("render", "database", "gone")
    metrics.away("turn", "broker", "gone")
    metrics.back("turn", "database")
    assert [up("database"), up("broker")] == [0, 0]
    metrics.back("render", "database")
    assert [up("database"), up("broker")] == [1, 0]
    assert registry.get_sample_value("origin_neighbour_away", {"group": "turn"}) == 1
    metrics.back("turn", "broker")
    assert registry.get_sample_value("origin_neighbour_away", {"group": "turn"}) == 0


def test_a_process_says_once_that_a_neighbour_is_away_and_once_that_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # given three parts of one process that miss the same database, one of them by the name of the log in it
    metrics, said = Metrics(CollectorRegistry()), structlog.testing.LogCapture()
    # A logger of its own: the module's keeps what a gateway that ran here before had configured.
    own = structlog.wrap_logger(structlog.PrintLogger(), processors=[said], wrapper_class=structlog.BoundLogger)
    monkeypatch.setattr("gateway.metrics.log", own)
    metrics.away("turn", "database", "gone")
    metrics.seen("database", "gauges", up=False, why="gone")
    metrics.away("relay", "bus", "gone")
    metrics.back("turn", "database")
    metrics.back("relay", "bus")
    metrics.seen("database", "gauges", up=True)
    metrics.seen("database", "gauges", up=True)
    # then
    assert [(line["event"], line["neighbour"], line["group"]) for line in said.entries] == [
        ("neighbour.away", "database", "turn"),
        ("neighbour.back", "database", "gauges"),
    ]
