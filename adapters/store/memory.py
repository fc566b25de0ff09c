"""The store in memory: the same promises as PostgreSQL's, for tests and for measuring the loop without a database.

One transaction at a time; what it writes is kept aside and becomes true at its end, all or nothing.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Container, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from gateway.core.admission import Known, Prior
from gateway.core.certificate import KIND
from gateway.core.life import About
from gateway.core.messages import PrintJob
from gateway.core.numbers import Series
from gateway.ports import Blob, Message, Unavailable
from gateway.runtime.dead_letters import message as dead_message
from gateway.runtime.print_room import Claim, ClaimState
from gateway.storage import (
    Admitted,
    Collision,
    DeadLetter,
    Fresh,
    Loaded,
    Parked,
    ReceiptRow,
    Repetition,
    Stored,
    Taken,
    Timer,
    TurnWork,
)

Publish = Callable[[Sequence[Message]], None]
"""Appends to the log, all or none, e.g. `MemoryLog.append`."""


@dataclass(slots=True)
class Tables:
    """What is true. Only a transaction that ended well changes it."""

    certificates: dict[UUID, Known] = field(default_factory=dict)
    subjects: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    """(kind, business key) of each."""
    keys: dict[tuple[str, str], UUID] = field(default_factory=dict)
    states: dict[UUID, Any] = field(default_factory=dict)
    intake: dict[tuple[str, str], Prior] = field(default_factory=dict)
    series: dict[Series, int] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    inbox: set[UUID] = field(default_factory=set)
    events: dict[tuple[UUID, int], Stored] = field(default_factory=dict)
    heads: dict[UUID, str] = field(default_factory=dict)
    receipts: dict[UUID, ReceiptRow] = field(default_factory=dict)
    timers: dict[tuple[UUID, str, int], Timer] = field(default_factory=dict)
    parked: dict[UUID, Parked] = field(default_factory=dict)
    claims: dict[UUID, Claim] = field(default_factory=dict)
    dead: dict[UUID, DeadLetter] = field(default_factory=dict)


class MemoryStore:
    """See `gateway.storage.Store`. `away`: the database can't be reached. `lost`: so many of the next commits are
    made, but their outcome never arrives."""

    def __init__(self, publish: Publish) -> None:
        self.tables = Tables()
        self.away = False
        self.lost = 0
        self._publish = publish
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Draft"]:
        """Everything noted in the draft becomes true when the block ends well."""
        self._check()
        async with self._alone:
            draft = Draft(self.tables)
            yield draft
            self._check()
            self._publish(draft.log)
            for change in draft.changes:
                change()
            if self.lost:
                self.lost -= 1
                raise Collision("the outcome of the commit is unknown")

    def _check(self) -> None:
        if self.away:
            raise Unavailable("the database is away")

    @asynccontextmanager
    async def door(self) -> AsyncIterator["MemoryDoor"]:
        """One batch at the door."""
        async with self.transaction() as draft:
            yield MemoryDoor(draft)

    async def open(self, fresh: Sequence[Fresh]) -> Sequence[str] | None:
        """New declarations in one step."""
        tables = self.tables
        if any((one.row.client, key) in tables.intake for one in fresh for key in one.keys):
            return None
        numbers: list[str] = []
        async with self.transaction() as draft:
            door = MemoryDoor(draft)
            drawn = await door.draw(Counter(one.series for one in fresh))
            serials = {series: iter(found) for series, found in drawn.items()}
            rows, messages, repeated = [], [], []
            for one in fresh:
                serial = next(serials[one.series], None)
                if serial is None:
                    draft.forget()
                    return None
                number = one.series.number(serial)
                blank, given = one.series.blank.encode(), number.encode()
                row = one.row._replace(number=number, answer=one.row.answer.replace(blank, given, 1))
                numbers.append(number)
                rows.append(row)
                messages.append(one.message._replace(body=one.message.body.replace(blank, given, 1)))
                repeated += [
                    Repetition(row.client, key, row.channel, row.raw_sha256, row.certificate_id, row.answer, row.at)
                    for key in one.keys
                    if key != row.key
                ]
            await door.write(rows, repeated, messages)
        return numbers

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["MemoryTurn"]:
        """One micro-batch of the turn."""
        async with self.transaction() as draft:
            yield MemoryTurn(draft)

    async def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        """Timers whose time has come, oldest first."""
        self._check()
        due = [timer for timer in self.tables.timers.values() if timer.due <= now]
        return sorted(due, key=lambda timer: timer.due)[:limit]

    async def parked(self, subject_id: UUID | None = None) -> Sequence[Parked]:
        """What is parked, in order of arrival."""
        self._check()
        rows = self.tables.parked.values()
        return [row for row in rows if subject_id is None or row.subject_id == subject_id]


class Draft:
    """One transaction: it reads what is true and keeps its changes for the end."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.changes: list[Callable[[], object]] = []
        self.log: list[Message] = []

    def forget(self) -> None:
        """Nothing of it becomes true."""
        self.changes.clear()
        self.log.clear()

    def once(self, what: str, keys: Iterable[object], taken: Container[Any], why: type[Collision] = Collision) -> None:
        """Raises `why` when a key is taken, in the table or by this very statement."""
        seen: set[object] = set()
        for key in keys:
            if key in taken or key in seen:
                raise why(f"{what} is taken")
            seen.add(key)

    def keep(self, blobs: Iterable[Blob]) -> None:
        """Bytes by their hash, once."""
        for blob in blobs:
            self.changes.append(partial(self.tables.blobs.setdefault, blob.sha256, blob))


class MemoryDoor:
    """See `gateway.storage.DoorTransaction`."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._tables = draft.tables
        self._series: dict[Series, int] = {}

    async def known(
        self, keys: Sequence[tuple[str, str]], numbers: Sequence[str]
    ) -> tuple[Mapping[tuple[str, str], Prior], Mapping[str, Known]]:
        """What is on file under these keys and numbers."""
        tables = self._tables
        priors = {key: tables.intake[key] for key in keys if key in tables.intake}
        ids = {number: identity for number in numbers if (identity := tables.keys.get((KIND, number))) is not None}
        known = {number: tables.certificates[identity] for number, identity in ids.items()}
        return priors, known

    async def draw(self, wanted: Mapping[Series, int]) -> Mapping[Series, Sequence[int]]:
        """Free serials; numbers that are taken are stepped over."""
        drawn: dict[Series, list[int]] = {}
        for series, count in wanted.items():
            last = self._series.get(series, self._tables.series.get(series, 0))
            found = drawn[series] = []
            while len(found) < count and last < series.capacity:
                last += 1
                if (KIND, series.number(last)) not in self._tables.keys:
                    found.append(last)
            self._series[series] = last
        self._draft.changes.append(lambda: self._tables.series.update(self._series))
        return drawn

    async def write(self, admitted: Sequence[Admitted], repeated: Sequence[Repetition], log: Sequence[Message]) -> None:
        """Everything the batch leaves behind."""
        draft, tables = self._draft, self._tables
        rows: list[Admitted | Repetition] = [*admitted, *repeated]
        draft.once("an idempotency key", ((row.client, row.key) for row in rows), tables.intake)
        new = [row for row in admitted if row.certificate_id not in tables.certificates]
        draft.once("a certificate number", ((KIND, row.number) for row in new), tables.keys)
        for row in rows:
            prior = Prior(row.raw_sha256, row.certificate_id, row.answer)
            draft.changes.append(partial(tables.intake.update, {(row.client, row.key): prior}))
        draft.keep(Blob(row.raw_sha256, "declaration", row.media_type, row.raw) for row in admitted)
        for row in admitted:
            draft.changes.append(partial(_admit, tables, row))
        draft.log += log


def _admit(tables: Tables, row: Admitted) -> None:
    tables.subjects[row.certificate_id] = subject = (KIND, row.number)
    tables.keys[subject] = row.certificate_id
    tables.certificates[row.certificate_id] = Known(
        row.certificate_id, row.number, row.applicant, row.revision, "accepted", row.content_sha256
    )


class MemoryTurn:
    """See `gateway.storage.TurnTransaction`."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._tables = draft.tables

    async def load(self, message_ids: Sequence[UUID], subjects: Sequence[About]) -> Loaded:
        """What is known of these messages and subjects."""
        tables = self._tables
        tracked = {one.id for one in subjects if one.id is not None and one.id in tables.subjects}
        tracked |= {tables.keys[one.kind, one.key] for one in subjects if (one.kind, one.key) in tables.keys}
        waiting = {row.subject_id for row in tables.parked.values()} if tables.parked else set()
        return Loaded(
            seen=frozenset(tables.inbox.intersection(message_ids)),
            keys={tables.subjects[identity]: identity for identity in tracked},
            states={identity: tables.states[identity] for identity in tracked if identity in tables.states},
            parked=frozenset(identity for identity in tracked if identity in waiting),
            kinds={identity: tables.subjects[identity][0] for identity in tracked},
            heads={identity: tables.heads[identity] for identity in tracked if identity in tables.heads},
        )

    async def blobs(self, sha256s: Sequence[str]) -> Mapping[str, bytes]:
        """Stored bytes by hash."""
        blobs = self._tables.blobs
        return {sha256: blobs[sha256].content for sha256 in sha256s if sha256 in blobs}

    async def save(self, work: TurnWork) -> None:
        """Write all of it."""
        draft, tables = self._draft, self._tables
        draft.once("a message id", (message_id for message_id, _ in work.handled), tables.inbox)
        draft.once("a subject", (one.id for one in work.opened), tables.subjects, Taken)
        draft.once("a business key", ((one.kind, one.key) for one in work.opened), tables.keys, Taken)
        draft.once("a place in a life", ((e.subject_id, e.sequence) for e in work.events), tables.events)
        draft.once("a receipt", (row.message_id for row in work.receipts), tables.receipts)
        draft.keep(work.blobs)
        draft.changes.append(lambda: _save(tables, work))
        draft.log += work.log


def _save(tables: Tables, work: TurnWork) -> None:
    tables.inbox.update(message_id for message_id, _ in work.handled)
    for one in work.opened:
        tables.subjects[one.id] = (one.kind, one.key)
        tables.keys[one.kind, one.key] = one.id
    tables.events.update({(stored.subject_id, stored.sequence): stored for stored in work.events})
    tables.heads.update({stored.subject_id: stored.hash for stored in work.events})
    tables.receipts.update({row.message_id: row for row in work.receipts})
    for state in work.states:
        tables.states[state.id] = state
        known = tables.certificates.get(state.id)
        if known is not None and known.revision <= state.revision:  # else a correction that waits has the word
            tables.certificates[state.id] = known._replace(status=state.status)
    for timer in work.settled:
        place = (timer.subject_id, timer.about, timer.revision)
        if tables.timers.get(place) == timer:  # set anew meanwhile, it is another due date
            del tables.timers[place]
    tables.timers.update({(timer.subject_id, timer.about, timer.revision): timer for timer in work.timers})
    for parked in work.parked:
        tables.parked.setdefault(parked.message_id, parked)
    for message_id in work.unparked:
        tables.parked.pop(message_id, None)
    tables.dead.update({row.id: row for row in work.dead})


class MemoryClaims:
    """See `gateway.runtime.print_room.Claims`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def claim(self, job: PrintJob, worker: str, report: Message) -> Claim:
        """Take the job, or tell who has it."""
        try:
            async with self._store.transaction() as draft:
                claims = draft.tables.claims
                if job.job in claims:
                    return replace(claims[job.job], fresh=False)
                claim = Claim(worker, ClaimState.CLAIMED, fresh=True)
                draft.changes.append(lambda: claims.update({job.job: claim}))
                draft.log.append(report)
            return claim
        except Collision as collision:
            raise Unavailable("the claim could not be written") from collision

    async def end(self, job: UUID, state: ClaimState, report: Message) -> None:
        """Write what became of the job, once, and report."""
        try:
            async with self._store.transaction() as draft:
                claims = draft.tables.claims
                before = claims[job].state if job in claims else None
                doubt_resolved = before is ClaimState.IN_DOUBT and state is ClaimState.PRINTED
                if before is ClaimState.CLAIMED or doubt_resolved:
                    ended = replace(claims[job], state=state)
                    draft.changes.append(lambda: claims.update({job: ended}))
                    draft.log.append(report)
        except Collision as collision:
            raise Unavailable("the end of the print could not be written") from collision


class MemoryDeadLetters:
    """See `gateway.runtime.dead_letters.DeadLetters`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep and publish those that are new."""
        try:
            async with self._store.transaction() as draft:
                fresh = [letter for letter in letters if letter.id not in draft.tables.dead]
                draft.changes.append(lambda: draft.tables.dead.update({letter.id: letter for letter in fresh}))
                draft.log += [dead_message(letter) for letter in fresh]
        except Collision as collision:
            raise Unavailable("the dead letter could not be kept") from collision

    async def keep(self, letter: DeadLetter) -> UUID:
        """See `gateway.runtime.kept.Letters`; here nobody decides about them."""
        await self.bury([letter])
        return letter.id


class MemoryBlobs:
    """See `gateway.ports.Blobs`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def put(self, content: bytes, *, kind: str, media_type: str) -> str:
        """Store once."""
        sha256 = hashlib.sha256(content).hexdigest()
        async with self._store.transaction() as draft:
            draft.keep([Blob(sha256, kind, media_type, content)])
        return sha256

    async def get(self, sha256: str) -> bytes:
        """The bytes, hash re-checked."""
        async with self._store.transaction() as draft:
            content = draft.tables.blobs[sha256].content
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("stored bytes do not match their hash")
        return content
