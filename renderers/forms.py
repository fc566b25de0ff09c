"""Forms as data: boxes, columns, slots and notes of one version of one certificate form, in mm on A4.

Files are ``schemas/forms/<form>/<version>.toml``; an unknown key, a box that hangs over the sheet or a binding that
nobody implements is refused when the form is loaded. `Form.templates` is what all certificates of a version share.
"""

import hashlib
import tomllib
from datetime import date
from functools import cache, cached_property
from typing import Literal

from pydantic import Field, ValidationError

import schemas
from renderers.flow import wrap
from renderers.fonts import Weight, face, missing
from renderers.form_parts import (
    HAIRLINE,
    Align,
    Entry,
    FormBox,
    FormField,
    FormSlot,
    Kind,
    Line,
    MarkPlace,
    Note,
    Overleaf,
    Qr,
    Rect,
    Table,
    Tick,
)
from renderers.layout import ASCENT, HEIGHT, MM, Box, Role, Rule, Template, Text, mm

PADDING = 1.4
"""Between a box's line and its text, mm."""
FRAME = 0.30
"""Width of the outer frame, mm."""
LABEL_LEADING = 1.2


class FormError(Exception):
    """A form file can't be used: says which and why. Our own data, so a bug, never a sender's mistake."""


class Form(Entry):
    """One version of one form."""

    form: str
    version: str
    types: tuple[str, ...]
    """Certificate types (证书类型) printed on it."""
    valid_from: date
    valid_to: date | None = None
    """Last day, inclusive."""
    source: str
    sure: Literal["official", "ours"]
    """`ours`: the geometry is this project's, not the authority's."""
    size: float = 8.0
    smallest: float = 6.0
    label: float = 6.2
    """Points: text, smallest text, box titles."""
    leading: float = 1.25
    end_mark: str = "***"
    boxes: tuple[FormBox, ...] = Field(alias="box")
    notes: tuple[Note, ...] = Field(alias="note", default=())
    fields: tuple[FormField, ...] = Field(alias="field", default=())
    lines: tuple[Line, ...] = Field(alias="line", default=())
    slots: tuple[FormSlot, ...] = Field(alias="slot")
    marks: tuple[MarkPlace, ...] = Field(alias="mark")
    ticks: tuple[Tick, ...] = Field(alias="tick", default=())
    codes: tuple[Qr, ...] = Field(alias="qr", default=())
    table: Table
    overleaf: Overleaf

    @cached_property
    def templates(self) -> dict[str, Template]:
        """front, continued and overleaf, ready to be painted."""
        return {
            "front": _template(self, "front"),
            "continued": _template(self, "continued"),
            "overleaf": _overleaf(self),
        }

    @cached_property
    def sha256(self) -> str:
        """Digest of the templates: layouts name it, so a changed file is never printed under an old name."""
        return hashlib.sha256(repr(sorted(self.templates.items())).encode()).hexdigest()

    @cached_property
    def tops(self) -> dict[FormBox, float]:
        """Box -> where its own text may begin, below title and statement; mm from the top of the sheet."""
        return {box: _printed(self, box)[1] for box in self.boxes}


@cache
def forms() -> tuple[Form, ...]:
    """Every shipped form version, oldest first. Raises FormError."""
    found = []
    for folder in sorted(schemas.path("forms").iterdir(), key=lambda entry: entry.name):
        if folder.is_dir():
            names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
            found += [load(schemas.read_text("forms", folder.name, name), f"{folder.name}/{name}") for name in names]
    for form in found:
        for other in found:
            if form is not other and set(form.types) & set(other.types) and _overlap(form, other):
                raise FormError(
                    f"{form.form}/{form.version} and {other.form}/{other.version} are valid on the same day"
                )
    return tuple(sorted(found, key=lambda form: (form.form, form.valid_from)))


def load(text: str, name: str) -> Form:
    """A form from its TOML; `name` is ``<form>/<version>.toml``. Raises FormError."""
    try:
        form = Form.model_validate(tomllib.loads(text))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise FormError(f"schemas/forms/{name}: {error}") from None
    if name != f"{form.form}/{form.version}.toml":
        raise FormError(f"schemas/forms/{name} says it is {form.form}/{form.version}")
    unseen = missing("".join(text.text for template in form.templates.values() for text in template.texts))
    if unseen:
        raise FormError(f"schemas/forms/{name} has characters without a glyph: {sorted(map(ascii, unseen))}")
    return form


def form_for(certificate_type: str, on: date) -> Form:
    """The form of a certificate type on a day. Raises FormError."""
    for form in forms():
        if certificate_type in form.types and form.valid_from <= on <= (form.valid_to or date.max):
            return form
    raise FormError(f"no form for certificate type {certificate_type} on {on}")


def form_named(form: str, version: str) -> Form | None:
    """A shipped form by name and version."""
    return next((one for one in forms() if (one.form, one.version) == (form, version)), None)


def _overlap(one: Form, other: Form) -> bool:
    return one.valid_from <= (other.valid_to or date.max) and other.valid_from <= (one.valid_to or date.max)


def _template(form: Form, kind: Kind) -> Template:
    """Lines, titles and notes of one kind of page."""
    texts: list[Text] = []
    rules: list[Rule] = []
    boxes: list[Box] = []
    for box in (box for box in form.boxes if kind in box.on):
        boxes.append(Box(*box.at, HAIRLINE))
        texts += _printed(form, box)[0]
    for note in (note for note in form.notes if kind in note.on):
        texts += note_texts(note)
    for line in (line for line in form.lines if kind in line.on):
        rules += _dashes(line) if line.dotted else [Rule(*line.at, line.width)]
    for tick in (tick for tick in form.ticks if kind in tick.on):
        x, y, _, height = tick.at
        boxes.append(Box(x, y, height, height, 0.18))
        texts.append(Text(mm(x + height + 1.2), mm(y + height / 2 + 0.36 * 7 * MM), 7.0, tick.text))
    rules += _table_rules(form, kind)
    texts += _column_titles(form, kind)
    x, y, width, height = frame(form, kind)
    boxes.append(Box(mm(x), mm(y), mm(width), mm(height), FRAME))
    return Template(kind, tuple(texts), tuple(rules), tuple(boxes))


def frame(form: Form, kind: Kind) -> Rect:
    """The rectangle around all boxes and the table of a page."""
    areas = [box.at for box in form.boxes if kind in box.on] + [table_area(form, kind)]
    left, top = min(a[0] for a in areas), min(a[1] for a in areas)
    return left, top, max(a[0] + a[2] for a in areas) - left, max(a[1] + a[3] for a in areas) - top


def table_area(form: Form, kind: Kind) -> Rect:
    """The goods table, titles included."""
    return form.table.front if kind == "front" else form.table.continued


def _printed(form: Form, box: FormBox) -> tuple[list[Text], float]:
    """Number, title and statement of a box, and the y where its own text may begin."""
    x, y, width, _ = box.at
    texts: list[Text] = []
    below = y + 0.9
    if box.number or box.title:
        texts, below = _title(form, box)
    if box.statement:
        for line in wrap(box.statement, width - 2 * PADDING, form.label + 0.4, face(Weight.REGULAR)):
            texts.append(Text(mm(x + PADDING), mm(below + ASCENT * form.label * MM), form.label + 0.4, line.text))
            below += 1.3 * (form.label + 0.4) * MM
    return texts, below


def _title(form: Form, box: FormBox) -> tuple[list[Text], float]:
    """The number in bold, then the title; further lines begin under the number."""
    x, y, width, _ = box.at
    lead = f"{box.number}." if box.number else ""
    texts: list[Text] = []
    below = y + 0.9
    lines = wrap(f"{lead} {box.title}".strip(), width - 2 * PADDING, form.label, face(Weight.REGULAR))
    for index, line in enumerate(lines):
        left, words, baseline = x + PADDING, line.text, mm(below + ASCENT * form.label * MM)
        if lead and not index:
            texts.append(Text(mm(left), baseline, form.label, lead, Role.STRONG))
            left += face(Weight.BOLD).width(lead + " ", form.label) * MM
            words = words.removeprefix(lead).strip()
        if words:
            texts.append(Text(mm(left), baseline, form.label, words))
        below += LABEL_LEADING * form.label * MM
    return texts, below + 0.6


def note_texts(note: Note) -> list[Text]:
    """A note, wrapped to its width and aligned in it."""
    x, y, width, _ = note.at
    used = face(Weight.BOLD if note.role is Role.STRONG else Weight.REGULAR)
    texts = []
    for index, line in enumerate(wrap(note.text, width, note.size, used)):
        left = aligned(note.align, x, width, used.width(line.text, note.size) * MM)
        baseline = y + (ASCENT + index * 1.25) * note.size * MM
        texts.append(Text(mm(left), mm(baseline), note.size, line.text, note.role))
    return texts


def aligned(align: Align, x: float, width: float, ink: float) -> float:
    """Left end of something `ink` mm wide in a field."""
    return x + {"left": 0.0, "center": 0.5, "right": 1.0}[align] * (width - ink)


def _table_rules(form: Form, kind: Kind) -> list[Rule]:
    x, y, width, height = table_area(form, kind)
    rules = [
        Rule(x, y, x + width, y, HAIRLINE),
        Rule(x, mm(y + form.table.header), x + width, mm(y + form.table.header), HAIRLINE),
    ]
    for column in form.table.columns[:-1]:
        x += column.width
        rules.append(Rule(mm(x), y, mm(x), mm(y + height), HAIRLINE))
    return rules


def _column_titles(form: Form, kind: Kind) -> list[Text]:
    x, y, _, _ = table_area(form, kind)
    texts: list[Text] = []
    for column in form.table.columns:
        cell = FormBox(at=(x, y, column.width, form.table.header), number=column.number, title=column.title)
        found, below = _printed(form, cell)
        if below > y + form.table.header + 0.6:
            raise FormError(f"{form.form}/{form.version}: the title of column {column.number} needs more room")
        texts += found
        x += column.width
    return texts


def _dashes(line: Line) -> list[Rule]:
    """A dotted line to sign or write on (horizontal)."""
    x1, y1, x2, _ = line.at
    count = int((x2 - x1) / 1.0)
    return [Rule(mm(x1 + i), y1, mm(x1 + i + 0.5), y1, line.width) for i in range(count)]


def _overleaf(form: Form) -> Template:
    """The notes on the back, numbered, in one column between wide margins."""
    left, width, size = 24.0, 162.0, form.overleaf.size
    texts = note_texts(
        Note(at=(left, 24, width, 8), text=form.overleaf.title, size=12, role=Role.STRONG, align="center")
    )
    y = 38.0
    for number, text in enumerate(form.overleaf.notes, 1):
        texts.append(Text(left, mm(y + ASCENT * size * MM), size, f"{number}.", Role.STRONG))
        for line in wrap(text, width - 8, size, face(Weight.REGULAR)):
            texts.append(Text(left + 8, mm(y + ASCENT * size * MM), size, line.text))
            y += 1.45 * size * MM
        y += 0.7 * size * MM
    if y > HEIGHT - 20:
        raise FormError(f"{form.form}/{form.version}: the overleaf notes need more than a page")
    rules = (Rule(left, 33, left + width, 33, HAIRLINE), Rule(left, mm(y + 3), left + width, mm(y + 3), HAIRLINE))
    return Template("overleaf", tuple(texts), rules, ())
