"""The loop of every worker: poll, handle, acknowledge what was handled; back off when a neighbour is away."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from gateway.ports import Bus, Fenced, Positions, Record, Unavailable
from gateway.runtime.observer import Observer
from gateway.storage import Collision

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between tries while a neighbour is away: doubled each time, up to the longest."""


def positions(records: Sequence[Record]) -> Positions:
    """Where reading goes on after these records, which are in order within a partition."""
    return {record.place: record.offset + 1 for record in records}


async def consume(
    bus: Bus,
    group: str,
    topics: Sequence[str],
    handle: Callable[[Sequence[Record]], Awaitable[None]],
    observer: Observer,
    max_records: int = 200,
) -> None:
    """Read `topics` as a member of `group` for ever. What `handle` returns from is acknowledged; what it raises
    Unavailable from comes again. Any other error is our bug: it ends the process, which starts again clean."""
    pause = FIRST_PAUSE
    while True:
        try:
            async with bus.consumer(group, topics) as consumer:
                while True:
                    records = await consumer.poll(max_records, 1.0)
                    if not records:
                        continue
                    await handle(records)
                    try:
                        await consumer.commit(positions(records))
                    except Fenced:
                        # Another reader took over and handles them again; handled twice, in effect once.
                        await consumer.rewind()
                    if pause > FIRST_PAUSE:
                        observer.back(group)
                    pause = FIRST_PAUSE
        except (Unavailable, Collision) as trouble:
            if pause == FIRST_PAUSE:
                observer.away(group, str(trouble))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
