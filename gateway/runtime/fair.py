"""A queue in which everybody has a line of his own, and the lines take turns: who sends much waits for himself."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Lines by name. Within a line the order is kept."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()

    def __bool__(self) -> bool:
        """Does somebody wait?"""
        return bool(self._lines)

    def __iter__(self) -> Iterator[T]:
        """All that wait, line by line."""
        return (one for line in self._lines.values() for one in line)

    def add(self, name: str, item: T) -> None:
        """At the end of a line."""
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = deque()
        line.append(item)

    def take(self, most: int, ready: Callable[[T], bool] = lambda item: True) -> list[T]:
        """At most so many: one of each line, then the next of each. A line whose first is not ready waits.

        The next call begins with the line after the last one that gave something.
        """
        taken: list[T] = []
        open_lines = list(self._lines.items())
        while open_lines:
            still = []
            for name, line in open_lines:
                if len(taken) == most:
                    return taken
                if not line or not ready(line[0]):
                    continue
                taken.append(line.popleft())
                if line:
                    self._lines.move_to_end(name)
                    still.append((name, line))
                else:
                    del self._lines[name]
            open_lines = still
        return taken

    def clear(self) -> list[T]:
        """Nobody waits any more: these did."""
        waited = list(self)
        self._lines.clear()
        return waited
