"""One connection: uvicorn's protocol, for senders that are slow, greedy, many, or never come to an end.

Whatever a sender does or leaves, a clock of its own runs: for the head that is owed, for the rest of a body whose
answer is given already, for an answer that nobody reads; for the next request, as long as nothing comes at all, it is
uvicorn's. While a request is in hand, the route holds the clock.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from adapters.inbound.http.credentials import KNOWN
from adapters.inbound.http.problem import PROBLEM, SECURITY, Problem
from gateway.runtime.connections import Connections

HEAD_SECONDS: Final = 10.0
"""A request's head must have arrived whole in this time."""
HEAD_BYTES: Final = 32 << 10
MOST_UNPARSED: Final = 1 << 20
"""Bytes in pieces of a head that is not whole; generous, because the end of a pipelined body may be among them."""
KEEP_ALIVE: Final = 30
"""Seconds until the next request begins."""
LINGER_SECONDS: Final = 5.0
LINGER_BYTES: Final = 64 << 20
"""What is read of a body whose answer is given already, so that a sender that writes first gets to see the answer."""
UNREAD_SECONDS: Final = 30.0
"""An answer of which nothing is taken in this time is given up."""


class Joined:
    """A transport that sends an answer's head together with its body: one system call and one wake-up less.

    A head waits at most until the event loop's next round, so that a stream's head is not held back.
    """

    def __init__(self, transport: asyncio.Transport, connection: "Guarded") -> None:
        self._transport = transport
        self._connection = connection
        self._head = b""
        self._closing = False

    def write(self, data: bytes) -> None:
        """Hold a head back, send anything else with what was held."""
        if self._closing:
            return
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._connection.loop.call_soon(self.flush)
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
        if not self.is_closing():
            self._closing = True
            self._connection.closing(self._transport)

    def is_closing(self) -> bool:
        """Nothing more is answered on it."""
        return self._closing or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Clock:
    """Ends a connection when its time is over. Who has taken some of an answer meanwhile gets the same time again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    @property
    def runs(self) -> bool:
        """Something is owed."""
        return self._timer is not None

    def start(self, seconds: float) -> None:
        """What is owed now must come in this time."""
        self.stop()
        self._unsent = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(seconds, self._over, seconds)

    def stop(self) -> None:
        """Nothing is owed any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self, seconds: float) -> None:
        if 0 < self._transport.get_write_buffer_size() < self._unsent:
            self.start(seconds)
        else:
            self._transport.abort()


class Guarded(HttpToolsProtocol):
    """See above. It counts as a stranger's among `connections` unless a request with a valid key is in hand."""

    def __init__(
        self,
        connections: "Connections[Guarded]",
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = connections
        self._clock: Clock
        self._unread: Clock
        self._answering: RequestResponseCycle | None = None
        """The request whose answer is due; `cycle` is the last that came."""
        self._extensions = {KNOWN: {"tell": self._known}}
        self._owes_head = True
        self._whole = True
        """No message is under way: the last one, if there was any, came to its end."""
        self._lingering = False
        self._head_bytes = self._unparsed = self._ignored = 0

    # ------------------------------------------------------------ it comes, and goes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection owes us a head."""
        super().connection_made(cast(asyncio.Transport, Joined(transport, self)))
        self._clock, self._unread = Clock(self.loop, transport), Clock(self.loop, transport)
        self._clock.start(HEAD_SECONDS)
        for one in self._all.enter(self, self.client[0] if self.client else ""):
            one.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is owed any more."""
        super().connection_lost(exc)
        self._all.leave(self)
        self._clock.stop()
        self._unread.stop()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True  # uvicorn tells the last that came only
            self._answering.message_event.set()

    def closing(self, transport: asyncio.Transport) -> None:
        """No further answer. Who still writes would lose this one to a reset, so the rest is read for a little while;
        and who does not read it is not waited for."""
        self._clock.start(LINGER_SECONDS)
        if self._whole:
            transport.close()
            return
        self._lingering = True
        self.flow.resume_reading()
        transport.write_eof()

    def abort(self) -> None:
        """At once."""
        self.transport.abort()

    # ------------------------------------------------------------ a request

    def data_received(self, data: bytes) -> None:
        """One header, or the address, may come in many pieces: they count before the parser hands them on."""
        if self._lingering:
            self._ignore(data)
            return
        super().data_received(data)
        if self._idle and not self._clock.runs:  # a piece of a head, or blanks before one
            self._clock.start(HEAD_SECONDS)
        if self._owes_head:
            self._unparsed += len(data)
            if self._unparsed > MOST_UNPARSED:
                self.abort()

    def on_message_begin(self) -> None:
        """The head must come, and counts, from here on."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]
        self._whole = False
        self._owes_head = True
        self._head_bytes = self._unparsed = self._ignored = 0
        if self._idle:
            self._clock.stop()  # `data_received` starts it anew where the head is not whole

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
        self._clock.stop()
        self._owes_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Kept for the route, unless that has answered already."""
        super().on_body(body)
        if self.cycle.response_complete:
            self._ignore(body)

    def on_message_complete(self) -> None:
        """The body is here; where the answer was first, the next request is owed."""
        super().on_message_complete()
        self._whole = True
        if self._idle:
            self._clock.start(KEEP_ALIVE)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: said as every problem is, unless that would be taken for the answer to a request that
        came whole, or stand in the middle of one."""
        due = self._answering
        if due is not None and not due.response_complete and (due.response_started or not due.more_body):
            self.abort()
            return
        problem = Problem("bad-request", "This is no HTTP/1.1 request, or it is ambiguous.")
        body = problem.body("")
        head = [
            (b"content-type", PROBLEM),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *SECURITY,
        ]
        lines = b"".join(b"%b: %b\r\n" % pair for pair in head)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + lines + b"\r\n" + body)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self.abort()

    def _ignore(self, body: bytes) -> None:
        self._ignored += len(body)
        if self._ignored > LINGER_BYTES:
            self.abort()

    # ------------------------------------------------------------ its answer

    @property
    def _idle(self) -> bool:
        """Every request that came whole enough to be asked has its answer."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _known(self) -> None:
        """The request in hand showed a valid key."""
        self._all.known(self)

    def on_response_complete(self) -> None:
        """From here on it is anybody's connection again."""
        self._all.answered(self)
        if self._idle and not self._whole and not self.transport.is_closing():
            self._clock.start(LINGER_SECONDS)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The other side does not read."""
        super().pause_writing()
        self._unread.start(UNREAD_SECONDS)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._unread.stop()
