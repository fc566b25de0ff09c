"""Our own messages: everything encoded is valid and comes back the same."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.codecs.catalog import catalog
from adapters.codecs.gateway_xml import ACCEPTED, PRINT_RESULT, RENDER_RESULT, GatewayCodec, _values, written
from adapters.codecs.xml import parse
from gateway.core.messages import (
    CustomsDeclaration,
    DeclarationAccepted,
    PrintJob,
    PrintResult,
    RenderJob,
    RenderResult,
)
from gateway.core.value import Value
from gateway.ports import Encodable, Unreadable

CODEC = GatewayCodec()
TEXT = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=30)
WORD = st.text(st.sampled_from("ABC019"), min_size=1, max_size=18)
SHA = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
COMMON = {"number": WORD, "exporter": WORD, "applicant": WORD, "client": TEXT, "pages": st.integers(0, 999)}
COMMON |= {"revision": st.integers(1, 99), "certificate_type": st.sampled_from(["C", "RC"])}
COMMON |= {"media_type": st.sampled_from(["application/xml", "application/json"])}
WHEN = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8)), timezone(timedelta(hours=-3.5))]))


def messages(kind: type[Value]) -> st.SearchStrategy[Value]:
    fixed = {name: made for name, made in COMMON.items() if name in kind.model_fields}
    for name in kind.model_fields:
        if name.endswith("sha256"):
            fixed[name] = SHA
        elif name in ("seal", "signature", "key", "reason", "detail", "printer"):
            fixed[name] = TEXT
        elif name in ("at", "accepted_at"):
            fixed[name] = WHEN
        elif name == "reference":
            fixed[name] = st.none() | TEXT.filter(bool)
    return st.builds(kind, **fixed)


GOOD = DeclarationAccepted(
    message_id=UUID(int=1),
    certificate_id=UUID(int=2),
    number="C26MA9XYD0C20001",
    revision=1,
    certificate_type="C",
    applies=True,
    exporter="91330299MA9XYD0C2A",
    applicant="91330299MA9XYD0C2A",
    client="erp",
    reference="SO-1",
    media_type="application/xml",
    raw_sha256="0" * 64,
    content_sha256="f" * 64,
    accepted_at=datetime(2026, 11, 22, tzinfo=UTC),
)
BAD = [
    *(("number", one) for one in ("", "N" * 31)),
    *(("revision", one) for one in (0, -1)),
    *(("certificate_type", one) for one in ("", "c", "ABC", "C\n")),
    *(("exporter", one) for one in ("", "9" * 19)),
    *(("applicant", one) for one in ("", "9" * 19)),
    ("client", "c" * 201),
    *(("reference", one) for one in ("", "r" * 101)),
    *(("media_type", one) for one in ("", "text/xml", "application/xml ")),
    *(("raw_sha256", one) for one in ("", "0" * 63, "A" * 64)),
    *(("content_sha256", one) for one in ("0" * 65,)),
    ("accepted_at", datetime(2026, 11, 22, tzinfo=UTC).replace(tzinfo=None)),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_what_the_schema_refuses_of_an_acceptance_can_not_be_made(field: str, value: Any) -> None:
    """The door does not validate these against the schema one by one: both must refuse the same."""
    assert catalog()["messages"].valid(parse(CODEC.encode(GOOD)))
    bad = GOOD.model_copy(update={field: value})
    assert not catalog()["messages"].valid(parse(written("DeclarationAccepted", _values(bad))))
    with pytest.raises(ValidationError):
        DeclarationAccepted.model_validate(vars(bad))


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(*(messages(kind) for kind in (DeclarationAccepted, RenderJob, RenderResult, PrintJob, PrintResult))))
def test_there_and_back(message: Encodable) -> None:
    body = CODEC.encode(message)
    assert body == CODEC.encode_closely(message), "the fast way and the plain one"
    assert catalog()["messages"].explained.is_valid(parse(body))
    topics = {DeclarationAccepted: ACCEPTED, RenderResult: RENDER_RESULT, PrintResult: PRINT_RESULT}
    if isinstance(message, RenderJob):
        assert CODEC.render_job(body) == message
    elif isinstance(message, PrintJob):
        assert CODEC.print_job(body) == message
    else:
        assert CODEC.decode(topics[type(message)], body) == message  # type: ignore[index]


@pytest.mark.parametrize("text", ["<A & B>", "A]]>B", "宁波", "x\u0000y", "\r\n", "%s", " 1 ", "a-b"])
def test_any_text_is_written_the_same_both_ways(text: str) -> None:
    message = GOOD.model_copy(update={"reference": text, "client": text})
    assert CODEC.encode(message) == CODEC.encode_closely(message)


def test_the_schema_knows_every_message_and_field() -> None:
    schema = catalog()["messages"]
    kinds = {kind for kind in get_args(Encodable) if kind is not CustomsDeclaration}
    assert {kind.__name__ for kind in kinds} == set(schema.roots)
    for kind in kinds:
        declared = [one.local_name for one in schema.explained.elements[kind.__name__].type.content.iter_elements()]
        assert declared == ["".join(word.capitalize() for word in name.split("_")) for name in kind.model_fields]


def result(detail: str) -> RenderResult:
    uuid = "00000000-0000-4000-8000-000000000000"
    return RenderResult.model_validate(
        {"message_id": uuid, "job": uuid, "certificate_id": uuid, "part": "copy", "detail": detail}
    )


def test_texts_of_our_own_making_always_fit() -> None:
    read = CODEC.decode(RENDER_RESULT, CODEC.encode(result("a\x00\x1b\r\n\ud800\uffff" + "x" * 5000)))
    assert isinstance(read, RenderResult)
    assert read.detail.startswith("a\ufffd\ufffd\r\n\ufffd\ufffdxxx")
    assert len(read.detail) == 2000


def test_an_official_message_is_not_encoded_here() -> None:
    with pytest.raises(TypeError):
        CODEC.encode(CustomsDeclaration.model_construct())


@pytest.mark.parametrize(
    ("topic", "body", "code"),
    [
        (RENDER_RESULT, b"<x/>", "MESSAGE-ROOT"),
        (RENDER_RESULT, b"<RenderResult/>", "MESSAGE-ROOT"),
        (RENDER_RESULT, b'<RenderResult xmlns="urn:origin-gateway:messages:v1"/>', "MESSAGE-INVALID"),
        (RENDER_RESULT, b"\x00", "TEXT-CONTROL"),
        (PRINT_RESULT, CODEC.encode(result("")), "MESSAGE-ROOT"),
        ("origin.unknown.v1", b"<x/>", "MESSAGE-TOPIC"),
    ],
)
def test_unreadable(topic: str, body: bytes, code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        CODEC.decode(topic, body)
    assert caught.value.code == code
