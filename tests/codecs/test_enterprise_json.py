"""The enterprise dialect: what only JSON can get wrong, and that form is judged by the same schema."""

from typing import Any

import orjson
import pytest

import schemas
from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.codecs.json_lines import Lines
from adapters.codecs.json_schema import json_schema
from gateway.core.declaration import Declaration, Goods
from gateway.core.faults import Refused
from tests.codecs.documents import example

JSON = EnterpriseJson()
GOOD: dict[str, Any] = orjson.loads(example("C-three-goods.json"))


def refused(content: Any) -> list[tuple[str, str]]:
    raw = content if isinstance(content, bytes) else orjson.dumps(content, option=orjson.OPT_INDENT_2)
    with pytest.raises(Refused) as caught:
        JSON.read(raw)
    assert "CANARY" not in repr([(f.message, f.remedy) for f in caught.value.faults])
    return [(f.code, f.path) for f in caught.value.faults]


def line(index: int, **changes: Any) -> list[Any]:
    goods = [dict(one) for one in GOOD["goods"]]
    goods[index] |= changes
    return goods


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "JSON-SYNTAX"),
        (b"{", "JSON-SYNTAX"),
        (b"\xff", "JSON-ENCODING"),
        (b'{"a":"\xd6\xd0"}', "JSON-ENCODING"),
        ('{"a":"中"}'.encode("utf-16"), "JSON-ENCODING"),
        ('{"a":1}'.encode("utf-16-le"), "JSON-ENCODING"),
        ('{"a":1}'.encode("utf-16-be"), "JSON-ENCODING"),
        (b'\xef\xbb\xbf{"a":', "JSON-SYNTAX"),
        (b'{"a":"\\ud800"}', "JSON-SYNTAX"),
        (b'{"a":NaN}', "JSON-SYNTAX"),
        (b"[]", "JSON-TYPE"),
        (b'"x"', "JSON-TYPE"),
        (b"[" * 100_000, "JSON-DEPTH"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "JSON-DEPTH"),
        (b" " * (17 << 20), "JSON-SIZE"),
    ],
)
def test_what_is_no_sound_json(raw: bytes, code: str) -> None:
    assert refused(raw) == [(code, "")]


def test_what_looks_like_a_doubled_name_in_a_text() -> None:
    assert JSON.read(orjson.dumps(GOOD | {"marks": 'a":1,"a":2'})).declaration.marks == 'a":1,"a":2'


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"apply_type": 1}, [("JSON-TYPE", "/apply_type")]),
        ({"total_amount": 12.5}, [("JSON-TYPE", "/total_amount")]),
        ({"total_amount": 12}, [("JSON-TYPE", "/total_amount")]),
        ({"marks": True}, [("JSON-TYPE", "/marks")]),
        ({"marks": ["CANARY"]}, [("JSON-TYPE", "/marks")]),
        ({"goods": {"0": 1}}, [("JSON-TYPE", "/goods")]),
        ({"goods": "CANARY"}, [("JSON-TYPE", "/goods")]),
        ({"goods": [None]}, [("JSON-TYPE", "/goods/0")]),
        ({"goods": line(1, line_no="2")}, [("JSON-TYPE", "/goods/1/line_no")]),
        ({"goods": line(1, line_no=2.0)}, [("JSON-TYPE", "/goods/1/line_no")]),
        ({"goods": line(1, line_no=True)}, [("JSON-TYPE", "/goods/1/line_no")]),
        ({"goods": line(1, line_no=100_000)}, [("XSD-PATTERN", "/goods/1/line_no")]),
        ({"goods": line(1, line_no=10**18)}, [("XSD-PATTERN", "/goods/1/line_no")]),
        ({"amendment": []}, [("JSON-TYPE", "/amendment")]),
        ({"company_name": None}, [("JSON-MISSING", "/company_name")]),
        ({"company_name": ""}, [("JSON-MISSING", "/company_name")]),
        ({"CANARY": "x"}, [("JSON-UNKNOWN-FIELD", "/CANARY")]),
        ({"goods": line(0, hs="x")}, [("JSON-UNKNOWN-FIELD", "/goods/0/hs")]),
        ({"a/b~c": "x"}, [("JSON-UNKNOWN-FIELD", "/a~1b~0c")]),
        ({"marks": "W/nylon"}, [("TEXT-SLASH-N", "/marks")]),
        ({"marks": "a\u202eb"}, [("TEXT-BIDI", "/marks")]),
        ({"marks": "a\x00b"}, [("TEXT-CONTROL", "/marks")]),
        ({"marks": "a\tb"}, [("TEXT-CONTROL", "/marks")]),
        ({"marks": "\ue000"}, [("TEXT-UNASSIGNED", "/marks")]),
        ({"currency": "CANARY-CANARY"}, [("XSD-LENGTH", "/currency")]),
        ({"promise": "0"}, [("XSD-PATTERN", "/promise")]),
        ({"price_terms": "1234567890123456789\n"}, [("XSD-LENGTH", "/price_terms")]),
        ({"application_date": "05.11.2026"}, [("XSD-PATTERN", "/application_date")]),
        ({"reference": "x" * 101}, [("JSON-REFERENCE", "/reference")]),
        ({"reference": 7}, [("JSON-REFERENCE", "/reference")]),
        ({"reference": "a\u202e"}, [("TEXT-BIDI", "/reference")]),
        ({"reference": "a\nb"}, [("TEXT-CONTROL", "/reference")]),
    ],
)
def test_each_fault_in_its_place(change: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert refused(GOOD | change) == expected


def test_all_faults_together() -> None:
    goods = line(0, hs_code="12345678901", quantity=5, bogus="x")
    goods[1] = 5
    goods[2]["unit_price"] = "1,5"
    content = GOOD | {"goods": goods, "consignee": "a\u202eb\x07", "marks": "W/nylon", "apply_type": None}
    assert set(refused(content)) == {
        ("JSON-MISSING", "/apply_type"),
        ("TEXT-BIDI", "/consignee"),
        ("TEXT-SLASH-N", "/marks"),
        ("XSD-LENGTH", "/goods/0/hs_code"),
        ("JSON-TYPE", "/goods/0/quantity"),
        ("JSON-UNKNOWN-FIELD", "/goods/0/bogus"),
        ("JSON-TYPE", "/goods/1"),
        ("XSD-PATTERN", "/goods/2/unit_price"),
    }


def test_null_empty_and_line_breaks() -> None:
    content = GOOD | {
        "marks": "A\r\nB\rC",
        "vessel": "",
        "trade_mode": None,
        "amendment": {"reason": ""},
        "invoices": None,
    }
    reading = JSON.read(orjson.dumps(content))
    assert reading.declaration.marks == "A\nB\nC"
    assert reading.declaration.vessel is None
    assert reading.declaration.amendment is None
    assert reading.reference == "SO-77120"
    assert "reference" not in reading.fields


def test_places_have_lines() -> None:
    raw = orjson.dumps(GOOD | {"goods": line(2, hs_code="1" * 11)}, option=orjson.OPT_INDENT_2)
    with pytest.raises(Refused) as caught:
        JSON.read(raw)
    wrong = caught.value.faults[0]
    assert wrong.line is not None
    assert b"11111111111" in raw.split(b"\n")[wrong.line - 1]
    assert Lines(raw).of(()) == 1


def test_the_schema_is_checked_in_and_speaks_of_every_field() -> None:
    assert orjson.loads(schemas.read_bytes("contracts", "declaration.schema.json")) == json_schema()
    properties = json_schema()["properties"]
    assert set(properties) == {*Declaration.model_fields, "reference"}
    goods = properties["goods"]["items"]["properties"]
    assert set(goods) == set(Goods.model_fields)
    assert goods["hs_code"] == {
        "title": "HS编码",
        "description": "HS 10",
        "type": ["string", "null"],
        "maxLength": 10,
        "x-official": "HSCode",
    }
