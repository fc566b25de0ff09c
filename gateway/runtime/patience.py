"""Waiting for a neighbour that is away: pauses with full jitter, one pilot message before the rest, one alarm at the
start and one at the end.

Full jitter (any length up to the ceiling, which doubles) keeps many workers from coming back at the same moment.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

from gateway.ports import Unavailable
from gateway.runtime.observer import Observer

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds: the longest first pause; then doubled each time, up to the longest of all."""
SILENCE = 5
"""Polls in a row without a record after which trouble counts as over: somebody else handled what we could not."""

Sleep = Callable[[float], Awaitable[None]]
Uniform = Callable[[float, float], float]


class Away(Unavailable):
    """Unavailable, by name: for a worker with more than one neighbour."""

    def __init__(self, neighbour: str, why: str) -> None:
        """`neighbour`: one of a closed list (database, bus, broker, printer); it labels a metric."""
        self.neighbour = neighbour
        super().__init__(why)


class Patience:
    """What one worker does while its neighbours are away."""

    def __init__(
        self, who: str, observer: Observer, *, sleep: Sleep = asyncio.sleep, uniform: Uniform = random.uniform
    ) -> None:
        """`who`: the consumer group. `sleep` and `uniform` as in asyncio and random."""
        self._who = who
        self._observer = observer
        self._sleep = sleep
        self._uniform = uniform
        self._ceiling = FIRST_PAUSE
        self._away: set[str] = set()
        self._silent = 0

    def share(self, most: int) -> int:
        """How many records to try now: all, or one pilot."""
        return 1 if self._away else most

    async def wait(self, neighbour: str, trouble: Exception) -> None:
        """Pause; longer each time. The neighbour's absence is told once."""
        named = trouble.neighbour if isinstance(trouble, Away) else neighbour
        if named not in self._away:
            self._away.add(named)
            self._observer.away(self._who, named, str(trouble))
        self._silent = 0
        pause = self._uniform(0.0, self._ceiling)
        self._ceiling = min(self._ceiling * 2, LONGEST_PAUSE)
        await self._sleep(pause)

    def nothing_came(self) -> None:
        """A poll went well and was empty: no pilot can be sent."""
        self._silent += 1
        if self._silent >= SILENCE:
            self.over()

    def over(self) -> None:
        """The pilot, or a batch, went through."""
        self._ceiling = FIRST_PAUSE
        self._silent = 0
        for neighbour in sorted(self._away):
            self._observer.back(self._who, neighbour)
        self._away.clear()
