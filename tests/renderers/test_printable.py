"""Whatever the door accepts comes out as paper: what would take too many sheets is refused there, with the limit."""

from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from adapters.codecs.customs_xml import CustomsXml
from gateway.core.declaration import Declaration, canonical, texts
from gateway.core.faults import Refused
from gateway.core.messages import Part
from gateway.ports import Reading
from gateway.runtime.catalog import ProfileChecks
from gateway.runtime.examining import Examiner
from gateway.runtime.submission import Client, Submission
from renderers import fonts, layout_xml
from renderers.bindings import IssueData, Source
from renderers.compose import MAX_SHEETS, compose
from renderers.forms import forms
from renderers.layout import MAX_PAGES, RenderRefused
from renderers.printable import ISSUE, MOST_SHEETS, PrintableChecks, _is_short, sheets_at_most
from renderers.render import Renderer
from simulators.customs.answers import offices
from simulators.erp.enterprises import ENTERPRISES
from simulators.erp.generator import declaration

SHAPES: Mapping[str, str] = {
    "words": "COTTON TERRY TOWELS, BLEACHED, " * 40,
    "wide": "W" * 1000,
    "chinese": "程" * 1000,
    "breaks": "A\n" * 500,
    "blank lines": "A" + "\n" * 400 + "B",
    "short words": "W W " * 250,
    "almost two words a line": f"{'W' * 11} " * 80,
}
NOTHING: Any = None
AT = datetime(2026, 11, 20, tzinfo=UTC)


def goods_of(kind: str, lines: int, text: str, **more: str) -> Declaration:
    """A sound declaration, each goods line described by `text`, as long as the interface allows with line breaks."""
    made = declaration(Random(1), kind, ENTERPRISES[0], 1, size=lines)
    told = text[:1000]
    while len(told.replace("\n", "/n")) > 1000:
        told = told[:-1]
    told = told.strip()
    return made.model_copy(
        update={"goods": tuple(line.model_copy(update={"description": told, **more}) for line in made.goods)}
    )


def sheets(kind: str, content: Declaration, most: int = 20_000) -> int:
    """What it really takes."""
    form = next(form for form in forms() if kind in form.types)
    return len(compose(form, content, ISSUE, most).pages) // 2


def judged(content: Declaration) -> list[str]:
    """The codes of the door's own faults."""
    examiner = Examiner({"application/xml": CustomsXml()}, PrintableChecks(ProfileChecks()), fonts.missing)
    raw = CustomsXml().write(content)
    try:
        examiner.examine(Submission(Client("a", content.applicant_code), "application/xml", raw, "http"))
    except Refused as refusal:
        return [fault.code for fault in refusal.faults]
    return []


@pytest.mark.parametrize("kind", ["C", "RC"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lines", [1, 7, pytest.param(200, marks=pytest.mark.long)])
def test_the_count_of_texts_is_never_below_the_sheets_it_takes(kind: str, shape: str, lines: int) -> None:
    told = SHAPES[shape]
    for more in ({}, {"producer": "P\n" * 300}, {"origin_name": "W" * 80, "invoice_no": "W" * 50, "unit": "W" * 20}):
        content = goods_of(kind, lines, told, **more)
        assert sheets(kind, content) <= sheets_at_most(canonical(content))


def test_what_is_plainly_short_needs_no_count() -> None:
    """The longest that the wide bound lets pass: few lines of long texts, many of short ones, and of breaks alone."""
    shapes = [(lines, told) for told in ("A\n" * 500, "程" * 500, "W") for lines in range(1, 260)]
    short = 0
    for lines, told in shapes:
        fields = canonical(goods_of("C", 1, told, producer=told))
        fields = {**fields, "goods": fields["goods"] * lines, "invoices": fields["invoices"] * lines}
        length = sum(len(text) for _, text in texts(fields))
        if _is_short(Reading(fields, None, NOTHING, "", length)):
            short += 1
            assert sheets_at_most(fields) <= MOST_SHEETS
    assert 50 < short < len(shapes) - 50


@pytest.mark.parametrize("kind", ["C", "RC"])
def test_texts_of_the_head_that_run_over_are_counted(kind: str) -> None:
    long = dict.fromkeys(("exporter", "consignee", "remarks", "special_clause", "marks", "producer"), "A\n" * 200)
    content = goods_of(kind, 1, "TOWELS").model_copy(update=long)
    taken = sheets(kind, content)
    assert 10 < taken <= sheets_at_most(canonical(content))


def test_an_ordinary_declaration_is_never_set_to_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("renderers.printable.compose", NOTHING)
    for serial in range(200):
        kind = ("C", "RC")[serial % 2]
        content = declaration(Random(serial), kind, ENTERPRISES[0], serial, size=60)
        assert judged(content) == []


@pytest.mark.parametrize("kind", ["C", "RC"])
@pytest.mark.parametrize("shape", ["words", "wide", "chinese"])
def test_two_hundred_lines_of_a_thousand_characters_come_out_as_paper(kind: str, shape: str) -> None:
    content = goods_of(kind, 200, SHAPES[shape])
    assert judged(content) == []
    office = offices(content.issuing_office or "")
    issue = IssueData("C26MA9XYD0C20001", Part.ORIGINAL, AT.date(), office.name, office.address, statement="S" * 500)
    form = next(form for form in forms() if kind in form.types)
    layout = layout_xml.write(compose(form, content, issue))
    file = Renderer().render(layout, {}, None, None, None, AT)
    assert 400 <= file.pages <= 2 * MOST_SHEETS


@pytest.mark.parametrize("kind", ["C", "RC"])
def test_what_nobody_could_print_is_refused_with_the_limit(kind: str) -> None:
    assert "PAPER-TOO-LONG" in judged(goods_of(kind, 200, SHAPES["breaks"]))
    kept = goods_of(kind, 200, SHAPES["breaks"]).model_copy(update={"apply_type": "0"})
    assert "PAPER-TOO-LONG" not in judged(kept)  # a draft is printed by nobody


def test_the_door_keeps_room_for_what_customs_adds() -> None:
    assert MOST_SHEETS + 50 <= MAX_SHEETS == MAX_PAGES // 2


@pytest.mark.parametrize("lines", [250, 500, 1000])
def test_a_paper_without_an_end_is_set_no_further_than_the_limit(lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is counted: lines that were set. It does not grow with the document beyond the limit."""
    from renderers import table

    counted = 0
    plain = table._text

    def counting(*given: Any) -> Any:
        nonlocal counted
        counted += 1
        return plain(*given)

    monkeypatch.setattr(table, "_text", counting)
    content = goods_of("C", lines, SHAPES["breaks"])
    form = next(form for form in forms() if "C" in form.types)
    with pytest.raises(RenderRefused) as refusal:
        compose(form, content, ISSUE, MOST_SHEETS)
    assert refusal.value.code == "PAPER-TOO-LONG"
    assert counted <= MOST_SHEETS * 45


def test_what_all_lines_share_is_looked_for_once() -> None:
    """Each goods line asks for the producer and the invoices of all: with 2,000 lines that was four million looks."""
    content = declaration(Random(1), "RC", ENTERPRISES[0], 1, size=100)

    class Counted(tuple):  # type: ignore[type-arg]
        walks = 0

        def __iter__(self) -> Any:
            Counted.walks += 1
            return super().__iter__()

    source = Source(content.model_copy(update={"goods": Counted(content.goods)}), ISSUE)
    from renderers.table import _rows

    form = next(form for form in forms() if "RC" in form.types)
    assert len(list(_rows(form, source))) == 100
    assert Counted.walks <= 4
