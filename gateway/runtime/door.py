"""The one door: every way in calls `Door.submit`. Bytes in, an answer out; what is accepted is durable.

Examining a document is CPU work and touches nothing; requests that arrive together are then committed together: those
that are plainly new in one step (`runtime.opening`), all others in one transaction that reads what is on file, judges
(`runtime.judgement`), draws numbers last and appends to the log.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeAlias

from gateway.core.declaration import texts
from gateway.core.faults import MAX_FAULTS, Fault, Refused, Severity, in_order
from gateway.ports import Clock, Dialect, MessageCodec, Reading, Unavailable
from gateway.runtime import door_faults, ownership
from gateway.runtime.answers import Answer
from gateway.runtime.judgement import Judgement
from gateway.runtime.opening import common, opened
from gateway.runtime.quotas import draft_faults
from gateway.runtime.submission import Client as Client
from gateway.runtime.submission import Examined, Rejected, content
from gateway.runtime.submission import Submission as Submission
from gateway.storage import Collision, Store

MAX_BYTES = 1 << 20
"""Largest document, bytes: 1 MiB."""
MAX_BATCH = 200
TRIES = 5
_ESCAPED = re.compile(rb"\\[^n]")
"""What canonical JSON escapes, but line breaks."""


class Checks(Protocol):
    """Judges a reading by the profile of its certificate type."""

    def faults(self, reading: Reading) -> list[Fault]:
        """Every rule that is broken, with the path and line in the sender's document."""
        ...


@dataclass(slots=True)
class _Waiting:
    examined: Examined
    answer: asyncio.Future[Answer] = field(default_factory=asyncio.Future)


Write: TypeAlias = Callable[[list[Examined]], Awaitable[list[Answer]]]
Failed: TypeAlias = Callable[[str, Exception], None]


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
        *,
        failed: Failed = lambda channel, error: None,
    ) -> None:
        """`failed` is told of each document that gets no verdict: its channel, and why."""
        self._store = store
        self._dialects = dialects
        self._checks = checks
        self._codec = codec
        self._clock = clock
        self._unprintable = unprintable
        self._plain = bytes(code for code in range(0x20, 0x7F) if not unprintable(chr(code)))
        self._max_bytes = max_bytes
        self._failed = failed
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._closed = False

    async def submit(self, submission: Submission) -> Answer:
        """The answer to one document. Raises Unavailable when the database is away: nothing was accepted then."""
        entered = self.enter(submission)
        return entered if isinstance(entered, Answer) else await entered

    def enter(self, submission: Submission) -> "Answer | asyncio.Future[Answer]":
        """The same for one who has many: a refusal at once, or the answer to come. Raises Unavailable."""
        try:
            examined = self.examine(submission)
            if self._closed:
                raise Unavailable("the door is closed")
        except Rejected as refusal:
            return Answer.refused(refusal.faults, refusal.reference)
        except Refused as refusal:
            return Answer.refused(refusal.faults, submission.reference)
        except Exception as error:
            self._failed(submission.channel, error)
            raise
        waiting = _Waiting(examined)
        self._waiting.append(waiting)
        self._arrived.set()
        return waiting.answer

    def examine(self, submission: Submission) -> Examined:
        """Everything that can be said of a document without the database. Raises Refused with every fault."""
        if len(submission.body) > self._max_bytes:
            raise Refused([door_faults.too_large(self._max_bytes)])
        dialect = self._dialects.get(submission.media_type)
        if dialect is None:
            raise Refused([door_faults.unknown_media_type(tuple(self._dialects))])
        reading = dialect.read(submission.body)
        packed = content(reading.fields)
        faults = [*reading.warnings, *self._text_faults(reading, packed), *self._checks.faults(reading)]
        faults += ownership.faults(reading, submission.client)
        faults += draft_faults(reading, submission.client)
        reference = reading.reference or submission.reference
        if faults and any(fault.severity is Severity.REFUSE for fault in faults):
            raise Rejected(faults, reference)
        return Examined.of(submission, reading.fields, packed, reference, in_order(faults) if faults else ())

    def _text_faults(self, reading: Reading, packed: bytes) -> list[Fault]:
        """Characters that can't be printed; most documents have none, and one look at all of it tells."""
        # Canonical JSON escapes every control, and nothing beyond ASCII.
        plain = b"\\" not in packed or _ESCAPED.search(packed) is None
        if plain and not self._unprintable(packed.translate(None, self._plain).decode()):
            return []
        found = ((place, missing) for place, text in texts(reading.fields) if (missing := self._unprintable(text)))
        return [door_faults.no_glyph(*reading.locate(place), missing) for place, missing in islice(found, MAX_FAULTS)]

    async def run(self) -> None:
        """Commit what is waiting, batch after batch, until cancelled; then nothing waits any more."""
        self._closed = False
        batch: list[_Waiting] = []
        try:
            while True:
                await self._arrived.wait()
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                if not self._waiting:
                    self._arrived.clear()
                await self._answer(batch)
        finally:
            self._closed = True
            left, self._waiting = [*batch, *self._waiting], []
            self._fail(left, Unavailable("the door is closing"))

    async def _answer(self, batch: list[_Waiting]) -> None:
        """Those that are plainly new in one step; then the others, and who of the first turned out to be special."""
        plain = common([waiting.examined for waiting in batch])
        await self._commit([waiting for waiting, new in zip(batch, plain, strict=True) if new], self._opened)
        await self._commit([waiting for waiting in batch if not waiting.answer.done()], self._judged)

    async def _commit(self, batch: list[_Waiting], write: Write) -> None:
        """Write and answer; where a batch breaks for a reason of ours, the halves find the one that breaks it."""
        if not batch:
            return
        try:
            answers = await write([waiting.examined for waiting in batch])
        except Unavailable as trouble:
            # Who came later is not judged first: a correction would overtake what it corrects.
            later, self._waiting = self._waiting, []
            self._fail([*batch, *later], trouble)
        except Exception as error:
            if len(batch) == 1:
                self._fail(batch, error)
                return
            middle = len(batch) // 2
            await self._commit(batch[:middle], write)
            await self._commit(batch[middle:], write)
        else:
            for waiting, answer in zip(batch, answers, strict=False):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
                self._failed(waiting.examined.submission.channel, error)

    async def _opened(self, batch: list[Examined]) -> list[Answer]:
        """The short way; no answers when it is not for this batch, or its outcome is unknown."""
        try:
            return await opened(self._store, self._codec, self._clock, batch) or []
        except Collision:
            return []

    async def _judged(self, batch: list[Examined]) -> list[Answer]:
        """The careful way, in one transaction that looks at everything on file. Run again when somebody else wrote the
        same key first, or the outcome of the commit is unknown."""
        for attempt in range(TRIES):
            try:
                async with self._store.door() as transaction:
                    return await Judgement(self._codec, self._clock, transaction).judge(batch)
            except Collision:
                await asyncio.sleep(0.005 * attempt)
        raise Unavailable("the database kept colliding")
