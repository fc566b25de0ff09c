"""A batch over HTTP: one JSON declaration a line in, one verdict a line out, in order."""

import asyncio
import time
from typing import Final

import structlog

from adapters.inbound.http.intake import Gone, Request
from adapters.inbound.http.problem import Problem, Receive, Send, respond
from adapters.inbound.http.shares import Shares
from adapters.inbound.lines import MAX_BYTES, DoorLike, LineBatch, Sender, Splitter, not_read_line, verdict_line
from gateway.ports import Unavailable
from gateway.reading import IntakeObserver
from gateway.runtime.answers import Answer
from gateway.runtime.pauses import Pauses
from gateway.runtime.quotas import Quotas

SECONDS: Final = 120.0
"""A batch must have arrived whole in this time."""
MOST_AT_ONCE: Final = 16
"""Batches that are read at a time; each may have 64 MiB."""
MOST_OF_ONE: Final = 4
"""Of one client."""

log = structlog.get_logger("adapters.inbound.http")


class Batches:
    """Reads a batch whole while its lines are already being committed, then answers: full duplex would let a client
    that only writes, and a gateway that only answers, wait for each other."""

    def __init__(self, door: DoorLike, quotas: Quotas, observer: IntakeObserver, max_bytes: int) -> None:
        self._door = door
        self._quotas = quotas
        self._observer = observer
        self._max_bytes = max_bytes
        self._shares = Shares(MOST_AT_ONCE, MOST_OF_ONE)

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """One batch. Raises Problem 401, 408, 413, 429 or 503, Gone, Unavailable."""
        if request.length is not None and request.length > MAX_BYTES:
            raise Problem("too-large", f"A batch has at most {MAX_BYTES >> 20} MiB; nothing was accepted.")
        with self._shares.one(request.client.id):
            sender = Sender(request.client, "http", request.key, request.reference)
            batch = LineBatch(self._door, sender, self._max_bytes, self._quotas)
            started = time.perf_counter()
            try:
                ended_at = await self._read(batch, request, receive)
                await self._answer(batch, ended_at, send, started)
            except (Gone, Problem, Unavailable):
                await batch.abandon()
                raise

    async def _read(self, batch: LineBatch, request: Request, receive: Receive) -> int | None:
        """Submit the lines as they come; the number of the first line not read, None when all were."""
        splitter = Splitter(self._max_bytes)
        pauses = Pauses()
        size = 0
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    size += len(message.get("body", b""))
                    batch.client = await request.known_now()  # what it may do can change while its lines come
                    for line in splitter.feed(message.get("body", b"")):
                        if batch.full or size > MAX_BYTES:
                            return line.number
                        batch.add(line)
                        if pauses.due:
                            await pauses.between()
                    if size > MAX_BYTES:
                        return splitter.number
                    if not message.get("more_body"):
                        break
                    await pauses.between()  # a piece that ends no line is work, too
        except TimeoutError:
            raise Problem(
                "timeout", "The batch did not arrive whole in time. Send it again: what is on file is not taken twice."
            ) from None
        else:
            for line in splitter.end():
                if batch.full:
                    return line.number
                batch.add(line)
            return None
        finally:  # a line that never ended, those over the quota: every byte that came counts
            self._quotas.count(batch.client, size - batch.counted, declarations=0)

    async def _answer(self, batch: LineBatch, ended_at: int | None, send: Send, started: float) -> None:
        answers = [one async for one in batch.answers()]
        for _, answer in answers:
            if isinstance(answer, Answer):
                self._observer.received("http", answer.verdict, time.perf_counter() - started)
        verdicts = [verdict_line(number, answer) for number, answer in answers]
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if ended_at is not None:
            verdicts.append(not_read_line(ended_at))
            headers = ((b"connection", b"close"),)
        await respond(send, 200, b"application/x-ndjson", b"".join(verdicts), headers)
        log.info("batch.answered", lines=len(answers), seconds=round(time.perf_counter() - started, 3))
