"""How many of each somebody holds at the moment: requests in hand, event streams."""

from types import TracebackType
from typing import Final, Generic, TypeVar

K = TypeVar("K")


class Held(Generic[K]):
    """Counts by key. Who holds nothing takes no room."""

    def __init__(self) -> None:
        self.total = 0
        self.counts: dict[K, int] = {}

    def of(self, key: K) -> int:
        """How many it holds."""
        return self.counts.get(key, 0)

    def one(self, key: K) -> "_One[K]":
        """One more, for as long as the block lasts."""
        return _One(self, key)


class _One(Generic[K]):
    """A context manager. It is asked for with every request, so it is no generator."""

    __slots__: Final = ("_held", "_key")

    def __init__(self, held: Held[K], key: K) -> None:
        self._held = held
        self._key = key

    def __enter__(self) -> None:
        held, key = self._held, self._key
        held.counts[key] = held.of(key) + 1
        held.total += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        held, key = self._held, self._key
        held.total -= 1
        held.counts[key] -= 1
        if not held.counts[key]:
            del held.counts[key]
