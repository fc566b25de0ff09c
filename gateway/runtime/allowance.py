"""How long the documents of a client may keep the event loop, beyond what good ones take.

It never decides a verdict: who has used it up is examined beside the loop until it has grown again.
"""

from typing import Final

QUICK: Final = 0.001
"""Seconds of the processor that a document may take and costs nothing: a good one of usual size takes 0.2 ms."""
MOST: Final = 0.02
"""Seconds of slow documents in a row."""
GROWS: Final = 0.02
"""Seconds of it that come back in a second."""


class Allowance:
    """What each client has used. Who has used nothing lately takes no room."""

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}
        """Client -> (seconds used, when that was)."""

    def left(self, client: str, now: float) -> bool:
        """May the loop examine its next document?"""
        used, at = self._used.get(client, (0.0, now))
        if used <= (now - at) * GROWS:
            self._used.pop(client, None)
            return True
        return used - (now - at) * GROWS < MOST

    def spend(self, client: str, seconds: float, now: float) -> None:
        """One document took so long."""
        if seconds > QUICK:
            used, at = self._used.get(client, (0.0, now))
            self._used[client] = max(0.0, used - (now - at) * GROWS) + seconds, now
