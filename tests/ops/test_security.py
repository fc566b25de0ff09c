"""What is promised in `ops/security.md` is tested: every file it names is there, and every promise names one."""

import re

from tests.architecture.tree import ROOT

PAGE = (ROOT / "ops/security.md").read_text("utf-8")
NAMED = re.compile(r"`((?:tests|ops)/[\w./-]+)`")
ITEM = re.compile(r"\d{1,2}\.\d{1,2}\.\d{1,2}")


def rows() -> list[list[str]]:
    """The tables' lines: their cells, heads left out."""
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in cells] for cells in lines if cells[0].strip() not in ("who", "item")]


def test_every_file_it_names_is_there() -> None:
    named = set(NAMED.findall(PAGE))
    assert len(named) > 40
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_promise_names_a_test_that_runs() -> None:
    assert len(rows()) > 30
    for promise, _, tests in rows():
        named = NAMED.findall(tests)
        assert named, promise
        assert [path for path in named if not re.fullmatch(r"tests/.*/test_\w+\.py", path)] == [], promise


def test_items_of_the_standard_are_told_once_and_in_order() -> None:
    told = [item for promise, *_ in rows() for item in ITEM.findall(promise)]
    firsts = [ITEM.findall(promise)[0] for promise, *_ in rows() if ITEM.match(promise)]
    assert len(set(told)) == len(told)
    assert firsts == sorted(firsts, key=lambda item: [int(part) for part in item.split(".")])


def test_what_is_tested_as_security_is_promised_there() -> None:
    there = {f"tests/security/{path.name}" for path in (ROOT / "tests/security").glob("test_*.py")}
    assert there - set(NAMED.findall(PAGE)) == set()


def test_it_is_found() -> None:
    assert "security.md" in (ROOT / "ops/README.md").read_text("utf-8")
    assert "ops/security.md" in (ROOT / "README.md").read_text("utf-8")
