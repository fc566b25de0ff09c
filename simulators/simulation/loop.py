"""An event loop without a clock, sockets or threads: time jumps to the next thing due, the order is always the same.

Everything that waits (a lock, a timer, a timed poll) is asyncio's own code; only who goes on now is decided here.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Stuck(Exception):
    """The steps allowed were used up, or nothing is left that could ever happen."""


class Step:
    """One callback to come: what asyncio calls a handle."""

    __slots__ = ("_args", "_call", "_context", "_when", "serial")

    def __init__(
        self, when: float, serial: int, call: Callable[..., object], args: Any, context: contextvars.Context | None
    ) -> None:
        self._when = when
        self.serial = serial
        self._call: Callable[..., object] | None = call
        self._args = args
        self._context = context or contextvars.copy_context()

    def __lt__(self, other: "Step") -> bool:
        return (self._when, self.serial) < (other._when, other.serial)

    def cancel(self) -> None:
        """It will not happen."""
        self._call = None

    def cancelled(self) -> bool:
        """Was it called off?"""
        return self._call is None

    def when(self) -> float:
        """Seconds of simulated time."""
        return self._when

    def run(self) -> None:
        """Let it happen."""
        if self._call is not None:
            self._context.run(self._call, *self._args)


class SimulatedLoop:
    """First come, first served; what is due later waits in a heap, and time jumps there when nothing else is left.

    It has what asyncio's tasks, futures, locks and timeouts ask of a loop, and nothing that touches the world outside.
    """

    def __init__(self, most_steps: int = 1_000_000) -> None:
        """`most_steps`: a run that needs more raises Stuck."""
        self.steps = 0
        self.troubles: list[str] = []
        """What callbacks raised that nobody awaited."""
        self._most_steps = most_steps
        self._now = 0.0
        self._serial = 0
        self._ready: deque[Step] = deque()
        self._later: list[Step] = []
        self._closed = False

    @property
    def as_loop(self) -> asyncio.AbstractEventLoop:
        """What asyncio takes it for."""
        return cast("asyncio.AbstractEventLoop", self)

    def run_until_complete(self, future: Generator[Any, None, T] | Coroutine[Any, Any, T] | Any) -> Any:
        """Steps until `future` is done. Raises what it raises, and Stuck."""
        task = future if isinstance(future, asyncio.Future) else self.create_task(future)
        asyncio._set_running_loop(self.as_loop)
        try:
            while not task.done():
                self._step()
        finally:
            asyncio._set_running_loop(None)
        return task.result()

    def _step(self) -> None:
        if not self._ready:
            while self._later and self._later[0].cancelled():
                heapq.heappop(self._later)
            if not self._later:
                raise Stuck("everybody waits for something that never comes")
            step = heapq.heappop(self._later)
            self._now = max(self._now, step.when())
        else:
            step = self._ready.popleft()
            if step.cancelled():
                return
        self.steps += 1
        if self.steps > self._most_steps:
            raise Stuck(f"not over after {self._most_steps} steps")
        step.run()

    def time(self) -> float:
        """Simulated seconds since the start."""
        return self._now

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Step:
        """After everything that is ready now."""
        self._serial += 1
        step = Step(self._now, self._serial, callback, args, context)
        self._ready.append(step)
        return step

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Step:
        """At a simulated time."""
        self._serial += 1
        step = Step(when, self._serial, callback, args, context)
        heapq.heappush(self._later, step)
        return step

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> Step:
        """In so many simulated seconds."""
        return self.call_at(self._now + max(delay, 0.0), callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        """asyncio's own."""
        return asyncio.Future(loop=self.as_loop)

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        """asyncio's own."""
        return asyncio.Task(coro, loop=self.as_loop, **options)

    def is_running(self) -> bool:
        """Always, as far as anybody who asks can tell."""
        return not self._closed

    def is_closed(self) -> bool:
        """After `close`."""
        return self._closed

    def wind_up(self) -> None:
        """Cancel every task and let it come to its end."""
        self._most_steps = self.steps + 100_000
        tasks = sorted(asyncio.all_tasks(self.as_loop), key=lambda task: task.get_name())
        for task in tasks:
            task.cancel()
        self.run_until_complete(asyncio.wait(tasks) if tasks else asyncio.sleep(0))

    def close(self) -> None:
        """Forgets what was still to come."""
        self._closed = True
        self._ready.clear()
        self._later.clear()

    def get_debug(self) -> bool:
        """Never: debugging looks at the wall clock."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remembered: a trouble nobody awaited is a finding."""
        error = context.get("exception")
        self.troubles.append(f"{context.get('message')}: {type(error).__name__}: {error}")
