"""The one door: every way in calls `Door.submit`. Bytes in, an answer out; what is accepted is durable.

Examining a document is CPU work and touches nothing; requests that arrive together are then committed together, in one
transaction that reads what is on file, judges (`core.admission`), draws numbers last and appends to the log.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import orjson

from gateway.core.admission import Clash, Correction, Known, New, Prior, Repeated, Replay, admit
from gateway.core.declaration import Declaration
from gateway.core.envelope import headers
from gateway.core.faults import Fault, Refused, Severity, in_order
from gateway.core.messages import DeclarationAccepted
from gateway.core.numbers import Series, series
from gateway.ports import Clock, Dialect, Message, MessageCodec, Place, Reading, Unavailable
from gateway.runtime import door_faults
from gateway.runtime.answers import Answer, clash_fault
from gateway.runtime.ids import new_id
from gateway.storage import Admitted, Collision, DoorTransaction, Repetition, Store

ACCEPTED = "origin.declaration.accepted.v1"
MAX_BYTES = 1 << 20
"""Largest document, bytes: 1 MiB."""
MAX_BATCH = 200
TRIES = 5
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ue000-\uf8ff]"
)
"""Control, invisible, bidirectional and private-use characters: never in a text that is printed under a seal."""


class Checks(Protocol):
    """Judges a reading by the profile of its certificate type."""

    def faults(self, reading: Reading) -> list[Fault]:
        """Every rule that is broken, with the path and line in the sender's document."""
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the door: one client of one enterprise (design section 8, ruling 1)."""

    id: str
    enterprise: str
    """18-character credit code (统一社会信用代码)."""
    prefix: str = ""
    """Serial prefix of the numbers it is given, 0 to 3 letters or digits."""
    prints_itself: bool = True


@dataclass(frozen=True, slots=True)
class Submission:
    """One document as it came in."""

    client: Client
    media_type: str
    body: bytes
    channel: str
    """http, folder or bus."""
    key: str | None = None
    """Idempotency key; where the way in has none, the bytes' hash serves."""
    reference: str | None = None
    """The ERP's own reference; the document's own, where it has one, goes first."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A submission without faults, ready to be judged against what is on file."""

    submission: Submission
    declaration: Declaration
    raw_sha256: str
    content: bytes
    """Canonical content without the number, for the hash: equal content gives equal bytes."""
    reference: str | None
    warnings: tuple[Fault, ...]


@dataclass(slots=True)
class _Waiting:
    examined: Examined
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Door:
    """Examines documents and commits them in batches. Start `run` as a task; `submit` from anywhere in the loop."""

    def __init__(
        self,
        store: Store,
        dialects: Mapping[str, Dialect],
        checks: Checks,
        codec: MessageCodec,
        clock: Clock,
        unprintable: Callable[[str], Set[str]],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._store = store
        self._dialects = dialects
        self._checks = checks
        self._codec = codec
        self._clock = clock
        self._unprintable = unprintable
        self._max_bytes = max_bytes
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()

    async def submit(self, submission: Submission) -> Answer:
        """The answer to one document. Raises Unavailable when the database is away: nothing was accepted then."""
        try:
            examined = self.examine(submission)
        except Refused as refusal:
            return Answer.refused(refusal.faults, submission.reference)
        waiting = _Waiting(examined)
        self._waiting.append(waiting)
        self._arrived.set()
        return await waiting.answer

    def examine(self, submission: Submission) -> Examined:
        """Everything that can be said of a document without the database. Raises Refused with every fault."""
        if len(submission.body) > self._max_bytes:
            raise Refused([door_faults.too_large(self._max_bytes)])
        dialect = self._dialects.get(submission.media_type)
        if dialect is None:
            raise Refused([door_faults.unknown_media_type(tuple(self._dialects))])
        reading = dialect.read(submission.body)
        faults = [*self._text_faults(reading), *self._checks.faults(reading)]
        declaration = reading.declaration
        if declaration.applicant_code != submission.client.enterprise:
            faults.append(door_faults.foreign(*reading.locate(("applicant_code",))))
        if any(fault.severity is Severity.REFUSE for fault in faults):
            raise Refused(faults)
        return Examined(
            submission=submission,
            declaration=declaration,
            raw_sha256=hashlib.sha256(submission.body).hexdigest(),
            content=_content(reading.fields),
            reference=reading.reference or submission.reference,
            warnings=in_order(faults),
        )

    def _text_faults(self, reading: Reading) -> list[Fault]:
        """Characters that must not be printed or can't be; most documents have none, and one look tells."""
        texts = "".join(text for _, text in _texts(reading.fields))
        if not FORBIDDEN.search(texts) and not self._unprintable(texts):
            return []
        faults = []
        for place, text in _texts(reading.fields):
            path, line = reading.locate(place)
            if FORBIDDEN.search(text):
                faults.append(door_faults.forbidden_character(path, line))
            elif missing := self._unprintable(text):
                faults.append(door_faults.no_glyph(path, line, missing))
        return faults

    async def run(self) -> None:
        """Commit what is waiting, batch after batch, until cancelled."""
        while True:
            await self._arrived.wait()
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            if not self._waiting:
                self._arrived.clear()
            try:
                answers = await self._commit([waiting.examined for waiting in batch])
            except asyncio.CancelledError:
                _fail(batch, Unavailable("the door is closing"))
                raise
            except Exception as error:
                _fail(batch, error)
                continue
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    async def _commit(self, batch: list[Examined]) -> list[Answer]:
        """One transaction; run again when somebody else wrote the same key first, or its outcome is unknown."""
        for attempt in range(TRIES):
            try:
                async with self._store.door() as transaction:
                    return await _Judgement(self._codec, self._clock, transaction).judge(batch)
            except Collision:
                await asyncio.sleep(0.005 * attempt)
        raise Unavailable("the database kept colliding")


class _Judgement:
    """One batch inside its transaction. Members of the batch see each other's effects, in order."""

    def __init__(self, codec: MessageCodec, clock: Clock, transaction: DoorTransaction) -> None:
        self._codec = codec
        self._now = clock.now()
        self._transaction = transaction
        self._priors: dict[tuple[str, str], Prior] = {}
        self._known: dict[str, Known] = {}
        self._admitted: list[Admitted] = []
        self._repeated: list[Repetition] = []
        self._log: list[Message] = []

    async def judge(self, batch: list[Examined]) -> list[Answer]:
        priors, known = await self._transaction.known(
            [(item.submission.client.id, _key(item)) for item in batch],
            [item.declaration.number for item in batch if item.declaration.number],
        )
        self._priors, self._known = dict(priors), dict(known)
        serials = await self._draw(batch)
        answers = [self._judge(item, serials) for item in batch]
        if self._admitted or self._repeated:
            await self._transaction.write(self._admitted, self._repeated, self._log)
        return answers

    async def _draw(self, batch: list[Examined]) -> dict[Series, Iterator[int]]:
        wanted: dict[Series, int] = {}
        asking = {
            (item.submission.client.id, _key(item)): self._series(item)
            for item in batch
            if not item.declaration.number and (item.submission.client.id, _key(item)) not in self._priors
        }
        for wish in asking.values():
            wanted[wish] = wanted.get(wish, 0) + 1
        if not wanted:
            return {}
        return {wish: iter(got) for wish, got in (await self._transaction.draw(wanted)).items()}

    def _series(self, item: Examined) -> Series:
        declaration = item.declaration
        prefix = item.submission.client.prefix
        return series(declaration.certificate_type, declaration.exporter_code, prefix, self._now)

    def _judge(self, item: Examined, serials: dict[Series, Iterator[int]]) -> Answer:
        key = (item.submission.client.id, _key(item))
        content = hashlib.sha256(item.content).hexdigest()
        declaration = item.declaration
        known = self._known.get(declaration.number) if declaration.number else None
        match admit(item.raw_sha256, content, declaration.applicant_code, self._priors.get(key), known):
            case Replay(prior):
                return Answer.replay(prior.answer)
            case Clash(code, clashing):
                return Answer.conflict(clash_fault(code), clashing.certificate_id if clashing else None, item.reference)
            case Repeated(same):
                answer = Answer.duplicate(same, declaration.certificate_type, item.reference, item.warnings)
                self._remember(item, key, same.certificate_id, answer)
                return answer
            case Correction(known):
                return self._accept(item, key, content, known.certificate_id, known.number, known.revision + 1)
            case New():
                return self._new(item, key, content, serials)

    def _new(self, item: Examined, key: tuple[str, str], content: str, serials: dict[Series, Iterator[int]]) -> Answer:
        number = item.declaration.number
        if not number:
            wish = self._series(item)
            serial = next(serials[wish], None)
            if serial is None:
                return Answer.refused([door_faults.range_full(wish)], item.reference)
            number = wish.number(serial)
        return self._accept(item, key, content, new_id(self._now), number, 1)

    def _accept(
        self, item: Examined, key: tuple[str, str], content: str, certificate_id: UUID, number: str, revision: int
    ) -> Answer:
        declaration, submission = item.declaration, item.submission
        answer = Answer.accepted(
            certificate_id, number, revision, declaration.certificate_type, item.reference, item.warnings
        )
        accepted = DeclarationAccepted(
            message_id=new_id(self._now),
            certificate_id=certificate_id,
            number=number,
            revision=revision,
            certificate_type=declaration.certificate_type,
            applies=declaration.apply_type == "1",
            exporter=declaration.exporter_code,
            applicant=declaration.applicant_code,
            client=submission.client.id,
            reference=item.reference,
            media_type=submission.media_type,
            raw_sha256=item.raw_sha256,
            content_sha256=content,
            prints_itself=submission.client.prints_itself,
            accepted_at=self._now,
        )
        self._admitted.append(
            Admitted(
                client=submission.client.id,
                key=key[1],
                channel=submission.channel,
                certificate_id=certificate_id,
                number=number,
                revision=revision,
                certificate_type=declaration.certificate_type,
                exporter=declaration.exporter_code,
                applicant=declaration.applicant_code,
                reference=item.reference,
                invoice_no=declaration.invoice_no,
                destination=declaration.destination_code,
                raw=submission.body,
                raw_sha256=item.raw_sha256,
                media_type=submission.media_type,
                content_sha256=content,
                answer=answer.body,
                at=self._now,
            )
        )
        subject = str(certificate_id)
        self._log.append(
            Message(
                ACCEPTED,
                subject,
                self._codec.encode(accepted),
                headers("declaration.accepted", accepted.message_id, subject, self._now, "application/xml"),
            )
        )
        self._priors[key] = Prior(item.raw_sha256, certificate_id, answer.body)
        self._known[number] = Known(certificate_id, number, declaration.applicant_code, revision, "accepted", content)
        return answer

    def _remember(self, item: Examined, key: tuple[str, str], certificate_id: UUID, answer: Answer) -> None:
        client, name = key
        channel = item.submission.channel
        self._repeated.append(
            Repetition(client, name, channel, item.raw_sha256, certificate_id, answer.body, self._now)
        )
        self._priors[key] = Prior(item.raw_sha256, certificate_id, answer.body)


def _content(fields: Mapping[str, Any]) -> bytes:
    """Canonical content without the number, which the gateway may give: the same goods stay the same content."""
    content = {name: value for name, value in fields.items() if name != "number"}
    if invoices := content.get("invoices"):
        content["invoices"] = [{n: v for n, v in invoice.items() if n != "certificate_number"} for invoice in invoices]
    return orjson.dumps(content)


def _key(item: Examined) -> str:
    return item.submission.key or f"sha256:{item.raw_sha256}"


def _texts(fields: Mapping[str, Any], place: Place = ()) -> Iterator[tuple[Place, str]]:
    for name, value in fields.items():
        if isinstance(value, str):
            yield (*place, name), value
        elif isinstance(value, Mapping):
            yield from _texts(value, (*place, name))
        elif isinstance(value, (list, tuple)):
            for index, block in enumerate(value):
                yield from _texts(block, (*place, name, index))


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
