"""The whole HTTP application: probes and the hot route on bare ASGI, FastAPI behind them for everything else."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from adapters.inbound.http import admin, docs, reads
from adapters.inbound.http.batch import Batches
from adapters.inbound.http.credentials import authenticated, known, opens
from adapters.inbound.http.heads import Heads
from adapters.inbound.http.intake import BODY_SECONDS, PATH, Intake, slow
from adapters.inbound.http.problem import (
    JSON,
    PROBLEM,
    SECURITY,
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
from adapters.inbound.http.shares import Shares
from adapters.inbound.lines import DoorLike
from gateway.core.faults import Severity
from gateway.operations import Operations, Refusal
from gateway.ports import Clock, Unavailable
from gateway.reading import Authenticator, IntakeObserver, Reader, StatusFeed
from gateway.runtime.quotas import Quotas
from gateway.runtime.shared import Shared

TITLE: Final = "origin-gateway"
VERSION: Final = "1"
MAX_OTHER: Final = 8 << 20
"""Largest body of an operator's route, bytes."""
MAX_COMMAND: Final = 64 << 10
"""Largest body of any other route, bytes."""
METRICS_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
METRICS_KEPT: Final = 1.0
"""Seconds in which everybody who asks gets the same metrics."""
PAGES: Final = ("/docs", "/redoc")
CLIENTS: Final = "/v1/"
"""Below it every route asks for a key."""
MOST_READS: Final = 256
"""Requests of clients' reads and commands in hand at a time; streams have a limit of their own."""
MOST_READS_OF_ONE: Final = 64

log = structlog.get_logger("adapters.inbound.http")


@dataclass(frozen=True, slots=True)
class Deps:
    """What the application needs of the gateway."""

    door: DoorLike
    clients: Authenticator
    quotas: Quotas
    reader: Reader
    feed: StatusFeed
    command: reads.Command
    operations: Operations
    operator_key: str
    observer: IntakeObserver
    registry: CollectorRegistry
    ready: Callable[[], Awaitable[Sequence[str]]]
    """What keeps this process from serving, one short sentence each; empty: ready. Must answer within seconds."""
    clock: Clock
    max_bytes: int


class Application:
    """The ASGI application."""

    def __init__(self, deps: Deps, app: FastAPI) -> None:
        self._deps = deps
        self._app = app
        batch = Batches(deps.door, deps.quotas, deps.observer, deps.max_bytes)
        self._intake = Intake(deps.door, deps.clients, deps.quotas, deps.observer, batch, deps.max_bytes)
        self._reads = Shares(MOST_READS, MOST_READS_OF_ONE)
        self._metrics = Shared(lambda: asyncio.to_thread(generate_latest, deps.registry), METRICS_KEPT)

    def drain(self) -> None:
        """Take nothing new: readiness fails, declarations get 503, event streams end."""
        self._intake.draining = True
        self._deps.feed.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if self._intake.draining:
            send = _closing(send)
        path = scope["path"]
        if path == PATH and scope["method"] == "POST":
            await self._intake(scope, receive, send)
        elif path == "/livez":
            await respond(send, 200, JSON, b'{"alive":true}')
        elif path == "/readyz":
            await self._ready(send)
        elif path == "/metrics":
            await respond(send, 200, METRICS_TYPE, await self._metrics())
        else:
            await self._other(scope, receive, send)

    async def _ready(self, send: Send) -> None:
        troubles: Sequence[str] = ["The gateway is closing."] if self._intake.draining else await self._deps.ready()
        body = orjson.dumps({"ready": not troubles, "troubles": list(troubles)})
        await respond(send, 503 if troubles else 200, JSON, body)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.ExitStack() as held:
            try:
                await self._admit(scope, held)
            except Problem as problem:
                await respond_problem(send, problem, scope["path"], close=True)
            except Unavailable as trouble:
                log.warning("http.unavailable", reason=str(trouble))
                await respond_problem(send, unavailable(), scope["path"], close=True)
            else:
                await self._framework(scope, receive, send)

    async def _admit(self, scope: Scope, held: contextlib.ExitStack) -> None:
        """FastAPI would read a body before it looks at the key. Raises Problem 400, 401, 429, 503, and Unavailable."""
        path = scope["path"]
        if not path.startswith(CLIENTS):
            return
        heads = Heads(scope)
        key = heads.get(b"authorization")
        if path.startswith(admin.PREFIX):
            if not opens(key, self._deps.operator_key):
                raise unauthorized()
        else:
            client = await authenticated(self._deps.clients, key)
            if path != reads.EVENTS:
                held.enter_context(self._reads.one(client.id))
        heads.check()
        known(scope)

    async def _framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI, with the headers every answer carries and a limit on what it reads."""
        started = whole = False
        size = 0
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        headers = dict(scope["headers"])
        body_to_come = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        limit = MAX_OTHER if scope["path"].startswith(admin.PREFIX) else MAX_COMMAND

        async def limited() -> MutableMapping[str, Any]:
            nonlocal size, whole
            try:
                async with asyncio.timeout_at(None if whole else deadline):
                    message = await receive()
            except TimeoutError:
                raise slow() from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body")
            if size > limit:
                raise Problem("too-large", f"At most {limit >> 10} KiB are read here.")
            return message

        async def guarded(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                page = scope["path"] in PAGES
                fixed = [(n, docs.PAGES_POLICY if page and n == b"content-security-policy" else v) for n, v in SECURITY]
                message["headers"] = [*message.get("headers", ()), *fixed]
                if self._intake.draining or (body_to_come and not whole):
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            with contextlib.ExitStack() as scope[reads.HELD]:
                await self._app(scope, limited, guarded)
        except Problem as problem:
            if not started:
                await respond_problem(send, problem, scope["path"], close=True)
        except Exception as error:
            if not started:
                await respond_problem(send, internal(), scope["path"], close=body_to_come and not whole)
            log.error("http.broke", method=scope["method"], exc_info=error)


def _closing(send: Send) -> Send:
    """Answers end their connection: the next request is another process's."""

    async def closing(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if not any(name == b"connection" for name, _ in headers):
                headers.append((b"connection", b"close"))
            message["headers"] = headers
        await send(message)

    return closing


def create_app(deps: Deps) -> Application:
    """The application, ready to be served."""
    parts = reads.Reads(deps.clients, deps.quotas, deps.reader, deps.feed, deps.command, deps.clock)
    app = _fastapi(parts, deps.operations, deps.operator_key)
    return Application(deps, app)


def document() -> dict[str, Any]:
    """The OpenAPI document; it depends on nothing that runs."""
    nothing: Any = None
    return _fastapi(reads.Reads(nothing, nothing, nothing, nothing, nothing, nothing), nothing, "").openapi()


def _fastapi(parts: reads.Reads, operations: Operations, operator_key: str) -> FastAPI:
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description=docs.ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # `docs.add_pages` has them, and writes them once
        redirect_slashes=False,  # it would take the address from the Host header
    )
    app.include_router(docs.declarations())
    app.include_router(reads.router(parts))
    app.include_router(admin.router(operations, operator_key))
    docs.add_pages(app)
    generated = app.openapi
    app.openapi = lambda: docs.complete(generated())  # type: ignore[method-assign]
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _internal)
    return app


def _answer(problem: Problem, request: Request) -> Response:
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    body = problem.body(request.url.path)
    return Response(body, problem.status, headers=headers, media_type=PROBLEM.decode())


async def _problem(request: Request, error: Exception) -> Response:
    return _answer(error, request) if isinstance(error, Problem) else Response(status_code=500)


async def _refusal(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        return Response(status_code=500)
    return _answer(Problem("refused", error.message, {"code": error.code, "remedy": error.remedy}), request)


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("http.unavailable", reason=str(error))
    return _answer(unavailable(), request)


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong with parameters or a small body: where and why, never the value."""
    errors = []
    if isinstance(error, RequestValidationError):
        errors = [
            {
                "code": "REQUEST",
                "path": "/" + "/".join(map(str, one["loc"])),
                "message": _plain(one),
                "severity": Severity.REFUSE,
            }
            for one in error.errors()[:50]
        ]
    return _answer(Problem("bad-request", "Parameters or body are not as documented.", {"errors": errors}), request)


def _plain(error: Any) -> str:
    """pydantic's sentence, unless it may quote what was sent."""
    quoting = error["type"] in ("value_error", "assertion_error", "json_invalid") or error["type"].startswith("uuid_")
    return "This is not valid." if quoting else f"{error['msg']}."


async def _internal(request: Request, error: Exception) -> Response:
    """Our mistake; `Application` logs it, by type and place."""
    return _answer(internal(), request)


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind, detail = {
        404: ("not-found", "There is nothing at this address; /docs lists what there is."),
        405: ("method-not-allowed", "This address does not answer to this method; /docs lists what it does."),
    }.get(status, ("bad-request", "The request can't be understood."))
    return _answer(Problem(kind, detail), request)
