"""The layout document (版式文件) as a value: what stands where on which page. The painter paints this and nothing else.

No public message exists for it, so this one is ours, modelled on what a 版式文件 is. All lengths are millimetres from
the top-left corner of an A4 sheet, sizes are points, a text stands on its baseline. What every certificate of a form
shares (lines, titles, notes) is a template of that form version, named here by its digest and not repeated.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

from gateway.core.messages import Part

WIDTH, HEIGHT = 210.0, 297.0
"""A4 in mm."""
MAX_PAGES = 1000
"""Most pages of a layout document, fronts and backs; `layout.xsd` says the same."""
MM = 25.4 / 72
"""Millimetres in a point."""
ASCENT, DESCENT = 0.88, 0.22
"""How far ink may reach above and below the baseline, in ems of the shipped font."""


class RenderRefused(Exception):
    """No file can be made of this. `code` is stable, `detail` one sentence that echoes none of the content."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class Role(StrEnum):
    """Which face a text is set in."""

    TEXT = "text"
    STRONG = "strong"


class ImageKind(StrEnum):
    """Whose mark an image is."""

    CUSTOMS_SEAL = "customs-seal"
    """签证印章 of the issuing customs."""
    OFFICER_SIGNATURE = "officer-signature"
    """签证人员签名."""
    MARK = "mark"
    """A picture among the shipping marks (图形唛头)."""


class SlotKind(StrEnum):
    """What the enterprise adds to the customs' layout."""

    SEAL = "enterprise-seal"
    """企业印章."""
    HANDWRITING = "handwriting"
    """申报员签名."""


class Text(NamedTuple):
    """One line of text; `x` is its left end, `y` its baseline."""

    x: float
    y: float
    size: float
    text: str
    role: Role = Role.TEXT


class Rule(NamedTuple):
    """A straight line of `width` mm."""

    x1: float
    y1: float
    x2: float
    y2: float
    width: float


class Box(NamedTuple):
    """The outline of a rectangle, drawn with a line of `line` mm."""

    x: float
    y: float
    width: float
    height: float
    line: float


class Image(NamedTuple):
    """A picture by reference: the SHA-256 of a stored PNG, stretched over the rectangle."""

    kind: ImageKind
    sha256: str
    x: float
    y: float
    width: float
    height: float


class Slot(NamedTuple):
    """Where the enterprise's seal or handwriting goes: it stands in the middle, in its own size."""

    kind: SlotKind
    x: float
    y: float
    width: float
    height: float


class Code(NamedTuple):
    """A QR code: the square of its modules (the quiet zone lies outside), and what it says (ASCII)."""

    x: float
    y: float
    size: float
    content: str


@dataclass(frozen=True, slots=True)
class Page:
    """One side of a sheet: a template of the form, and what this certificate adds to it."""

    template: str
    texts: tuple[Text, ...] = ()
    rules: tuple[Rule, ...] = ()
    boxes: tuple[Box, ...] = ()
    images: tuple[Image, ...] = ()
    slots: tuple[Slot, ...] = ()
    codes: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole layout document: the original (正本) or the copy (副本) of one certificate."""

    number: str
    part: Part
    form: str
    version: str
    form_sha256: str
    """Digest of the form version's templates: another edition under the same name would print something else."""
    issued: date
    """Day of signing by customs (签发日期)."""
    pages: tuple[Page, ...]

    def images(self) -> frozenset[str]:
        """SHA-256 of every picture the pages need."""
        return frozenset(image.sha256 for page in self.pages for image in page.images)


@dataclass(frozen=True, slots=True)
class Template:
    """What all certificates of a form version share on one kind of page."""

    name: str
    texts: tuple[Text, ...]
    rules: tuple[Rule, ...]
    boxes: tuple[Box, ...]


def mm(value: float) -> float:
    """Hundredths of a millimetre are the grid of every layout."""
    return round(value, 2)
