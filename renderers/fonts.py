"""The one font of every page: Noto Sans SC (思源黑体), its widths, its coverage, and its subsets for embedding.

The variable font comes with the package justmytype-intl-cjk (OFL-1.1); `wght` is pinned to 400 or 700 while HarfBuzz
subsets it. A character without a glyph would print as a blank, so `missing` asks before anything is accepted.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib.resources import as_file, files

import uharfbuzz as hb

FILE = ("justmytype_intl_cjk", "fonts/ofl/notosanssc/NotoSansSC[wght].ttf")
NAME = "NotoSansSC"
ASCENT, DESCENT, CAP_HEIGHT = 880, -220, 733
"""Of the face, in thousandths of an em (CAP_HEIGHT from its OS/2 table)."""
UNPRINTABLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Mn", "Mc", "Me"})
"""General categories that a line of text can't show by itself: controls, bidi marks, private use, combining marks."""
DROPPED = (
    "GSUB",
    "GPOS",
    "GDEF",
    "BASE",
    "STAT",
    "name",
    "OS/2",
    "post",
    "vhea",
    "vmtx",
    "VORG",
    "meta",
    "DSIG",
    "cmap",
    "gasp",
)
"""Tables that a CIDFontType2 in a PDF doesn't need."""


class Weight(IntEnum):
    """The two faces."""

    REGULAR = 400
    BOLD = 700


@dataclass(frozen=True, slots=True)
class Subset:
    """An embeddable TrueType program of some characters. Character i of `characters` is CID i + 1."""

    characters: tuple[str, ...]
    program: bytes
    glyphs: tuple[int, ...]
    widths: tuple[int, ...]
    """Advance widths in thousandths of an em."""

    def codes(self) -> Mapping[int, int]:
        """For `str.translate`: code point -> CID."""
        return {ord(character): cid for cid, character in enumerate(self.characters, 1)}


class NoGlyph(KeyError):
    """A character that the font has no glyph for."""


class Advances(dict[str, int]):
    """Character -> advance width in thousandths of an em, asked from the font once. KeyError without a glyph."""

    def __init__(self, font: hb.Font) -> None:
        super().__init__()
        self._font = font

    def __missing__(self, character: str) -> int:
        glyph = self._font.get_nominal_glyph(ord(character))
        if not glyph:
            raise NoGlyph(f"U+{ord(character):04X} has no glyph")
        width = self[character] = int(self._font.get_glyph_h_advance(glyph))
        return width


class Face:
    """One weight of the font, kept open per process."""

    def __init__(self, weight: Weight) -> None:
        self.weight = weight
        self._face = _open()
        font = hb.Font(self._face)
        font.set_variations({"wght": float(weight)})
        self.advances = Advances(font)

    def width(self, text: str, size: float) -> float:
        """Width of `text` in points at `size` points. KeyError for a character without a glyph."""
        return sum(map(self.advances.__getitem__, text)) * size / 1000

    def subset(self, characters: Iterable[str]) -> Subset:
        """The program of `characters` (each has a glyph), about 0.3 ms for a document."""
        wanted = tuple(sorted(set(characters)))
        request = hb.SubsetInput()
        request.pin_axis_location(self._face, "wght", float(self.weight))
        request.flags = hb.SubsetFlags.NO_HINTING | hb.SubsetFlags.NO_LAYOUT_CLOSURE
        request.unicode_set.update(map(ord, wanted))
        request.drop_table_tag_set.update(DROPPED_TAGS)
        plan = hb.SubsetPlan(self._face, request)
        old = dict(plan.unicode_to_old_glyph_mapping)
        new = dict(plan.old_to_new_glyph_mapping)
        return Subset(
            wanted,
            plan.execute().blob.data,
            tuple(new[old[ord(character)]] for character in wanted),
            tuple(map(self.advances.__getitem__, wanted)),
        )


@cache
def face(weight: Weight) -> Face:
    """The face of a weight; opened once per process."""
    return Face(weight)


@cache
def covered() -> frozenset[int]:
    """Code points that print: they have a glyph and stand by themselves in a line."""
    return frozenset(point for point in _open().unicodes if unicodedata.category(chr(point)) not in UNPRINTABLE)


@cache
def _uncovered() -> re.Pattern[str]:
    """Takes a character that would not print. Its table is small: a look costs no way to slow memory."""
    points = covered() | {ord("\n")}
    firsts = sorted(point for point in points if point - 1 not in points)
    lasts = sorted(point for point in points if point + 1 not in points)
    ranges = (f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in zip(firsts, lasts, strict=True))
    return re.compile(f"[^{''.join(ranges)}]")


def missing(text: str) -> frozenset[str]:
    """Characters of `text` that would not print. A line break counts as printable: it is layout, not ink."""
    return frozenset(_uncovered().findall(text))


def font_bytes() -> bytes:
    """The font file, for drawing pictures of seals."""
    return files(FILE[0]).joinpath(FILE[1]).read_bytes()


@cache
def _open() -> hb.Face:
    with as_file(files(FILE[0]).joinpath(FILE[1])) as path:
        return hb.Face(hb.Blob.from_file_path(str(path)))


def _tag(name: str) -> int:
    return int.from_bytes(name.encode("ascii"), "big")


DROPPED_TAGS = tuple(map(_tag, DROPPED))
