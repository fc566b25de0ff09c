"""Layouts: pinned, inside their boxes, over nothing else, with nothing cut, whatever the texts."""

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.declaration import Amendment, Goods, NonParty
from gateway.core.messages import Part
from renderers.bindings import printed_date
from renderers.compose import compose, unprintable
from renderers.fonts import Weight, face
from renderers.forms import Form
from renderers.layout import ASCENT, DESCENT, HEIGHT, MM, WIDTH, Layout, Page, RenderRefused, Role, Text
from renderers.layout_xml import read, write
from tests.renderers.samples import declaration, form, issue

GOLDEN = Path(__file__).parents[1] / "golden" / "forms"
CASES: list[tuple[str, str, Part, int, dict[str, Any]]] = [
    ("C-original", "C", Part.ORIGINAL, 3, {}),
    ("C-copy", "C", Part.COPY, 3, {}),
    ("RC-original", "RC", Part.ORIGINAL, 3, {}),
    ("RC-60-lines", "RC", Part.ORIGINAL, 60, {}),
    (
        "C-long",
        "C",
        Part.COPY,
        4,
        {"exporter": "宁波海天进出口有限公司，浙江省宁波市海曙区中山东路。" * 16, "marks": "NO MARKS " * 220},
    ),
]
Rect = tuple[float, float, float, float]


@pytest.mark.parametrize(("name", "kind", "part", "lines", "changed"), CASES, ids=[case[0] for case in CASES])
def test_golden(name: str, kind: str, part: Part, lines: int, changed: dict[str, Any]) -> None:
    """`ORIGIN_WRITE_GOLDEN=1` renews the files; then look at the pictures."""
    xml = write(compose(form(kind), declaration(kind, lines, **changed), issue(kind, part))).replace(b"><", b">\n<")
    path = GOLDEN / f"{name}.xml"
    if os.environ.get("ORIGIN_WRITE_GOLDEN") == "1":
        path.write_bytes(xml)
    assert path.read_bytes() == xml


@pytest.mark.parametrize(("name", "kind", "part", "lines", "changed"), CASES, ids=[case[0] for case in CASES])
def test_xml_and_back(name: str, kind: str, part: Part, lines: int, changed: dict[str, Any]) -> None:
    layout = compose(form(kind), declaration(kind, lines, **changed), issue(kind, part))
    assert read(write(layout)) == layout


def ink(text: Text) -> Rect:
    """The rectangle a line of text may touch: left, top, right, bottom."""
    used = face(Weight.BOLD if text.role is Role.STRONG else Weight.REGULAR)
    em = text.size * MM
    return text.x, text.y - ASCENT * em, text.x + used.width(text.text, text.size) * MM, text.y + DESCENT * em


def overlaps(one: Rect, other: Rect, slack: float = 0.05) -> bool:
    return (
        one[0] < other[2] - slack
        and other[0] < one[2] - slack
        and one[1] < other[3] - slack
        and other[1] < one[3] - slack
    )


def cells(used: Form, page: Page) -> list[Rect]:
    """The rectangles that texts stay in: boxes, columns of the table."""
    found = [(x, y, x + w, y + h) for box in used.boxes if page.template in box.on for x, y, w, h in [box.at]]
    x, y, _, height = used.table.front if page.template == "front" else used.table.continued
    for column in used.table.columns:
        found.append((x, y, x + column.width, y + height))
        x += column.width
    return found


def faults(used: Form, layout: Layout) -> list[str]:
    """Everything that overlaps, leaves the sheet, or crosses a line of the form."""
    found = []
    for number, page in enumerate(layout.pages, 1):
        template = used.templates[page.template]
        texts = [(text, ink(text)) for text in (*page.texts, *template.texts)]
        for (one, a), (other, b) in combinations(texts, 2):
            if overlaps(a, b):
                found.append(f"page {number}: {one.text[:20]!r} over {other.text[:20]!r}")
        for text, (left, top, right, bottom) in texts:
            if left < 5 or top < 5 or right > WIDTH - 5 or bottom > HEIGHT - 5:
                found.append(f"page {number}: {text.text[:20]!r} leaves the sheet")
        if page.template == "overleaf":
            continue
        inner = cells(used, page)
        for text, rect in texts:
            for cell in inner:
                crosses = overlaps(rect, cell) and not (
                    rect[0] >= cell[0] - 0.05
                    and rect[2] <= cell[2] + 0.05
                    and rect[1] >= cell[1] - 0.05
                    and rect[3] <= cell[3] + 0.05
                )
                if crosses:
                    found.append(f"page {number}: {text.text[:30]!r} crosses a line")
    return found


@pytest.mark.parametrize(("name", "kind", "part", "lines", "changed"), CASES, ids=[case[0] for case in CASES])
def test_nothing_overlaps(name: str, kind: str, part: Part, lines: int, changed: dict[str, Any]) -> None:
    layout = compose(form(kind), declaration(kind, lines, **changed), issue(kind, part, retroactive=True))
    assert faults(form(kind), layout) == []


def test_the_checker_notices() -> None:
    layout = compose(form("C"), declaration("C"), issue("C"))
    front = layout.pages[0]
    moved = Text(front.texts[0].x + 1, front.texts[0].y + 1, 9, "ON TOP OF THE EXPORTER")
    crossing = Text(90, 50, 9, "ACROSS THE MIDDLE OF TWO BOXES")
    bad = Page("front", (*front.texts, moved, crossing, Text(190, 290, 9, "OUT OF THE SHEET")))
    words = " ".join(faults(form("C"), Layout("n", Part.COPY, "C", "2019", "", layout.issued, (bad,))))
    assert "over" in words
    assert "leaves the sheet" in words
    assert "crosses a line" in words


ENGLISH = st.text("ABCDEFGHIJ KLMNOPQRST UVWXYZ ,.()/-0123456789\n", min_size=1)
CHINESE = st.text("宁波海天进出口有限公司浙江省，。（）；：“”、 《》ABC123\n", min_size=1)
UNBROKEN = st.text("WMX0", min_size=1)


def printed(limit: int) -> st.SearchStrategy[str | None]:
    one = st.one_of(ENGLISH, CHINESE, UNBROKEN)
    repeated = st.builds(lambda text, times: (text * times)[:limit], one, st.integers(1, 120))
    return st.one_of(st.none(), repeated.map(lambda text: text if text.strip() else None))


LINES = st.lists(
    st.builds(
        Goods,
        packing_type=st.just("1"),
        description=printed(1000),
        hs_code=st.sampled_from(["9617001100", "9999999999", None]),
        quantity=st.sampled_from(["1", "1234567890123456789.12345", None]),
        unit=st.sampled_from(["PCS", "W" * 20]),
        origin_criterion=st.sampled_from(["CTC", "PSR ACU", "WWWWWWWWWW", "RVC"]),
        fob_value=st.just("1234567890123456789.12345"),
        origin_name=st.sampled_from(["CHINA", "LAO PEOPLE'S DEMOCRATIC REPUBLIC", "新西兰" * 20]),
        invoice_no=printed(50),
        non_goods=st.sampled_from([None, "N", "Y"]),
        producer=printed(1000),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    kind=st.sampled_from(["C", "RC"]),
    exporter=printed(400),
    consignee=printed(400),
    details=printed(630),
    marks=printed(2000),
    producer=printed(1000),
    remarks=printed(300),
    clause=printed(2000),
    office=printed(200),
    address=printed(200),
    phone=printed(300),
    statement=printed(500),
    place=printed(30),
    destination=printed(80),
    goods=LINES,
    third=printed(500),
)
def test_any_text_flows(kind: str, goods: list[Goods], third: str | None, **texts: str | None) -> None:
    d = declaration(
        kind,
        0,
        exporter=texts["exporter"],
        consignee=texts["consignee"],
        transport_details=texts["details"],
        marks=texts["marks"],
        producer=texts["producer"],
        remarks=texts["remarks"],
        special_clause=texts["clause"],
        application_place=texts["place"],
        destination=texts["destination"],
        goods=tuple(goods),
        non_parties=(NonParty(line_no=1, name=third, address=third, country_code="702", country_name="SINGAPORE"),)
        if third
        else (),
    )
    data = issue(
        kind,
        office_name=texts["office"] or "",
        office_address=texts["address"] or "",
        office_phone=texts["phone"] or "",
        statement=texts["statement"] or "",
    )
    layout = compose(form(kind), d, data)
    assert faults(form(kind), layout) == []
    assert read(write(layout)) == layout
    everything = squeezed("".join(text.text for page in layout.pages for text in page.texts))
    for value in (
        d.remarks if kind == "RC" else None,
        d.exporter,
        d.consignee,
        d.special_clause,
        d.marks if goods else None,
    ):
        if value:
            assert scattered(squeezed(value), everything)


def squeezed(text: str) -> str:
    return "".join(text.split())


def scattered(needle: str, hay: str) -> bool:
    """All characters are there: a text may be split over boxes and sheets, never be cut."""
    return all(hay.count(character) >= needle.count(character) for character in set(needle))


def test_sixty_lines_continue_on_numbered_sheets() -> None:
    layout = compose(form("RC"), declaration("RC", 60), issue("RC"))
    fronts = [page for page in layout.pages if page.template != "overleaf"]
    assert [page.template for page in fronts] == ["front"] + ["continued"] * (len(fronts) - 1)
    assert [page.template for page in layout.pages[1::2]] == ["overleaf"] * len(fronts)
    for number, page in enumerate(fronts, 1):
        words = [text.text for text in page.texts]
        assert f"Page {number} of {len(fronts)}" in words
        assert "RC261026902330001" in words
        assert len(page.slots) == 2
    items = [int(text.text) for page in fronts for text in page.texts if text.text.isdigit() and len(text.text) < 3]
    assert items == list(range(1, 61))
    assert [text.text for text in fronts[-1].texts].count("***") == 1


def test_a_line_of_goods_stays_together() -> None:
    """Its number, description and quantity stand on one baseline of one sheet."""
    layout = compose(form("RC"), declaration("RC", 60), issue("RC"))
    for page in layout.pages:
        for text in page.texts:
            if text.text.isdigit() and len(text.text) < 3:
                beside = [other.text for other in page.texts if other.y == text.y]
                assert f"{2390 + 10 * int(text.text)} PIECES" in beside


def test_original_and_copy_say_so() -> None:
    for part in Part:
        layout = compose(form("C"), declaration("C"), issue("C", part))
        assert part.value.upper() in [text.text for text in layout.pages[0].texts]


def test_ticks_follow_the_facts() -> None:
    plain = compose(form("RC"), declaration(), issue())
    late = compose(form("RC"), declaration(third_party_invoice="1"), issue(retroactive=True))
    assert (len(plain.pages[0].rules), len(late.pages[0].rules)) == (0, 4)


def test_a_replaced_certificate_is_named() -> None:
    d = declaration("C", certificate_status="1", amendment=Amendment(old_number="C251026902330009", reason="x"))
    words = " ".join(text.text for text in compose(form("C"), d, issue("C")).pages[0].texts)
    assert "C251026902330009" in words


def test_a_character_without_a_glyph_is_refused() -> None:
    with pytest.raises(RenderRefused, match="GLYPH-MISSING"):
        compose(form("C"), declaration("C", consignee="บริษัท ไทย"), issue("C"))
    assert unprintable(declaration("C", consignee="บ")) == {"บ"}
    assert unprintable(declaration("C")) == frozenset()


def test_dates_as_certificates_write_them() -> None:
    assert printed_date("2026-11-08") == "NOV.08,2026"
    assert printed_date("soon") == "soon"
