"""Documents of one shape and of any size: what a generator can think of to make judging them dear."""

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from adapters.codecs.official import NAMESPACE
from tests.codecs.documents import BENCHMARK, example

XML, JSON = "application/xml", "application/json"
Shape = Callable[[int], bytes]
"""About so many bytes -> the document."""

GOOD = example(BENCHMARK).decode()
LINE = "<Goods>" + GOOD.split("<Goods>")[1]
BEFORE, AFTER = GOOD.split("<Goods>")[0], GOOD.rsplit("</Goods>")[-1]
DECIMALS = ("PackQty", "GoodsQty", "GrossWt", "InvPrice", "InvValue", "FOBValue")
WORDS = ("GoodsName", "GoodsNameE", "Producer", "ProducerTel", "GoodsDesc")
UNITS = ("PackUnit", "GoodsUnitE", "GoodsUnit", "GoodsUnitRef", "SecdGoodsUnitRef")
RCEP: dict[str, Any] = json.loads(example("RC-third-party.json"))


def filled(piece: str, size: int) -> str:
    """The piece, again and again."""
    return piece * (size // len(piece.encode()))


def numbered(piece: str, size: int) -> str:
    """The same, each with a number of its own in place of ``@``."""
    return "".join(piece.replace("@", f"{n:07d}") for n in range(size // (len(piece.encode()) + 6)))


def root(inside: str, attributes: str = "") -> bytes:
    return f'<Certificate xmlns="{NAMESPACE}"{attributes}>{inside}</Certificate>'.encode()


def before(sign: str, piece: str) -> Shape:
    """A good document with much of something before its first `sign`."""
    return lambda size: GOOD.replace(sign, filled(piece, size) + sign, 1).encode()


def behind(sign: str, piece: str) -> Shape:
    """The same behind it."""
    return lambda size: GOOD.replace(sign, sign + filled(piece, size), 1).encode()


def goods(line: str) -> Shape:
    return lambda size: (BEFORE + filled(line, size) + AFTER).encode()


def elements(*names: str, text: str = "") -> str:
    return "".join(f"<{name}>{text}</{name}>" for name in names)


def short(names: Sequence[str], text: str) -> str:
    """A goods line that the schema takes, with little but this text in it."""
    return f"<Goods>{elements(*names, text=text)}<PackType>1</PackType></Goods>"


def late(size: int) -> bytes:
    """Every line is right, and what is wrong comes last."""
    return (BEFORE + filled(LINE, size) + AFTER).replace("Code>1</AplPromiseCode", "Code>2</AplPromiseCode").encode()


OFFICIAL: dict[str, Shape] = {
    "unknown siblings": lambda size: root(filled("<a/>", size)),
    "unknown siblings with bad texts": lambda size: root(filled("<a>\u202e</a>", size)),
    "unknown siblings, each of its name": lambda size: root(numbered("<a@/>", size)),
    "unknown inside a line": lambda size: (BEFORE + "<Goods>" + filled("<x/>", size) + "</Goods>" + AFTER).encode(),
    "foreign siblings": lambda size: root(filled('<Goods xmlns="a"/>', size)),
    "one element again and again": before("<Mark>", "<Mark>x</Mark>"),
    "out of order": lambda size: root(filled("<AplPromise/><CertificateHead/>", size)),
    "out of order in a line": lambda size: (
        BEFORE + "<Goods>" + filled("<PackType>1</PackType><HSCode>1</HSCode>", size) + "</Goods>" + AFTER
    ).encode(),
    "text between siblings": lambda size: root(filled("<a/>x", size)),
    "good lines": goods(LINE),
    "good lines, the last element wrong": late,
    "lines with a text too long": goods(LINE.replace("<HSCode>", "<HSCode>123456789012")),
    "lines with bad numbers": goods("<Goods>" + elements(*DECIMALS, text="x") + "</Goods>"),
    "lines with bad texts": goods(LINE.replace("<GoodsNameE>", "<GoodsNameE>\u2067")),
    "lines with real line breaks": goods(short(UNITS, "x\n" * 8)),
    "lines without anything": goods("<Goods></Goods>"),
    "lines of blanks": goods("<Goods>" + elements("HSCode", *DECIMALS, "PackType", text=" ") + "</Goods>"),
    "lines with xsi:nil": goods(LINE.replace("<HSCode>", '<HSCode xsi:nil="true">')),
    "lines with xsi:type": goods(LINE.replace("<Goods>", '<Goods xsi:type="Goods">')),
    "lines with a wrong xsi:type": goods(LINE.replace("<Goods>", '<Goods xsi:type="zh">')),
    "lines of another namespace": goods(LINE.replace("<HSCode>", '<HSCode xmlns="">')),
    "lines with no rule kept": goods("<Goods><GoodsNameE>\u4e2d</GoodsNameE><PackType>3</PackType></Goods>"),
    "lines nobody can print": goods(short(WORDS, "\u0301x")),
    "lines nobody can print, in every text": goods(re.sub(r">[A-Za-z][^<]*<", ">\u05d0<", LINE)),
    "lines escaped twice": goods(short(WORDS, "&amp;amp;")),
    "lines to compose": goods(LINE.replace("<GoodsNameE>", "<GoodsNameE>e\u0301")),
    "companies without anything": lambda size: GOOD.replace(
        "<AplPromise>", f"<NonpartyCorpList>{filled('<NonpartyCorp/>', size)}</NonpartyCorpList><AplPromise>"
    ).encode(),
    "invoices without anything": lambda size: GOOD.replace(
        "<AplPromise>", f"<OriInvs>{filled('<OriInv/>', size)}</OriInvs><AplPromise>"
    ).encode(),
    "attributes": lambda size: root("", numbered(' a@="1"', size)),
    "attributes of xsi": lambda size: root(
        "", ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"' + numbered(' xsi:a@="1"', size)
    ),
    "namespaces": lambda size: GOOD.replace(" xmlns:xsi", numbered(' xmlns:a@="b"', size) + " xmlns:xsi", 1).encode(),
    "namespaces in use": lambda size: root(numbered("<a@:b/>", size // 2), numbered(' xmlns:a@="b"', size // 2)),
    "namespaces and types": lambda size: (
        (BEFORE + filled('<Goods xsi:type="Goods"><PackType>1</PackType></Goods>', size // 2) + AFTER)
        .replace(" xmlns:xsi", numbered(' xmlns:a@="b"', size // 2) + " xmlns:xsi", 1)
        .encode()
    ),
    "comments": before("<ApplyType>", "<!---->"),
    "comments in a text": behind("<Mark>", "<!---->"),
    "comments before all": lambda size: (filled("<!---->", size) + "<!DOCTYPE a>" + GOOD.partition("?>")[2]).encode(),
    "processing instructions": before("<ApplyType>", "<?a?>"),
    "CDATA": behind("<Mark>", "<![CDATA[x]]>"),
    "line breaks": before("<ApplyType>", "\n"),
    "line breaks before something wrong": before("<ApplyType>1</ApplyType>", "\n<a/>"),
    "blanks": before("<ApplyType>", " "),
    "a long text": behind("<Mark>", "x"),
    "a long text of wide blanks": behind("<Mark>", "\u3000"),
    "a long text of accents": behind("<Mark>", "e\u0301"),
    "escapes": behind("<Mark>", "&amp;"),
    "character references": behind("<Mark>", "&#13;"),
    "slash and n": behind("<Mark>", "/n"),
    "zeros before a number": behind("<GNo>", "0"),
    "a long number": behind("<GNo>", "9"),
    "a long decimal": behind("<FOBValue>", "9"),
    "a long name": lambda size: root(f"<{filled('a', size)}/>"),
    "deep": lambda size: root(filled("<a>" * 60 + "</a>" * 60, size)),
    "too deep": lambda size: root("<a>" * (size // 8) + "</a>" * (size // 8)),
    "wide at depth": lambda size: root(f"<a><b><c>{filled('<d/>', size)}</c></b></a>"),
}


def document(**changes: Any) -> bytes:
    return json.dumps({**RCEP, **changes}, indent=1, ensure_ascii=False).encode()


def names(piece: str) -> Shape:
    return lambda size: f'{{"a": 1{numbered(piece, size)}}}'.encode()


def items(item: str, name: str = "goods") -> Shape:
    return lambda size: (f'{{"{name}": [' + filled(item + ",\n", size) + "{}]}").encode()


def lines(**changes: Any) -> Shape:
    """Good lines, but for a change; not more than there may be."""
    line = {**RCEP["goods"][0], **changes}
    each = len(json.dumps(line, indent=1, ensure_ascii=False).encode())
    return lambda size: document(goods=[{**line, "line_no": n + 1} for n in range(min(2000, size // each))])


def invoices(size: int) -> bytes:
    """Lines and invoices, and each line names one of them."""
    count = min(2000, size // 200)
    invoice = {k: v for k, v in RCEP["invoices"][0].items() if k in ("currency", "price_terms", "invoice_date")}
    return document(
        goods=[{"packing_type": "1", "invoice_no": f"N{count - n}"} for n in range(count)],
        invoices=[{**invoice, "invoice_no": f"N{n}"} for n in range(count)],
    )


@cache
def _mark(piece: str, size: int) -> bytes:
    return document(marks=piece * (size // len(json.dumps(piece, ensure_ascii=False).encode())))


def mark(piece: str) -> Shape:
    return lambda size: _mark(piece, size)


ENTERPRISE: dict[str, Shape] = {
    "lines without anything": items("{}"),
    "lines that are none": items("1"),
    "lines in lists": items("[]"),
    "lists in an unknown field": items("[]", "x"),
    "objects in an unknown field": items('{"a":{"b":{"c":{"d":1}}}}', "x"),
    "lines with a wrong number": items('{"line_no":1.5}'),
    "lines with a wrong type": items('{"name":1,"packing_type":2}'),
    "lines with bad texts": items('{"name":"\u202e"}'),
    "lines with unknown names": items('{"a":1}'),
    "lines with doubled names": items('{"a":1,"a":2}'),
    "lines of blanks": items('{"name":" ","hs_code":"\u3000","packing_type":""}'),
    "unknown names": names(',\n"a@":1'),
    "names to escape": names(',\n"\\u0061@":1'),
    "doubled names": lambda size: ('{"a":1' + filled(',\n"a":1', size) + "}").encode(),
    "a long name": lambda size: f'{{"{filled("a", size)}":1}}'.encode(),
    "deep": lambda size: b'{"x":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}",
    "deep behind a double": lambda size: (
        b'{"x":' + b"[" * min(1000, size // 2) + b"]" * min(1000, size // 2) + b',"x":1}'
    ),
    "a long number behind a double": lambda size: b'{"x":' + b"9" * size + b',"x":1}',
    "a long number": lambda size: b'{"x":' + b"9" * size + b"}",
    "line breaks": lambda size: document().replace(b'"marks"', b"\n" * size + b'"marks"'),
    "line breaks before something wrong": lambda size: document(bogus=1).replace(b'"bogus"', b"\n" * size + b'"bogus"'),
    "good lines": lines(),
    "lines with a text too long": lines(hs_code="12345678901234"),
    "lines with no rule kept": lines(name="中", packing_type="3", origin_criterion="?", origin_code="999", unit=""),
    "lines nobody can print": lines(name="\u0301x"),
    "lines with slash and n": lines(name="W/nylon"),
    "lines escaped twice": lines(name="A &amp; B"),
    "lines to compose": lines(name="e\u0301"),
    "lines with line breaks": lines(name="x\n" * 150),
    "lines of ampersands": lines(name="&" * 400, description="&" * 900),
    "lines that fill the paper": lines(description="W " * 499 + "W"),
    "lines and invoices": invoices,
    "invoices without anything": items("{}", "invoices"),
    "companies without anything": items("{}", "non_parties"),
    "a long text": mark("x"),
    "a long text of accents": mark("e\u0301"),
    "a long text of wide blanks": mark("\u3000"),
    "a long text of quotes and colons": mark('":'),
    "a long text of line breaks": mark("\n"),
    "a long text of slash and n": mark("/n"),
    "a long text of references": mark("&amp;"),
    "no JSON": lambda size: b'{"a":"' + b"x" * size,
}
