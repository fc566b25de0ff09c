"""Painted pages: the same bytes for the same input, a text layer equal to the input, nothing that acts."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import segno
from PIL import Image

from gateway.core.messages import Part
from renderers import qr
from renderers.fonts import Weight, face
from renderers.forms import form_named
from renderers.layout import Layout, RenderRefused, Text
from renderers.layout_xml import read, split, write
from renderers.picture import first_page_png
from renderers.png import SIGNATURE
from renderers.render import Renderer
from tests.renderers.samples import AT, bench, digest

OTHER_PROCESS = """
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from renderers.render import Renderer
import sys
at = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
print(Renderer().render(Path(sys.argv[1]).read_bytes(), {}, None, None, None, at).sha256)
"""


def both() -> list[Layout]:
    return [bench().layout("C", Part.COPY), bench().layout("RC", Part.ORIGINAL, 60), bench().layout("RC", Part.COPY)]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("kind", ["C", "RC"])
def test_same_input_same_bytes(kind: str) -> None:
    layout = bench().layout(kind)
    assert bench().unsigned(layout) == bench().unsigned(read(write(layout)))
    assert bench().signed(layout) == bench().signed(layout), "signatures use deterministic nonces"


@pytest.mark.parametrize("kind", ["C", "RC"])
def test_same_bytes_in_another_process(kind: str, tmp_path: Path) -> None:
    layout = bench().layout(kind)
    bare = replace(layout, pages=tuple(replace(page, images=()) for page in layout.pages))
    (tmp_path / "layout.xml").write_bytes(write(bare))
    here = bench().renderer.render(bare, {}, None, None, None, AT).pdf
    there = run(sys.executable, "-c", OTHER_PROCESS, str(tmp_path / "layout.xml"))
    assert there.strip() == hashlib.sha256(here).hexdigest()


def test_another_time_is_another_file() -> None:
    layout = bench().layout("C")
    later = bench().renderer.render(layout, bench().marks, None, None, None, AT.replace(hour=9)).pdf
    assert later != bench().renderer.render(layout, bench().marks, None, None, None, AT).pdf


@pytest.mark.needs("pdftotext")
@pytest.mark.parametrize("layout", both(), ids=["C-copy", "RC-60", "RC-copy"])
def test_text_layer_is_the_input(layout: Layout, tmp_path: Path) -> None:
    """Page by page, in the order painted: the form's own words, then this certificate's."""
    form = form_named(layout.form, layout.version)
    assert form is not None
    (tmp_path / "a.pdf").write_bytes(bench().signed(layout))
    for number, page in enumerate(layout.pages, 1):
        seen = run("pdftotext", "-raw", "-f", str(number), "-l", str(number), str(tmp_path / "a.pdf"), "-")
        wanted = "".join(text.text for text in (*form.templates[page.template].texts, *page.texts))
        assert sorted(squeezed(seen)) == sorted(squeezed(wanted))
        for text in page.texts:
            assert squeezed(text.text) in squeezed(seen)


@pytest.mark.needs("pdftotext")
def test_two_characters_with_one_glyph_stay_apart(tmp_path: Path) -> None:
    """Radicals and compatibility characters share glyphs with ideographs; copied text must be the one declared."""
    odd = "⼀一⼆二⼈人金⾦"
    subset = face(Weight.REGULAR).subset(odd)
    assert len(set(subset.glyphs)) < len(subset.characters), "no twins among them: the test would prove nothing"
    layout = bench().layout("C")
    page = replace(layout.pages[0], texts=(Text(20, 100, 10, odd),))
    (tmp_path / "a.pdf").write_bytes(bench().unsigned(replace(layout, pages=(page,))))
    assert odd in squeezed(run("pdftotext", "-raw", str(tmp_path / "a.pdf"), "-"))


def test_nothing_in_it_acts() -> None:
    for layout in both():
        content = bench().signed(layout)
        for word in (b"/URI", b"/JS", b"/JavaScript", b"/Launch", b"/EmbeddedFile", b"/OpenAction", b"/AA", b"/GoToR"):
            assert word not in content


def test_no_personal_data_in_the_document_data() -> None:
    content = bench().signed(bench().layout("C"))
    info = re.search(rb"<</Title\(([^)]*)\)/Producer\(([^)]*)\)", content)
    assert info
    assert info[1] == b"Certificate of origin C261026902330001, original"
    assert b"/Author" not in content


@pytest.mark.needs("qpdf", "pdffonts")
@pytest.mark.parametrize("layout", both(), ids=["C-copy", "RC-60", "RC-copy"])
def test_sound_and_all_fonts_embedded(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(bench().signed(layout))
    assert "No syntax or stream encoding errors" in run("qpdf", "--check", str(tmp_path / "a.pdf"))
    fonts = run("pdffonts", str(tmp_path / "a.pdf")).splitlines()[2:]
    assert fonts
    assert all(re.search(r"CID TrueType +Identity-H +yes yes yes", line) for line in fonts)


@pytest.mark.parametrize("kind", ["C", "RC"])
def test_qr_code_stands_on_the_page(kind: str) -> None:
    """pdfium draws the page; the middle of each module is as dark as segno says."""
    layout = bench().layout(kind)
    [code] = layout.pages[0].codes
    dpi = 300
    page = Image.open(BytesIO(first_page_png(bench().signed(layout), dpi=dpi))).convert("L")
    shades = page.tobytes()
    content = code.content.encode()
    wanted = segno.make_qr(
        content, version=qr.version_for(len(content)), error="m", mask=qr.MASK, mode="byte", boost_error=False
    ).matrix
    module = code.size / len(wanted)
    for row, modules in enumerate(wanted):
        for column, dark in enumerate(modules):
            x, y = ((place + 0.5) * module / 25.4 * dpi for place in (column + code.x / module, row + code.y / module))
            assert (shades[round(y) * page.width + round(x)] < 128) == bool(dark)


def test_picture_of_the_first_page() -> None:
    png = first_page_png(bench().signed(bench().layout("C")), dpi=72)
    assert png.startswith(SIGNATURE)
    assert int.from_bytes(png[16:20], "big") in (595, 596)


def test_a_layout_of_another_form_edition_is_refused() -> None:
    layout = bench().layout("C")
    with pytest.raises(RenderRefused, match="FORM-CHANGED"):
        bench().unsigned(replace(layout, form_sha256="0" * 64))
    with pytest.raises(RenderRefused, match="FORM-UNKNOWN"):
        bench().unsigned(replace(layout, version="1999"))
    with pytest.raises(RenderRefused, match="TEMPLATE-UNKNOWN"):
        bench().unsigned(replace(layout, pages=(replace(layout.pages[0], template="other"),)))


def test_a_missing_picture_is_refused() -> None:
    layout = bench().layout("C")
    with pytest.raises(RenderRefused, match="MARK-MISSING"):
        Renderer().render(layout, {}, None, None, None, AT)
    swapped = {sha256: b"x" + content for sha256, content in bench().marks.items()}
    with pytest.raises(RenderRefused, match="MARK-HASH"):
        Renderer().render(layout, swapped, None, None, None, AT)


def test_pictures_travel_and_are_split_off() -> None:
    layout = bench().layout("RC")
    bare, images = split(write(layout, bench().marks))
    assert images == bench().marks
    assert read(bare) == layout
    assert b"ImageData" not in bare
    untouched = write(layout)
    assert split(untouched) == (untouched, {})


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b'part="original"', b'part="both"', "LAYOUT-INVALID"),
        (b'pages="2"', b'pages="3"', "LAYOUT-INVALID"),
        (b"<Page ", b"<Script/><Page ", "LAYOUT-INVALID"),
        (b"?>", b"?><!DOCTYPE x>", "LAYOUT-INVALID"),
        (b"SAKURA TRADING", "บ".encode(), "GLYPH-MISSING"),
        (b"SAKURA TRADING", b"A&#10;B", "GLYPH-MISSING"),
        (b"SAKURA TRADING", "A\u202eB".encode(), "GLYPH-MISSING"),
        (b'width="55"', b'width="255"', "LAYOUT-OUTSIDE"),
        (b'width="55"', b'width="-5"', "LAYOUT-INVALID"),
        (b'width="55"', b'width="NaN"', "LAYOUT-INVALID"),
    ],
)
def test_a_bad_layout_is_refused(old: bytes, new: bytes, code: str) -> None:
    raw = write(bench().layout("C"))
    assert old in raw
    with pytest.raises(RenderRefused) as refused:
        read(raw.replace(old, new))
    assert refused.value.code == code


def test_a_tampered_picture_is_refused() -> None:
    raw = write(bench().layout("C"), bench().marks)
    sha256 = sorted(bench().marks)[0].encode()
    with pytest.raises(RenderRefused, match="MARK-HASH"):
        split(raw.replace(b'ImageData sha256="' + sha256, b'ImageData sha256="' + digest(b"").encode()))
