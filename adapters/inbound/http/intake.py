"""POST /v1/declarations on bare ASGI: authenticate, count the bytes, hand them to the door, answer.

FastAPI's own request handling costs more than half of what this route may cost (ops/decisions has the figures).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

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
from adapters.inbound.lines import STATUS, DoorLike, drafts_only
from adapters.inbound.media_types import DOCUMENTS_AND_BATCHES, NDJSON, dialect
from gateway.core.admission import Verdict
from gateway.core.faults import Refused, Severity
from gateway.core.quotas import Over, Quota
from gateway.ports import Unavailable
from gateway.reading import Authenticator, IntakeObserver
from gateway.runtime.answers import ON_FILE, Answer, fault_data
from gateway.runtime.door import Client, Submission
from gateway.runtime.door_faults import over_quota, too_large
from gateway.runtime.quotas import Quotas

PATH: Final = "/v1/declarations"
BODY_SECONDS: Final = 30.0
"""A declaration must have arrived whole in this time."""
MOST_IN_FLIGHT: Final = 2000
"""Declarations that are read and judged at a time; whoever shows no key is never among them."""
MOST_OF_ONE: Final = 500
"""Of one client."""
DRAFTS_AGAIN: Final = b"60"
"""Seconds: drafts become fewer when they are declared, not by waiting."""

log = structlog.get_logger("adapters.inbound.http")


class Request(NamedTuple):
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
            known_now = partial(authenticated, self._clients, heads.get(b"authorization"))
            client = await known_now()
            known(scope)
            with self._shares.one(client.id):
                await self._handle(understood(client, known_now, heads), body, send)
        except Problem as problem:
            # Of a flood nothing is read: the server passes over what still comes of one declaration.
            flood = problem.kind == "too-many" and _short(scope, self._max_bytes)
            await respond_problem(send, problem, PATH, close=not (body.done or flood))
        except Unavailable as trouble:
            log.warning("intake.unavailable", reason=str(trouble))
            await respond_problem(send, unavailable(), PATH, close=not body.done)
        except Gone:
            return
        except asyncio.CancelledError:  # the server ends, and cuts off what is not answered yet
            with suppress(Exception):
                await respond_problem(send, unavailable(), PATH, close=True)
        except Exception as error:
            log.error("intake.broke", exc_info=error)
            await respond_problem(send, internal(), PATH, close=not body.done)

    async def _handle(self, request: Request, receive: "Body", send: Send) -> None:
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
        if answer.verdict in ON_FILE:
            await respond(send, STATUS[answer.verdict], JSON, answer.body)
            return
        problem = problem_of(answer)
        log.info("declaration.refused", client=request.client.id, http=problem.status, codes=codes(answer))
        await respond_problem(send, problem, PATH)


def understood(client: Client, known_now: Callable[[], Awaitable[Client]], heads: Heads) -> Request:
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
    if answer.verdict is Verdict.INTERNAL:
        return Problem("internal", faults[0]["message"], {**more, "kept": content["kept"]})
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


def _short(scope: Scope, most: int) -> bool:
    """Does the request say that its body is one declaration's at most, and comes whatever the answer is?"""
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    return length.isdigit() and int(length) <= most and b"expect" not in headers
