"""Batches: cut into lines however they arrive, one verdict a line, in order; one bad line harms no other."""

import itertools
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.inbound import lines
from adapters.inbound.lines import Line, Splitter
from tests.inbound import parts
from tests.inbound.parts import FakeDoor, application, client_of

URL = "/v1/declarations"
NDJSON = {"content-type": "application/x-ndjson"}


@given(st.lists(st.text(alphabet="ab \r", max_size=12), max_size=12), st.lists(st.integers(0, 60), max_size=6))
def test_lines_do_not_depend_on_how_they_arrive(texts: list[str], cuts: list[int]) -> None:
    whole = "\n".join(texts).encode()
    expected = [
        Line(number, None if len(piece) > 8 else piece.strip())
        for number, piece in enumerate(whole.split(b"\n"), 1)
        if len(piece) > 8 or piece.strip()
    ]
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    splitter = Splitter(8)
    found = [line for a, b in itertools.pairwise(edges) for line in splitter.feed(whole[a:b])]
    assert [*found, *splitter.end()] == expected


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
