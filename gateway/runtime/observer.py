"""What the runtime tells its observers: one protocol, so that metrics and logs stay out of the logic."""

from collections.abc import Sequence
from typing import Protocol

from gateway.core.messages import Incoming
from gateway.ports import Record
from gateway.storage import DeadLetter, Stored


class Observer(Protocol):
    """Told what happened, after the fact or in passing; must not raise."""

    def turned(self, messages: int, events: Sequence[Stored]) -> None:
        """A turn is written (it commits next)."""

    def repeated(self, message: Incoming | None) -> None:
        """A message id was handled before."""

    def stray(self, message: Incoming) -> None:
        """Customs spoke of a certificate that is not ours."""

    def parked(self, record: Record, reason: str) -> None:
        """A message waits for a person."""

    def buried(self, letter: DeadLetter) -> None:
        """A record that nobody can read is kept with the dead letters."""

    def broke(self, message: Incoming | None, error: Exception) -> None:
        """Our own code raised."""

    def away(self, who: str, neighbour: str, why: str) -> None:
        """A neighbour (database, bus, broker, printer) of this worker can't be reached: told once, at the start."""

    def back(self, who: str, neighbour: str) -> None:
        """It is there again: told once, at the end."""

    def worked(self, stage: str, seconds: float) -> None:
        """One piece of work of a stage (door, turn, render, print) took this long."""
