"""How long the documents of a client may keep the event loop, beyond what good ones take.

It never decides a verdict: who has used it up is examined beside the loop until it has grown again. A client does not
answer for what else the machine does, so the processor's time counts; but asking for that costs as much as a tenth of
a document, so it is asked for only where the clock on the wall showed a client to be slow.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

QUICK: Final = 0.001
"""Seconds that a document may take and costs nothing: a good one of usual size takes 0.2 ms."""
MOST: Final = 0.02
"""Seconds of slow documents in a row."""
DEAREST: Final = MOST / 2
"""Most seconds that a document costs by the clock on the wall: the machine may have been doing something else."""
GROWS: Final = 0.02
"""Seconds of it that come back in a second."""

A = TypeVar("A")
T = TypeVar("T")


class Allowance:
    """What each client has used. Who has used nothing lately takes no room."""

    def __init__(
        self, wall: Callable[[], float] = time.perf_counter, processor: Callable[[], float] = time.thread_time
    ) -> None:
        """The two clocks, in seconds; `processor` is that of the thread that works."""
        self._wall = wall
        self._processor = processor
        self._used: dict[str, tuple[float, float]] = {}
        """Client -> (seconds used, when that was)."""

    def left(self, client: str, now: float) -> bool:
        """May the loop examine its next document?"""
        used, at = self._used.get(client, (0.0, now))
        if used <= (now - at) * GROWS:
            self._used.pop(client, None)
            return True
        return used - (now - at) * GROWS < MOST

    def measured(self, client: str, now: float, work: Callable[[A], T], document: A) -> T:
        """Do the work on its document, and count what it took."""
        is_slow = client in self._used
        clock = self._processor if is_slow else self._wall
        started = clock()
        try:
            return work(document)
        finally:
            took = clock() - started
            if took > QUICK:
                used, at = self._used.get(client, (0.0, now))
                left = max(0.0, used - (now - at) * GROWS)
                self._used[client] = left + (took if is_slow else min(took, DEAREST)), now
