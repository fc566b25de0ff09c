"""How long the documents of a client may keep the event loop, beyond what good ones take.

It never decides a verdict: who has used it up is examined beside the loop until it has grown again. A client does not
answer for what else the machine does, so the processor's time counts; but on a loaded machine asking for that costs as
much as a tenth of a document. So it is asked for now and then, and again when the clock on the wall shows a document to
be slow, which took no more than what was worked since, without the quick documents in between.
"""

import math
import time
from collections.abc import Callable
from typing import Final, TypeVar

QUICK: Final = 0.001
"""Seconds that a document may take and costs nothing: a good one of usual size takes 0.2 ms."""
MOST: Final = 0.02
"""Seconds of slow documents in a row."""
DEAREST: Final = MOST / 2
"""Most seconds that one document costs: none of usual size takes longer, but Python may clean up its memory then."""
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
        self._asked = -math.inf
        """When the processor's clock was read last, by the one on the wall."""
        self._worked = 0.0
        """What it said."""
        self._quick = 0.0
        """Seconds of the quick documents since."""

    def left(self, client: str, now: float) -> bool:
        """May the loop examine its next document?"""
        used, at = self._used.get(client, (0.0, now))
        if used <= (now - at) * GROWS:
            self._used.pop(client, None)
            return True
        return used - (now - at) * GROWS < MOST

    def measured(self, client: str, now: float, work: Callable[[A], T], document: A) -> T:
        """Do the work on its document, and count what it took."""
        started = self._wall()
        if started - self._asked > QUICK:
            self._ask(started)
        try:
            return work(document)
        finally:
            ended = self._wall()
            if ended - started <= QUICK:
                self._quick += ended - started
            else:
                took = self._ask(ended)
                if took > QUICK:
                    used, at = self._used.get(client, (0.0, now))
                    self._used[client] = max(0.0, used - (now - at) * GROWS) + min(took, DEAREST), now

    def _ask(self, now: float) -> float:
        """Seconds that the thread worked since it was asked last, without the quick documents."""
        worked = self._processor()
        took = worked - self._worked - self._quick
        self._asked, self._worked, self._quick = now, worked, 0.0
        return took
