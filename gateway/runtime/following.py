"""Readers whose topics come and go while they read: a client's, a pair that somebody made just now."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from gateway.ports import Unavailable

Names: TypeAlias = frozenset[str]


async def follow(
    find: Callable[[Names], Awaitable[Names]], read: Callable[[Names], Coroutine[Any, Any, None]], look: float
) -> None:
    """Run `read` with what `find` names, until cancelled; where it names others, run it with those instead.

    `find`: is told what is being read; one that raises Unavailable names nothing new, the reader tells. `read`: for
    ever; what it raises is raised. `look`: seconds between two looks.
    """
    reading: Names = frozenset()
    while True:
        search = asyncio.create_task(_others(find, reading, look))
        work = asyncio.create_task(read(reading)) if reading else None
        tasks = [task for task in (work, search) if task is not None]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if work is not None and work.done():
                work.result()
            reading = search.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _others(find: Callable[[Names], Awaitable[Names]], reading: Names, look: float) -> Names:
    """What is to be read, as soon as it is not what is being read."""
    while True:
        with contextlib.suppress(Unavailable):
            if (found := await find(reading)) != reading:
                return found
        await asyncio.sleep(look)
