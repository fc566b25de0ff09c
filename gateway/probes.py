"""/metrics, /livez and /readyz of a process that has no door: a listener of its own (ORIGIN_METRICS_PORT).

In a thread: where the event loop stands still, its metrics can still be read, and /livez says so.
"""

import asyncio
import concurrent.futures
import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.runtime.connections import Connections

Ready = Callable[[], Awaitable[Sequence[str]]]
ANSWER = 5.0
"""Seconds the event loop may take."""
MOST_CONNECTIONS = 64
MOST_OF_ONE_ADDRESS = 16
METRICS_KEPT = 1.0
"""Seconds in which everybody who asks gets the same metrics."""

log = structlog.get_logger("gateway.probes")


class Probes:
    """A listener. `port` is the one it got."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, ready: Ready) -> None:
        """Made inside the event loop that it is to watch. `ready`: what keeps the process from its work, in sentences.
        Raises OSError when another program has the port."""
        loop = asyncio.get_running_loop()
        kind = _Server6 if ":" in host else _Server
        self._server = kind((host, port), partial(_Handler, _Written(registry), ready, loop))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="origin-probes", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No answers any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    """A thread for each connection, and so many of them: beyond that the oldest goes, a new one always gets in."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._lock = threading.Lock()
        self._open: Connections[socket.socket] = Connections(MOST_CONNECTIONS, MOST_OF_ONE_ADDRESS, time.monotonic)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A new connection, in the listener's thread."""
        with self._lock:
            gone = self._open.enter(request, client_address[0])
        for one in gone:
            with contextlib.suppress(OSError):  # it went by itself meanwhile
                one.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """It is answered, or gone; in its own thread."""
        with self._lock:
            self._open.leave(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up in the middle is no news, and would fill the log."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("probes.broke", exc_info=error)


class _Server6(_Server):
    from socket import AF_INET6 as address_family


class _Written:
    """The metrics as text, written once for all who ask within a moment."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._until = 0.0
        self._text = b""

    def __call__(self) -> bytes:
        with self._lock:
            if time.monotonic() >= self._until:
                self._text = generate_latest(self._registry)
                self._until = time.monotonic() + METRICS_KEPT
            return self._text


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    """Seconds a request's head may take."""
    server_version = "origin"
    sys_version = ""

    def __init__(self, metrics: _Written, ready: Ready, loop: asyncio.AbstractEventLoop, *more: Any) -> None:
        self._metrics = metrics
        self._ready = ready
        self._loop = loop
        super().__init__(*more)

    def do_GET(self) -> None:
        """One of three addresses."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, self._metrics(), CONTENT_TYPE_LATEST)
        elif path == "/livez":
            alive = self._asked(_nothing) is not None
            self._answer(200 if alive else 503, json.dumps({"alive": alive}).encode())
        elif path == "/readyz":
            troubles = self._asked(self._ready)
            said = ["The process stands still."] if troubles is None else list(troubles)
            self._answer(503 if said else 200, json.dumps({"ready": not said, "troubles": said}).encode())
        else:
            self._answer(404, b'{"detail":"Here are /metrics, /livez and /readyz."}')

    def _asked(self, question: Ready) -> Sequence[str] | None:
        """What the event loop says; None: nothing, in time."""

        async def ask() -> Sequence[str]:
            return await question()

        coroutine = ask()
        try:
            asked = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # closed
            coroutine.close()
            return None
        try:
            return asked.result(ANSWER)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            asked.cancel()
            return None

    def _answer(self, status: int, body: bytes, media_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news."""


async def _nothing() -> Sequence[str]:
    return ()
