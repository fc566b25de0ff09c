"""Batches of declarations, one JSON document a line (NDJSON): the same over HTTP and from a folder."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

import orjson
import structlog

from gateway.core.admission import Verdict
from gateway.core.faults import Fault
from gateway.ports import Unavailable
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client, Submission
from gateway.runtime.door_faults import too_large

MAX_LINES: Final = 2000
MAX_BYTES: Final = 64 << 20
STATUS: Final = {Verdict.ACCEPTED: 202, Verdict.DUPLICATE: 200, Verdict.CONFLICT: 409, Verdict.REFUSED: 422}
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


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a batch. `body` None: it was longer than a declaration may be and was passed over."""

    number: int
    body: bytes | None


class Trouble(IntEnum):
    """Why a line has no answer, as the HTTP status it would have had alone; nothing of it was accepted."""

    UNAVAILABLE = 503
    INTERNAL = 500


class Splitter:
    """Cuts what arrives into lines; keeps at most one line, and of an over-long one nothing."""

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._rest = bytearray()
        self._skipping = False
        self._number = 0

    def feed(self, chunk: bytes) -> Iterator[Line]:
        """The lines that are complete now. Blank lines count, and are left out."""
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            self._number += 1
            if self._skipping or len(self._rest) + len(piece) > self._max_line:
                yield Line(self._number, None)
            elif body := bytes(self._rest + piece).strip():
                yield Line(self._number, body)
            self._rest.clear()
            self._skipping = False
        if self._skipping or len(self._rest) + len(rest) > self._max_line:
            self._skipping = True
            self._rest.clear()
        else:
            self._rest += rest

    def end(self) -> Iterator[Line]:
        """The last line, when nothing ended it."""
        if self._skipping:
            yield Line(self._number + 1, None)
        elif body := bytes(self._rest).strip():
            yield Line(self._number + 1, body)


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose batch it is, and how it came."""

    client: Client
    channel: str
    key: str | None = None
    reference: str | None = None


class LineBatch:
    """Submits lines as they come, all at once, so that the door commits them together; answers in their order."""

    def __init__(self, door: DoorLike, sender: Sender, max_line: int) -> None:
        self._door = door
        self._sender = sender
        self._max_line = max_line
        self._answers: list[tuple[int, asyncio.Future[Answer] | Answer | Trouble]] = []

    @property
    def full(self) -> bool:
        """No further line is taken."""
        return len(self._answers) >= MAX_LINES

    def add(self, line: Line) -> None:
        """Submit a line; its answer comes later."""
        if line.body is None:
            self._answers.append((line.number, Answer.refused([too_large(self._max_line)], None)))
            return
        sender = self._sender
        key = None if sender.key is None else f"{sender.key}/{line.number}"
        submission = Submission(sender.client, LINE_TYPE, line.body, sender.channel, key, sender.reference)
        self._answers.append((line.number, self._entered(submission)))

    def _entered(self, submission: Submission) -> asyncio.Future[Answer] | Answer | Trouble:
        try:
            return self._door.enter(submission)
        except Unavailable:
            return Trouble.UNAVAILABLE
        except Exception as error:
            return self._broke(error)

    def _broke(self, error: Exception) -> Trouble:
        log.error("line.broke", client=self._sender.client.id, exc_info=error)
        return Trouble.INTERNAL

    async def answers(self) -> AsyncIterator[tuple[int, Answer | Trouble]]:
        """(line, answer) in order, once all are there. A line that met trouble harms no other."""
        await self.abandon()
        for number, waiting in self._answers:
            if isinstance(waiting, Answer | Trouble):
                yield number, waiting
                continue
            try:
                yield number, waiting.result()
            except Unavailable:
                yield number, Trouble.UNAVAILABLE
            except Exception as error:
                yield number, self._broke(error)

    async def abandon(self) -> None:
        """Wait for what was submitted, whether or not anybody still wants to know."""
        await asyncio.gather(
            *(one for _, one in self._answers if isinstance(one, asyncio.Future)), return_exceptions=True
        )


def verdict_line(number: int, answer: Answer | Trouble) -> bytes:
    """One line of the answer: the line's number, the HTTP status it would have had alone, and the door's answer."""
    if isinstance(answer, Trouble):
        return b'{"line":%d,"http":%d,"status":"%b"}\n' % (number, answer.value, answer.name.lower().encode())
    return b'{"line":%d,"http":%d,%b\n' % (number, STATUS[answer.verdict], answer.body[1:])


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
        source="ours",
    )
