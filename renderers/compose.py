"""Form + declaration + issue data -> layout document. Pure: the same input, the same layout.

Texts wrap by the font's own widths, shrink to the form's smallest size, then go on in the goods table and on numbered
continuation sheets. Each sheet has the notes on its back. The customs simulator uses the same function.
"""

from gateway.core.declaration import Declaration
from renderers.bindings import FIELDS, TICKS, IssueData, Source, flat
from renderers.flow import fit
from renderers.fonts import NoGlyph, Weight, face, missing
from renderers.form_parts import FormBox, FormField, Kind
from renderers.forms import PADDING, Form, aligned, frame
from renderers.layout import (
    ASCENT,
    DESCENT,
    MAX_PAGES,
    MM,
    Code,
    Image,
    Layout,
    Page,
    RenderRefused,
    Role,
    Rule,
    Slot,
    Text,
    mm,
)
from renderers.table import set_table, tidy

FOOT = 284.2
"""Baseline of the line below the frame, mm."""
FOOT_SIZE = 7.0
TIGHT, TINY = 1.12, 2.5
"""Line distance in ems and smallest size of a field that must not run over."""


MAX_SHEETS = MAX_PAGES // 2
"""Each sheet has a front and a back."""


def compose(form: Form, declaration: Declaration, issue: IssueData, most_sheets: int = MAX_SHEETS) -> Layout:
    """The layout of one part (正本 or 副本). Raises RenderRefused GLYPH-MISSING, TEXT-TOO-LONG or PAPER-TOO-LONG."""
    source = Source(declaration, issue)
    try:
        return _compose(form, source, most_sheets)
    except NoGlyph:
        raise RenderRefused("GLYPH-MISSING", "the text has a character that the font can't print") from None


def unprintable(declaration: Declaration) -> frozenset[str]:
    """Characters anywhere in a declaration that would not print."""
    return missing(_all_text(declaration))


def _all_text(declaration: Declaration) -> str:
    def walk(value: object) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, dict):
            return "".join(map(walk, value.values()))
        return "".join(map(walk, value)) if isinstance(value, (list, tuple)) else ""

    return walk(declaration.model_dump(exclude_none=True))


def _compose(form: Form, source: Source, most_sheets: int) -> Layout:
    leftovers: list[tuple[str, str]] = []
    front = _boxes(form, source, "front", leftovers)
    goods = set_table(form, source, leftovers, most_sheets)
    sheets = max(goods, default=0) + 1
    others = _boxes(form, source, "continued", []) if sheets > 1 else []
    pages: list[Page] = []
    for sheet in range(sheets):
        kind: Kind = "continued" if sheet else "front"
        texts = [
            *(others if sheet else front),
            *_fields(form, source, kind),
            *goods.get(sheet, []),
            *_foot(form, source, kind, sheet + 1, sheets),
        ]
        pages += [_front_side(form, source, kind, texts), Page("overleaf")]
    return Layout(
        source.issue.number,
        source.issue.part,
        form.form,
        form.version,
        form.sha256,
        source.issue.signed_on,
        tuple(pages),
    )


def _boxes(form: Form, source: Source, kind: Kind, leftovers: list[tuple[str, str]]) -> list[Text]:
    """The texts of all boxes of a kind of page; what finds no room is added to `leftovers`."""
    texts: list[Text] = []
    for box in form.boxes:
        if kind not in box.on or box.bind is None:
            continue
        text = tidy(FIELDS[box.bind](source))
        if text:
            texts += _box(form, box, text, leftovers)
    return texts


def _box(form: Form, box: FormBox, text: str, leftovers: list[tuple[str, str]]) -> list[Text]:
    x, y, width, height = box.at
    top = form.tops[box] + 0.3
    regular = face(Weight.REGULAR)
    fitted = fit(
        text,
        width - 2 * PADDING,
        y + height - top - 0.9 - box.floor,
        regular,
        size=form.size,
        smallest=form.smallest,
        leading=form.leading,
        reserve=1,
    )
    texts = [
        Text(mm(x + PADDING), mm(top + (ASCENT + index * form.leading) * fitted.size * MM), fitted.size, line)
        for index, line in enumerate(fitted.lines)
        if line
    ]
    if fitted.rest:
        leftovers.append((box.number, fitted.rest))
        baseline = mm(top + (ASCENT + len(fitted.lines) * form.leading) * fitted.size * MM)
        texts.append(Text(mm(x + PADDING), baseline, fitted.size, f"(CONTINUED IN BOX {form.table.description})"))
    return texts


def _fields(form: Form, source: Source, kind: Kind) -> list[Text]:
    texts: list[Text] = []
    for field in form.fields:
        if kind in field.on and (text := tidy(FIELDS[field.bind](source))):
            texts += _field(form, field, text)
    return texts


def _field(form: Form, field: FormField, text: str) -> list[Text]:
    """A text that must fit where it stands: it shrinks, and what is too long even then is refused, never cut."""
    x, y, width, height = field.at
    used = face(Weight.BOLD if field.role is Role.STRONG else Weight.REGULAR)
    leading = form.leading
    fitted = fit(text, width, height, used, size=field.size, smallest=field.smallest, leading=leading)
    if fitted.rest:
        leading = TIGHT
        fitted = fit(text, width, height, used, size=field.smallest, smallest=TINY, leading=leading)
    if fitted.rest:
        raise RenderRefused("TEXT-TOO-LONG", f"the text of the field {field.bind} does not fit its place on the form")
    step = leading * fitted.size * MM
    first = y + ASCENT * fitted.size * MM
    if field.anchor == "bottom":
        first = y + height - DESCENT * fitted.size * MM - (len(fitted.lines) - 1) * step
    return [
        Text(
            mm(aligned(field.align, x, width, used.width(line, fitted.size) * MM)),
            mm(first + index * step),
            fitted.size,
            line,
            field.role,
        )
        for index, line in enumerate(fitted.lines)
        if line
    ]


def _foot(form: Form, source: Source, kind: Kind, sheet: int, sheets: int) -> list[Text]:
    """Below the frame: verification code, form, page x of y."""
    x, _, width, _ = frame(form, kind)
    regular = face(Weight.REGULAR)
    count = f"Page {sheet} of {sheets}"
    name = f"{form.form} / {form.version}"
    texts = [
        Text(mm(aligned("center", x, width, regular.width(name, FOOT_SIZE) * MM)), FOOT, FOOT_SIZE, name),
        Text(mm(aligned("right", x, width, regular.width(count, FOOT_SIZE) * MM)), FOOT, FOOT_SIZE, count),
    ]
    if source.issue.bar_code:
        texts.insert(0, Text(mm(x), FOOT, FOOT_SIZE, f"Verification code: {flat(source.issue.bar_code)}"))
    return texts


def _front_side(form: Form, source: Source, kind: Kind, texts: list[Text]) -> Page:
    """The printed side of a sheet, with ticks, marks, slots and the QR code."""
    rules: list[Rule] = []
    for tick in form.ticks:
        if kind in tick.on and TICKS[tick.bind](source):
            x, y, _, side = tick.at
            low = mm(y + side * 0.85)
            rules += [
                Rule(mm(x + side * 0.15), mm(y + side * 0.5), mm(x + side * 0.42), low, 0.45),
                Rule(mm(x + side * 0.42), low, mm(x + side * 1.05), mm(y - side * 0.15), 0.45),
            ]
    images = []
    for place in form.marks:
        mark = source.issue.marks.get(place.kind)
        if kind in place.on and mark:
            x, y, width, height = place.at
            scale = min(1.0, width / mark.width, height / mark.height)
            w, h = mark.width * scale, mark.height * scale
            images.append(
                Image(place.kind, mark.sha256, mm(x + (width - w) / 2), mm(y + (height - h) / 2), mm(w), mm(h))
            )
    slots = [Slot(slot.kind, *slot.at) for slot in form.slots if kind in slot.on]
    content = " ".join(part for part in (source.issue.number, source.issue.bar_code) if part)
    codes = [Code(*code.at[:3], content) for code in form.codes if kind in code.on]
    return Page(kind, tuple(texts), tuple(rules), (), tuple(images), tuple(slots), tuple(codes))
