"""The jobs of one process: all run until the end is asked for; then they drain, in a bounded time, and are cut off.

What is cut off is done again after the next start: nothing depends on a graceful end but the waiting of others.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.ports import Bus
from gateway.runtime.draining import Drained, DrainingBus

GRACE: Final = 20.0
"""Seconds that work in hand may take once the end was asked for."""
HARD_END: Final = 25.0
"""Seconds after which the process ends, whatever it is at."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """One job, and how it ends."""

    name: str
    run: Callable[[], Coroutine[None, None, None]]
    end: Callable[[], None] | None
    """Asks it to take nothing new; None: it ends when its reader does, or serves the others and is cut off at last."""
    close: Callable[[int], None] | None
    """Ends it when the others have ended, within so many seconds; with None it ends by itself after `end`."""


class Jobs:
    """What one process does."""

    def __init__(self, ending: asyncio.Event) -> None:
        """`ending` is set by whoever asks for the end, and by a job that breaks."""
        self._ending = ending
        self._jobs: list[Job] = []
        self._readers: list[DrainingBus] = []

    def add(
        self,
        name: str,
        run: Callable[[], Coroutine[None, None, None]],
        *,
        end: Callable[[], None] | None = None,
        close: Callable[[int], None] | None = None,
    ) -> None:
        """One more; see `Job`."""
        self._jobs.append(Job(name, run, end, close))

    def readers(self, bus: Bus) -> DrainingBus:
        """`bus` for readers: they end when the end is asked for, and are waited for."""
        draining = DrainingBus(bus, self._ending)
        self._readers.append(draining)
        return draining

    async def run(self) -> None:
        """Run all until the end is asked for. A job that breaks ends all of them, and its error is raised."""
        tasks = {asyncio.create_task(job.run(), name=job.name): job for job in self._jobs}
        asked = asyncio.create_task(self._ending.wait())
        try:
            done, _ = await asyncio.wait({*tasks, asked}, return_when=asyncio.FIRST_COMPLETED)
            self._ending.set()
            broke = {task.get_name(): error for task in tasks if task in done and (error := _broke(task)) is not None}
            for name, error in broke.items():
                log.error("gateway.part_broke", role=name, exc_info=error)
            await self._drain(tasks)
            for error in broke.values():
                raise error
        finally:
            asked.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, asked, return_exceptions=True)

    async def _drain(self, tasks: dict[asyncio.Task[None], Job]) -> None:
        """Take nothing new, finish what is in hand."""
        log.info("gateway.draining")
        loop = asyncio.get_running_loop()
        over = loop.time() + GRACE
        for job in self._jobs:
            if job.end is not None:
                job.end()
        readers = {asyncio.create_task(bus.drained(), name="readers") for bus in self._readers}
        ending = {task for task, job in tasks.items() if job.end is not None and job.close is None}
        late: set[asyncio.Task[None]] = set()
        if waiting := readers | ending:
            _, late = await asyncio.wait(waiting, timeout=GRACE)
        closing = set()
        for task, job in tasks.items():
            if job.close is not None:
                job.close(max(1, int(over - loop.time())))
                closing.add(task)
        if closing:
            late |= (await asyncio.wait(closing, timeout=max(2.0, over - loop.time() + 1.0)))[1]
        if late:
            log.warning("gateway.cut_off", roles=sorted({task.get_name() for task in late}))
        for task in readers:
            task.cancel()


def _broke(task: asyncio.Task[None]) -> BaseException | None:
    """Its error, if it ended with one."""
    error = task.exception()
    return None if isinstance(error, Drained) else error
