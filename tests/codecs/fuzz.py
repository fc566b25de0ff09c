"""Damaged declarations, made from sound ones by a seed, and what must hold of every one of them.

The short way of reading and the whole way come to the same, or the short way steps aside; a document that can't be
read is Refused, and nothing else is raised; what was read can be written by the turn, and is read as the same again.
"""

import copy
import json
from collections.abc import Callable
from functools import cache, partial
from random import Random
from typing import Any

import orjson
from lxml import etree

from adapters.codecs import explain, fast
from adapters.codecs.catalog import catalog
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson, pointer
from adapters.codecs.official import HEAD, NAMESPACE, SECTION
from adapters.codecs.xml import parse
from gateway.core.faults import Refused
from gateway.ports import Place, Reading
from tests.codecs.documents import example, full_certificate, text_of
from tests.codecs.judging import judged, judged_at_once

XML, JSON = CustomsXml(), EnterpriseJson()
NUMBER = "C26MA9XYD0C20001"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
FIELDS = list(HEAD.fields)
OFTEN_COMPARED = 25
"""xmlschema takes its time: each document of that many is judged by it too."""

TEXTS = [
    *("", " ", "  ", "\u3000", "\xa0", "\u200b", "\ufeff", "\n", "/n", " /n ", "/n/n", "\r\n", "\t", "\r"),
    *("x", "1", "0", "7", "00", "-0", "+1", "1_0", "１", "\u30001", "1\xa0", "1.5", "1,5", "1e5", "1.", ".5", "."),
    *("9" * 25, "9" * 19 + ".12345", "0" * 5000 + "1"),
    *("2026-02-30", "2026-11-02", "2026-13-01", "2026-11-02 08:00:00", "C", "RC", "Y", "N", "156", "USD", "NaN"),
    *("e\u0301", "\u0301", "/n\u0303", "A/n\u0303", "\u1112\u1161\u11ab", "\u212b", "\uf900", "한", "𠮷", "中\u3000文"),
    *("A & B", "&amp;", "&lt;b&gt;", "&#20013;", "<", ">", "]]>", "'\"", "\\", "/", "//nn", "/\nn", "W/nylon"),
    *("a/nb", "a\r\nb", "a\nb", "\x00", "&<>", "x" * 5000),
    *("\u202e", "\u2066", "\ue000", "\ufffd", "\u2028", "\x85", "\u0378", "\U0001f600", "\u3164", "\u2800"),
    *(" 1", "1 ", " x ", "\u3000x", "x" * 20, "x" * 21, "x" * 51, "x" * 400, "x" * 2001, "\n" * 20, "é" * 50),
]
PIECES = [
    *("<", ">", "&", "&amp;", "&amp;amp;", "]]>", "<!---->", "<!-- -->", "<?a?>", "<![CDATA[x]]>", "<![CDATA[]]>"),
    *("<a/>", "</Goods>", "<Goods>", "<InvNo>", "<OriInvs></OriInvs>", "<ModCertificate></ModCertificate>", "/>"),
    *(" a='b'", " xmlns='x'", " xmlns=''", " xsi:nil='true'", " xsi:type='zh'", " xsi:type='Goods'", " xml:lang='zh'"),
    *("&#32;", "&#x3000;", "&#13;", "&#10;", "&#9;", "&#0;", "&#x301;", "&#xD800;", "\x00", "\x1c", "<!DOCTYPE a>"),
    *("{", "}", "[", "]", ",", ":", '"', '":', "\\", "\\n", "\\u3000", "\\ud800", "\\u0000", "null", "true", "1.5"),
    *('"x":1,', '"promise":"1",', '"promise":"",', '"goods":[],', "[[[[", "]]]]", '{"a":', "1e400", "9" * 40),
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 99999, 100000, 2**62, 2**64, 1.5, 1e300, [], {}, [1], [{}], [None], {"x": 1}, [[]]),
    *({"old_number": "1"}, {"reason": " "}, [{"packing_type": "1"}], [{"line_no": "1"}]),
]

Base = tuple[bytes, ...]


@cache
def official() -> Base:
    """Sound documents of the official dialect."""
    names = ("C-three-goods.xml", "C-amended.xml", "C-draft.xml", "RC-two-goods.xml")
    return (
        *map(example, names),
        text_of(full_certificate()),
        XML.write(JSON.read(example("RC-third-party.json")).fields),
    )


@cache
def enterprise() -> Base:
    """Sound documents of the enterprise dialect."""
    names = ("C-three-goods.json", "RC-third-party.json", "C-nude-and-note.json", "C-no-number.json", "RC-draft.json")
    return (*map(example, names), JSON.write(XML.read(text_of(full_certificate())).fields))


# ------------------------------------------------------------------ damage


def damaged_official(seed: str) -> bytes:
    """One document."""
    random = Random(seed)
    raw = random.choice(official())
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        try:
            raw = _damaged_tree(random, raw)
        except Refused:
            break
    return _damaged_text(random, raw)


def damaged_enterprise(seed: str) -> bytes:
    """One document."""
    random = Random(seed)
    content = orjson.loads(random.choice(enterprise()))
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        _damage_object(random, content)
    indent = random.choice((None, 1))
    raw = json.dumps(content, ensure_ascii=random.random() < 0.3, indent=indent).encode("utf-8", "surrogatepass")
    return _damaged_text(random, raw)


def _damaged_tree(random: Random, raw: bytes) -> bytes:
    root = parse(raw)
    inner = list(root.iter())[1:]
    if not inner:
        return raw
    target, other = random.choice(inner), random.choice(inner)
    parent = target.getparent()
    assert parent is not None
    match random.choice(("drop", "swap", "text", "text", "text", "copy", "rename", "xsi", "child", "foreign", "tail")):
        case "drop":
            parent.remove(target)
        case "swap":
            parent.insert(random.randrange(len(parent) + 1), target)
        case "text":
            _set_text(target, random.choice(TEXTS))
        case "copy":
            for _ in range(random.choice((1, 1, 2, 20))):
                target.addnext(copy.deepcopy(target))
        case "rename":
            target.tag = other.tag
        case "xsi":
            name, value = random.choice((("type", "zh"), ("type", "Goods"), ("nil", "true"), ("nil", "x"), ("a", "b")))
            target.set(f"{XSI}{name}", value)
        case "child":
            target.append(copy.deepcopy(other))
        case "foreign":
            target.tag = etree.QName(random.choice(("urn:other", NAMESPACE)), etree.QName(target).localname)
        case "tail":
            target.tail = random.choice((" ", "\n", "\t", "x", "\u3000", " " * 201))
    return etree.tostring(root, encoding="UTF-8", xml_declaration=random.random() < 0.8)


def _set_text(element: etree._Element, text: str) -> None:
    try:
        element.text = text
    except ValueError:  # what XML can't hold
        element.text = "?"


def _damage_object(random: Random, content: dict[str, Any]) -> None:
    blocks = [content, *(item for name in SECTION for item in _items(content.get(name)))]
    block = random.choice(blocks)
    names = [
        *block,
        "unknown",
        "promise",
        "goods",
        "line_no",
        "amendment",
        "reference",
        *random.sample(list(HEAD.fields), 3),
    ]
    name, value = random.choice(names), random.choice((*TEXTS, *TEXTS, *VALUES))
    match random.choice(("set", "set", "set", "drop", "nest", "copy")):
        case "set":
            block[name] = value
        case "drop":
            block.pop(name, None)
        case "nest":
            block[name] = {name: block.get(name)}
        case "copy":
            if isinstance(content.get("goods"), list):
                content["goods"] += content["goods"][:1] * random.choice((1, 5))


def _items(value: Any) -> list[dict[str, Any]]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _damaged_text(random: Random, raw: bytes) -> bytes:
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        at, end = sorted((random.randrange(len(raw) + 1), random.randrange(len(raw) + 1)))
        piece = random.choice((*PIECES, *TEXTS)).encode("utf-8", "surrogatepass")
        match random.choice(("insert", "insert", "into a gap", "replace", "cut", "repeat", "byte")):
            case "insert":
                raw = raw[:at] + piece + raw[at:]
            case "into a gap":
                gap = raw.find(random.choice((b"<", b">", b'"', b",")), at)
                raw = raw[: gap + 1] + piece + raw[gap + 1 :]
            case "replace":
                raw = raw[:at] + piece + raw[at + random.randrange(30) :]
            case "cut":
                raw = raw[:at] + raw[at + random.randrange(60) :]
            case "repeat":
                raw = raw[:at] + raw[at : min(end, at + 400)] + raw[at:]
            case "byte":
                raw = raw[:at] + bytes([random.randrange(256)]) + raw[at + 1 :]
    return raw


# ------------------------------------------------------------------ what must hold

Verdict = tuple[bool, Any]
"""Whether it was accepted; the canonical fields as bytes, for their order is part of the content's hash, or the
codes, paths and lines of the faults."""


def verdict(read: Callable[[], Reading]) -> Verdict:
    """Nothing but Refused may be raised."""
    try:
        reading = read()
    except Refused as refused:
        return False, [(one.code, one.path, one.line) for one in refused.faults]
    return True, orjson.dumps([reading.fields, reading.reference, [(w.code, w.path, w.line) for w in reading.warnings]])


def hold_official(raw: bytes, compare: bool) -> bool:
    """Everything that must hold of a document of the official dialect. Was it accepted?"""
    accepted, said = verdict(lambda: XML.read(raw))
    assert (accepted, said) == verdict(lambda: XML.read_closely(raw))
    if accepted:
        _hold_accepted("application/xml", raw, XML.read(raw))
    else:
        assert b":type" in raw or "XSD-INVALID" not in {code for code, *_ in said}, "our own reading saw it"
        _hold_judged("application/xml", raw)
    if compare:
        _same_as_xmlschema(raw)
    return accepted


def hold_enterprise(raw: bytes, compare: bool) -> bool:
    """The same of the enterprise dialect."""
    accepted, said = verdict(lambda: JSON.read(raw))
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError:
        assert not accepted or raw.startswith(b"\xef\xbb\xbf")
        content = None
    if accepted:
        json.loads(raw, object_pairs_hook=_once)
        _hold_accepted("application/json", raw, JSON.read(raw))
    else:
        _hold_judged("application/json", raw)
    if isinstance(content, dict) and (accepted or not {code for code, *_ in said} & {"JSON-DUPLICATE", "JSON-DEPTH"}):
        locate = JSON.read(raw).locate if accepted else _nowhere
        closely = verdict(partial(JSON.read_closely, content, locate))
        assert closely == (accepted, said) if accepted else not closely[0]
        if not accepted:
            assert [one[:2] for one in closely[1]] == sorted((one[:2] for one in said), key=lambda one: one[::-1])
            assert (
                fast.read_json(raw, content, None, locate) is None
                or "JSON-REFERENCE" in str(said)
                or "TEXT" in str(said)
            )
    return accepted


def _nowhere(place: Place) -> tuple[str, int | None]:
    return pointer(place), None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a name stands twice"
    return found


def _hold_judged(kind: str, raw: bytes) -> None:
    whole, at_once = judged(kind, raw), judged_at_once(kind, raw)
    assert at_once in (None, whole)


def _hold_accepted(kind: str, raw: bytes, reading: Reading) -> None:
    _hold_judged(kind, raw)
    fields = reading.fields
    # as the turn makes the official message
    invoices = tuple({**invoice, "certificate_number": NUMBER} for invoice in fields.get("invoices", ()))
    numbered = {**fields, "number": NUMBER, "invoices": invoices}
    message = XML.write(numbered)
    again = XML.read(message).fields
    assert {**again, "goods": list(again["goods"])} == {**numbered, "goods": list(fields["goods"])}
    assert XML.write(again) == message
    assert orjson.dumps(JSON.read(JSON.write(again)).fields) == orjson.dumps(again), "XML and JSON say the same"
    assert XML.write_closely(numbered) == message
    assert fast.write_xml(numbered) or any(sign in message for sign in (b"&", b"  ", b">")), message


def _same_as_xmlschema(raw: bytes) -> None:
    if XSI.strip("{}").encode() in raw and (b":type" in raw or b":nil" in raw):
        return  # xmlschema raises on types that it does not know
    try:
        root = parse(raw)
    except Refused:
        return
    schema = catalog()["certificate"]
    if schema.valid(root) != schema.explained.is_valid(root):
        # xmlschema takes the wide blanks of Unicode for white space, and reads numbers as Python does; XML does not
        assert not schema.valid(root)
        assert {one.code for one in explain.faults(schema, root)} <= {"XSD-CONTENT", "XSD-PATTERN"}
