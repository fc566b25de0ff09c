"""Layout documents as XML (``schemas/xsd/gateway/layout.xsd``), validated when written and when read.

A layout that travels may bring its pictures along at its end (``Images``, PNG in base64). They are split off on arrival
and stored by their SHA-256: a stored layout only refers to them.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any

from lxml import etree

from adapters.codecs.catalog import Schema, catalog
from adapters.codecs.xml import parse
from gateway.core.faults import Refused
from gateway.core.messages import Part
from renderers.fonts import missing
from renderers.layout import (
    HEIGHT,
    WIDTH,
    Box,
    Code,
    Image,
    ImageKind,
    Layout,
    Page,
    RenderRefused,
    Role,
    Rule,
    Slot,
    SlotKind,
    Text,
)

NAMESPACE = "urn:origin-gateway:layout:v1"
_N = f"{{{NAMESPACE}}}"
_NSMAP: Any = {None: NAMESPACE}
_TEXT = f"{_N}Text"
_ROLES = {role.value: role for role in Role}
_COLUMNS: tuple[Any, ...] = tuple(
    etree.XPath(f"l:Text/{what}", namespaces={"l": NAMESPACE}, smart_strings=False)
    for what in ("@x", "@y", "@size", "@role", "text()")
)
MAX_IMAGES = 16


@cache
def _schema() -> Schema:
    return catalog()["layout"]


def write(layout: Layout, images: Mapping[str, bytes] | None = None) -> bytes:
    """The document; with `images` (SHA-256 -> PNG) they travel along. Raises RenderRefused LAYOUT-INVALID."""
    facts = {
        "number": layout.number,
        "part": layout.part.value,
        "pages": str(len(layout.pages)),
        "form": layout.form,
        "version": layout.version,
        "formSha256": layout.form_sha256,
        "issued": layout.issued.isoformat(),
    }
    root = etree.Element(f"{_N}LayoutDocument", facts, nsmap=_NSMAP)
    try:
        for page in layout.pages:
            _write_page(root, page)
        if images:
            block = etree.SubElement(root, f"{_N}Images")
            for sha256 in sorted(images):
                etree.SubElement(block, f"{_N}ImageData", sha256=sha256).text = base64.b64encode(
                    images[sha256]
                ).decode()
    except ValueError:
        raise RenderRefused("LAYOUT-INVALID", "a text has a character that XML can't carry") from None
    if not _schema().valid(root):
        raise RenderRefused("LAYOUT-INVALID", "the layout does not fit its schema")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def read(raw: bytes) -> Layout:
    """The layout in a document; pictures that travel with it are left aside.

    Raises RenderRefused LAYOUT-INVALID, GLYPH-MISSING, LAYOUT-OUTSIDE.
    """
    return _layout(_root(raw))


def split(raw: bytes) -> tuple[bytes, dict[str, bytes]]:
    """(the document without pictures, SHA-256 -> PNG). Without pictures the bytes come back untouched.

    Raises RenderRefused LAYOUT-INVALID, IMAGE-COUNT, MARK-HASH.
    """
    root = _root(raw)
    block = root.find(f"{_N}Images")
    if block is None:
        return raw, {}
    if len(block) > MAX_IMAGES:
        raise RenderRefused("IMAGE-COUNT", f"a layout brings at most {MAX_IMAGES} pictures")
    images = {}
    for entry in block:
        try:
            content = base64.b64decode("".join((entry.text or "").split()), validate=True)
        except binascii.Error:
            raise RenderRefused("LAYOUT-INVALID", "a picture is not base64") from None
        if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
            raise RenderRefused("MARK-HASH", "a picture is not the one that the layout names")
        images[str(entry.get("sha256"))] = content
    root.remove(block)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8"), images


def _root(raw: bytes) -> etree._Element:
    try:
        root = parse(raw)
    except Refused as refused:
        raise RenderRefused("LAYOUT-INVALID", refused.faults[0].message) from None
    if root.tag != f"{_N}LayoutDocument" or not _schema().valid(root):
        raise RenderRefused("LAYOUT-INVALID", "the layout does not fit its schema")
    return root


def _write_page(root: etree._Element, page: Page) -> None:
    element = etree.SubElement(root, f"{_N}Page", template=page.template)
    for text in page.texts:
        place = {"x": _n(text.x), "y": _n(text.y), "size": _n(text.size), "role": text.role.value}
        etree.SubElement(element, f"{_N}Text", place).text = text.text
    for rule in page.rules:
        etree.SubElement(
            element, f"{_N}Rule", x1=_n(rule.x1), y1=_n(rule.y1), x2=_n(rule.x2), y2=_n(rule.y2), width=_n(rule.width)
        )
    for box in page.boxes:
        etree.SubElement(element, f"{_N}Box", _area(box), line=_n(box.line))
    for image in page.images:
        etree.SubElement(element, f"{_N}Image", _area(image), kind=image.kind.value, sha256=image.sha256)
    for slot in page.slots:
        etree.SubElement(element, f"{_N}Slot", _area(slot), kind=slot.kind.value)
    for code in page.codes:
        etree.SubElement(element, f"{_N}Code", x=_n(code.x), y=_n(code.y), size=_n(code.size)).text = code.content


def _area(one: Box | Image | Slot) -> dict[str, str]:
    return {"x": _n(one.x), "y": _n(one.y), "width": _n(one.width), "height": _n(one.height)}


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _layout(root: etree._Element) -> Layout:
    pages = tuple(_read_page(page) for page in root if page.tag == f"{_N}Page")
    if root.get("pages") != str(len(pages)):
        raise RenderRefused("LAYOUT-INVALID", "the layout does not have as many pages as it says")
    words = [text.text for page in pages for text in page.texts]
    other = "".join(word for word in words if not word.isascii())
    # Of ASCII, what Python calls printable is what the font prints; asking is free.
    if not all(word.isprintable() for word in words if word.isascii()) or "\n" in other or missing(other):
        raise RenderRefused("GLYPH-MISSING", "the layout has a character that the font can't print")
    get = root.get
    return Layout(
        str(get("number")),
        Part(str(get("part"))),
        str(get("form")),
        str(get("version")),
        str(get("formSha256")),
        date.fromisoformat(str(get("issued"))),
        pages,
    )


def _read_page(page: etree._Element) -> Page:
    found: dict[str, list[etree._Element]] = {}
    for element in page.iterchildren(reversed=True):
        if element.tag == _TEXT:
            break  # the schema wants texts first, and they are read together
        found.setdefault(str(element.tag), []).insert(0, element)
    return Page(
        str(page.get("template")),
        tuple(_texts(page)) if len(page) else (),
        tuple(Rule(*_numbers(e, "x1", "y1", "x2", "y2", "width")) for e in found.get(f"{_N}Rule", ())),
        tuple(Box(*_rectangle(e), *_numbers(e, "line")) for e in found.get(f"{_N}Box", ())),
        tuple(
            Image(ImageKind(str(e.get("kind"))), str(e.get("sha256")), *_rectangle(e))
            for e in found.get(f"{_N}Image", ())
        ),
        tuple(Slot(SlotKind(str(e.get("kind"))), *_rectangle(e)) for e in found.get(f"{_N}Slot", ())),
        tuple(_code(e) for e in found.get(f"{_N}Code", ())),
    )


def _texts(page: etree._Element) -> Iterator[Text]:
    """All lines of a page, column by column: four times faster than element by element."""
    columns: list[list[str]] = [path(page) for path in _COLUMNS]
    xs, ys, sizes, roles, words = columns
    if len(words) != len(xs):
        raise RenderRefused("LAYOUT-INVALID", "a line of text is in pieces")
    return map(Text, map(float, xs), map(float, ys), map(float, sizes), words, map(_ROLES.__getitem__, roles))


def _code(element: etree._Element) -> Code:
    x, y, size = _numbers(element, "x", "y", "size")
    return Code(x, y, size, element.text or "")


def _numbers(element: etree._Element, *names: str) -> Iterator[float]:
    """Required by the schema: a zero never stands in."""
    return (float(element.get(name, 0)) for name in names)


def _rectangle(element: etree._Element) -> tuple[float, float, float, float]:
    """x, y, width, height; on the sheet."""
    x, y, width, height = _numbers(element, "x", "y", "width", "height")
    if x + width > WIDTH or y + height > HEIGHT:
        raise RenderRefused("LAYOUT-OUTSIDE", "something in the layout hangs over the sheet")
    return x, y, width, height
