"""The official dialect: ``Certificate`` (原产地证书数据导入接口) <-> `Declaration`."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from lxml import etree

from adapters.codecs import explain, fast
from adapters.codecs.catalog import Schema, catalog
from adapters.codecs.official import HEAD, NAMESPACE, SCHEMA, SECTION, SECTIONS, BlockTable, block_form, official_path
from adapters.codecs.registry import fault
from adapters.codecs.texts import (
    blank,
    clean,
    composed_official,
    escaped,
    escaped_twice,
    from_customs,
    is_composed,
    to_customs,
    trouble,
    unbroken,
)
from adapters.codecs.xml import parse
from adapters.codecs.xml_places import TreePlaces
from gateway.core.declaration import Declaration, texts
from gateway.core.faults import MAX_FAULTS, Fault, Refused
from gateway.ports import Locate, Place, Reading
from gateway.runtime.examining import MOST_BYTES

_ROOT: Final = f'<?xml version="1.0" encoding="UTF-8"?>\n<Certificate xmlns="{NAMESPACE}"><CertificateHead>'


class CustomsXml:
    """Reads and writes the official XML. One object may serve many threads."""

    media_type: Final = "application/xml"

    def __init__(self, schema: Schema | None = None) -> None:
        self._schema = schema or catalog()[SCHEMA]

    def read(self, raw: bytes) -> Reading:
        """Raises Refused with every fault of form at once."""
        return self.read_plainly(raw) or self.read_closely(raw)

    def read_plainly(self, raw: bytes) -> Reading | None:
        """A document in the plainest form, without a tree; None: it has to be looked at closely."""
        return fast.read_xml(raw) if len(raw) <= MOST_BYTES else None

    def read_closely(self, raw: bytes) -> Reading:
        """The whole way: through the hardened parser and the XSD."""
        root = parse(raw, limit=MOST_BYTES)
        _tidy(root, is_composed(raw.decode()) and b"&#" not in raw)
        places = TreePlaces(root)
        if not self._schema.valid(root):
            raise Refused([*explain.faults(self._schema, root), *_text_faults(root, places)])
        fields, joined, broken = _walk(root)
        if not clean(joined):
            _refuse_if(_text_faults(root, places))
        if broken:
            _refuse_if(_length_faults(fields, broken, places.of))
        return Reading(fields, None, places.of, joined, len(joined), warnings(fields, joined, places.of))

    def write(self, content: Declaration | Mapping[str, Any]) -> bytes:
        """The document, validated before it leaves. Raises Refused, with official paths, for what it can't carry."""
        return fast.write_xml(content) or self.write_closely(content)

    def write_closely(self, content: Declaration | Mapping[str, Any]) -> bytes:
        """The whole way: every text looked at, then through the parser and the XSD."""
        _refuse_if(carriage_faults(content))
        document = encode(content)
        root = parse(document, limit=len(document))  # what was small enough to be accepted may leave
        if not self._schema.valid(root):
            raise Refused(explain.faults(self._schema, root))
        return document


def encode(content: Declaration | Mapping[str, Any]) -> bytes:
    """The official bytes of a declaration, or of its (perhaps faulty) plain data; not validated yet."""
    values = _values(content)
    parts = [_ROOT, _block(values, HEAD), "</CertificateHead>"]
    for section in SECTIONS:
        inner, lines = values.get(section.field), ""
        if section.item is None:
            lines = "" if inner is None else _block(_values(inner), section.table)
        elif inner:
            lines = "".join(
                f"<{section.item}>{_block(_values(item), section.table)}</{section.item}>" for item in inner
            )
        if lines or section.field == "goods":
            parts.append(f"<{section.container}>{lines}</{section.container}>")
    promise = values.get("promise")
    code = "" if promise is None else f"<AplPromiseCode>{escaped(to_customs(promise))}</AplPromiseCode>"
    parts.append(f"<AplPromise>{code}</AplPromise></Certificate>\n")
    return "".join(parts).encode()


def _values(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else vars(content)


def _block(values: Mapping[str, Any], table: BlockTable) -> str:
    """The elements of one block."""
    form, given = block_form(table, tuple([name for name, value in values.items() if value is not None]))
    return form % tuple([escaped(to_customs(str(values[name]))) for name in given])


def carriage_faults(content: Declaration | Mapping[str, Any]) -> list[Fault]:
    """Texts that would not survive the official encoding, with official paths; the first `MAX_FAULTS`."""
    return [fault(code, official_path(place)) for place, code in islice(troubled(content), MAX_FAULTS)]


def troubled(content: Declaration | Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Places whose text the official message can't carry, each with its fault code."""
    for place, text in texts(content if isinstance(content, Mapping) else content.model_dump()):
        if "/n" in text:
            yield place, "TEXT-SLASH-N"
        if not text.isprintable() and (code := trouble(text)):
            yield place, code


def warnings(fields: Mapping[str, Any], joined: str, locate: Locate) -> Sequence[Fault]:
    """What a document that was read may still have got wrong; `joined` is all its texts."""
    if not escaped_twice(joined):
        return ()
    places = (place for place, text in texts(fields) if escaped_twice(text))
    return [fault("TEXT-ESCAPED-TWICE", *locate(place)) for place in islice(places, MAX_FAULTS)]


def _tidy(root: etree._Element, is_composed: bool) -> None:
    """Before anything is judged: a text of blanks is none, and texts are composed."""
    for element in root.iter():
        text = element.text
        if text and not len(element):
            if blank(from_customs(text)):
                element.text = None
            elif not is_composed:
                element.text = composed_official(text)


_Walked = tuple[dict[str, Any], str, list[Place]]


def _walk(root: etree._Element) -> _Walked:
    """A valid document as canonical data in the model's order, its texts joined, and the places of real line breaks."""
    texts: list[str] = []
    broken: list[Place] = []
    parts = list(root)
    fields = _read_block(parts[0], HEAD, texts, broken, ())
    promise = parts[-1][0].text
    nested: dict[str, Any] = {"goods": (), "non_parties": (), "invoices": ()}
    for part in parts[1:-1]:
        section = _BY_CONTAINER[part.tag]
        if section.item is None:
            nested[section.field] = _read_block(part, section.table, texts, broken, (section.field,))
        else:
            nested[section.field] = tuple(
                [
                    _read_block(item, section.table, texts, broken, (section.field, index))
                    for index, item in enumerate(part)
                ]
            )
    for section in SECTIONS:
        content = nested.get(section.field)
        if content or section.item is not None:
            fields[section.field] = content
    fields["promise"] = promise
    return fields, "\n".join(texts), broken


_BY_CONTAINER: Final = {f"{{{NAMESPACE}}}{section.container}": section for section in SECTIONS}


def _read_block(
    element: etree._Element, table: BlockTable, texts: list[str], broken: list[Place], place: Place
) -> dict[str, Any]:
    """Field -> value of one block; empty elements are absent. The loop over elements is half of reading: kept bare."""
    by_tag = table.by_tag
    fields: dict[str, Any] = {by_tag[child.tag]: text for child in element if (text := child.text)}
    joined = "".join(fields.values())
    if "/n" in joined or "\n" in joined or "\r" in joined:
        for name, text in fields.items():
            if "\n" in text or "\r" in text:
                broken.append((*place, name))
            fields[name] = from_customs(text)
        joined = "".join(fields.values())
    texts.append(joined)
    if "line_no" in fields:
        fields["line_no"] = int(fields["line_no"].strip().lstrip("+-0") or "0")  # zeros may be thousands
    return fields


def _length_faults(fields: Mapping[str, Any], broken: list[Place], locate: Locate) -> list[Fault]:
    """Texts with real line breaks, which the schema counted as one character and customs will count as two."""
    found: list[Fault] = []
    for place in broken:
        section = SECTION.get(str(place[0]))
        table = section.table if section else HEAD
        block: Any = fields
        for step in place[:-1]:
            block = block[step]
        mark = table.fields[str(place[-1])]
        if mark.length is not None and len(to_customs(block[place[-1]])) > mark.length:
            path, line = locate(place)
            facts = {"element": mark.element, "title": f" ({mark.title})", "limit": mark.length}
            found.append(fault("XSD-LENGTH", path, line, **facts))
            if len(found) == MAX_FAULTS:
                break
    return found


def _text_faults(root: etree._Element, places: TreePlaces) -> list[Fault]:
    """Forbidden characters in any value of a document, valid or not; the first `MAX_FAULTS`."""
    return [fault(code, *places.of_element(element)) for element, code in islice(_troubled(root), MAX_FAULTS)]


def _troubled(root: etree._Element) -> Iterator[tuple[etree._Element, str]]:
    for element in root.iter():
        text = element.text
        if text and not text.isprintable() and not blank(text) and (code := trouble(unbroken(text))):
            yield element, code


def _refuse_if(faults: list[Fault]) -> None:
    if faults:
        raise Refused(faults)
