"""One round of a worker, and its place in the line: what may go on while the rounds before it are not done.

A handler that begins ahead has two points. `release`: it has taken its place among those of its kind, the next may
begin. `mine`: from here on it has effects, so everything before it must be done; where that failed, it gives up. It may
have a third. `leaving`: all that is left is to wait for a neighbour, so one more may begin than otherwise.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias

from gateway.ports import Positions, Record


class Overtaken(Exception):
    """A round before this one failed: this one has had no effect and will be handled again, after it."""


class Place(Protocol):
    """A round's place in the line, as its handler sees it."""

    @property
    def first(self) -> bool:
        """Was nothing under way when it began?"""
        ...

    def release(self) -> None:
        """The next round may begin."""
        ...

    async def mine(self) -> None:
        """Returns when everything before is done. Raises Overtaken."""
        ...

    def leaving(self) -> None:
        """Only a neighbour's word is awaited now."""
        ...


class _Alone:
    """The place of a round that is handled by itself."""

    first = True

    def release(self) -> None:
        """Nobody waits."""

    async def mine(self) -> None:
        """Nothing is before it."""

    def leaving(self) -> None:
        """Nobody waits."""


ALONE: Final[Place] = _Alone()

Handle: TypeAlias = Callable[[Sequence[Record]], Awaitable[None]]
Ahead: TypeAlias = Callable[[Sequence[Record], Place], Awaitable[None]]
"""Handles a round that may begin before the rounds before it are done. When it has failed in any way but Unavailable,
`Handle` is asked to do the same, with nothing else under way."""


def positions(records: Sequence[Record]) -> Positions:
    """Where reading goes on after these records, which are in order within a partition."""
    return {record.place: record.offset + 1 for record in records}


class Round:
    """Records under way. `before`: the round that was handed out before and is not done."""

    def __init__(self, records: Sequence[Record], ahead: Ahead, before: "Round | None") -> None:
        self.records = records
        self.first = before is None
        self._before = before
        self._released = asyncio.Event()
        self._leaving = asyncio.Event()
        self.task = asyncio.create_task(self._run(ahead))

    async def _run(self, ahead: Ahead) -> None:
        try:
            await ahead(self.records, self)
        finally:
            self._before = None  # a line that never ends must not keep all its rounds
            self._released.set()
            self._leaving.set()

    def release(self) -> None:
        """See `Place`."""
        self._released.set()

    async def mine(self) -> None:
        """See `Place`."""
        self._released.set()
        if self._before is not None and not await self._before.well():
            raise Overtaken

    def leaving(self) -> None:
        """See `Place`."""
        self._leaving.set()

    async def leaves(self) -> bool:
        """Waits until it is leaving, or over: is there still something to wait for?"""
        await self._leaving.wait()
        return not self.task.done()

    async def begun(self) -> bool:
        """Waits until the next round may begin; False: it must not, because this one failed."""
        await self._released.wait()
        return not self.task.done() or await self.well()

    async def well(self) -> bool:
        """Waits for the end: was everything done?"""
        await asyncio.wait({self.task})
        return not self.task.cancelled() and self.task.exception() is None
