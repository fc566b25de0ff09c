"""How many of each somebody holds at the moment: requests in hand, event streams."""

from types import TracebackType
from typing import Final, Generic, TypeVar

K = TypeVar("K")


class Held(Generic[K]):
    """Counts by key. Who holds nothing takes no room."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: dict[K, int] = {}

    def of(self, key: K) -> int:
        """How many it holds."""
        return self._counts.get(key, 0)

    def one(self, key: K) -> "_One[K]":
        """One more, for as long as the block lasts."""
        return _One(self, key)

    def add(self, key: K, more: int) -> None:
        """So many more, or fewer."""
        count = self.of(key) + more
        self.total += more
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]


class _One(Generic[K]):
    """A context manager. It is asked for with every request, so it is no generator."""

    __slots__: Final = ("_held", "_key")

    def __init__(self, held: Held[K], key: K) -> None:
        self._held = held
        self._key = key

    def __enter__(self) -> None:
        self._held.add(self._key, 1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._held.add(self._key, -1)
