"""Fonts, line breaking, QR codes and form files."""

import tomllib
from datetime import date

import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

import schemas
from renderers import qr
from renderers.flow import fit, wrap
from renderers.fonts import NoGlyph, Weight, covered, face, missing
from renderers.forms import Form, FormError, form_for, forms, load
from renderers.layout import MM, RenderRefused

PINNED = {
    "C/2019": "d5e4f90cff162ab77b02b3b09470b98a16aa509def81b1a1a71015d41e36fa11",
    "RC/2023": "7cfbf860b28396d79a71058bded17d7005f31107e5c7724e1d771fea89c0d427",
}
"""Digest of each form version as shipped: another geometry is another version, layouts on their way name this one."""
REGULAR = face(Weight.REGULAR)
WORDS = st.text("ABCDEFG HIJ  klm宁波海天，。（）《》“”\n0123456789", max_size=200)


def test_coverage() -> None:
    assert missing("NINGBO 宁波堃珺镕燚㎡①② é ü – — ’ \n") == frozenset()
    assert missing("ก\u202e\ue000\x07\u0301\ufeff\t") == frozenset("ก\u202e\ue000\x07\u0301\ufeff\t")
    assert len(covered()) > 30_000
    everything = "".join(map(chr, range(0x110000)))
    assert {ord(character) for character in missing(everything)} == set(range(0x110000)) - covered() - {ord("\n")}


@pytest.mark.parametrize("weight", list(Weight))
def test_every_covered_character_has_a_width(weight: Weight) -> None:
    used = face(weight)
    for point in sorted(covered())[::37]:
        assert used.advances[chr(point)] >= 0
    with pytest.raises(NoGlyph):
        used.width("ก", 8)


def test_subset_has_a_glyph_of_its_own_for_each_character() -> None:
    subset = REGULAR.subset("宁波宁波ABC")
    assert subset.characters == tuple(sorted("宁波ABC"))
    assert 0 not in subset.glyphs
    assert subset.program == REGULAR.subset("ABC波宁").program


@given(WORDS, st.floats(8, 90))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: float) -> None:
    lines = wrap(text, width, 8, REGULAR)
    assert all(REGULAR.width(line.text, 8) * MM <= width + 1e-6 for line in lines)
    assert "".join("".join(line.text.split()) for line in lines) == "".join(text.split())
    rest = text
    for cut in range(len(lines)):
        rest = text[lines[cut].end :]
        after = "".join("".join(line.text.split()) for line in lines[cut + 1 :])
        assert "".join(rest.split()) == after


def test_words_stay_whole_and_punctuation_hangs_on() -> None:
    assert [line.text for line in wrap("STAINLESS STEEL FLASKS", 30, 10, REGULAR)] == ["STAINLESS STEEL", "FLASKS"]
    for line in wrap("宁波海天进出口，有限公司。（浙江）" * 5, 21, 8, REGULAR):
        assert line.text[0] not in "，。）"
        assert line.text[-1] not in "（"


def test_fit_shrinks_then_hands_back_the_rest() -> None:
    def fitted(text: str) -> tuple[float, str]:
        done = fit(text, 50, 12, REGULAR, size=8, smallest=6, leading=1.25)
        return done.size, done.rest

    assert fitted("SHORT") == (8, "")
    assert fitted("A LITTLE TOO LONG " * 6)[0] < 8
    assert fitted("FAR TOO LONG " * 40)[1] != ""


@pytest.mark.parametrize("length", [1, 14, 26, 27, 42, 43, 62, 84, 106])
def test_qr_equals_segno(length: int) -> None:
    content = bytes((index * 37 + length) % 95 + 32 for index in range(length))
    side, bits = qr.rows(content)
    code = segno.make_qr(
        content, version=qr.version_for(length), error="m", mask=qr.MASK, mode="byte", boost_error=False
    )
    assert side == len(code.matrix)
    for row, modules in enumerate(code.matrix):
        wide = len(bits) // side
        line = int.from_bytes(bits[row * wide : (row + 1) * wide], "big")
        assert f"{line:0{8 * wide}b}" == "".join("1" if module else "0" for module in modules).ljust(8 * wide, "0")


def test_qr_limits() -> None:
    with pytest.raises(RenderRefused, match="CODE-TOO-LONG"):
        qr.rows(b"x" * 107)
    with pytest.raises(RenderRefused, match="CODE-NOT-ASCII"):
        qr.inline_image("宁", 0, 0, 10)


@pytest.mark.parametrize("form", forms(), ids=lambda form: f"{form.form}/{form.version}")
def test_form_is_the_shipped_edition(form: Form) -> None:
    assert PINNED[f"{form.form}/{form.version}"] == form.sha256


@pytest.mark.parametrize(("kind", "boxes"), [("C", 12), ("RC", 17)])
def test_every_box_of_the_facts_is_there(kind: str, boxes: int) -> None:
    form = form_for(kind, date(2026, 11, 20))
    numbers = {box.number for box in form.boxes if box.number} | {column.number for column in form.table.columns}
    assert sorted(map(int, numbers)) == list(range(1, boxes + 1))
    assert form.sure == "ours"


def test_no_form_before_its_time() -> None:
    with pytest.raises(FormError):
        form_for("RC", date(2022, 12, 31))
    with pytest.raises(FormError):
        form_for("ZZ", date(2026, 1, 1))


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("size = 8.5", 'size = 8.5\ncolour = "red"', "colour"),
        ('bind = "exporter"', 'bind = "exporters"', "exporters"),
        ("at = [12, 14, 96, 24]", "at = [120, 14, 96, 24]", "hangs over"),
        ("width = 34", "width = 35", "as wide as"),
        ('title = "HS code"', 'title = "HARMONIZEDCODE OF EVERY ITEM OF GOODS THAT THERE IS IN IT"', "more room"),
        ('form = "C"', 'form = "D"', "says it is"),
        ('title = "HS code"', 'title = "ก"', "glyph"),
        ('kind = "handwriting"', 'kind = "footprint"', "handwriting"),
    ],
)
def test_a_bad_form_is_refused(old: str, new: str, word: str) -> None:
    text = schemas.read_text("forms", "C", "2019.toml")
    assert tomllib.loads(text)["form"] == "C"
    assert old in text
    with pytest.raises((FormError, NoGlyph)) as refused:
        load(text.replace(old, new, 1), "C/2019.toml")
    assert word in str(refused.value) or isinstance(refused.value, NoGlyph)
