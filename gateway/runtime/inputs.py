"""What a turn takes in: a record, a due date or a command; what can't be read is an input too."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from gateway.core.envelope import timestamp
from gateway.core.life import About, Register, TimerDue
from gateway.ports import Blob, Inlet, Record, Unreadable
from gateway.storage import Timer

LARGE = 64 << 10
"""Bytes of a document that takes longer than 10 ms to be read or written: that is done in a thread."""
BREATH = 10
"""So many messages are worked on without a look at what else came."""
FROM_STRANGERS = frozenset({"origin.customs.inbound.v1"})
"""Topics that others write to: their keys are no word about a certificate."""


NOBODY = About("")


@dataclass(frozen=True, slots=True)
class Input:
    """One message for the turn, with the record or due date it came from (neither: a command) and bytes to keep."""

    message_id: UUID
    message: Any
    record: Record | None = None
    blobs: Sequence[Blob] = ()
    unreadable: str = ""
    """Our own reader broke: the reason for which the record is parked."""
    timer: Timer | None = None
    parked_as: UUID | None = None
    """Set when a parked message is handled again: the id it is parked under."""
    poison: Unreadable | None = None
    """No reading makes sense of the record."""
    about: About = NOBODY
    """What a record that could not be read is about, as far as one can tell."""

    def subject(self, lives: Register) -> About:
        """What it is about."""
        return self.about if self.message is None else lives.about(self.message)

    @classmethod
    def all_of(cls, record: Record, inlet: Inlet) -> "list[Input]":
        """Read a record, which may hold several messages; what can't be read is an input too, so that it is kept."""
        try:
            parts, whole = inlet.apart(record)
        except Exception as error:
            return [cls._unread(record, inlet, error)]
        return [cls._of(part, inlet, whole) for part in parts]

    @classmethod
    def _of(cls, record: Record, inlet: Inlet, whole: Sequence[Blob]) -> "Input":
        try:
            message, blobs = inlet.read(record)
        except Exception as error:
            return cls._unread(record, inlet, error)
        return cls(message.message_id, message, record, (*blobs, *whole))

    @classmethod
    def _unread(cls, record: Record, inlet: Inlet, error: Exception) -> "Input":
        """A reader that breaks is our bug: the message waits, the others flow."""
        about = inlet.about(record)
        if isinstance(error, Unreadable):
            return cls(record_id(record), None, record, poison=error, about=about)
        return cls(record_id(record), None, record, unreadable=f"{type(error).__name__} while reading", about=about)


async def read_all(records: Sequence[Record], inlet: Inlet) -> list[Input]:
    """What is in them, in order. A large one is read in a thread: nobody else waits for it."""
    inputs: list[Input] = []
    read = 0
    for number, record in enumerate(records, 1):
        if len(record.body) > LARGE:
            inputs += await asyncio.to_thread(Input.all_of, record, inlet)
            continue
        inputs += Input.all_of(record, inlet)
        read += len(record.body)
        if read > LARGE:  # many that are not small
            await asyncio.sleep(0)
            read = 0
        await breathe(number)
    return inputs


async def breathe(number: int) -> None:
    """After every tenth message whoever has heard from the database goes on: it must not wait while this one thinks."""
    if number % BREATH == 0:
        await asyncio.sleep(0)


def record_id(record: Record) -> UUID:
    """Names a record that has no readable id. Its bytes are part of it: another bus counts its offsets from 0 again."""
    body = hashlib.sha256(record.body).hexdigest()
    return uuid5(NAMESPACE_OID, f"{record.topic}/{record.partition}/{record.offset}/{body}")


def timer_input(timer: Timer, resends: int = 0) -> Input:
    """A due date as a message: the same due date has the same id. `resends`: what the rule allows."""
    message_id = uuid5(timer.subject_id, f"timer/{timer.about}/{timer.revision}/{timestamp(timer.due)}")
    due = TimerDue(
        message_id=message_id,
        kind=timer.kind,
        subject_id=timer.subject_id,
        about=timer.about,
        revision=timer.revision,
        resends=resends,
    )
    return Input(message_id, due, timer=timer)
