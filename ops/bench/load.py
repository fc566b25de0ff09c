"""A lean HTTP client for load: N connections, one request each at a time, every request another document.

A program of its own, so that it shares nothing with what it measures: ``python -m ops.bench.load`` reads a JSON job
from standard input and writes its result to standard output. Raw sockets and epoll: about a twentieth of what a
request costs the gateway, and the answers are kept, so that each can be looked up in the database afterwards.
"""

import contextlib
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from ops.bench.documents import Template

WIDTH = 12
"""Digits of a serial."""
LENGTH = b"\r\ncontent-length: "


@dataclass(frozen=True, slots=True)
class Result:
    """What came back."""

    seconds: float
    answers: list[tuple[int, dict[str, Any]]]
    """(HTTP status, body) of each request."""
    latencies: list[float]
    """Seconds, in the same order."""

    @property
    def rate(self) -> float:
        """Accepted declarations a second."""
        return sum(1 for status, _ in self.answers if status == 202) / self.seconds


@dataclass(slots=True)
class _Line:
    sock: socket.socket
    sent_at: float = 0.0
    received: bytes = b""


def run(
    port: int, given: Sequence["Template"], keys: Mapping[str, str], seconds: float, connections: int, start: int
) -> Result:
    """Load for `seconds`, by a child process. `start`: first serial; `keys`: credit code -> API key."""
    requests = [[part.decode() for part in _request(template, keys[template.enterprise.code])] for template in given]
    job = {"port": port, "requests": requests, "seconds": seconds, "connections": connections, "start": start}
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name],
        input=orjson.dumps(job),
        stdout=subprocess.PIPE,
        timeout=seconds + 60,
        check=True,
    )
    return Result(**orjson.loads(done.stdout))


@contextlib.contextmanager
def flood(port: int, requests: Sequence[bytes], seconds: float, connections: int) -> Iterator["Flood"]:
    """The same requests again and again, by a child process; what came back is known on leaving."""
    job = {"port": port, "requests": [[one.decode()] for one in requests], "seconds": seconds}
    job |= {"connections": connections, "start": 0}
    found = Flood()
    with subprocess.Popen(
        [sys.executable, "-m", __spec__.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child without pipes")
        process.stdin.write(orjson.dumps(job))
        process.stdin.close()
        yield found
        found.answers = orjson.loads(process.stdout.read())["answers"]


@dataclass(slots=True)
class Flood:
    """What a flood brought back."""

    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)


def request(media_type: str, document: bytes, key: str) -> bytes:
    """A whole request."""
    return _head(media_type, len(document), key) + document


def _request(template: "Template", key: str) -> tuple[bytes, ...]:
    """The whole request, with room for the serial where the document has it."""
    first, *rest = template.parts
    return _head(template.media_type, len(template.document(0)), key) + first, *rest


def _head(media_type: str, size: int, key: str) -> bytes:
    start = f"POST /v1/declarations HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n"
    return f"{start}content-type: {media_type}\r\ncontent-length: {size}\r\n\r\n".encode()


def _load(port: int, requests: Sequence[Sequence[str]], seconds: float, connections: int, start: int) -> Result:
    whole = [tuple(part.encode() for part in request) for request in requests]
    serials = count(start)
    poll = select.epoll()
    lines: dict[int, _Line] = {}
    answers: list[tuple[int, bytes]] = []
    latencies: list[float] = []

    def send(line: _Line) -> None:
        serial = next(serials)
        request = (b"%0*d" % (WIDTH, serial)).join(whole[serial % len(whole)])
        line.sent_at = perf_counter()
        line.sock.sendall(request)

    def connect() -> _Line:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = lines[sock.fileno()] = _Line(sock)
        poll.register(sock, select.EPOLLIN)
        return line

    for _ in range(connections):
        connect()
    started = perf_counter()
    end = started + seconds
    for line in lines.values():
        send(line)
    while lines:
        for number, _ in poll.poll():
            line = lines[number]
            received = line.received + (came := line.sock.recv(65536))
            if not came:  # hung up: what was under way has no answer
                poll.unregister(number)
                lines.pop(number).sock.close()
                if perf_counter() < end:
                    send(connect())
                continue
            gap = received.find(b"\r\n\r\n")
            if gap < 0 or len(received) - gap - 4 < _length(received):
                line.received = received
                continue
            now = perf_counter()
            answers.append((int(received[9:12]), received[gap + 4 :]))
            latencies.append(now - line.sent_at)
            line.received = b""
            if now < end:
                send(line)
            else:
                poll.unregister(number)
                lines.pop(number).sock.close()
    took = perf_counter() - started
    return Result(took, [(status, _content(body)) for status, body in answers], latencies)


def _content(body: bytes) -> dict[str, Any]:
    """A batch is answered with lines, which nobody looks at."""
    content: dict[str, Any] = {} if b"\n" in body else orjson.loads(body)
    return content


def _length(received: bytes) -> int:
    """What our server says the body's length is; it always says it, and so."""
    start = received.index(LENGTH) + len(LENGTH)
    return int(received[start : received.index(b"\r", start)])


if __name__ == "__main__":
    result = _load(**orjson.loads(sys.stdin.buffer.read()))
    content = {"seconds": result.seconds, "answers": result.answers, "latencies": result.latencies}
    sys.stdout.buffer.write(orjson.dumps(content))
