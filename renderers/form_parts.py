"""What a form file may hold, part by part: boxes, notes, fields, lines, slots, ticks, the goods table, the back.

Millimetres on A4 from the top-left corner. An unknown key, a place off the sheet and an unknown binding are refused.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from renderers.bindings import COLUMNS, FIELDS, TICKS
from renderers.layout import HEIGHT, WIDTH, ImageKind, Role, SlotKind

HAIRLINE = 0.12
"""Width of the lines inside the frame, mm."""


def _known(table: Any, what: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in table:
            raise ValueError(f"no {what} is called {name}; there are {', '.join(sorted(table))}")
        return name

    return AfterValidator(check)


Kind: TypeAlias = Literal["front", "continued"]
Rect: TypeAlias = tuple[float, float, float, float]
"""x, y from the top-left corner, width, height; mm."""
Align: TypeAlias = Literal["left", "center", "right"]
FieldName: TypeAlias = Annotated[str, _known(FIELDS, "field")]


class Entry(BaseModel):
    """A part of a form file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Placed(Entry):
    """Something that stands on some kinds of pages."""

    on: tuple[Kind, ...] = ("front",)
    at: Rect

    @model_validator(mode="after")
    def inside(self) -> "Placed":
        """Everything stands on the sheet."""
        x, y, width, height = self.at
        if min(self.at) < 0 or x + width > WIDTH or y + height > HEIGHT:
            raise ValueError("hangs over the sheet")
        return self


class FormBox(Placed):
    """A numbered box (栏目): outline, title, a printed statement, and the text that a certificate puts there."""

    number: str = ""
    title: str = ""
    statement: str = ""
    bind: FieldName | None = None
    floor: Annotated[float, Field(ge=0)] = 0.0
    """Height kept free at the bottom of the box, mm."""


class Note(Placed):
    """Printed text without an outline; a height of 0 means one line."""

    text: str
    size: float = 6.0
    role: Role = Role.TEXT
    align: Align = "left"


class FormField(Placed):
    """A certificate's text outside a box's own area."""

    bind: FieldName
    size: float = 8.0
    smallest: float = 5.0
    role: Role = Role.TEXT
    align: Align = "left"
    anchor: Literal["top", "bottom"] = "top"


class Line(Entry):
    """A printed line; `dotted` is drawn as short dashes."""

    on: tuple[Kind, ...] = ("front",)
    at: Rect
    """x1, y1, x2, y2."""
    width: float = HAIRLINE
    dotted: bool = False


class FormSlot(Placed):
    """Where the enterprise's seal or handwriting goes."""

    kind: SlotKind


class MarkPlace(Placed):
    """Where customs puts its seal or its officer's signature: in the middle, in its own size."""

    kind: ImageKind


class Tick(Placed):
    """A small square, ticked when `bind` says so, and its words to the right."""

    text: str
    bind: Annotated[str, _known(TICKS, "tick")]


class Qr(Placed):
    """The QR code; the rectangle is a square."""


class Column(Entry):
    """A column of the goods table."""

    number: str
    title: str
    width: float
    bind: Annotated[str, _known(COLUMNS, "column")]
    align: Align = "left"
    shrink: bool = True
    """Make the type smaller before a word is broken."""


class Table(Entry):
    """The goods table: one text line is `leading` ems of `size` points, rows are on a grid of half lines."""

    front: Rect
    continued: Rect
    header: float
    """Height of the column titles, mm."""
    size: float = 7.5
    smallest: float = 5.5
    description: str
    """Number of the column that takes the end mark and the text that found no room in its box."""
    columns: tuple[Column, ...]

    @model_validator(mode="after")
    def adds_up(self) -> "Table":
        """Columns fill the table exactly, and the description column is one of them."""
        if any(
            abs(sum(column.width for column in self.columns) - rect[2]) > 0.001 for rect in (self.front, self.continued)
        ):
            raise ValueError("the columns are not as wide as the table")
        if self.description not in {column.number for column in self.columns}:
            raise ValueError("no column has the number of the description")
        return self


class Overleaf(Entry):
    """The back of each sheet (背页说明), in our own words."""

    title: str
    notes: tuple[str, ...]
    size: float = 8.5
