"""Places for requests that hold something: so many in all, and so many of them for one client."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from adapters.inbound.http.problem import Problem, unavailable

SOON = 1
"""Seconds after which one who got no place may ask again."""


class Shares:
    """Counts what is in hand."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._taken = 0
        self._taken_by: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, client: str) -> Iterator[None]:
        """A place for a client's request. Raises Problem 429 when the client has its share, 503 when all are taken."""
        if self._taken_by[client] >= self._most_of_one:
            raise too_many()
        if self._taken >= self._most:
            raise unavailable(SOON)
        self._taken += 1
        self._taken_by[client] += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._taken_by[client] -= 1
            if not self._taken_by[client]:
                del self._taken_by[client]


def too_many() -> Problem:
    """The client has all it may have at once."""
    return Problem(
        "too-many",
        "So many requests of yours are in hand already; nothing of this one was accepted. Send it again in a moment.",
        headers=((b"retry-after", str(SOON).encode()),),
    )
