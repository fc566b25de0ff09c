"""The head of a declaration is read as the standards say, over HTTP and on the bus; what is ambiguous is refused."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.faults import Refused
from gateway.ports import Record
from tests.inbound.parts import CLIENT, KEY, FakeDoor, application

READ = {
    'application/xml; charset="utf-8"; action="urn:x"': "application/xml",
    'application/xml; action="urn:x;charset=gbk"; charset=utf-8': "application/xml",
    'application/xml; note="a\\"; charset=gbk; \\""': "application/xml",
    "application/xml;charset=UTF-8;": "application/xml",
    "application/xml; charset='utf-8'": "application/xml",
    "Text/XML ; Charset = UTF8": "application/xml",
    "application/xml; charset*=us-ascii'en'utf-8": "application/xml",
    "application/xml; charset=utf-8; charset=UTF8": "application/xml",
    'application/json; profile="x=y;z"': "application/json",
    "application/json; charset=us-ascii": "application/json",
    "application/xml; boundary=charset=gbk": "application/xml",
}
OTHER_CHARSETS = {
    "application/xml; action=x; charset=GB2312": "gb2312",
    'application/xml; charset="gbk"': "gbk",
    "application/json;charset=gb18030": "gb18030",
    "text/xml; charset=utf-16": "utf-16",
    "application/xml; charset=utf-8; charset=gbk": "gbk",
    "application/xml; charset=x-SECRET": "an unknown one",
    "application/xml; charset=": "an unknown one",
    "application/xml; charset=\x00": "an unknown one",
}
OTHERS = [
    "",
    ";",
    "application/xmlx",
    "application/xml,application/json",
    "charset=utf-8",
    "application/xml" + ";" * 2000,
]


async def post(*headers: tuple[str, str], key: str = KEY) -> tuple[httpx.Response, FakeDoor]:
    door = FakeDoor()
    transport = httpx.ASGITransport(app=application(door))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        head = [("authorization", f"Bearer {key}"), *headers]
        return await client.post("/v1/declarations", content=b"<a/>", headers=head), door


def on_bus(header: str) -> str:
    from adapters.inbound.bus_reading import Heads, submission

    record = Record("t", 0, 0, "k", b"<a/>", {"Content-Type": header})
    return submission(record, Heads(record), CLIENT).media_type


@pytest.mark.parametrize("header", READ)
async def test_parameters_are_read_as_the_standard_says(header: str) -> None:
    answer, door = await post(("content-type", header))
    assert answer.status_code == 202, answer.text
    assert door.seen[0].media_type == on_bus(header) == READ[header]


@pytest.mark.parametrize("header", OTHER_CHARSETS)
async def test_another_charset_is_named_and_an_unknown_one_is_not_repeated(header: str) -> None:
    answer, door = await post(("content-type", header))
    assert (answer.status_code, door.seen) == (415, [])
    assert f"names {OTHER_CHARSETS[header]} as" in answer.json()["detail"]
    assert "SECRET" not in answer.text
    with pytest.raises(Refused) as refused:
        on_bus(header)
    assert OTHER_CHARSETS[header] in refused.value.faults[0].message


@pytest.mark.parametrize("header", OTHERS)
async def test_other_types(header: str) -> None:
    answer, _ = await post(("content-type", header))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (415, "DOC-MEDIA-TYPE")
    with pytest.raises(Refused):
        on_bus(header)


@given(st.text(st.characters(max_codepoint=255), max_size=80))
def test_any_header_is_read_or_refused(text: str) -> None:
    for header in (text, f"application/xml;{text}", f"application/xml;charset{text}"):
        try:
            assert on_bus(header) in ("application/xml", "application/json")
        except Refused:
            continue


@pytest.mark.parametrize(
    ("coding", "status"),
    [
        (("content-encoding", "identity"), 202),
        (("content-encoding", "Identity, identity"), 202),
        (("content-encoding", ""), 202),
        (("content-encoding", "gzip"), 415),
        (("content-encoding", "identity, br"), 415),
        (("transfer-encoding", "Chunked"), 202),
        (("transfer-encoding", "gzip, chunked"), 415),
    ],
)
async def test_codings(coding: tuple[str, str], status: int) -> None:
    answer, _ = await post(("content-type", "text/xml"), coding)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("8e03", "8e03"),
        ('"8e03"', "8e03"),
        (r'"a\"b\\c"', 'a"b\\c'),
        ('"a"b"', '"a"b"'),
        ('"', '"'),
        ("a,b", "a,b"),
    ],
)
async def test_a_key_is_a_text_or_a_structured_string(sent: str, key: str) -> None:
    answer, door = await post(("content-type", "text/xml"), ("idempotency-key", sent))
    assert answer.status_code == 202
    assert door.seen[0].key == key


@pytest.mark.parametrize("sent", ["", '""', " ", "\x01", "x" * 256, '"' + "x" * 256 + '"'])
async def test_a_key_that_is_none(sent: str) -> None:
    answer, door = await post(("content-type", "text/xml"), ("idempotency-key", sent))
    assert (answer.status_code, door.seen) == (400, [])


@pytest.mark.parametrize("name", ["idempotency-key", "content-type", "origin-reference", "authorization"])
async def test_what_may_stand_once_stands_once(name: str) -> None:
    value = {"content-type": "text/xml", "authorization": f"Bearer {KEY}"}.get(name, "x")
    answer, door = await post(("content-type", "text/xml"), (name, value), (name, value))
    assert (answer.status_code, door.seen) == (400, [])
    assert name in answer.json()["detail"].lower()


@pytest.mark.parametrize(
    ("scheme", "status"),
    [
        ("Bearer ", 202),
        ("bearer   ", 202),
        ("BEARER ", 202),
        ("Bearer", 401),
        ("Basic ", 401),
        ("Bearer:", 401),
        ("", 401),
    ],
)
async def test_schemes(scheme: str, status: int) -> None:
    door = FakeDoor()
    transport = httpx.ASGITransport(app=application(door))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        head = {"authorization": f"{scheme}{KEY}", "content-type": "text/xml"}
        assert (await client.post("/v1/declarations", content=b"<a/>", headers=head)).status_code == status
