"""The world of one seed: dice, time, processes that crash and start again, and the points where calls fail."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from gateway.runtime.ids import ENTROPY
from simulators.simulation.faults import Fault, Faults
from simulators.simulation.loop import SimulatedLoop

T = TypeVar("T")
START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SESSION = 6.0
"""Seconds after which a silent reader is taken for dead."""


class Lost(Exception):
    """No answer: the request may have taken effect, or not."""


class Process:
    """One life of one process: from its start to its crash. What it holds in memory dies with it."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self.parts: dict[str, Any] = {}
        """What the process is made of, by role."""
        self._tasks: list[asyncio.Task[Any]] = []

    def now(self) -> datetime:
        """The process's clock (port `Clock`): hosts do not agree."""
        return self.world.wall() + self.world.skew.get(self.name, timedelta())

    def start(self, job: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that dies with the process."""
        self._tasks = [task for task in self._tasks if not task.done()]
        task = self.world.loop.create_task(job, context=copy_context())
        self._tasks.append(task)
        return task

    def end(self, *, dead: bool) -> None:
        """Crash (`dead`: what it still does has no effect) or stop in good order."""
        self.dead = dead
        for task in self._tasks:
            task.cancel()


Build = Callable[[Process], Sequence[Coroutine[Any, Any, Any]]]
"""Makes a process's parts anew and returns what it runs for ever."""


def _nobody_listens(task: "asyncio.Task[Any]") -> None:
    """Who asked may be gone by now: an answer nobody waits for is no finding."""
    if not task.cancelled():
        task.exception()


class World:
    """Everything that is decided is decided by `dice`."""

    def __init__(self, seed: int, loop: SimulatedLoop, *, traced: bool = False) -> None:
        self.seed = seed
        self.loop = loop
        self.dice = Random(f"world {seed}")  # noqa: S311 - a schedule, no secret
        self.faults = Faults(self.dice)
        self.trace: list[str] | None = [] if traced else None
        self.points = 0
        """Awaited calls so far at which something could have failed."""
        self.skew: dict[str, timedelta] = {}
        self.living: dict[str, Process] = {}
        self.broken: list[str] = []
        """Processes that ended by an error nobody injected."""
        self.last_fault = 0.0
        self.troubled: dict[str, float] = {}
        """Role -> when something last went wrong there."""
        self._ahead = timedelta()
        self._builds: dict[str, Build] = {}
        ENTROPY.set(self.dice.randbytes)

    # ------------------------------------------------------------ time and chance

    def wall(self) -> datetime:
        """The true time of day."""
        return START + self._ahead + timedelta(seconds=self.loop.time())

    def jump(self, ahead: timedelta) -> None:
        """All clocks go forward."""
        self._ahead += ahead

    def new_uuid(self) -> UUID:
        """A random one, from the seed."""
        return UUID(int=self.dice.getrandbits(128), version=4)

    def note(self, *what: object) -> None:
        """One line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.loop.time():.6f} {' '.join(map(str, what))}")

    def struck(self, fault: Fault, *what: object) -> None:
        """A fault happens now."""
        self.faults.count(fault)
        self.last_fault = self.loop.time()
        self.troubled[str(what[0]).split("-")[0]] = self.last_fault
        self.note(*what, "FAULT", fault.name)

    async def at(self, process: Process, point: str) -> Fault | None:
        """A call of a port begins: it takes its time, and may fail. What is returned is for the caller to do."""
        self.points += 1
        if process.dead:
            raise asyncio.CancelledError
        await asyncio.sleep(self.dice.random() * 0.02)
        fault = self.faults.draw(point)
        self.note(process.name, point)
        if fault is not None:
            self.struck(fault, process.name, point)
        if fault is Fault.CRASH:
            await self.die(process)
        if fault is Fault.STALL:
            await asyncio.sleep(SESSION * (0.5 + 2 * self.dice.random()))
        return fault

    # ------------------------------------------------------------ processes

    def run(self, name: str, build: Build) -> None:
        """Start a process and keep it going: whatever ends it, it starts again."""
        self._builds[name] = build
        self._start(name)

    def _start(self, name: str) -> None:
        process = self.living[name] = Process(self, name)
        self.note(name, "starts")
        for job in self._builds[name](process):
            process.start(job).add_done_callback(lambda task: self._ended(process, task))

    def _ended(self, process: Process, task: "asyncio.Task[Any]") -> None:
        """A job of a process is over: when nobody ended it, an error of ours did."""
        if task.cancelled() or self.living.get(process.name) is not process:
            return
        self.broken.append(f"{process.name}: {task.exception()!r}")
        self.crash(process)

    def crash(self, process: Process, *, dead: bool = True) -> None:
        """The process ends here; another life begins a little later."""
        if self.living.get(process.name) is process:
            del self.living[process.name]
            self.note(process.name, "crashes" if dead else "stops")
            self.loop.call_later(0.1 + 2 * self.dice.random(), self._start, process.name)
        process.end(dead=dead)

    def end(self) -> None:
        """Nothing happens any more."""
        for process in self.living.values():
            process.dead = True
        self.living.clear()
        self.loop.wind_up()
        self.loop.close()

    async def die(self, process: Process) -> None:
        """Crash from within: never returns."""
        self.crash(process)
        await self.loop.create_future()

    async def request(self, name: str, work: Callable[[Process], Awaitable[T]]) -> T:
        """Ask a process over the network. Raises Lost, or what the work raises."""
        if self.faults.draw("http.request"):
            self.struck(Fault.REQUEST_LOST, name)
            raise Lost
        process = self.living.get(name)
        if process is None:
            await asyncio.sleep(0.1)
            raise Lost

        async def answer() -> T:
            return await work(process)

        task = process.start(answer())
        task.add_done_callback(_nobody_listens)
        await asyncio.wait([task], timeout=30.0)
        if not task.done() or task.cancelled():
            raise Lost
        if self.faults.draw("http.answer"):
            task.exception()
            self.struck(Fault.ANSWER_LOST, name)
            raise Lost
        return task.result()
