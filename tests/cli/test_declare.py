"""What `origin declare` does with answers that are no verdict: it comes again when it is asked to, and only then."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.cli.command import origin

Answer = tuple[int, dict[str, str], bytes]
ACCEPTED = b'{"status":"accepted","id":"0198","number":"C26X","revision":1,"type":"C","warnings":[]}'
NOT_NOW = b'{"detail":"Nothing was accepted."}'
BROKEN = b'{"detail":"This is our mistake."}'
LINES = b'{"line":1,"http":500,"status":"internal"}\n'


@contextmanager
def gateway(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """One that gives these answers, the last one for ever; its address and what it was sent."""
    waiting = list(answers)
    sent: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.rfile.read(int(self.headers["content-length"])))
            status, headers, body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.json"
    path.write_text("{}")
    return path


def test_not_now_is_asked_again(file: Path) -> None:
    soon = {"retry-after": "0"}
    dated = {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}
    with gateway((429, soon, NOT_NOW), (503, soon, NOT_NOW), (503, dated, NOT_NOW), (202, {}, ACCEPTED)) as (url, sent):
        done = origin("declare", str(file), ORIGIN_URL=url, ORIGIN_API_KEY="ok_x")
    assert done.returncode == 0, done.stderr
    assert sent == [b"{}"] * 4


@pytest.mark.parametrize("status", [429, 503])
def test_not_now_for_ever_is_no_refusal(file: Path, status: int) -> None:
    with gateway((status, {"retry-after": "0"}, NOT_NOW)) as (url, sent):
        done = origin("declare", str(file), ORIGIN_URL=url, ORIGIN_API_KEY="ok_x")
    assert done.returncode == 3
    assert 1 < len(sent) < 10


@pytest.mark.parametrize(
    ("headers", "body"), [({}, BROKEN), ({}, b""), ({"content-type": "application/x-ndjson"}, LINES)]
)
def test_what_broke_the_gateway_is_not_sent_again(file: Path, headers: dict[str, str], body: bytes) -> None:
    with gateway((500 if not headers else 200, headers, body)) as (url, sent):
        done = origin("declare", str(file), ORIGIN_URL=url, ORIGIN_API_KEY="ok_x")
    assert (done.returncode, len(sent)) == (1, 1)
    assert "mistake" in done.stdout
    assert "Traceback" not in done.stderr
