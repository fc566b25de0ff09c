"""Seals each day's events with a root, once the day is over; any number of processes may do so side by side."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import structlog

from gateway.core.audit import Sealed
from gateway.ports import Clock, Unavailable

GRACE = timedelta(minutes=5)
"""After midnight, UTC. Only so that a day's root counts all the events that bear its date: what comes later counts in
the next day."""
PAUSE = 30.0
"""Seconds between two looks at the clock."""

log = structlog.get_logger()


class DayBook(Protocol):
    """Where the roots are kept: `adapters.store.audit.PostgresDays`."""

    async def seal(self, last: date) -> Sequence[Sealed]:
        """Every day up to `last` that has no root yet gets one; returns those made now. Raises Unavailable."""
        ...


def over(now: datetime, grace: timedelta = GRACE) -> date:
    """The last UTC day that is over."""
    return (now - grace).astimezone(UTC).date() - timedelta(days=1)


async def seal_days(book: DayBook, clock: Clock) -> None:
    """Until cancelled. The log keeps a copy of each root outside the database."""
    done: date | None = None
    while True:
        last = over(clock.now())
        if last != done:
            try:
                for sealed in await book.seal(last):
                    log.info("audit.sealed", day=sealed.day.isoformat(), root=sealed.root, events=sealed.events)
                done = last
            except Unavailable as trouble:
                log.warning("audit.waits", reason=str(trouble))
        await asyncio.sleep(PAUSE)
