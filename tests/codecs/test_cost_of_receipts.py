"""What customs sends costs no more than its bytes, whatever its shape. Work is counted, not timed: calls of Python
functions, with twice and four times the size."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from adapters.codecs.gateway_xml import INBOUND, GatewayCodec, number_in
from gateway.inlet import GatewayInlet
from gateway.ports import Record
from gateway.runtime.inputs import Input

INLET = GatewayInlet(GatewayCodec())
LAYOUT = (
    '<LayoutDocument xmlns="urn:origin-gateway:layout:v1" number="C26X" part="copy" pages="1" form="C" version="2019"'
    f' formSha256="{"0" * 64}" issued="2026-11-20"><Page template="front">{{}}</Page></LayoutDocument>'
)
TEXT = '<Text x="1" y="1" size="8" role="text">a</Text>'


def many(text: str, count: int) -> bytes:
    """The text so often, each with its number."""
    return "".join(text.format(number) for number in range(count)).encode()


SHAPES: dict[str, Callable[[int], bytes]] = {
    "unknown elements": lambda n: b"<Receipt><CertNo>A</CertNo>%b</Receipt>" % (b"<New>x</New>" * n),
    "unknown elements, each another": lambda n: b"<Receipt><CertNo>A</CertNo>%b</Receipt>" % many("<N{0}>x</N{0}>", n),
    "attributes": lambda n: b"<Receipt %b><CertNo>A</CertNo></Receipt>" % many(" a{0}=''", n),
    "namespaces": lambda n: b"<Receipt><CertNo>A</CertNo>%b</Receipt>" % many("<p:N xmlns:p='urn:{0}'>x</p:N>", n),
    "numbers": lambda n: b"<Receipt>%b</Receipt>" % (b"<CertNo>A</CertNo>" * n),
    "receipts": lambda n: b"<R>%b</R>" % (b"<Receipt><CertNo>A</CertNo></Receipt>" * (n // 10)),
    "receipts, too many": lambda n: b"<R>%b</R>" % (b"<Receipt><CertNo>A</CertNo></Receipt>" * n),
    "chained": lambda n: b"<Receipt><CertNo>A</CertNo></Receipt>" * (n // 10),
    "replies": lambda n: (
        b"<Receipt><CertNo>A</CertNo><Note>%b</Note>%b</Receipt>"
        % (b"n" * n, b"<CusRespData><RepType>5</RepType></CusRespData>" * (n // 10))
    ),
    "replies in replies": lambda n: (
        b"<Receipt><CertNo>A</CertNo>%b</Receipt>" % (b"<CusRespData><CusRespData/></CusRespData>" * n)
    ),
    "signature": lambda n: b"<Receipt><CertNo>A</CertNo><Signature>%b</Signature></Receipt>" % (b"<V>x</V>" * n),
    "signatures": lambda n: b"<Receipt><CertNo>A</CertNo>%b</Receipt>" % (b"<Signature><V>x</V></Signature>" * n),
    "text": lambda n: "<Receipt><CertNo>A</CertNo><Note>{}</Note></Receipt>".format("退" * n).encode("gbk"),
    "blanks": lambda n: b" " * n + b"<Receipt><CertNo>A</CertNo></Receipt>" + b"\0" * n,
    "torn": lambda n: b"<Receipt><CertNo>A</CertNo>" + b"<New>x</New>" * n,
    "torn layouts": lambda n: b"<LayoutDocument " * n,
    "declarations": lambda n: b"<Receipt/>" + b"<?xml version='1.0'?>" * n,
    "layout, texts": lambda n: LAYOUT.format(TEXT * n).encode(),
    "layout, faults": lambda n: LAYOUT.format(TEXT.replace("8", "900") * n).encode(),
    "layout, unknown": lambda n: LAYOUT.format("<New/>" * n).encode(),
}
SIZE = 300


def work(body: bytes) -> int:
    """Calls of functions while a record is read, up to the inputs of a turn; and while its number is looked for."""
    calls = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    record = Record(INBOUND, 0, 0, "k", body, {})
    sys.setprofile(counted)
    try:
        Input.all_of(record, INLET)
        number_in(body)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_size_is_at_most_twice_the_work(shape: str) -> None:
    work(SHAPES[shape](SIZE))  # what is made once is made
    once, twice, four_times = (work(SHAPES[shape](n * SIZE)) for n in (1, 2, 4))
    assert twice <= 2 * once + 200
    assert four_times <= 4 * once + 400


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_at_the_limit_has_an_answer(shape: str) -> None:
    """4 MiB of each, and more: a message or a reason, and never a document that is longer than what came."""
    one = len(SHAPES[shape](100_000)) / 100_000
    body = SHAPES[shape](int((4 << 20) / one * 0.99))
    inputs = Input.all_of(Record(INBOUND, 0, 0, "k", body, {}), INLET)
    assert all(item.message is not None or item.poison is not None for item in inputs)
    assert len(inputs) <= 500
    assert sum(len(item.record.body) for item in inputs if item.record) <= len(body) + 500 * 200 + (4 << 20)


def test_over_the_limit_nothing_is_parsed() -> None:
    (item,) = Input.all_of(Record(INBOUND, 0, 0, "k", b"<Receipt>" + b" " * (4 << 20), {}), INLET)
    assert item.poison is not None
    assert item.poison.code == "XML-SIZE"


def test_faults_are_no_longer_than_a_sentence() -> None:
    for shape in ("layout, faults", "unknown elements, each another", "numbers", "torn"):
        for item in Input.all_of(Record(INBOUND, 0, 0, "k", SHAPES[shape](5000), {}), INLET):
            told = str(item.poison) if item.poison else getattr(item.message, "noticed", "")
            assert len(told) < 700
