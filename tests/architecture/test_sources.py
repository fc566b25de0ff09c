"""What is known has a source that a stranger can find: every citation in the tree is resolved (ops/decisions/0046)."""

import csv
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from adapters.codecs.registry import registry
from gateway.core.profile import ProfileError, load_profiles, sourced
from gateway.core.sources import SourceError, cited, load_sources, told
from gateway.runtime.catalog import load_types
from gateway.runtime.sources import load_register
from tests.architecture.tree import ROOT, files

LOOKED_AT = ("gateway", "adapters", "renderers", "simulators", "schemas", "ops", "tests")
ENDINGS = {".py", ".toml", ".md", ".csv", ".xsd", ".sql", ".yml", ".yaml", ".json"}
GENERATED = Path("schemas/contracts")
NOWHERE = re.compile(
    r"\bfacts? [0-9]|\bseeds? [0-9]|\bseed 00|\bdesign,? (law|section|ruling)|\brulings? [0-9]|\blaws? [0-9]|\(law\b",
    re.IGNORECASE,
)
"""Papers that are not in this repository, as they were cited once."""
RANDOM = ("tests/", "ops/bench/", "ops/storm/", "simulators/", "gateway/cli_simulate.py", "adapters/bus/")
"""Where a seed is one of a random generator or of a hash."""
IDENTITY = re.compile(
    r"(?<![\w/.-])(?:(?:interface|standard|agreement|guide|report)-[a-z0-9]+(?:-[a-z0-9]+)*"
    r"|(?:manual|notice|decision)-[0-9][a-z0-9]*(?:-[a-z0-9]+)*)(?![\w-])"
)
WORDS = {"standard-library"}
DECISION = re.compile(r"decisions/(00[0-9]{2}(?:(?:, | and )00[0-9]{2})*)")


def texts() -> Iterator[tuple[Path, str]]:
    """Every file that may cite something, with its text."""
    for path in files():
        if path.parts[0] not in LOOKED_AT and len(path.parts) > 1:
            continue
        if path.suffix in ENDINGS and not path.is_relative_to(GENERATED):
            yield path, (ROOT / path).read_text(encoding="utf-8")


def data_citations() -> Iterator[tuple[str, str]]:
    """(where, citation) of each rule, list, form, fault, schema."""
    folder = ROOT / "schemas"
    for path in sorted(folder.glob("**/*.toml")):
        if path.parent.name == "sources":
            continue
        yield from _in_table(path.relative_to(ROOT).as_posix(), tomllib.loads(path.read_text(encoding="utf-8")))
    for path in sorted((folder / "codelists").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                yield f"{path.name} {row['code']}", row["source"]
    for path in sorted((folder / "xsd").glob("**/*.xsd")):
        for note in etree.parse(path).iter("{http://www.w3.org/2001/XMLSchema}documentation"):  # our own file
            if (source := note.get("source")) is not None:
                yield path.name, source


def _in_table(where: str, table: Any) -> Iterator[tuple[str, str]]:
    if isinstance(table, list):
        for one in table:
            yield from _in_table(where, one)
    elif isinstance(table, dict):
        for name, value in table.items():
            if name == "source" and isinstance(value, str):
                yield where, value
            elif name == "sources":
                yield from ((where, one) for one in value)
            else:
                yield from _in_table(where, value)


def names(citation: str) -> Iterator[str]:
    """The ids of a citation that no source has."""
    yield from (one for one in cited(citation) if one not in load_register())


def prose_citations() -> Iterator[tuple[Path, str]]:
    """(where, id) of each id in docstrings, comments and pages."""
    for path, text in texts():
        if path.parts[:2] == ("schemas", "sources") or path == Path(__file__).relative_to(ROOT):
            continue
        yield from ((path, found[0]) for found in IDENTITY.finditer(text) if found[0] not in WORDS)


def test_every_citation_of_data_is_resolved() -> None:
    found = list(data_citations())
    assert len(found) > 800
    assert not [(where, one) for where, citation in found for one in names(citation)]


def test_every_id_in_prose_is_resolved() -> None:
    found = list(prose_citations())
    assert len({one for _, one in found}) > 40
    assert not [(str(path), one) for path, one in found if one not in load_register()]


def test_every_decision_that_is_named_is_a_page() -> None:
    pages = {path.name[:4] for path in (ROOT / "ops/decisions").glob("00*.md")}
    found = [(path, one) for path, text in texts() for all_ in DECISION.findall(text) for one in all_.split(", ")]
    assert len(found) > 30
    assert not [(str(path), one) for path, one in found if one.replace("and ", "")[-4:] not in pages]


def test_nothing_cites_a_paper_that_is_not_here() -> None:
    here = Path(__file__).relative_to(ROOT)
    found = [
        f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}"
        for path, text in texts()
        if path != here
        for hit in NOWHERE.finditer(text)
        if not (hit[0].lower().startswith("seed") and path.as_posix().startswith(RANDOM))
    ]
    assert not found


def test_every_source_is_cited_or_says_that_it_is_background() -> None:
    used = {one for _, citation in data_citations() for one in cited(citation)} | {one for _, one in prose_citations()}
    used |= {f"decision-{one}" for path, text in texts() for all_ in DECISION.findall(text) for one in all_.split(", ")}
    never = {name for name, source in load_register().items() if not source.background} - used
    assert not never
    assert not {name for name, source in load_register().items() if source.background} & {
        one for _, citation in data_citations() for one in cited(citation)
    }


def test_a_decision_is_a_page_and_the_index_has_them_all() -> None:
    folder = ROOT / "ops/decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in folder.glob("00*.md"))
    listed = re.findall(r"^\| \[([0-9]{4})\]\(([^)]+)\) \| ([0-9-]{10}) \|", index, re.MULTILINE)
    without = re.findall(r"^\| ([0-9]{4}) \| \| ", index, re.MULTILINE)
    assert [name for _, name, _ in listed] == pages
    numbers = sorted([number for number, _, _ in listed] + without)
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)], "no gaps"
    for name, source in load_register().items():
        if source.kind == "decision":
            assert source.published.rpartition("/")[2] in pages, name


def test_what_a_fault_says_names_title_and_place() -> None:
    rule = next(rule for rule in load_types()["RC"].rules if rule.id == "RC-011")
    assert "RCEP Agreement, articles 3.16 and 3.17" in rule.source
    assert "rcepsec.org" in rule.source
    assert all("(" in entry.source for entry in registry().values())
    ids = set(load_register())
    assert not [rule.id for profile in load_types().values() for rule in profile.rules if rule.source in ids]


ONE = 'kind = "guide"\ntitle = { en = "T", zh = "题" }\npublished = "here"\ndate = ""\nsure = "M"\n'
ONE += 'says = { en = "S.", zh = "说。" }\n'


def test_a_citation_is_told_in_either_language() -> None:
    sources = load_sources([f"[a]\n{ONE}", f"[b]\n{ONE}"])
    assert told("a; b", sources) == "T (here); T (here)"
    assert told("a", sources, "zh") == "题 (here)"
    with pytest.raises(SourceError, match="no source 'c'"):
        told("a; c", sources)


@pytest.mark.parametrize(
    ("texts_", "complaint"),
    [
        (["[a"], "not TOML"),
        ([f"[a]\n{ONE}", f"[a]\n{ONE}"], "a stands twice"),
        ([f"[a]\n{ONE}colour = 1"], "colour"),
        ([f"[a]\n{ONE}".replace('date = ""', 'date = "soon"')], "date"),
        ([f"[a]\n{ONE}".replace(', zh = "题"', "")], "title.zh"),
    ],
)
def test_what_the_register_refuses(texts_: list[str], complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        load_sources(texts_)


def test_a_profile_that_cites_nothing_known_is_refused_at_load() -> None:
    text = '[profile]\ntype = "C"\ntitle = "t"\nzh = "z"\nagreement = ""\nform = "C"\nversion = "1"\n'
    text += 'valid_from = "2022-01-01"\nnumber = "C"\nsources = ["nowhere"]\n'
    with pytest.raises(ProfileError, match="nowhere"):
        sourced(load_profiles({"C": text})["C"], load_register())
