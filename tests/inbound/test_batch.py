"""Batches: cut into lines however they arrive, one verdict a line, in order; one bad line harms no other."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.inbound import lines
from adapters.inbound.http.problem import Scope
from adapters.inbound.lines import MAX_BLANK, MAX_LINES, Line, Splitter, lines_in
from gateway.runtime import pauses
from tests.inbound import parts
from tests.inbound.folder_parts import Folder
from tests.inbound.parts import KEY, FakeDoor, application, client_of

URL = "/v1/declarations"
NDJSON = {"content-type": "application/x-ndjson"}


@given(st.lists(st.text(alphabet="ab \r", max_size=12), max_size=12), st.lists(st.integers(0, 60), max_size=6))
def test_lines_do_not_depend_on_how_they_arrive(texts: list[str], cuts: list[int]) -> None:
    whole = "\n".join(texts).encode()
    pieces = whole.split(b"\n")
    if not pieces[-1]:
        pieces.pop()
    expected = [
        Line(number, None if len(piece) > 8 else piece.strip(), len(piece)) for number, piece in enumerate(pieces, 1)
    ]
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    splitter = Splitter(8)
    found = [line for a, b in itertools.pairwise(edges) for line in splitter.feed(whole[a:b])]
    found += splitter.end()
    assert found == expected
    assert [line.size for line in found] == [len(piece) for piece in pieces]


async def test_who_may_not_speak_any_more_is_not_heard_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    door = FakeDoor()

    async def lines_() -> AsyncIterator[bytes]:
        yield b'{"a":1}\n'
        monkeypatch.setattr(parts, "KEY", "another")
        yield b'{"a":2}\n'

    async with client_of(application(door)) as client:
        answer = await client.post(URL, content=lines_(), headers=NDJSON)
    assert answer.status_code == 401
    assert [submission.body for submission in door.seen] == [b'{"a":1}']


async def test_one_verdict_a_line_in_order() -> None:
    door = FakeDoor()
    rows = ['{"a":1}', "", '{"a":"refuse"}', '{"a":"away"}', '{"a":"again"}', "x" * 10_001, '{"a":2}', '{"a":"crash"}']
    async with client_of(application(door)) as client:
        answer = await client.post(URL, content="\n".join(rows), headers=NDJSON | {"idempotency-key": "k"})
    verdicts = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [(v["line"], v["http"]) for v in verdicts] == [
        (1, 202),
        (3, 422),
        (4, 503),
        (5, 200),
        (6, 422),
        (7, 202),
        (8, 500),
    ]
    assert verdicts[1]["faults"][0]["code"] == "XSD-LENGTH"
    assert {s.key for s in door.seen} == {"k/1", "k/3", "k/5", "k/7", "k/8"}
    assert door.most_at_once == 6


async def test_a_batch_ends_at_its_limit() -> None:
    door = FakeDoor()
    content = "\n".join(f'{{"a":{n}}}' for n in range(lines.MAX_LINES + 3))
    async with client_of(application(door)) as client:
        answer = await client.post(URL, content=content, headers=NDJSON)
    verdicts = [json.loads(line) for line in answer.text.splitlines()]
    assert len(verdicts) == lines.MAX_LINES + 1
    assert (verdicts[-1]["line"], verdicts[-1]["http"]) == (lines.MAX_LINES + 1, 413)
    assert verdicts[-1]["faults"][0]["code"] == "BATCH-TOO-LARGE"
    assert len(door.seen) == lines.MAX_LINES


async def test_a_batch_that_says_it_is_too_large_is_not_begun() -> None:
    door = FakeDoor()
    async with client_of(application(door)) as client:
        answer = await client.post(
            URL, content=b"{}", headers=NDJSON | {"content-length": str(lines.MAX_BYTES + 1), "expect": "100-continue"}
        )
    assert (answer.status_code, door.seen) == (413, [])


@pytest.mark.parametrize(("line", "taken"), [(b"\n", MAX_BLANK), (b"7\n", MAX_LINES)])
async def test_no_more_lines_are_cut_than_are_taken(line: bytes, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of them, blank ones too: each costs its share of the loop, whoever counts it."""
    cut = count_cut(monkeypatch)
    async with client_of(application(FakeDoor())) as client:
        answer = await client.post(URL, content=line * (1 << 19), headers=NDJSON)
    last = json.loads(answer.text.splitlines()[-1])
    assert (last["line"], last["http"], last["faults"][0]["code"]) == (taken + 1, 413, "BATCH-TOO-LARGE")
    assert len(cut) == taken + 1


@pytest.mark.parametrize("line", [b"\n", b"7\n"])
async def test_nor_of_a_file(tmp_path: Path, line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = count_cut(monkeypatch)
    folder = Folder(tmp_path)
    (folder.at / "in" / "x.ndjson").write_bytes(line * (1 << 19))
    await folder.passes()
    assert folder.names("rejected") == ["x.ndjson", "x.ndjson.result.ndjson"]
    assert len(cut) == (MAX_BLANK if line == b"\n" else MAX_LINES) + 1


async def test_a_line_without_an_end_lets_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is there already, so that nothing has to be waited for."""
    monkeypatch.setattr(pauses, "LONGEST", -1.0)
    left, turns = 100, 0

    async def receive() -> Any:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": left > 0}

    async def send(message: Any) -> None:
        nonlocal left
        left = 0

    async def another() -> None:
        nonlocal turns
        while left:
            turns += 1
            await asyncio.sleep(0)

    headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", b"application/x-ndjson")]
    scope: Scope = {"type": "http", "method": "POST", "path": URL, "headers": headers}
    beside = asyncio.create_task(another())
    await application(FakeDoor())(scope, receive, send)
    await beside
    assert turns >= 99


@pytest.mark.parametrize(("content", "lines"), [("a", 1), ("a\n", 1), ("a\nb", 2), ("a\nb\n", 2), ("\n" * 9999, 2000)])
def test_a_line_end_at_the_end_is_no_further_declaration(content: str, lines: int) -> None:
    assert lines_in(content.encode()) == lines


def count_cut(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The lines that splitters cut from here on."""
    cut: list[Line] = []
    plain = Splitter.feed

    def counted(splitter: Splitter, chunk: bytes) -> Iterator[Line]:
        for line in plain(splitter, chunk):
            cut.append(line)
            yield line

    monkeypatch.setattr(Splitter, "feed", counted)
    return cut
