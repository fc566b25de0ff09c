"""Batches of declarations, one JSON document a line (NDJSON): the same over HTTP and from a folder."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol

import orjson
import structlog

from gateway.core.admission import Verdict
from gateway.core.faults import Fault, Severity
from gateway.ports import Unavailable
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client, Submission
from gateway.runtime.door_faults import too_large
from gateway.runtime.quotas import Quotas
from gateway.runtime.sources import source

MAX_LINES: Final = 2000
MAX_BLANK: Final = 4 * MAX_LINES
"""Blank lines of a batch: each is looked at, though it has no answer."""
MAX_BYTES: Final = 64 << 20
STATUS: Final = {
    Verdict.ACCEPTED: 202,
    Verdict.DUPLICATE: 200,
    Verdict.CONFLICT: 409,
    Verdict.REFUSED: 422,
    Verdict.LATER: 429,
    Verdict.INTERNAL: 500,
}
LINE_TYPE: Final = "application/json"

log = structlog.get_logger("adapters.inbound")


class DoorLike(Protocol):
    """The door, as a way in sees it."""

    async def submit(self, submission: Submission) -> Answer:
        """The answer to one document. Raises Unavailable."""
        ...

    def enter(self, submission: Submission) -> Answer | asyncio.Future[Answer]:
        """The same for one who has many: a refusal at once, or the answer to come. Raises Unavailable."""
        ...


class Line(NamedTuple):
    """One line of a batch. `body` None: it was longer than a declaration may be and was passed over; empty: blank."""

    number: int
    body: bytes | None
    size: int
    """Bytes, as they came."""


class Trouble(IntEnum):
    """Why a line has no answer, as the HTTP status it would have had alone; nothing of it was accepted."""

    UNAVAILABLE = 503
    INTERNAL = 500


class Splitter:
    """Cuts what arrives into lines; keeps at most one line, and of an over-long one nothing."""

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._rest = bytearray()
        self._size = 0
        """Bytes of the line in hand."""
        self._number = 0

    @property
    def number(self) -> int:
        """Of the line in hand."""
        return self._number + 1

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """The lines that are complete now, one at a time: who stops asking has the rest not cut. Ask for all of them
        before the next chunk."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            if not self._size and end - start <= self._max_line:  # most are in one piece
                self._number += 1
                yield Line(self._number, chunk[start:end].strip(), end - start)
            else:
                self._take(chunk, start, end)
                yield self._line()
            start = end + 1
        self._take(chunk, start, len(chunk))

    def end(self) -> Iterator[Line]:
        """The last line, when nothing ended it."""
        if self._size:
            yield self._line()

    def _take(self, chunk: bytes, start: int, end: int) -> None:
        """One more piece of the line in hand."""
        self._size += end - start
        if self._size > self._max_line:
            self._rest.clear()
        else:
            self._rest += memoryview(chunk)[start:end]

    def _line(self) -> Line:
        body = None if self._size > self._max_line else bytes(self._rest).strip()
        self._number += 1
        line = Line(self._number, body, self._size)
        self._rest.clear()
        self._size = 0
        return line


def lines_in(content: bytes) -> int:
    """How many declarations a whole batch counts as: its lines, as far as they are read."""
    return min(content.count(b"\n") + (not content.endswith(b"\n")), MAX_LINES)


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose batch it is, and how it came."""

    client: Client
    channel: str
    key: str | None = None
    reference: str | None = None


class LineBatch:
    """Submits lines as they come, all at once, so that the door commits them together; answers in their order."""

    def __init__(self, door: DoorLike, sender: Sender, max_line: int, quotas: Quotas | None = None) -> None:
        """`quotas`: counts each line; None: whoever has the batch counts it as a whole."""
        self._door = door
        self._quotas = quotas
        self._sender = sender
        self.client = sender.client
        self._max_line = max_line
        self._answers: list[tuple[int, int, asyncio.Future[Answer] | Answer | Trouble]] = []
        """Number of the line, its size in bytes, what becomes of it."""
        self._blank = 0
        self.counted = 0
        """Bytes of its lines that were counted."""

    @property
    def full(self) -> bool:
        """No further line is taken."""
        return len(self._answers) >= MAX_LINES or self._blank >= MAX_BLANK

    def add(self, line: Line) -> None:
        """Submit a line; its answer comes later. A blank one has none, but its bytes count."""
        number, body, size = line
        if body == b"":
            self._blank += 1
            if self._quotas is not None:
                self._quotas.count(self.client, size, 0)
                self.counted += size
            return
        if self._quotas is not None:
            if over := self._quotas.enter(self.client, size):
                self._answers.append((number, 0, Answer.later(over, self._sender.reference)))
                return
            self.counted += size
        if body is None:
            self._answers.append((number, 0, Answer.refused([too_large(self._max_line)], None)))
            return
        sender = self._sender
        key = None if sender.key is None else f"{sender.key}/{number}"
        submission = Submission(self.client, LINE_TYPE, body, sender.channel, key, sender.reference)
        self._answers.append((number, size, self._entered(submission, size)))

    def _entered(self, submission: Submission, size: int) -> asyncio.Future[Answer] | Answer | Trouble:
        try:
            return self._door.enter(submission)
        except Unavailable:
            return self._away(size)
        except Exception as error:
            return self._broke(error)

    def _away(self, size: int) -> Trouble:
        """The database is away: the line had no verdict."""
        if self._quotas is not None:
            self._quotas.uncount(self.client, size)
        return Trouble.UNAVAILABLE

    def _broke(self, error: Exception) -> Trouble:
        log.error("line.broke", client=self.client.id, exc_info=error)
        return Trouble.INTERNAL

    async def answers(self) -> AsyncIterator[tuple[int, Answer | Trouble]]:
        """(line, answer) in order, once all are there. A line that met trouble harms no other."""
        await self.abandon()
        for number, size, waiting in self._answers:
            if isinstance(waiting, Answer | Trouble):
                yield number, waiting
                continue
            try:
                yield number, waiting.result()
            except Unavailable:
                yield number, self._away(size)
            except Exception as error:
                yield number, self._broke(error)

    async def abandon(self) -> None:
        """Wait for what was submitted, whether or not anybody still wants to know."""
        await asyncio.gather(
            *(one for *_, one in self._answers if isinstance(one, asyncio.Future)), return_exceptions=True
        )


def status_of(answer: Answer) -> int:
    """The HTTP status of an answer: one more draft than the client may have open is for later, too."""
    if answer.verdict is Verdict.REFUSED and b"QUOTA-DRAFTS" in answer.body and drafts_only(answer.content["faults"]):
        return STATUS[Verdict.LATER]
    return STATUS[answer.verdict]


def drafts_only(faults: Iterable[Mapping[str, Any]]) -> bool:
    """Is the number of open drafts all that is wrong?"""
    return {fault["code"] for fault in faults if fault["severity"] == Severity.REFUSE} == {"QUOTA-DRAFTS"}


def verdict_line(number: int, answer: Answer | Trouble) -> bytes:
    """One line of the answer: the line's number, the HTTP status it would have had alone, and the door's answer."""
    if isinstance(answer, Trouble):
        return b'{"line":%d,"http":%d,"status":"%b"}\n' % (number, answer.value, answer.name.lower().encode())
    return b'{"line":%d,"http":%d,%b\n' % (number, status_of(answer), answer.body[1:])


def not_read_line(number: int) -> bytes:
    """The verdict on everything from a line on that was not read."""
    answer = Answer.refused([batch_too_large()], None)
    return b'{"line":%d,"http":413,%b\n' % (number, orjson.dumps(answer.content)[1:])


def batch_too_large() -> Fault:
    """More lines or bytes than one batch may have."""
    return Fault(
        code="BATCH-TOO-LARGE",
        message=f"A batch has at most {MAX_LINES} lines and {MAX_BYTES >> 20} MiB; from this line on nothing was read.",
        remedy="Send the rest as another batch.",
        source=source("decision-0047"),
    )
