"""The way of one process to a neighbour, with a hand on it: hold one direction, cut, cut after COMMIT was sent.

To PostgreSQL it reads the frontend protocol only as far as it must: to know that a simple query COMMIT passes, or the
Sync behind a statement that is a transaction of its own (`WHOLE`). What goes to Kafka is not read at all.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

WHOLE = b"origin.open_certificates"
"""Text of a statement that commits by itself: the door's short way."""
CHUNK = 1 << 16
STARTUP = 4
"""Bytes before the length of an ordinary message: one, for its type; the first message of a connection has none."""

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Frontend:
    """Messages of a client, cut out of the stream. `feed` yields (bytes to pass on, whether they end in a commit)."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = False
        self._whole: set[bytes] = set()
        self._pending = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """What is complete now; a piece ends behind each commit."""
        self._rest += data
        out = bytearray()
        while (size := self._size()) and len(self._rest) >= size:
            message = bytes(self._rest[:size])
            del self._rest[:size]
            out += message
            if self._commits(message):
                yield bytes(out), True
                out.clear()
        if out:
            yield bytes(out), False

    def _size(self) -> int:
        """Bytes of the next message; 0: not known yet."""
        head = 1 if self._begun else 0
        if len(self._rest) < head + 4:
            return 0
        return head + int.from_bytes(self._rest[head : head + 4], "big")

    def _commits(self, message: bytes) -> bool:
        if not self._begun:
            # An SSLRequest (8 bytes) is answered by one byte, and the startup message follows it.
            self._begun = len(message) != 8
            return False
        kind, body = message[:1], message[5:]
        if kind == b"Q":
            return body.rstrip(b"\0; \n").upper() == b"COMMIT"
        if kind == b"P":
            name, _, rest = body.partition(b"\0")
            if WHOLE in rest.partition(b"\0")[0]:
                self._whole.add(name)
            else:
                self._whole.discard(name)
        elif kind == b"B":
            self._pending = body.split(b"\0", 2)[1] in self._whole
        elif kind == b"S":
            pending, self._pending = self._pending, False
            return pending
        return False


class Unread:
    """A protocol of which nothing need be known."""

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """All of it."""
        yield data, False


@dataclass(eq=False, slots=True)
class _Line:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    deaf: bool = False
    """Nothing more reaches the client: the commit was sent, the connection is about to be cut."""

    def cut(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


@dataclass(slots=True)
class Way:
    """One process's way to a neighbour: a loopback port of its own."""

    connect: Connect
    port: int = 0
    """0: any free one."""
    speaks: Callable[[], Frontend | Unread] = Frontend
    commits: int = 0
    """Seen so far."""
    held: int = 0
    """Pieces that had to wait so far."""
    to_server: asyncio.Event = field(default_factory=asyncio.Event)
    to_client: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nothing passes in this direction; it is kept and passes later, as a network would send it again."""
    _lines: set[_Line] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _armed: asyncio.Future[None] | None = None
    _answered: bool = False

    async def open(self) -> None:
        """Listen."""
        self.to_server.set()
        self.to_client.set()
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut everything and listen no more."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the next round

    def cut(self) -> None:
        """Reset every connection."""
        for line in tuple(self._lines):
            line.cut()

    async def cut_next_commit(self, *, answered: bool, patience: float) -> bool:
        """Cut the connection on which the next commit passes, once it was sent on. `answered`: when the server's answer
        to it has come, which the client never sees. False: none passed within `patience` seconds."""
        self._answered = answered
        self._armed = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(patience):
                await self._armed
        except TimeoutError:
            return False
        finally:
            self._armed = None
        return True

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks: list[asyncio.Task[None]] = []
        ends = [writer]
        try:
            back, forth = await self.connect()
            ends.append(forth)
            line = _Line(writer, forth)
            self._lines.add(line)
            tasks += [asyncio.create_task(self._forth(reader, line)), asyncio.create_task(self._back(back, line))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            return  # the server is away: so is the way to it
        finally:
            for task in tasks:
                task.cancel()
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._lines = {one for one in self._lines if one.client is not writer}

    async def _forth(self, reader: asyncio.StreamReader, line: _Line) -> None:
        frontend = self.speaks()
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                for piece, commit in frontend.feed(data):
                    await self._pass(self.to_server)
                    self.commits += commit
                    struck = commit and self._armed is not None and not self._armed.done()
                    line.deaf = line.deaf or struck
                    line.server.write(piece)
                    await line.server.drain()
                    if struck and not self._answered:
                        await asyncio.sleep(0.001)  # the bytes are on their way; nobody waits for the answer
                        self._strike(line)

    async def _back(self, reader: asyncio.StreamReader, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if line.deaf:
                    self._strike(line)
                    return
                await self._pass(self.to_client)
                line.client.write(data)
                await line.client.drain()

    async def _pass(self, gate: asyncio.Event) -> None:
        self.held += not gate.is_set()
        await gate.wait()

    def _strike(self, line: _Line) -> None:
        line.cut()
        if self._armed is not None and not self._armed.done():
            self._armed.set_result(None)
