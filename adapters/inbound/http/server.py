"""uvicorn, told what this gateway needs: shared ports, slow senders cut off, an end that waits for answers."""

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import structlog
from uvicorn import Config, Server

from adapters.inbound.http.app import Application
from adapters.inbound.http.guarded import KEEP_ALIVE, Guarded
from gateway.runtime.connections import Connections

MOST_CONNECTIONS: Final = 4096
"""Open at a time, if the machine lets this process have as many files."""
FILES_FOR_OTHERS: Final = 512
"""Files that are never connections: the database's, Kafka's, documents, folders."""
STRANGERS_PER_ADDRESS: Final = 256
GRACE: Final = 20
"""Seconds that answers under way may take once the end was asked for."""
BACKLOG: Final = 2048

log = structlog.get_logger("adapters.inbound.http")


class _Server(Server):
    """uvicorn's server without its signal handlers: the process has other parts to end than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


class HttpServer:
    """One listener in this process."""

    def __init__(
        self, app: Application, sock: socket.socket, *, strangers_per_address: int = STRANGERS_PER_ADDRESS
    ) -> None:
        """`strangers_per_address`: see `gateway.runtime.connections`."""
        self.port: int = sock.getsockname()[1]
        self.connections: Connections[Guarded] = Connections(most_connections(), strangers_per_address, time.monotonic)
        self._app = app
        self._sock = sock
        # uvicorn asks for a class; it only calls it.
        guarded: Any = partial(Guarded, self.connections)
        config = Config(
            app,
            http=guarded,
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


def most_connections() -> int:
    """How many may be open: as many as the process can have files for. Its soft limit is raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + FILES_FOR_OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - FILES_FOR_OTHERS
    if room < MOST_CONNECTIONS:
        log.warning("http.few_files", count=max(room, soft // 2))
    return min(MOST_CONNECTIONS, max(room, soft // 2))


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
