"""Documents that cost as much as a document can: each kind once held up everybody for seconds, or might."""

from collections.abc import Sequence

import orjson

import schemas
from adapters.codecs.official import NAMESPACE

MIB = 1 << 20
XML, JSON, LINES = "application/xml", "application/json", "application/x-ndjson"


def worst() -> Sequence[tuple[str, bytes]]:
    """(Content type, document), large and small."""
    example = schemas.read_bytes("examples", "C-three-goods.xml")
    data = orjson.loads(schemas.read_bytes("examples", "C-three-goods.json"))
    first = example.index(b"<Goods>")
    goods = example[first : example.index(b"</CertificateList>")]
    faulty = goods.replace(b"<HSCode>", b"<HSCode>X")
    many = [{**line, "hs_code": "X", "description": "\u202e"} for line in data["goods"]]
    line = orjson.dumps({**data, "hs_code": "X", "marks": "\u202e", "goods": many})
    return [
        (XML, _strange(40_000)),
        (XML, _strange(MIB - 100)),
        (XML, example[:first] + _filled(goods, MIB - len(example)) + example[first:]),
        (XML, example[:first] + _filled(faulty, MIB - len(example)) + example[first:]),
        (XML, example[:first] + _filled(faulty, 12_000 - len(example)) + example[first:]),
        (JSON, b'{"goods":[' + b"{}," * ((MIB - 100) // 3) + b"{}]}"),
        (JSON, b'{"x":' + b"[" * 1000 + b"]" * 1000 + b',"x":1}'),
        (JSON, orjson.dumps({**data, "goods": many * 40})),
        (JSON, b"{" + b",".join(b'"name%d":"\\u202e"' % n for n in range(50_000)) + b"}"),
        (LINES, b"\n".join([line] * 400)),
    ]


def _strange(size: int) -> bytes:
    """Unknown elements side by side, each with a text that nobody may print."""
    start, one, end = f'<Certificate xmlns="{NAMESPACE}">'.encode(), "<a>\u202e</a>".encode(), b"</Certificate>"
    return start + _filled(one, size - len(start) - len(end)) + end


def _filled(one: bytes, size: int) -> bytes:
    return one * max(1, size // len(one))
