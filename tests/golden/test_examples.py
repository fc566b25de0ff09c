"""Every packaged example and its verdict, pinned in ``examples.json``: code, severity, line and place of each fault.

To renew after a change that is meant: ``ORIGIN_GOLDEN=write python -m pytest tests/golden/test_examples.py``.
"""

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

import schemas
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.core.faults import Refused, in_order
from gateway.ports import Dialect
from gateway.runtime.catalog import ProfileChecks

PINNED = Path(__file__).parent / "examples.json"
DIALECTS: dict[str, Dialect] = {".xml": CustomsXml(), ".json": EnterpriseJson()}
NAMES = sorted(e.name for e in schemas.path("examples").iterdir() if Path(e.name).suffix in DIALECTS)


def verdict(name: str) -> list[dict[str, Any]]:
    try:
        reading = DIALECTS[Path(name).suffix].read(schemas.read_bytes("examples", name))
        faults = in_order(ProfileChecks().faults(reading))
    except Refused as refused:
        faults = refused.faults
    return [{"severity": f.severity.value, "code": f.code, "path": f.path, "line": f.line} for f in faults]


def test_every_example_is_pinned() -> None:
    if os.environ.get("ORIGIN_GOLDEN") == "write":
        PINNED.write_bytes(orjson.dumps({name: verdict(name) for name in NAMES}, option=orjson.OPT_INDENT_2))
    assert sorted(orjson.loads(PINNED.read_bytes())) == NAMES
    readme = schemas.read_text("examples", "README.md")
    assert all(f"`{name}`" in readme for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_verdict(name: str) -> None:
    assert verdict(name) == orjson.loads(PINNED.read_bytes())[name]


@pytest.mark.parametrize("name", [name for name in NAMES if "faulty" not in name])
def test_what_is_no_faulty_example_is_accepted_and_goes_both_ways(name: str) -> None:
    assert not [one for one in verdict(name) if one["severity"] == "refuse"]
    reading = DIALECTS[Path(name).suffix].read(schemas.read_bytes("examples", name))
    for dialect in DIALECTS.values():
        assert dialect.read(dialect.write(reading.declaration)).fields == reading.fields


@pytest.mark.parametrize(
    "stem",
    sorted({Path(n).stem for n in NAMES if n.endswith(".xml")} & {Path(n).stem for n in NAMES if n.endswith(".json")}),
)
def test_xml_and_json_of_one_name_are_the_same_content(stem: str) -> None:
    both = [DIALECTS[ending].read(schemas.read_bytes("examples", stem + ending)).fields for ending in DIALECTS]
    assert both[0] == both[1]
