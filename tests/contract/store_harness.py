"""What the store's suite is made of: how a test reaches a database, and rows to write there."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from uuid import UUID, uuid4

from gateway.core.admission import Known
from gateway.core.audit import GENESIS
from gateway.core.certificate import KIND
from gateway.core.decision import Event, EventKind
from gateway.core.life import About
from gateway.core.numbers import Series
from gateway.core.state import Certificate, Review
from gateway.ports import Message, Record
from gateway.runtime.history import chained
from gateway.storage import Admitted, DoorTransaction, Parked, Store, Stored, TurnWork

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
ENTERPRISE = "91330299MA9XYD0C2A"
SERIES = Series("MA9XYD0C2", "C", "26", "")
TOPIC = "origin.declaration.accepted.v1"
STATUS = "origin.status.changed.v1"
SERIAL = count(1)


class Harness(ABC):
    """How a test reaches one database, and what may happen to it."""

    @abstractmethod
    async def open(self) -> Store:
        """A handle, as another process would have it."""

    @abstractmethod
    async def log(self) -> Sequence[Record]:
        """Everything on the log, in order within a partition."""

    @abstractmethod
    async def events(self) -> Mapping[tuple[UUID, int], str]:
        """(certificate, sequence) -> hash of every event."""

    @abstractmethod
    def lose(self, store: Store, commits: int) -> None:
        """So many of the next commits of `store` are made, but their outcome never arrives."""

    @abstractmethod
    def go_away(self, store: Store) -> None:
        """`store` can't reach its database any more."""


def about(*names: UUID | str) -> list[About]:
    """Certificates, by id or number."""
    return [About(KIND, name) if isinstance(name, UUID) else About(KIND, key=name) for name in names]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def admitted(number: str, key: str | None = None, *, raw: bytes | None = None, client: str = "erp") -> Admitted:
    """A new certificate under `number`."""
    raw = raw if raw is not None else f"document {next(SERIAL)}".encode()
    return Admitted(
        client=client,
        key=key or sha(raw),
        channel="http",
        certificate_id=uuid4(),
        number=number,
        revision=1,
        certificate_type="C",
        exporter=ENTERPRISE,
        applicant=ENTERPRISE,
        reference="SO-1",
        invoice_no=None,
        destination="710",
        raw=raw,
        raw_sha256=sha(raw),
        media_type="application/json",
        content_sha256=sha(b"content" + raw),
        answer=b'{"status":"accepted"}',
        at=NOW,
    )


def accepted(row: Admitted) -> Message:
    return Message(TOPIC, str(row.certificate_id), row.raw, {"ce_id": str(row.certificate_id)})


async def admit(store: Store, *rows: Admitted) -> None:
    async with store.door() as door:
        await door.write(rows, (), [accepted(row) for row in rows])


def state_of(row: Admitted, **changes: object) -> Certificate:
    state = Certificate(
        id=row.certificate_id,
        number=row.number,
        certificate_type="C",
        exporter=ENTERPRISE,
        applicant=ENTERPRISE,
        client="erp",
        review=Review.DECLARED,
        sequence=1,
    )
    return state.model_copy(update=changes)


def event_of(state: Certificate, kind: EventKind = EventKind.DECLARED, previous: str = GENESIS, **data: str) -> Stored:
    at = state.sequence
    event, message = Event(kind, data), uuid4()
    (stored,) = chained(KIND, state.id, at, [event], message, NOW, previous)
    return stored


def parked_of(certificate_id: UUID | None, body: bytes = b"\x00poison") -> Parked:
    return Parked(uuid4(), certificate_id, TOPIC, "key", {"ce_id": "1"}, body, "broke", NOW)


async def save(store: Store, work: TurnWork) -> None:
    async with store.turn() as turn:
        await turn.save(work)


async def draw_one(door: DoorTransaction) -> str:
    serials = (await door.draw({SERIES: 1}))[SERIES]
    return SERIES.number(serials[0])


async def known_as(store: Store, number: str) -> Known:
    """What the door sees under `number`."""
    async with store.door() as door:
        _, known = await door.known([], [number])
    return known[number]


class Broken(Exception):
    """What a test breaks a transaction with."""


async def break_turn(store: Store, work: TurnWork) -> None:
    """A turn that saves `work` and then breaks."""
    async with store.turn() as turn:
        await turn.save(work)
        raise Broken
