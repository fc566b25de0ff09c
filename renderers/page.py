"""Layout -> PDF, A4. The painter paints what the layout says; it knows no certificate and no rule.

A file has two halves. The first is the same for all certificates of a form under one seal: the form's lines and words,
two Latin fonts, the pictures. It is prepared once, bytes, offsets and SHA-256 state. The second is this certificate:
its texts, a font subset when a text leaves the Latin set, the signature's place. Same input, same bytes.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from renderers import pdf, qr
from renderers.fonts import NoGlyph, Weight, face
from renderers.forms import Form
from renderers.layout import (
    HEIGHT,
    MM,
    WIDTH,
    Box,
    Layout,
    Page,
    RenderRefused,
    Role,
    Rule,
    Slot,
    SlotKind,
    Text,
)
from renderers.pdf import Objects
from renderers.stamp import Handwriting, Picture, Seal

if TYPE_CHECKING:
    from hashlib import _Hash

LATIN = frozenset(map(chr, (*range(0x20, 0x7F), *range(0xA0, 0x100)))) - {"\xad"}
"""Always embedded: printable ASCII and Latin-1."""
PT = 1 / MM
PAGE_HEIGHT = HEIGHT * PT
FONT_NAMES = {Role.TEXT: "R", Role.STRONG: "B"}
OWN_NAMES = {Role.TEXT: "r", Role.STRONG: "b"}
WEIGHTS = {Role.TEXT: Weight.REGULAR, Role.STRONG: Weight.BOLD}
BYTE_RANGE = b"/ByteRange[0 %010d %010d %010d]"


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first half of a file, prepared once."""

    body: bytes
    entries: bytes
    count: int
    state: "_Hash"
    """SHA-256 over `body`; copy it before use."""
    names: Mapping[str, int]
    """Resource name -> object number."""
    charset: frozenset[str]
    """Characters of the fonts in it."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A file with a hole where the signature goes: everything before it, its width in bytes, everything after it."""

    prefix: Prefix
    before: bytes
    hole: int
    """Hexadecimal digits between ``<`` and ``>``; 0 in a file that will not be signed."""
    after: bytes

    def digest(self) -> bytes:
        """SHA-256 of the whole file without the hole and its brackets."""
        state = self.prefix.state.copy()
        state.update(self.before)
        state.update(self.after)
        return state.digest()

    def filled(self, signature: bytes) -> tuple[bytes, str]:
        """The file with the signature (CMS, DER) in it, and the SHA-256 of the whole."""
        room = b"<%b>" % signature.hex().encode().ljust(self.hole, b"0") if self.hole else b""
        rest = b"".join((self.before, room, self.after))
        state = self.prefix.state.copy()
        state.update(rest)
        return self.prefix.body + rest, state.hexdigest()


def prefix(form: Form, pictures: Iterable[Picture]) -> Prefix:
    """The first half for a form and some pictures."""
    charset = LATIN | {one for template in form.templates.values() for text in template.texts for one in text.text}
    if any(ord(one) > 0xFFFF for one in charset):
        raise RenderRefused("FORM-CHARACTER", "a form's own words stay within the basic plane")
    objects = Objects(len(pdf.HEADER), 0)
    names = {
        name: pdf.add_font(objects, face(WEIGHTS[role]).subset(charset), WEIGHTS[role], by_code_point=True)
        for role, name in FONT_NAMES.items()
    }
    for picture in sorted(pictures, key=lambda one: one.sha256):
        names[f"I{picture.sha256}"] = pdf.add_picture(objects, picture)
    resources = b"/Resources<</Font<<%b>>>>" % pdf.references({name: names[name] for name in FONT_NAMES.values()})
    for template in form.templates.values():
        names[f"T{template.name}"] = objects.packed(
            b"/Type/XObject/Subtype/Form/BBox[0 0 %.2f %.2f]%b" % (WIDTH * PT, PAGE_HEIGHT, resources),
            _drawn(template.rules, template.boxes) + _written(template.texts, charset, {}),
        )
    body = pdf.HEADER + b"".join(objects.parts)
    return Prefix(
        body,
        pdf.entries(objects.offsets, 1, objects.count),
        objects.count,
        hashlib.sha256(body),
        names,
        frozenset(charset),
    )


def assemble(
    first: Prefix, layout: Layout, *, at: datetime, seal: Seal | None, handwriting: Handwriting | None, hole: int
) -> Unsigned:
    """The second half. `hole`: room for the signature in hexadecimal digits, 0 for none; `at`: the time in the file.

    Raises RenderRefused GLYPH-MISSING, MARK-MISSING, TEMPLATE-UNKNOWN, CODE-*.
    """
    objects = Objects(len(first.body), first.count)
    own = _own_fonts(objects, first, layout)
    used = {f"I{sha256}" for sha256 in layout.images()} | {
        f"I{part.picture.sha256}" for part in (seal, handwriting) if part
    }
    used |= {f"T{page.template}" for page in layout.pages}
    if not used <= first.names.keys():
        unknown = next(name for name in sorted(used) if name not in first.names)
        raise RenderRefused(*UNKNOWN[unknown[0]])
    resources = objects.add(
        b"<</Font<<%b>>/XObject<<%b>>>>"
        % (
            pdf.references(
                {**{name: first.names[name] for name in FONT_NAMES.values()}, **{n: o for n, (o, _) in own.items()}}
            ),
            pdf.references({name: first.names[name] for name in sorted(used)}),
        )
    )
    parent, widget = objects.reserve(), objects.reserve() if hole else 0
    codes = {name: codes for name, (_, codes) in own.items()}
    pages = []
    for index, page in enumerate(layout.pages):
        content = objects.stream(b"", _content(page, first.charset, codes, seal, handwriting))
        pages.append(
            objects.add(
                b"<</Type/Page/Parent %d 0 R/Resources %d 0 R/MediaBox[0 0 %.2f %.2f]/Contents %d 0 R%b>>"
                % (
                    parent,
                    resources,
                    WIDTH * PT,
                    PAGE_HEIGHT,
                    content,
                    b"/Annots[%d 0 R]" % widget if hole and not index else b"",
                )
            )
        )
    kids = b" ".join(b"%d 0 R" % number for number in pages)
    objects.add(b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(pages)), parent)
    return _finished(first, objects, layout, at, pages[0], parent, widget, hole)


UNKNOWN = {
    "I": ("MARK-MISSING", "a picture that the layout names is not there"),
    "T": ("TEMPLATE-UNKNOWN", "the form has no such page"),
}


def _finished(
    first: Prefix, objects: Objects, layout: Layout, at: datetime, page: int, parent: int, widget: int, hole: int
) -> Unsigned:
    """Catalogue, document data, signature and cross-reference table."""
    form = b""
    signature = 0
    if hole:
        slot = next((one for side in layout.pages for one in side.slots if one.kind is SlotKind.SEAL), None)
        signature = objects.reserve()
        look = objects.stream(b"/Type/XObject/Subtype/Form/BBox[0 0 1 1]", b"")
        objects.add(
            b"<</Type/Annot/Subtype/Widget/FT/Sig/T(EnterpriseSignature)/F 132/P %d 0 R/Rect[%b]/V %d 0 R"
            b"/AP<</N %d 0 R>>>>" % (page, _rectangle(slot), signature, look),
            widget,
        )
        form = b"/AcroForm<</Fields[%d 0 R]/SigFlags 3>>" % widget
    catalogue = objects.add(
        b"<</Type/Catalog/Pages %d 0 R/Lang(en)/ViewerPreferences<</PrintScaling/None/Duplex/DuplexFlipLongEdge"
        b"/DisplayDocTitle true>>%b>>" % (parent, form)
    )
    title = pdf.text_string(f"Certificate of origin {layout.number}, {layout.part.value}")
    time = pdf.time_string(at)
    info = objects.add(b"<</Title%b/Producer(origin-gateway)/CreationDate%b/ModDate%b>>" % (title, time, time))
    content = b"".join(objects.parts)
    state = first.state.copy()
    state.update(content)
    identity = state.hexdigest()[:32].encode()
    trailer = b"/Root %d 0 R/Info %d 0 R/ID[<%b><%b>]" % (catalogue, info, identity, identity)
    start = objects.start + objects.size
    if not hole:
        own = pdf.entries(objects.offsets, first.count + 1, objects.count)
        return Unsigned(
            first, b"".join(objects.parts), 0, pdf.table(first.entries + own, objects.count, trailer, start)
        )
    head = b"%d 0 obj\n<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/ETSI.CAdES.detached/M%b" % (signature, time)
    tail = b">>\nendobj\n"
    objects.offsets[signature] = start
    opening = start + len(head) + len(BYTE_RANGE % (0, 0, 0)) + len(b"/Contents")
    closing = opening + hole + 2
    own = pdf.entries(objects.offsets, first.count + 1, objects.count)
    after = tail + pdf.table(first.entries + own, objects.count, trailer, closing + len(tail))
    before = b"".join((content, head, BYTE_RANGE % (opening, closing, len(after)), b"/Contents"))
    return Unsigned(first, before, hole, after)


def _own_fonts(objects: Objects, first: Prefix, layout: Layout) -> dict[str, tuple[int, Mapping[int, int]]]:
    """Fonts of this document only: name -> (object, code point -> CID). Most certificates need none."""
    wanted: dict[Role, set[str]] = {}
    for page in layout.pages:
        for text in page.texts:
            if not (text.text.isascii() or first.charset.issuperset(text.text)):
                wanted.setdefault(text.role, set()).update(text.text)
    fonts: dict[str, tuple[int, Mapping[int, int]]] = {}
    for role in sorted(wanted):
        try:
            subset = face(WEIGHTS[role]).subset(wanted[role])
        except (NoGlyph, KeyError):
            raise RenderRefused("GLYPH-MISSING", "the layout has a character that the font can't print") from None
        fonts[OWN_NAMES[role]] = pdf.add_font(objects, subset, WEIGHTS[role], by_code_point=False), subset.codes()
    return fonts


def _content(
    page: Page,
    charset: frozenset[str],
    codes: Mapping[str, Mapping[int, int]],
    seal: Seal | None,
    handwriting: Handwriting | None,
) -> bytes:
    """One side: the form, the lines, the texts, the code, then the marks on top, as a stamp comes last."""
    parts = [
        b"/T%b Do\n" % page.template.encode(),
        _drawn(page.rules, page.boxes),
        _written(page.texts, charset, codes),
    ]
    for code in page.codes:
        parts.append(
            qr.inline_image(code.content, code.x * PT, PAGE_HEIGHT - (code.y + code.size) * PT, code.size * PT)
        )
    for image in page.images:
        parts.append(_placed(image.sha256, image.x, image.y, image.width, image.height))
    stamps = {SlotKind.SEAL: seal, SlotKind.HANDWRITING: handwriting}
    for slot in page.slots:
        if stamp := stamps[slot.kind]:
            parts.append(_stamped(slot, stamp))
    return b"".join(parts)


def _stamped(slot: Slot, stamp: Seal | Handwriting) -> bytes:
    """In the middle of its slot, in its own size. Raises RenderRefused SLOT-TOO-SMALL."""
    if stamp.width > slot.width + 0.01 or stamp.height > slot.height + 0.01:
        raise RenderRefused("SLOT-TOO-SMALL", f"the {slot.kind.value} does not fit its place on the form")
    x = slot.x + (slot.width - stamp.width) / 2
    y = slot.y + (slot.height - stamp.height) / 2
    return _placed(stamp.picture.sha256, x, y, stamp.width, stamp.height)


def _placed(sha256: str, x: float, y: float, width: float, height: float) -> bytes:
    return (
        f"q {width * PT:.2f} 0 0 {height * PT:.2f} {x * PT:.2f} {PAGE_HEIGHT - (y + height) * PT:.2f} cm "
        f"/I{sha256} Do Q\n"
    ).encode()


def _drawn(rules: Sequence[Rule], boxes: Sequence[Box]) -> bytes:
    """Lines and outlines, black."""
    if not rules and not boxes:
        return b""
    lines = ["q 0 G 0 J"]
    for rule in rules:
        start = f"{rule.x1 * PT:.2f} {PAGE_HEIGHT - rule.y1 * PT:.2f}"
        lines.append(f"{rule.width * PT:.2f} w {start} m {rule.x2 * PT:.2f} {PAGE_HEIGHT - rule.y2 * PT:.2f} l S")
    for box in boxes:
        low = PAGE_HEIGHT - (box.y + box.height) * PT
        lines.append(
            f"{box.line * PT:.2f} w {box.x * PT:.2f} {low:.2f} {box.width * PT:.2f} {box.height * PT:.2f} re S"
        )
    return ("\n".join(lines) + "\nQ\n").encode()


def _written(texts: Sequence[Text], charset: frozenset[str], codes: Mapping[str, Mapping[int, int]]) -> bytes:
    """Text: the form's fonts take code points; a document's own font has CIDs of its own."""
    if not texts:
        return b""
    lines = ["BT"]
    current = ("", 0.0)
    for text in texts:
        value = text.text
        if value.isascii() or charset.issuperset(value):
            name = FONT_NAMES[text.role]
        else:
            name = OWN_NAMES[text.role]
            value = value.translate(codes[name])
        if current != (name, text.size):
            current = (name, text.size)
            lines.append(f"/{name} {text.size:g} Tf")
        encoded = value.encode("utf-16-be").hex()
        lines.append(f"1 0 0 1 {text.x * PT:.2f} {PAGE_HEIGHT - text.y * PT:.2f} Tm <{encoded}> Tj")
    return ("\n".join(lines) + "\nET\n").encode()


def _rectangle(slot: Slot | None) -> bytes:
    """Of the signature field: the enterprise's seal on the first page; a click on the seal shows the signature."""
    if slot is None:
        return b"0 0 0 0"
    low, high = PAGE_HEIGHT - (slot.y + slot.height) * PT, PAGE_HEIGHT - slot.y * PT
    return b"%.2f %.2f %.2f %.2f" % (slot.x * PT, low, (slot.x + slot.width) * PT, high)
