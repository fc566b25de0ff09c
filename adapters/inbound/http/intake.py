"""POST /v1/declarations on bare ASGI: authenticate, count the bytes, hand them to the door, answer.

FastAPI's own request handling costs more than half of what this route may cost (ops/decisions has the figures).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from adapters.inbound.http.problem import (
    JSON,
    Problem,
    Receive,
    Scope,
    Send,
    internal,
    respond,
    respond_problem,
    unauthorized,
    unavailable,
)
from adapters.inbound.lines import STATUS, DoorLike, drafts_only
from gateway.core.admission import Verdict
from gateway.core.faults import Severity
from gateway.core.quotas import Over, Quota
from gateway.ports import Unavailable
from gateway.reading import Authenticator, IntakeObserver
from gateway.runtime.answers import Answer, fault_data
from gateway.runtime.door import Client, Submission
from gateway.runtime.door_faults import over_quota, too_large, unknown_media_type
from gateway.runtime.quotas import Quotas

PATH: Final = "/v1/declarations"
NDJSON: Final = "application/x-ndjson"
MEDIA_TYPES: Final = {
    b"application/xml": "application/xml",
    b"text/xml": "application/xml",
    b"application/json": "application/json",
    b"application/x-ndjson": NDJSON,
}
BODY_SECONDS: Final = 30.0
"""A declaration must have arrived whole in this time."""
MOST_IN_FLIGHT: Final = 2000
DRAIN_BYTES: Final = 64 << 20
DRAIN_SECONDS: Final = 5.0
DRAFTS_AGAIN: Final = b"60"
"""Seconds: drafts become fewer when they are declared, not by waiting."""
MAX_TEXT: Final = 255
MAX_REFERENCE: Final = 100
"""Characters of the ERP's own reference, in a header as in a document."""

log = structlog.get_logger("adapters.inbound.http")


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request, understood."""

    client: Client
    media_type: str
    key: str | None
    reference: str | None
    length: int | None
    known_now: Callable[[], Awaitable[Client]]
    """The client as it is known now, while its body is still coming. Raises Problem 401 when its key was revoked."""


Batch = Callable[[Request, Receive, Send], Awaitable[None]]


class Intake:
    """The route. One object per process."""

    def __init__(
        self,
        door: DoorLike,
        clients: Authenticator,
        quotas: Quotas,
        observer: IntakeObserver,
        batch: Batch,
        max_bytes: int,
    ) -> None:
        self._door = door
        self._clients = clients
        self._quotas = quotas
        self._observer = observer
        self._batch = batch
        self._max_bytes = max_bytes
        self._in_flight = 0
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self.draining or self._in_flight >= MOST_IN_FLIGHT:
            await respond_problem(send, unavailable(), PATH, close=True)
            return
        self._in_flight += 1
        body = Body(receive)
        try:
            await self._handle(scope, body, send)
        except Problem as problem:
            if problem.kind == "too-many":  # of a flood nothing is read; the server passes over what still comes
                await respond_problem(send, problem, PATH, close=not _short(scope, self._max_bytes))
                return
            await _drain(scope, body)
            await respond_problem(send, problem, PATH, close=problem.status in (408, 413))
        except Unavailable as trouble:
            log.warning("intake.unavailable", reason=str(trouble))
            await respond_problem(send, unavailable(), PATH)
        except Gone:
            return
        except Exception as error:
            log.error("intake.broke", exc_info=error)
            await respond_problem(send, internal(), PATH)
        finally:
            self._in_flight -= 1

    async def _handle(self, scope: Scope, receive: "Body", send: Send) -> None:
        request = await self._understood(scope)
        client = request.client
        if over := self._quotas.full(client, Quota.CONNECTIONS):
            raise too_many(over)
        with self._quotas.held(client, Quota.CONNECTIONS):
            if request.media_type == NDJSON:
                if over := self._quotas.room(client):
                    self._quotas.refused(client, over)
                    raise too_many(over)
                await self._batch(request, receive, send)
                return
            if over := self._quotas.enter(client):
                raise too_many(over)
            await self._one(request, receive, send)

    async def _one(self, request: Request, receive: "Body", send: Send) -> None:
        """One declaration, which is counted already, but for its bytes."""
        if request.length is not None and request.length > self._max_bytes:
            raise problem_of(Answer.refused([too_large(self._max_bytes)], request.reference))
        body = await whole_body(receive, self._max_bytes)
        if body is None:
            raise problem_of(Answer.refused([too_large(self._max_bytes)], request.reference))
        self._quotas.count(request.client, len(body), declarations=0)
        started = time.perf_counter()
        try:
            answer = await self._door.submit(
                Submission(request.client, request.media_type, body, "http", request.key, request.reference)
            )
        except Unavailable:
            self._quotas.uncount(request.client, len(body))
            raise
        self._observer.received("http", answer.verdict, time.perf_counter() - started)
        if answer.verdict in (Verdict.ACCEPTED, Verdict.DUPLICATE):
            await respond(send, STATUS[answer.verdict], JSON, answer.body)
            return
        problem = problem_of(answer)
        log.info("declaration.refused", client=request.client.id, http=problem.status, codes=codes(answer))
        await respond_problem(send, problem, PATH)

    async def _understood(self, scope: Scope) -> Request:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        known_now = partial(authenticated, self._clients, headers.get(b"authorization"))
        client = await known_now()
        if (encoding := headers.get(b"content-encoding")) is not None and encoding.strip().lower() != b"identity":
            raise Problem("unsupported-media-type", "Send the document uncompressed: no Content-Encoding is read.")
        length = headers.get(b"content-length")
        key = headers.get(b"idempotency-key")
        reference = headers.get(b"origin-reference")
        return Request(
            client=client,
            media_type=_media_type(headers.get(b"content-type", b"")),
            key=None if key is None else _text(key, "Idempotency-Key").strip('"') or None,
            reference=None if reference is None else _text(reference, "Origin-Reference", MAX_REFERENCE),
            length=None if length is None else int(length),
            known_now=known_now,
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


async def authenticated(clients: Authenticator, header: bytes | None) -> Client:
    """The client whose key is in the Authorization header. Raises Problem 401, Unavailable."""
    if header is None or header[:7].lower() != b"bearer ":
        raise unauthorized()
    client = await clients.authenticate(header[7:].strip().decode("latin-1"))
    if client is None:
        raise unauthorized()
    return client


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


def too_many(over: Over) -> Problem:
    """The client has its quota: when to come again."""
    fault = fault_data(over_quota(over))
    more = {"code": fault["code"], "remedy": fault["remedy"], "errors": [fault]}
    return Problem("too-many", fault["message"], more, ((b"retry-after", str(over.seconds).encode()),))


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
    if drafts_only(faults):
        return Problem("too-many", faults[0]["message"], more, ((b"retry-after", DRAFTS_AGAIN),))
    if kinds == {"DOC-MEDIA-TYPE"}:
        return Problem("unsupported-media-type", faults[0]["message"], more)
    grave = sum(fault["severity"] == Severity.REFUSE for fault in faults)
    count = "One fault" if grave == 1 else f"{grave} faults"
    return Problem("declaration-refused", f"{count} found; nothing was kept. Correct and send again.", more)


def codes(answer: Answer) -> list[str]:
    """The codes of a refusal, for the log."""
    return sorted({fault["code"] for fault in answer.content.get("faults", ())})


def _media_type(header: bytes) -> str:
    name, _, parameters = header.partition(b";")
    media_type = MEDIA_TYPES.get(name.strip().lower())
    charset = parameters.strip().lower()
    if charset.startswith(b"charset=") and charset[8:].strip(b'" ') not in (b"utf-8", b"utf8", b"us-ascii"):
        raise Problem("unsupported-media-type", "Send the document in UTF-8.")
    if media_type is None:
        raise problem_of(Answer.refused([unknown_media_type(("application/xml", "application/json", NDJSON))], None))
    return media_type


def _text(value: bytes, header: str, longest: int = MAX_TEXT) -> str:
    try:
        text = value.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if not 0 < len(text) <= longest or not text.isprintable():
        raise Problem("bad-request", f"{header} must be 1 to {longest} printable characters in UTF-8.")
    return text


def _short(scope: Scope, most: int) -> bool:
    """Does the request say that its body is one declaration's at most?"""
    length = dict(scope["headers"]).get(b"content-length", b"")
    return length.isdigit() and int(length) <= most


async def _drain(scope: Scope, body: Body) -> None:
    """Read what is still coming, so that the sender gets to see the answer; not from one who asked first."""
    if any(name == b"expect" for name, _ in scope["headers"]):
        return
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while left > 0 and not body.done:
                left -= len((await body()).get("body", b""))
    except TimeoutError:
        return
