"""Many small pieces of work, one after the other, and the event loop's others among them."""

import asyncio
import time
from typing import Final

LONGEST: Final = 0.02
"""Seconds that the loop is kept at a stretch."""


class Pauses:
    """One for each stretch of work."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def between(self) -> None:
        """Call it between two pieces: others go on when it is time."""
        if self.due:
            await asyncio.sleep(0)
            self._since = time.perf_counter()

    @property
    def due(self) -> bool:
        """It is time. For those whose pieces are so small that a call which has nothing to do is dear."""
        return time.perf_counter() - self._since > LONGEST
