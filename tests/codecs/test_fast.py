"""The wall around the fast ways: what is in it, who comes to its door, and that everything works with the door closed.

That both ways say the same is held elsewhere: by the fuzzer (`fuzz`), and by the tests of plain XML, of plain JSON, of
what is written, and of the gateway's own messages.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path

import orjson
import pytest

from adapters.codecs import fast
from adapters.codecs.customs_xml import CustomsXml
from tests.architecture.tree import PRODUCT, ROOT, modules
from tests.cli.command import EXAMPLES, origin, without_settings
from tests.codecs.documents import example
from tests.codecs.test_gateway_xml import GOOD

DOOR, SETTING = "adapters.codecs.fast", "ORIGIN_FAST"
BEHIND = {"json_read", "messages", "xml_places", "xml_read", "xml_write"}
FRONT = {"adapters/codecs/customs_xml.py", "adapters/codecs/enterprise_json.py", "adapters/codecs/gateway_xml.py"}
BOTH_WAYS = (
    *(f"tests/codecs/test_{name}.py" for name in ("causes", "customs_xml", "enterprise_json", "gateway_xml")),
    *("tests/codecs/test_hardening.py", "tests/codecs/test_lossless.py", "tests/golden/test_examples.py"),
)
"""Suites that hold of either way."""


def test_what_is_behind_the_door() -> None:
    assert {path.stem for path in (ROOT / "adapters/codecs/fast").glob("*.py")} == BEHIND | {"__init__"}


def test_nobody_comes_in_but_by_the_door() -> None:
    """Not even a test: what is held together is what the codecs get."""
    inside, callers = {f"{DOOR}.{name}" for name in BEHIND}, set()
    for path, text in modules(*PRODUCT, "ops", "tests"):
        found = set(imported(text))
        if Path("adapters/codecs/fast") not in path.parents:
            assert not found & inside, path
            callers |= {str(path)} if DOOR in found else set()
    assert {path for path in callers if not path.startswith("tests/codecs/")} == FRONT


def imported(text: str) -> Iterator[str]:
    """Every module that is imported, or that a name is imported from."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def taken() -> dict[str, bool]:
    """Which ways are taken with what is plainly good."""
    xml, enterprise = example("C-three-goods.xml"), example("C-three-goods.json")
    return {
        "read_xml": fast.read_xml(xml) is not None,
        "write_xml": fast.write_xml(CustomsXml().read(xml).fields) is not None,
        "read_json": fast.read_json(enterprise, orjson.loads(enterprise), None, lambda _: ("", None)) is not None,
        "write_message": fast.write_message("DeclarationAccepted", vars(GOOD)) is not None,
        "is_valid": fast.is_valid(GOOD),
    }


@pytest.mark.parametrize(("settings", "expected"), [({}, True), ({SETTING: "on"}, True), ({SETTING: "off"}, False)])
def test_one_setting_closes_every_way(settings: dict[str, str], expected: bool) -> None:
    assert {name for name, one in vars(fast).items() if isfunction(one)} == set(taken()), "each is asked"
    done = python("-c", "import json; from tests.codecs.test_fast import taken; print(json.dumps(taken()))", **settings)
    assert json.loads(done.stdout) == dict.fromkeys(taken(), expected), done.stderr


def test_with_the_door_closed_the_suites_of_the_codecs_hold() -> None:
    done = python("-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider", *BOTH_WAYS, ORIGIN_FAST="off")
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", ["C-three-goods.xml", "C-three-goods.json", "C-faulty.xml", "RC-faulty.json"])
def test_check_says_the_same_with_the_door_closed(name: str) -> None:
    words = ("check", str(EXAMPLES / name))
    closed, opened = python("-m", "gateway.cli", *words, COLUMNS="200", NO_COLOR="1", ORIGIN_FAST="off"), origin(*words)
    assert (closed.returncode, closed.stdout, closed.stderr) == (opened.returncode, opened.stdout, opened.stderr)


def python(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """An interpreter of its own, with these settings and no others."""
    environment = {**without_settings(), "PYTHONPATH": str(ROOT), **settings}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
