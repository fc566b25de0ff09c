"""GET /v1/certificates and what is under it, the two commands of the print room, and the event stream.

A certificate of another enterprise is answered as one that does not exist.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from adapters.inbound.http.credentials import authenticated
from adapters.inbound.http.intake import too_many
from adapters.inbound.http.problem import Problem
from gateway.core.decision import Event, EventKind
from gateway.core.messages import ConfirmPrint, Incoming, Part, RequestPrint
from gateway.core.quotas import Quota
from gateway.ports import Clock, Unavailable
from gateway.reading import (
    MAX_PAGE,
    PAGE,
    Authenticator,
    BadCursor,
    CertificateFilter,
    CertificatePage,
    CertificateView,
    Reader,
    Receipts,
    StatusFeed,
    Timeline,
    TooManyReaders,
)
from gateway.runtime.door import Client
from gateway.runtime.ids import new_id
from gateway.runtime.quotas import Quotas
from gateway.runtime.turn import NotHandled

Command = Callable[[Incoming], Awaitable[Sequence[Event]]]
"""Runs one message through a turn and returns what it caused. Raises Unavailable."""

HELD: Final = "origin.held"
"""Where a request's scope keeps what is given back when it is answered: a `contextlib.ExitStack`."""
EVENTS: Final = "/v1/events"
BEARER: Final = HTTPBearer(auto_error=False, description="The key that `origin client add` printed.")
PARTS: Final = {"original": (Part.ORIGINAL,), "copy": (Part.COPY,), "both": (Part.ORIGINAL, Part.COPY)}
FIRST_YEAR, LAST_YEAR = 1900, 9000
"""Beyond them a moment may have no place in UTC."""
WHY_NOT: Final = {
    "print_not_approved": "Customs has not approved this certificate yet.",
    "print_no_layout": "The layouts of customs are not here yet.",
    "print_already_used": "Its print was used already; only an approved exception (打印异常申请) prints it again.",
    "nothing_to_confirm": "No print of this certificate waits for a yes or no.",
}


class Request_(BaseModel):
    """What a person asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PrintRequest(Request_):
    """Print these papers, each at most once (打印正本/副本)."""

    what: Literal["original", "copy", "both"] = "both"


class Confirmation(Request_):
    """Is the paper in your hands? (打印是否成功)"""

    printed: bool
    what: Literal["original", "copy", "both"] = "both"


class Happened(BaseModel):
    """One thing a command caused."""

    kind: Annotated[str, Field(examples=["print_authorised"])]
    data: dict[str, Any]


class Outcome(BaseModel):
    """The certificate after a command, and what the command caused."""

    certificate: CertificateView
    events: list[Happened]


class Reads:
    """The router and what it needs."""

    def __init__(
        self,
        clients: Authenticator,
        quotas: Quotas,
        reader: Reader,
        feed: StatusFeed,
        command: Command,
        clock: Clock,
    ) -> None:
        self._clients = clients
        self._quotas = quotas
        self._reader = reader
        self._feed = feed
        self._command = command
        self._clock = clock

    async def caller(self, request: Request) -> Client:
        """Who asks; one more of its requests until this one is answered. Raises Problem 401, 429."""
        client = await self._known(request)
        self.hold(request, client, Quota.CONNECTIONS)
        return client

    def hold(self, request: Request, client: Client, quota: Quota) -> None:
        """One more of them until this request is answered. Raises Problem 429."""
        if over := self._quotas.full(client, quota):
            raise too_many(over)
        request.scope[HELD].enter_context(self._quotas.held(client, quota))

    async def _known(self, request: Request) -> Client:
        return await authenticated(self._clients, request.headers.get("authorization", "").encode("latin-1"))

    async def watched(self, request: Request, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces of a stream, until the key it was opened with is revoked."""
        async with contextlib.aclosing(pieces) as open_pieces:  # type: ignore[type-var]
            async for piece in open_pieces:
                try:
                    await self._known(request)
                except Problem:
                    return
                except Unavailable:
                    yield b": the database is away; come back with the last event id\n\n"
                    return
                yield piece

    async def find(self, client: Client, name: str) -> CertificateView:
        """A certificate the client may see. Raises Problem 404."""
        found = await self._reader.certificate(client.enterprise, name) if plausible(name) else None
        if found is None:
            raise Problem("not-found", "There is no certificate of this id or number for your enterprise.")
        return found

    async def run(self, client: Client, certificate: CertificateView, message: Incoming) -> Outcome:
        """A command and what it caused. Raises Problem 403, 409."""
        if certificate.applicant != client.enterprise:
            raise Problem("forbidden", "Only the enterprise that declared a certificate prints and confirms it.")
        try:
            events = await self._command(message)
        except NotHandled:
            more = {"code": "PARKED", "id": str(certificate.id)}
            why = "The certificate waits for the operator (origin parked list); try again when it was looked at."
            raise Problem("nothing-changed", why, more) from None
        noted = [event.data.get("what") for event in events if event.kind is EventKind.NOTED]
        if noted or not events:
            why = str(noted[0]) if noted else "too_early"
            detail = WHY_NOT.get(why, "The certificate is not in a state for that; try again in a moment.")
            raise Problem("nothing-changed", detail, {"code": why.upper().replace("_", "-"), "id": str(certificate.id)})
        after = await self.find(client, str(certificate.id))
        return Outcome(certificate=after, events=[Happened(kind=e.kind.value, data=dict(e.data)) for e in events])


def plausible(name: str) -> bool:
    """A UUID or a certificate number; anything else is not looked up."""
    return re.fullmatch(r"[0-9A-Za-z-]{1,64}", name) is not None


def router(parts: Reads) -> APIRouter:
    """The routes of a client."""
    routes = APIRouter(prefix="/v1", dependencies=[Depends(BEARER)])
    Caller = Annotated[Client, Depends(parts.caller)]

    async def found(name: str, client: Caller) -> CertificateView:
        return await parts.find(client, name)

    Found = Annotated[CertificateView, Depends(found)]

    @routes.get("/certificates", tags=["certificates"], summary="Your certificates, newest first")
    async def certificates(
        client: Caller,
        type: Annotated[str | None, Query(max_length=10)] = None,
        status: Annotated[str | None, Query(max_length=40)] = None,
        number: Annotated[str | None, Query(max_length=64)] = None,
        invoice: Annotated[str | None, Query(max_length=100)] = None,
        reference: Annotated[str | None, Query(max_length=255)] = None,
        accepted_from: Annotated[datetime | None, Query(alias="from", description="accepted at or after")] = None,
        accepted_before: Annotated[datetime | None, Query(alias="to", description="accepted before")] = None,
        after: Annotated[UUID | None, Query(description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
    ) -> CertificatePage:
        for text in (type, status, number, invoice, reference):
            if text is not None and not text.isprintable():
                raise Problem("bad-request", "A search text has only printable characters.")
        wanted = CertificateFilter(
            type=type,
            status=status,
            number=number,
            invoice=invoice,
            reference=reference,
            accepted_from=aware(accepted_from),
            accepted_before=aware(accepted_before),
        )
        return await parts._reader.certificates(client.enterprise, wanted, after=after, limit=limit)

    @routes.get("/certificates/{name}", tags=["certificates"], summary="One certificate, by id or number")
    async def certificate(certificate: Found) -> CertificateView:
        return certificate

    @routes.get("/certificates/{name}/timeline", tags=["certificates"], summary="What happened to it, in order")
    async def timeline(certificate: Found, client: Caller) -> Timeline:
        events = await parts._reader.timeline(client.enterprise, certificate.id)
        return Timeline(id=certificate.id, number=certificate.number, status=certificate.status, events=events)

    @routes.get("/certificates/{name}/receipts", tags=["certificates"], summary="What customs sent about it (回执)")
    async def receipts(certificate: Found, client: Caller) -> Receipts:
        rows = await parts._reader.receipts(client.enterprise, certificate.id)
        return Receipts(id=certificate.id, number=certificate.number, receipts=rows)

    @routes.get(
        "/certificates/{name}/receipts/{receipt}",
        tags=["certificates"],
        summary="The bytes of one receipt, as customs sent them",
        response_class=Response,
        responses={200: {"content": {"application/xml": {}}}},
    )
    async def receipt(certificate: Found, client: Caller, receipt: UUID) -> Response:
        content = await parts._reader.receipt_bytes(client.enterprise, certificate.id, receipt)
        if content is None:
            raise Problem("not-found", "There is no such receipt to download.")
        return file(content, "application/xml", f"{receipt}.xml")

    @routes.get(
        "/certificates/{name}/copy.pdf",
        tags=["certificates"],
        summary="The signed copy (副本); the original is printed, never offered for download",
        response_class=Response,
        responses={200: {"content": {"application/pdf": {}}}},
    )
    async def copy(certificate: Found, client: Caller) -> Response:
        content = await parts._reader.copy_file(client.enterprise, certificate.id)
        if content is None:
            raise Problem("not-found", "The copy is not rendered yet; originals are never offered for download.")
        return file(content, "application/pdf", f"{certificate.number}-copy.pdf")

    @routes.post("/certificates/{name}/print", tags=["print room"], summary="Print it, once", status_code=202)
    async def print_(certificate: Found, client: Caller, wish: PrintRequest) -> Outcome:
        message = RequestPrint(
            message_id=new_id(parts._clock.now()),
            certificate_id=certificate.id,
            parts=PARTS[wish.what],
            by=client.id,
        )
        return await parts.run(client, certificate, message)

    @routes.post("/certificates/{name}/confirm", tags=["print room"], summary="Was it printed?")
    async def confirm(certificate: Found, client: Caller, answer: Confirmation) -> Outcome:
        message = ConfirmPrint(
            message_id=new_id(parts._clock.now()),
            certificate_id=certificate.id,
            printed=answer.printed,
            parts=PARTS[answer.what],
            by=client.id,
        )
        return await parts.run(client, certificate, message)

    @routes.get(
        EVENTS.removeprefix("/v1"),
        tags=["events"],
        summary="Status changes as they happen (server-sent events)",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(
        request: Request,
        client: Caller,
        last_event_id: Annotated[str | None, Header(max_length=200)] = None,
        since: Annotated[
            str | None, Query(max_length=200, description="like Last-Event-ID; `0`: from the first that is kept")
        ] = None,
    ) -> StreamingResponse:
        parts.hold(request, client, Quota.STREAMS)
        try:
            pieces = parts._feed.subscribe(client.enterprise, last_event_id or since)
        except BadCursor:
            raise Problem("bad-request", "Last-Event-ID is not one that this stream gave out.") from None
        except TooManyReaders:
            raise Problem("too-many", "Too many streams are open; close some first.") from None
        return StreamingResponse(parts.watched(request, pieces), media_type="text/event-stream")

    return routes


def aware(moment: datetime | None) -> datetime | None:
    """A moment without an offset would mean another hour on another machine. Raises Problem 400."""
    if moment is not None and moment.tzinfo is None:
        raise Problem("bad-request", "Write `from` and `to` with an offset, e.g. 2026-11-22T08:00:00+08:00.")
    if moment is not None and not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise Problem("bad-request", f"`from` and `to` are moments of the years {FIRST_YEAR} to {LAST_YEAR}.")
    return moment


def file(content: bytes, media_type: str, name: str) -> Response:
    """Something to save, never to be shown as a page of ours."""
    return Response(content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
