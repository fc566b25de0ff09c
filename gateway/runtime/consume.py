"""The loop of every worker: poll, handle, acknowledge what was handled; back off when a neighbour is away."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from gateway.ports import Bus, Consumer, Fenced, Positions, Record, Unavailable
from gateway.runtime.observer import Observer
from gateway.runtime.patience import Patience, Sleep, Uniform
from gateway.storage import Collision

Handle = Callable[[Sequence[Record]], Awaitable[None]]


def positions(records: Sequence[Record]) -> Positions:
    """Where reading goes on after these records, which are in order within a partition."""
    return {record.place: record.offset + 1 for record in records}


async def consume(
    bus: Bus,
    group: str,
    topics: Sequence[str],
    handle: Handle,
    observer: Observer,
    max_records: int = 200,
    *,
    neighbour: str = "database",
    sleep: Sleep = asyncio.sleep,
    uniform: Uniform = random.uniform,
) -> None:
    """Read `topics` as a member of `group` for ever. What `handle` returns from is acknowledged; what it raises
    Unavailable from comes again, first one record alone. Any other error is our bug: it ends the process, which starts
    again clean. `neighbour`: who is away when `handle` does not say who."""
    patience = Patience(group, observer, sleep=sleep, uniform=uniform)
    while True:
        try:
            async with bus.consumer(group, topics) as consumer:
                while True:
                    await _round(consumer, handle, patience, max_records, neighbour)
        except (Unavailable, Collision) as trouble:
            await patience.wait("bus", trouble)


async def _round(consumer: Consumer, handle: Handle, patience: Patience, most: int, neighbour: str) -> None:
    """One poll, and what came of it."""
    records = await consumer.poll(patience.share(most), 1.0)
    if not records:
        patience.nothing_came()
        return
    try:
        await handle(records)
    except (Unavailable, Collision) as trouble:
        await consumer.rewind()
        await patience.wait(neighbour, trouble)
        return
    try:
        await consumer.commit(positions(records))
    except Fenced:
        # Another reader took over and handles them again; handled twice, in effect once.
        await consumer.rewind()
    patience.over()
