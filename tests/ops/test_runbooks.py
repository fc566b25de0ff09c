"""The runbooks: five headings each, every statement runs on the real schema, every command is one of ours."""

import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.architecture.tree import ROOT
from tests.ops.command_line import Refused, parse

PAGES = sorted((ROOT / "ops/runbooks").glob("[a-z]*.md"))
HEADINGS = ["What it means", "What users notice", "Look", "Do", "Over when"]
LONGEST = 60
"""Lines: who is woken reads no more."""
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([\w.-]+)\)")


def blocks(page: Path, language: str) -> Iterator[str]:
    """The fenced texts of one language."""
    yield from (text for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind == language)


def commands(page: Path) -> Iterator[str]:
    """Every call of `origin`, in blocks and in sentences."""
    for block in blocks(page, "sh"):
        yield from (line for line in block.splitlines() if line.startswith("origin "))
    sentences = BLOCK.sub("", page.read_text("utf-8"))
    for quoted in re.findall(r"`(origin [^`]+)`", sentences):
        yield " ".join(quoted.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_short_and_has_its_headings(page: Path) -> None:
    lines = page.read_text("utf-8").splitlines()
    assert re.fullmatch(r"# [A-Z]\w+", lines[0])
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == HEADINGS
    assert len(lines) <= LONGEST
    assert not [line for line in lines if len(line) > 120]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text("utf-8")) if not (page.parent / link).is_file()] == []


async def test_every_statement_runs_on_the_real_schema(database_pool: asyncpg.Pool) -> None:
    ran = 0
    for page in PAGES:
        for statement in blocks(page, "sql"):
            async with database_pool.acquire() as connection, connection.transaction(readonly=True):
                await connection.fetch(statement)
            ran += 1
    assert ran >= 10


def test_every_command_is_one_of_ours() -> None:
    found = [(page.stem, line) for page in PAGES for line in commands(page)]
    assert len(found) > 15
    for page, line in found:
        try:
            parse(line)
        except Refused as error:
            pytest.fail(f"{page}: {line}: {error}")


@pytest.mark.parametrize(
    "line", ["origin parked lost", "origin confirm", "origin dlt discard ID", "origin doctor --nope"]
)
def test_a_wrong_command_is_found(line: str) -> None:
    with pytest.raises(Refused):
        parse(line)
