"""Places for requests that hold something: so many in all, and so many of them for one client."""

from contextlib import AbstractContextManager

from adapters.inbound.http.problem import Problem, unavailable
from gateway.runtime.held import Held

SOON = 1
"""Seconds after which one who got no place may ask again."""


class Shares:
    """Counts what is in hand."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self.held = Held[str]()

    def one(self, client: str) -> AbstractContextManager[None]:
        """A place for a client's request, for as long as the block lasts. Raises Problem 429 when the client has its
        share, 503 when all are taken."""
        if self.held.of(client) >= self._most_of_one:
            raise too_many()
        if self.held.total >= self._most:
            raise unavailable(SOON)
        return self.held.one(client)


def too_many() -> Problem:
    """The client has all it may have at once."""
    return Problem(
        "too-many",
        "So many requests of yours are in hand already; nothing of this one was accepted. Send it again in a moment.",
        headers=((b"retry-after", str(SOON).encode()),),
    )
