"""A document may be as wrong as it likes: saying so must not keep everybody else waiting."""

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

import schemas
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.core.faults import MAX_FAULTS, Refused

GOOD: dict[str, Any] = orjson.loads(schemas.read_bytes("examples", "C-three-goods.json"))
LINE = GOOD["goods"][0]
SECONDS = 8.0
"""Generous for a slow machine; what it guards against took minutes."""

HOSTILE: dict[str, Callable[[], bytes]] = {
    "wrong numbers": lambda: orjson.dumps({**GOOD, "goods": [{"line_no": "x"}] * 50_000}),
    "wrong items": lambda: orjson.dumps({**GOOD, "goods": list(range(150_000))}),
    "far down": lambda: b"\n" * 900_000 + orjson.dumps({**GOOD, "goods": [{"line_no": "x"}] * 2000}),
    "disguised texts": lambda: orjson.dumps({**GOOD, "goods": [{**LINE, "description": "\u202e" * 20}] * 1000}),
    "unknown names": lambda: orjson.dumps({**GOOD, **{f"k{i}": 1 for i in range(60_000)}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_json_document_full_of_mistakes_is_refused_soon(name: str) -> None:
    raw = HOSTILE[name]()
    assert len(raw) < 1 << 20
    started = time.perf_counter()
    with pytest.raises(Refused) as caught:
        EnterpriseJson().read(raw)
    assert time.perf_counter() - started < SECONDS
    assert len(caught.value.faults) == MAX_FAULTS
