"""POST /v1/declarations on bare ASGI: authenticate, count the bytes, hand them to the door, answer.

FastAPI's own request handling costs more than half of what this route may cost (ops/decisions has the figures).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from adapters.inbound.http.credentials import authenticated, known
from adapters.inbound.http.heads import MAX_REFERENCE, Heads
from adapters.inbound.http.problem import (
    JSON,
    Problem,
    Receive,
    Scope,
    Send,
    internal,
    respond,
    respond_problem,
    unavailable,
)
from adapters.inbound.http.shares import Shares
from adapters.inbound.lines import STATUS, DoorLike
from adapters.inbound.media_types import DOCUMENTS_AND_BATCHES, NDJSON, dialect
from gateway.core.admission import Verdict
from gateway.core.faults import Refused, Severity
from gateway.ports import Unavailable
from gateway.reading import Authenticator, IntakeObserver
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client, Submission
from gateway.runtime.door_faults import too_large

PATH: Final = "/v1/declarations"
BODY_SECONDS: Final = 30.0
"""A declaration must have arrived whole in this time."""
MOST_IN_FLIGHT: Final = 2000
"""Declarations that are read and judged at a time; whoever shows no key is never among them."""
MOST_OF_ONE: Final = 500
"""Of one client."""

log = structlog.get_logger("adapters.inbound.http")


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request, understood."""

    client: Client
    media_type: str
    key: str | None
    reference: str | None
    length: int | None


Batch = Callable[[Request, Receive, Send], Awaitable[None]]


class Intake:
    """The route. One object per process."""

    def __init__(
        self, door: DoorLike, clients: Authenticator, observer: IntakeObserver, batch: Batch, max_bytes: int
    ) -> None:
        self._door = door
        self._clients = clients
        self._observer = observer
        self._batch = batch
        self._max_bytes = max_bytes
        self._shares = Shares(MOST_IN_FLIGHT, MOST_OF_ONE)
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. What was not read of its body is the server's to pass over, after the answer."""
        if self.draining:
            await respond_problem(send, unavailable(), PATH, close=True)
            return
        body = Body(receive)
        try:
            heads = Heads(scope)
            client = await authenticated(self._clients, heads.get(b"authorization"))
            known(scope)
            with self._shares.one(client.id):
                await self._handle(understood(client, heads), body, send)
        except Problem as problem:
            await respond_problem(send, problem, PATH, close=not body.done)
        except Unavailable as trouble:
            log.warning("intake.unavailable", reason=str(trouble))
            await respond_problem(send, unavailable(), PATH, close=not body.done)
        except Gone:
            return
        except Exception as error:
            log.error("intake.broke", exc_info=error)
            await respond_problem(send, internal(), PATH, close=not body.done)

    async def _handle(self, request: Request, receive: "Body", send: Send) -> None:
        if request.media_type == NDJSON:
            await self._batch(request, receive, send)
            return
        if request.length is not None and request.length > self._max_bytes:
            raise problem_of(Answer.refused([too_large(self._max_bytes)], request.reference))
        body = await whole_body(receive, self._max_bytes)
        if body is None:
            raise problem_of(Answer.refused([too_large(self._max_bytes)], request.reference))
        started = time.perf_counter()
        answer = await self._door.submit(
            Submission(request.client, request.media_type, body, "http", request.key, request.reference)
        )
        self._observer.received("http", answer.verdict, time.perf_counter() - started)
        if answer.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            await respond(send, STATUS[answer.verdict], JSON, answer.body)
            return
        problem = problem_of(answer)
        log.info("declaration.refused", client=request.client.id, http=problem.status, codes=codes(answer))
        await respond_problem(send, problem, PATH)


def understood(client: Client, heads: Heads) -> Request:
    """The head of a client's request. Raises Problem 400, 415."""
    heads.check()
    heads.check_codings()
    try:
        media_type = dialect(heads.get(b"content-type", b"").decode("latin-1"), DOCUMENTS_AND_BATCHES)
    except Refused as refused:
        raise problem_of(Answer.refused(refused.faults, None)) from None
    length = heads.get(b"content-length")
    return Request(
        client=client,
        media_type=media_type,
        key=heads.text(b"idempotency-key"),
        reference=heads.text(b"origin-reference", MAX_REFERENCE),
        length=int(length) if length and length.isdigit() else None,
    )


class Body:
    """The request's body as it comes, and whether all of it came: asking for more after the end waits for ever."""

    __slots__ = ("_receive", "done")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.done = False

    async def __call__(self) -> MutableMapping[str, Any]:
        """The next message of the server."""
        message = await self._receive()
        self.done = message["type"] == "http.disconnect" or not message.get("more_body")
        return message


class Gone(Exception):
    """The sender hung up before the document was whole: nobody waits for an answer."""


async def whole_body(receive: Receive, limit: int) -> bytes | None:
    """The body; None when it is larger than `limit` bytes. Raises Problem 408, Gone."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            body: bytes = message.get("body", b"")
            if not message.get("more_body"):
                return body if len(body) <= limit else None
            parts, size = [body], len(body)
            while message.get("more_body") and size <= limit:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                parts.append(message.get("body", b""))
                size += len(parts[-1])
    except TimeoutError:
        raise slow() from None
    return b"".join(parts) if size <= limit else None


def slow() -> Problem:
    """The sender took too long."""
    return Problem("timeout", "The document did not arrive whole in time; nothing was accepted. Send it again.")


def problem_of(answer: Answer) -> Problem:
    """A refusal or conflict of the door as a problem document with every fault."""
    content = answer.content
    faults = content["faults"]
    more: dict[str, Any] = {"reference": content["reference"], "errors": faults}
    if "id" in content:
        more["id"] = content["id"]
    if answer.verdict is Verdict.CONFLICT:
        return Problem("declaration-conflict", faults[0]["message"], more)
    kinds = {fault["code"] for fault in faults}
    if len(faults) == 1 and kinds & {"DOC-TOO-LARGE", "XML-SIZE"}:
        return Problem("too-large", faults[0]["message"], more)
    if kinds == {"DOC-MEDIA-TYPE"}:
        return Problem("unsupported-media-type", faults[0]["message"], more)
    grave = sum(fault["severity"] == Severity.REFUSE for fault in faults)
    count = "One fault" if grave == 1 else f"{grave} faults"
    return Problem("declaration-refused", f"{count} found; nothing was kept. Correct and send again.", more)


def codes(answer: Answer) -> list[str]:
    """The codes of a refusal, for the log."""
    return sorted({fault["code"] for fault in answer.content.get("faults", ())})
