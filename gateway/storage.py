"""The Store port: what the door and the turn ask of the database. One transaction each, and its outcome is final.

Implemented by `adapters.store.postgres` and `adapters.store.memory`; one suite under ``tests/contract`` runs on both.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from gateway.core.admission import Known, Prior
from gateway.core.decision import Event
from gateway.core.life import About, Opening, State
from gateway.core.numbers import Series
from gateway.ports import Blob, Message, Record


class Collision(Exception):
    """Somebody else wrote the same key first, or the outcome of the commit is unknown: run the transaction again."""


class Taken(Collision):
    """A unique key was taken. Run again the transaction sees by whom; if that does not help, it is our bug."""


class Admitted(NamedTuple):
    """One accepted declaration, ready to be written. The door makes thousands a second: a tuple, which takes a third of
    the time of a frozen dataclass."""

    client: str
    key: str
    """Idempotency key; where the way in has none, the hash of the bytes, or of the content without a number."""
    channel: str
    certificate_id: UUID
    number: str
    revision: int
    certificate_type: str
    exporter: str
    applicant: str
    reference: str | None
    invoice_no: str | None
    destination: str | None
    raw: bytes
    raw_sha256: str
    media_type: str
    content_sha256: str
    answer: bytes
    at: datetime


class Fresh(NamedTuple):
    """A declaration nobody is known to have seen, still without its number: `Series.blank` stands for it in the row,
    and in the answer and the message's body, where it is the first thing that reads so."""

    row: Admitted
    keys: tuple[str, ...]
    """What the answer is remembered under: the row's own key, perhaps another one too."""
    series: Series
    message: Message


@dataclass(frozen=True, slots=True)
class Repetition:
    """A submission that was answered without anything new: remembered under its key."""

    client: str
    key: str
    channel: str
    raw_sha256: str
    certificate_id: UUID
    answer: bytes
    at: datetime


class DoorTransaction(Protocol):
    """One batch at the door."""

    async def known(
        self, keys: Sequence[tuple[str, str]], numbers: Sequence[str]
    ) -> tuple[Mapping[tuple[str, str], Prior], Mapping[str, Known]]:
        """What is on file under (client, key) and under certificate numbers; those rows stay locked, in id order."""
        ...

    async def draw(self, wanted: Mapping[Series, int]) -> Mapping[Series, Sequence[int]]:
        """Free serials, as many as wanted; fewer when the series is full. Counter rows stay locked: draw last."""
        ...

    async def write(self, admitted: Sequence[Admitted], repeated: Sequence[Repetition], log: Sequence[Message]) -> None:
        """Everything the batch leaves behind, the log last."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a turn starts from."""

    seen: frozenset[UUID]
    """Message ids handled before."""
    keys: Mapping[tuple[str, str], UUID]
    """(kind, business key) -> the subject."""
    states: Mapping[UUID, State]
    """Locked until the transaction ends."""
    parked: frozenset[UUID]
    """Subjects whose messages wait because an earlier one is parked."""
    kinds: Mapping[UUID, str]
    """Subjects that exist, with or without a state yet, and of which kind each is."""
    heads: Mapping[UUID, str]
    """Hash of the last event, where there is one: the next event follows it. Under the same lock as the state."""
    unreadable: frozenset[UUID] = frozenset()
    """Subjects whose stored state nobody can read."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One event with its place in its subject's life."""

    subject_id: UUID
    sequence: int
    id: UUID
    event: Event
    message_id: UUID
    at: datetime
    previous: str
    """Hash of the event before it of this subject; `gateway.core.audit.GENESIS` for the first."""
    hash: str
    """See `gateway.core.audit.event_hash`."""


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """One thing customs sent, by reference to its stored bytes; `subject_id` None: no such subject here."""

    message_id: UUID
    subject_id: UUID | None
    number: str
    kind: str
    raw_sha256: str
    fields: str
    """The message as JSON."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Timer:
    """A due date."""

    kind: str
    """Of subject."""
    subject_id: UUID
    about: str
    """A reminder of its life."""
    revision: int
    due: datetime


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits for a person, with its original bytes."""

    message_id: UUID
    subject_id: UUID | None
    topic: str
    key: str
    headers: Mapping[str, str]
    body: bytes
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that nobody can read, with its original bytes and where it stood."""

    id: UUID
    topic: str
    partition: int
    offset: int
    key: str
    headers: Mapping[str, str]
    """As they came; PostgreSQL and the reader see no NUL in them."""
    body: bytes
    code: str
    """Stable, e.g. RECEIPT-NO-NUMBER."""
    detail: str
    """One sentence, without a value of the sender's."""
    group: str
    """The consumer group that could not read it."""
    attempts: int
    """How often it was tried: 1, and one more with each replay."""
    at: datetime

    def record(self, body: bytes) -> Record:
        """The record that it was, with this body."""
        return Record(self.topic, self.partition, self.offset, self.key, body, self.headers)


@dataclass(frozen=True, slots=True)
class TurnWork:
    """Everything one turn leaves behind."""

    handled: Sequence[tuple[UUID, UUID | None]] = ()
    """(message id, subject id)."""
    opened: Sequence[Opening] = ()
    """Subjects that begin with this turn."""
    states: Sequence[State] = ()
    events: Sequence[Stored] = ()
    receipts: Sequence[ReceiptRow] = ()
    blobs: Sequence[Blob] = ()
    timers: Sequence[Timer] = ()
    settled: Sequence[Timer] = ()
    """Due dates that were worked."""
    parked: Sequence[Parked] = ()
    unparked: Sequence[UUID] = ()
    """Message ids that are no longer parked, because this turn handled them."""
    dead: Sequence[DeadLetter] = ()
    log: Sequence[Message] = ()


class TurnTransaction(Protocol):
    """One micro-batch of the turn."""

    async def load(self, message_ids: Sequence[UUID], subjects: Sequence[About]) -> Loaded:
        """What is known of these messages and subjects; the subjects' rows are locked in id order."""
        ...

    async def blobs(self, sha256s: Sequence[str]) -> Mapping[str, bytes]:
        """Stored bytes needed to make a message's body."""
        ...

    async def save(self, work: TurnWork) -> None:
        """Write all of it, the log last."""
        ...


class Store(Protocol):
    """The database, as the runtime sees it."""

    def door(self) -> AbstractAsyncContextManager[DoorTransaction]:
        """A transaction that commits when the block ends well. Raises Collision or Unavailable from its end."""
        ...

    async def open(self, fresh: Sequence[Fresh]) -> Sequence[str] | None:
        """Write a batch of new declarations in one step; returns the numbers given, in order. No two share a key.

        None: nothing was written, because something is special: a key is on file, a number is taken, a series is full;
        `door` tells. Raises Collision (the outcome may be unknown) and Unavailable.
        """
        ...

    def turn(self) -> AbstractAsyncContextManager[TurnTransaction]:
        """A transaction that commits when the block ends well. Raises Collision or Unavailable from its end."""
        ...

    async def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        """Timers whose time has come, oldest first; they stay until a turn settles them."""
        ...

    async def parked(self, subject_id: UUID | None = None) -> Sequence[Parked]:
        """What is parked, in order of arrival; of one subject or all."""
        ...
