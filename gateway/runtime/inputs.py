"""What a turn takes in: a record, a due date or a command; what can't be read is an input too."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_OID, UUID, uuid5

from gateway.core.envelope import timestamp
from gateway.core.messages import Incoming, TimerDue
from gateway.ports import Blob, Inlet, Record, Unreadable
from gateway.storage import Timer

FROM_STRANGERS = frozenset({"origin.customs.inbound.v1"})
"""Topics that others write to: their keys are no word about a certificate."""


@dataclass(frozen=True, slots=True)
class Input:
    """One message for the turn, with the record or due date it came from (neither: a command) and bytes to keep."""

    message_id: UUID
    message: Incoming | None
    record: Record | None = None
    blobs: Sequence[Blob] = ()
    unreadable: str = ""
    """Our own reader broke: the reason for which the record is parked."""
    timer: Timer | None = None
    parked_as: UUID | None = None
    """Set when a parked message is handled again: the id it is parked under."""
    poison: Unreadable | None = None
    """No reading makes sense of the record."""

    @property
    def ours(self) -> UUID | None:
        """The certificate that the key of a record names, where the record is one of our own."""
        if self.record is None or self.record.topic in FROM_STRANGERS:
            return None
        try:
            return UUID(self.record.key)
        except ValueError:
            return None

    @classmethod
    def of(cls, record: Record, inlet: Inlet) -> "Input":
        """Read a record; what can't be read is an input too, so that it is kept aside."""
        try:
            message, blobs = inlet.read(record)
        except Unreadable as trouble:
            return cls(record_id(record), None, record, poison=trouble)
        except Exception as error:  # a reader that breaks is our bug: the message waits, the others flow
            return cls(record_id(record), None, record, unreadable=f"{type(error).__name__} while reading")
        return cls(message.message_id, message, record, blobs)


def record_id(record: Record) -> UUID:
    """Names a record that has no readable id. Its bytes are part of it: another bus counts its offsets from 0 again."""
    body = hashlib.sha256(record.body).hexdigest()
    return uuid5(NAMESPACE_OID, f"{record.topic}/{record.partition}/{record.offset}/{body}")


def timer_input(timer: Timer, resends: int = 0) -> Input:
    """A due date as a message: the same due date has the same id. `resends`: what the rule allows."""
    message_id = uuid5(timer.certificate_id, f"timer/{timer.about}/{timer.revision}/{timestamp(timer.due)}")
    due = TimerDue(
        message_id=message_id,
        certificate_id=timer.certificate_id,
        about=timer.about,
        revision=timer.revision,
        resends=resends,
    )
    return Input(message_id, due, timer=timer)
