"""An observer for the gateway's processes in this world."""

from collections.abc import Sequence

from gateway.core.messages import Incoming
from gateway.ports import Record
from gateway.storage import DeadLetter, Stored
from simulators.simulation.faults import Bug
from simulators.simulation.world import World


class Told:
    """Is told everything and keeps little: what broke without being played."""

    def __init__(self, world: World) -> None:
        self._world = world

    def turned(self, messages: int, events: Sequence[Stored]) -> None:
        """See the port."""

    def repeated(self, message: Incoming | None) -> None:
        """See the port."""

    def stray(self, message: Incoming) -> None:
        """See the port."""

    def parked(self, record: Record, reason: str) -> None:
        """See the port."""
        self._world.note("parked", reason)

    def buried(self, letter: DeadLetter) -> None:
        """See the port."""
        self._world.note("buried", letter.code)

    def broke(self, message: Incoming | None, error: Exception) -> None:
        """See the port."""
        if not isinstance(error, Bug):
            self._world.broken.append(f"{type(message).__name__}: {error!r}")

    def away(self, who: str, neighbour: str, why: str) -> None:
        """See the port."""

    def back(self, who: str, neighbour: str) -> None:
        """See the port."""

    def worked(self, stage: str, seconds: float) -> None:
        """See the port."""
