"""uvicorn, told what this gateway needs: shared ports, slow senders cut off, an end that waits for answers."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final, cast

import structlog
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from adapters.inbound.http.app import Application

HEAD_SECONDS: Final = 10.0
"""A request's head must have arrived whole in this time."""
HEAD_BYTES: Final = 32 << 10
MOST_UNPARSED: Final = 1 << 20
"""Bytes in pieces of a head that is not whole; generous, because the end of a pipelined body may be among them."""
MOST_CONNECTIONS: Final = 4096
KEEP_ALIVE: Final = 30
GRACE: Final = 20
"""Seconds that answers under way may take once the end was asked for."""
BACKLOG: Final = 2048

log = structlog.get_logger("adapters.inbound.http")


class Joined:
    """A transport that sends an answer's head together with its body: one system call and one wake-up less.

    A head waits at most until the event loop's next round, so that a stream's head is not held back.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        """Hold a head back, send anything else with what was held."""
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send what is held."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Close after what is held."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Guarded(HttpToolsProtocol):
    """uvicorn's protocol, which lets a sender take for ever over a request's head, and grow it for ever."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._unparsed = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection owes us a head."""
        super().connection_made(cast(asyncio.Transport, Joined(transport, self.loop)))
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._head = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is owed any more."""
        self._settled()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A further request on the connection owes a head too."""
        super().on_message_begin()
        if self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def on_url(self, url: bytes) -> None:
        """Counts towards the head."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts towards the head."""
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._settled()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """One header, or the address, may come in many pieces: they count before the parser hands them on."""
        super().data_received(data)
        if self._head is not None:
            self._unparsed += len(data)
            if self._unparsed > MOST_UNPARSED:
                self.transport.abort()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self.transport.abort()

    def _settled(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
        self._head_bytes = self._unparsed = 0

    def _too_slow(self) -> None:
        self._head = None
        if not self.transport.is_closing():
            self.transport.abort()


class _Server(Server):
    """uvicorn's server without its signal handlers: the process has other parts to end than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


class HttpServer:
    """One listener in this process."""

    def __init__(self, app: Application, sock: socket.socket) -> None:
        self.port: int = sock.getsockname()[1]
        self._app = app
        self._sock = sock
        config = Config(
            app,
            http=Guarded,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
            backlog=BACKLOG,
        )
        self._server = _Server(config)

    async def run(self) -> None:
        """Serve until `stop`, then drain: answers under way are sent, nothing new is taken."""
        log.info("http.listening", host=self._sock.getsockname()[0], port=self.port)
        await self._server.serve(sockets=[self._sock])

    @property
    def started(self) -> bool:
        """Connections are answered."""
        return self._server.started

    def drain(self) -> None:
        """Take nothing new, but go on telling so: whoever asks for readiness gets 503."""
        self._app.drain()

    def stop(self, grace: int = GRACE) -> None:
        """Ask for the end: `run` returns when answers under way are given, at the latest after `grace` seconds."""
        self.drain()
        self._server.config.timeout_graceful_shutdown = grace
        self._server.should_exit = True


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A listening socket. `shared`: several intake processes of one gateway take the same port (SO_REUSEPORT), and the
    kernel spreads the connections; without it a second gateway on the port is an error, not a surprise.

    Raises OSError, e.g. when another program has the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


async def serve(
    app: Application, host: str, port: int, sock: socket.socket | None = None, *, shared: bool = False
) -> None:
    """Serve on `sock`, or on a new one (see `listen`), until cancelled; then drain."""
    server = HttpServer(app, listen(host, port, shared=shared) if sock is None else sock)
    task = asyncio.create_task(server.run())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        server.stop()
        await task
        raise
