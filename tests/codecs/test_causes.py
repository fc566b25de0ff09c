"""What often goes wrong between two systems is told by its cause, in both dialects: encodings, namespaces, attributes
of XML Schema, blanks, accents apart from their letters, texts that were escaped twice."""

import codecs
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

from adapters.codecs.catalog import catalog
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.declared import declared
from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.codecs.official import HEAD, NAMESPACE, SCHEMA, SECTION, official_path
from adapters.codecs.xml import parse
from gateway.core.declaration import canonical
from gateway.core.faults import Fault, Refused
from gateway.ports import Dialect, Place, Reading
from tests.codecs.documents import BENCHMARK, example, full_certificate, local, text_of

XML, JSON = CustomsXml(), EnterpriseJson()
GOOD = example(BENCHMARK).decode()
FIELDS: dict[str, Any] = json.loads(example("C-three-goods.json"))
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def faults(raw: bytes, dialect: Dialect = XML) -> list[Fault]:
    with pytest.raises(Refused) as refused:
        dialect.read(raw)
    return list(refused.value.faults)


def told(raw: bytes, dialect: Dialect = XML) -> list[tuple[str, str]]:
    return [(one.code, one.path) for one in faults(raw, dialect)]


def official(field: str) -> str:
    return official_path((field,))


def with_text(element: str, text: str) -> bytes:
    """A good document with another text in the first element of a name."""
    return re.sub(f"<{element}>[^<]*", lambda _: f"<{element}>{text}", GOOD, count=1).encode()


# ------------------------------------------------------------------ encodings


@pytest.mark.parametrize("name", ["utf-16", "UTF-16LE", "GBK", "gb18030", "GB2312", "ISO-8859-1", "windows-1252", "x"])
def test_a_declaration_that_names_another_encoding_is_the_cause(name: str) -> None:
    raw = GOOD.replace('encoding="UTF-8"', f'encoding="{name}"').encode()
    assert [(one.code, one.line) for one in faults(raw)] == [("XML-DECLARATION", 1)]
    assert [one.code for one in faults(codecs.BOM_UTF8 + raw)] == ["XML-DECLARATION"]
    with pytest.raises(Refused):
        parse(raw)
    assert parse(raw, any_declaration=True).tag == f"{{{NAMESPACE}}}Certificate"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "gbk", "gb18030", "utf-32"])
@pytest.mark.parametrize("named", ["UTF-8", "utf-16", "GBK"])
def test_bytes_in_another_encoding_are_the_cause_whatever_is_declared(encoding: str, named: str) -> None:
    raw = GOOD.replace('encoding="UTF-8"', f'encoding="{named}"').encode(encoding)
    assert [one.code for one in faults(raw)] == ["XML-ENCODING"]
    with pytest.raises(Refused):
        parse(raw, any_declaration=True)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "gbk", "utf-32"])
def test_json_in_another_encoding(encoding: str) -> None:
    assert [one.code for one in faults(json.dumps(FIELDS, ensure_ascii=False).encode(encoding), JSON)] == [
        "JSON-ENCODING"
    ]


def test_a_mark_before_json_is_read() -> None:
    raw = example("C-three-goods.json")
    assert JSON.read(codecs.BOM_UTF8 + raw).fields == JSON.read(raw).fields
    wrong = raw.replace(b'"apply_type"', b'"aply_type"')
    assert faults(codecs.BOM_UTF8 + wrong, JSON) == faults(wrong, JSON)


# ------------------------------------------------------------------ namespaces


@pytest.mark.parametrize("other", ["", ' xmlns="urn:other"', f' xmlns:ds="{NAMESPACE}"'])
def test_a_root_in_no_or_another_namespace(other: str) -> None:
    found = faults(GOOD.replace(f' xmlns="{NAMESPACE}"', other).encode())
    assert [(one.code, one.path, one.line) for one in found] == [("XSD-NAMESPACE", "/Certificate", 2)]
    assert NAMESPACE in found[0].remedy


def test_a_prefix_at_the_root_and_none_inside() -> None:
    raw = GOOD.replace(f'<Certificate xmlns="{NAMESPACE}"', f'<ds:Certificate xmlns:ds="{NAMESPACE}"')
    raw = raw.replace("</Certificate>", "</ds:Certificate>")
    assert told(raw.encode()) == [
        ("XSD-NAMESPACE", f"/Certificate/{name}") for name in ("CertificateHead", "CertificateList", "AplPromise")
    ]


@pytest.mark.parametrize("element", ["CertificateHead", "CertType", "Goods", "HSCode", "AplPromiseCode"])
def test_an_inner_element_in_another_namespace(element: str) -> None:
    for namespace in ("", "urn:other"):
        found = faults(GOOD.replace(f"<{element}>", f'<{element} xmlns="{namespace}">', 1).encode())
        assert [one.code for one in found] == ["XSD-NAMESPACE"]
        assert found[0].path.split("/")[-1].startswith(element)


# ------------------------------------------------------------------ attributes of XML Schema


def elements() -> Iterator[tuple[int, str]]:
    return ((number, local(element)) for number, element in enumerate(full_certificate().iter()))


XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
XSI_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
VALUES = ("zh", "xs:string", "Goods", "Text20", "a:b", "", ":", f"{{{NAMESPACE}}}Goods")


def type_of(element: etree._Element) -> str:
    """The name of an element's type in the schema; "?" when it has none."""
    way = [element, *element.iterancestors()][::-1]
    found = declared(catalog()[SCHEMA])[local(way[0])]
    for step in way[1:]:
        found = found.children[str(step.tag)]
    return found.type_name or "?"


def codes(raw: bytes) -> set[str]:
    try:
        XML.read(raw)
    except Refused as refused:
        return {one.code for one in refused.faults}
    return set()


@pytest.mark.parametrize("number", range(len(list(elements()))), ids=[name for _, name in elements()])
def test_attributes_of_xml_schema_on_any_element(number: int) -> None:
    """What is wrong is named, and nothing but Refused is raised. An element may name the type that it has."""
    own = type_of(list(full_certificate().iter())[number])
    for attribute, values, code in (
        (XSI_TYPE, (*(VALUES if number % 10 == 0 else VALUES[:2]), own), "XSD-TYPE"),
        (XSI_NIL, ("true", "false") if number % 10 == 0 else ("true",), "XSD-NIL"),
        (XSI_TYPE.replace("type", "other"), ("x",), "XSD-ATTRIBUTE"),
        (XSI_TYPE.replace("type", "schemaLocation"), ("a", "a b c"), ""),
        (XSI_TYPE.replace("type", "noNamespaceSchemaLocation"), ("a",), ""),
    ):
        for value in values:
            root = full_certificate()
            element = list(root.iter())[number]
            element.set(attribute, value)
            raw = text_of(root)
            assert codes(raw) == ({code} if code and not (code == "XSD-TYPE" and value == own != "?") else set())
        broken = raw.replace(b"<ApplyType", b"<ApplyTypo", 1).replace(b"/ApplyType>", b"/ApplyTypo>", 1)
        assert "XSD-UNKNOWN" in codes(broken)


def test_nil_on_an_empty_element_is_told_once() -> None:
    raw = GOOD.replace("<CertType>C</CertType>", '<CertType xsi:nil="true"/>').encode()
    assert told(raw) == [("XSD-NIL", official("certificate_type"))]


def test_what_only_lxml_finds_is_told_by_its_line() -> None:
    """A type that is named as the declared one, in a namespace of its own."""
    raw = GOOD.replace("<Goods>", '<Goods xmlns:x="urn:x" xsi:type="x:Goods">', 1).encode()
    found = faults(raw)
    assert [one.code for one in found] == ["XSD-INVALID"]
    assert found[0].line == raw[: raw.index(b"<Goods ")].count(b"\n") + 1


# ------------------------------------------------------------------ blanks

BLANKS = [" ", "   ", "\u3000", "\xa0", "\u2003 \u2009", "\u200b", "\ufeff", "\u00ad\u2060", "/n", " /n /n", "\n \n"]
FREE = ("number", "invoice_no", "company_name", "fob_value", "promise")
"""Fields that are tried with every kind of blank."""
BLOCKS = [("", HEAD), *((name, SECTION[name].table) for name in SECTION)]
PLACES: list[Place] = [
    ((section, 0, field) if section not in ("", "amendment") else (section, field) if section else (field,))
    for section, table in BLOCKS
    for field in table.fields
]


def full() -> Reading:
    return XML.read(text_of(full_certificate()))


def emptied(place: Place, text: str) -> bytes:
    """A certificate with everything, with another text in one place."""
    root = full_certificate()
    element = root
    for step in official_path(place).split("/")[2:]:
        found = element.find(f"{{{NAMESPACE}}}{step}")
        assert found is not None
        element = found
    element.text = text
    return text_of(root)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_a_blank_text_is_as_good_as_none_in_every_field(place: Place) -> None:
    """In both dialects, the short way and the whole way."""
    whole = canonical(full().declaration)
    for blank in BLANKS if len(place) == 1 and place[0] in FREE else BLANKS[3:4]:
        raw = emptied(place, blank)
        nothing = emptied(place, "")
        assert outcome(XML, raw) == outcome(XML, nothing)
        fields = json.loads(json.dumps(whole))
        block = fields
        for step in place[:-1]:
            block = block[step]
        block[place[-1]] = blank.replace("/n", "\n")
        one = outcome(JSON, json.dumps(fields).encode())
        block[place[-1]] = None
        assert one == outcome(JSON, json.dumps(fields).encode())
        if isinstance(one, bytes):
            assert one == outcome(XML, raw), "both dialects, the same content"


def outcome(dialect: Dialect, raw: bytes) -> Any:
    """The content, or what is wrong."""
    try:
        return json.dumps(dialect.read(raw).fields).encode()
    except Refused as refused:
        return [(one.code, one.path, one.line if dialect is JSON else None) for one in refused.faults]


@pytest.mark.parametrize("promise", ["", " ", "\u3000", None])
def test_no_promise_is_no_declaration(promise: str | None) -> None:
    assert told(json.dumps(FIELDS | {"promise": promise}).encode(), JSON) == [("JSON-MISSING", "/promise")]
    if promise is not None:
        raw = with_text("AplPromiseCode", promise)
        assert told(raw) == [("XSD-EMPTY", "/Certificate/AplPromise/AplPromiseCode")]


@pytest.mark.parametrize("reference", ["", " ", "\u3000\u200b"])
def test_a_blank_reference_is_none(reference: str) -> None:
    assert JSON.read(json.dumps(FIELDS | {"reference": reference}).encode()).reference is None


def test_what_changes_the_direction_is_never_a_blank() -> None:
    assert told(with_text("Mark", "\u202e")) == [("TEXT-BIDI", official("marks"))]
    assert told(json.dumps(FIELDS | {"marks": " \u202e"}).encode(), JSON) == [("TEXT-BIDI", "/marks")]


@pytest.mark.parametrize("text", ["\u30001", "1\xa0", "1_0", "１", "٣", "1.0", "1e3", "0x1", "+", "1 2", "100000"])
def test_a_number_that_only_python_would_read_is_no_number(text: str) -> None:
    """The schema's verdict and its reason come from two libraries, which do not take the same for a number."""
    assert told(with_text("GNo", text)) == [("XSD-PATTERN", "/Certificate/CertificateList/Goods[1]/GNo")]


# ------------------------------------------------------------------ letters and accents

WORDS = [
    "Hà Nội, Việt Nam",
    "São Paulo",
    "Zürich",
    "Ångström",
    "서울특별시",
    "가나다",
    "東京ガ",
    "Ελλάδα ή",
    "Йошкар",
    "नि",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_decomposed_text_is_the_composed_one(word: str) -> None:
    word = unicodedata.normalize("NFC", word)
    apart = unicodedata.normalize("NFD", word)
    references = "".join(f"&#{ord(char)};" for char in apart)
    composed = XML.read(with_text("Mark", f"A/n{word}"))
    for text in (f"A/n{apart}", f"A/n{references}", f"A/n<![CDATA[{apart}]]>"):
        reading = XML.read(with_text("Mark", text))
        assert json.dumps(reading.fields) == json.dumps(composed.fields), "one content, one hash"
    assert composed.fields["marks"] == f"A\n{word}"
    for text in (word, apart):
        assert JSON.read(json.dumps(FIELDS | {"marks": f"A\n{text}"}).encode()).fields["marks"] == f"A\n{word}"


def test_a_text_is_measured_as_it_is_sent() -> None:
    word = "Việt Nam ế ộ" + "ế" * 8
    assert len(word) == 20
    apart = unicodedata.normalize("NFD", word)
    assert XML.read(with_text("PriceTerms", apart)).fields["price_terms"] == word
    assert JSON.read(json.dumps(FIELDS | {"price_terms": apart}).encode()).fields["price_terms"] == word


def test_a_line_break_takes_no_accent() -> None:
    """``/n`` with a tilde behind it is a break for customs, not an accented n."""
    reading = XML.read(with_text("Mark", "A/n\u0303B"))
    assert reading.fields["marks"] == "A\n\u0303B"
    assert XML.read(XML.write(reading.fields)).fields == reading.fields


# ------------------------------------------------------------------ escaped twice


@pytest.mark.parametrize(
    "text", ["A &amp; B", "&lt;b&gt;", "&#20013;", "&#x4e2d;", "&#X4E2D;", "&quot;", "&nbsp;", "&apos;"]
)
@pytest.mark.parametrize("field", ["marks", "exporter", "company_name"])
def test_what_was_escaped_twice_is_warned_of(text: str, field: str) -> None:
    element = HEAD.fields[field].element
    once = text.replace("&", "&amp;")
    for raw in (with_text(element, once), with_text(element, f"<![CDATA[{text}]]>")):
        reading = XML.read(raw)
        assert [(one.code, one.path, one.severity.value) for one in reading.warnings] == [
            ("TEXT-ESCAPED-TWICE", official(field), "warn")
        ]
        assert reading.warnings[0].line == raw[: raw.index(f"<{element}>".encode())].count(b"\n") + 1
    reading = JSON.read(json.dumps(FIELDS | {field: text}, indent=1).encode())
    assert [(one.code, one.path) for one in reading.warnings] == [("TEXT-ESCAPED-TWICE", f"/{field}")]


@pytest.mark.parametrize("text", ["A & B", "R&D", "a && b;", "&amp", "& amp;", "&co;", "AT&T; B"])
def test_an_ampersand_is_no_reference(text: str) -> None:
    assert XML.read(with_text("Mark", text.replace("&", "&amp;"))).warnings == ()
    assert JSON.read(json.dumps(FIELDS | {"marks": text}).encode()).warnings == ()


# ------------------------------------------------------------------ doubled names


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"promise":"1",\n"promise":"1"}', [("/promise", 2)]),
        ('{"goods":[{"name":"a"},\n{"name":"a",\n"name":"b"}]}', [("/goods/1/name", 3)]),
        ('{"a":1,"\\u0061":2}', [("/a", 1)]),
        ('{"a":1,"a":2,"b":3,"b":4}', [("/a", 1), ("/b", 1)]),
        ('{"x":' + "[" * 1000 + "]" * 1000 + ',"x":1}', [("/x", 1)]),
        ('{"x":' + '{"y":' * 500 + "1" + "}" * 500 + ',"x":1}', [("/x", 1)]),
        ('{"a":"\\"a\\":","a":1}', [("/a", 1)]),
        ('{"a":1,"a":' + "9" * 30 + "}", [("/a", 1)]),
    ],
)
def test_a_doubled_name_is_told_with_its_place(raw: str, expected: list[tuple[str, int]]) -> None:
    found = faults(raw.encode(), JSON)
    assert {one.code for one in found} == {"JSON-DUPLICATE"}
    assert sorted((one.path, one.line) for one in found) == expected


def test_a_long_name_is_not_repeated_whole() -> None:
    found = faults(json.dumps({"x" * 1000: 1}).encode(), JSON)
    assert max(len(one.path) for one in found) <= 65
