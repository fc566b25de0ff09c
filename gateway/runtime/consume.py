"""The loop of every worker: poll, handle, acknowledge what was handled; back off when a neighbour is away.

A worker may begin a round before the rounds before it are done, so that it thinks while the database or the broker
works. They are done, and acknowledged, one after the other all the same; where one fails, those behind it give up.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Sequence

from gateway.ports import Bus, Consumer, Fenced, Record, Unavailable
from gateway.runtime.observer import Observer
from gateway.runtime.patience import Patience, Sleep, Uniform
from gateway.runtime.rounds import Ahead, Handle, Round
from gateway.runtime.rounds import positions as positions
from gateway.storage import Collision

WAIT = 1.0
"""Seconds a poll waits for records."""


async def consume(
    bus: Bus,
    group: str,
    topics: Sequence[str],
    handle: Handle,
    observer: Observer,
    max_records: int = 200,
    *,
    ahead: Ahead | None = None,
    depth: int = 1,
    neighbour: str = "database",
    sleep: Sleep = asyncio.sleep,
    uniform: Uniform = random.uniform,
) -> None:
    """Read `topics` as a member of `group` for ever. What `handle` returns from is acknowledged; what it raises
    Unavailable from comes again, first one record alone. Any other error is our bug: it ends the process, which starts
    again clean. `ahead`: does the same for rounds of which up to `depth` begin before the first is done, one more where
    that one is leaving; they do where there is a backlog. `neighbour`: who is away when `handle` does not say who."""
    patience = Patience(group, observer, sleep=sleep, uniform=uniform)
    while True:
        try:
            async with bus.consumer(group, topics) as consumer:
                await _Reader(consumer, handle, ahead, depth, patience, max_records, neighbour).run()
        except (Unavailable, Collision) as trouble:
            await patience.wait("bus", trouble)


class _Reader:
    """One membership of the group."""

    def __init__(
        self,
        consumer: Consumer,
        handle: Handle,
        ahead: Ahead | None,
        depth: int,
        patience: Patience,
        most: int,
        neighbour: str,
    ) -> None:
        self._consumer = consumer
        self._handle = handle
        self._ahead = ahead
        self._depth = depth
        self._patience = patience
        self._most = most
        self._neighbour = neighbour
        self._rounds: deque[Round] = deque()
        self._acknowledging: asyncio.Task[None] | None = None
        """An acknowledgement goes its way while the next round begins: a broker takes its time over it."""

    async def run(self) -> None:
        """Until the bus, a drain or a bug ends it; what is under way is done first, and acknowledged."""
        try:
            while True:
                asked = self._patience.share(self._most)
                try:
                    records = await self._consumer.poll(asked, 0.0 if self._rounds else WAIT)
                except Exception:
                    while self._rounds:
                        await self._settle()
                    await self._acknowledged()
                    raise
                begun = True
                if records and self._ahead is not None and (self._rounds or len(records) == asked > 1):
                    begun = await self._begin(records, self._ahead)
                elif records:
                    await self._alone(records)
                elif not self._rounds and await self._acknowledged():
                    self._patience.nothing_came()
                while len(self._rounds) > self._depth or (self._rounds and not begun):
                    if begun and len(self._rounds) == self._depth + 1 and await self._rounds[0].leaves():
                        break
                    await self._settle()
                if not records and self._rounds:
                    await self._settle()
        finally:
            await self._end()

    async def _begin(self, records: Sequence[Record], ahead: Ahead) -> bool:
        """A round more under way; False: it has failed already."""
        self._rounds.append(Round(records, ahead, self._rounds[-1] if self._rounds else None))
        return await self._rounds[-1].begun()

    async def _settle(self) -> None:
        """The end of the round that is under way longest; where that is no good one, of all that are under way."""
        done = self._rounds[0]
        if await done.well():
            self._rounds.popleft()
            await self._acknowledge(done.records)
            return
        left = [one.records for one in self._rounds]
        await self._given_up()
        await self._acknowledged()
        error = done.task.exception()
        if isinstance(error, Unavailable):
            await self._again(error)
        else:  # what broke while others were under way is looked at alone, and what gave up comes after it
            for records in left:
                if not await self._alone(records):
                    break

    async def _alone(self, records: Sequence[Record]) -> bool:
        """One round with nothing else under way; False: it comes again."""
        try:
            await self._handle(records)
        except (Unavailable, Collision) as trouble:
            await self._again(trouble)
            return False
        await self._acknowledged()
        return await self._taken(self._consumer.commit(positions(records)))

    async def _acknowledge(self, records: Sequence[Record]) -> None:
        """On its way, when the one before has ended."""
        await self._acknowledged()
        self._acknowledging = asyncio.create_task(self._consumer.commit(positions(records)))

    async def _acknowledged(self) -> bool:
        """Waits for the acknowledgement under way; False: see `_taken`."""
        if self._acknowledging is None:
            return True
        well = await self._taken(self._acknowledging)
        self._acknowledging = None
        return well

    async def _taken(self, commit: Awaitable[None]) -> bool:
        """False: not all of it was ours any more; what was not acknowledged comes again, here or elsewhere."""
        fenced = False
        try:
            await commit
        except Fenced:
            # Another reader took over and handles them again; handled twice, in effect once.
            fenced = True
            await self._given_up()
            await self._consumer.rewind()
        self._patience.over()
        return not fenced

    async def _again(self, trouble: Exception) -> None:
        await self._consumer.rewind()
        await self._patience.wait(self._neighbour, trouble)

    async def _given_up(self) -> None:
        """Waits for the end of what is under way, whatever it is: what comes again must not meet itself."""
        while self._rounds:
            await self._rounds[0].well()
            self._rounds.popleft()  # not before: who is cancelled here must still find it, to end it

    async def _end(self) -> None:
        """Nothing is left running."""
        for one in self._rounds:
            one.task.cancel()
        if self._acknowledging is not None:
            self._acknowledging.cancel()
            await asyncio.gather(self._acknowledging, return_exceptions=True)
        await self._given_up()
