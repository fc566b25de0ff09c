"""The short way of reading the official XML and the whole way come to the same, or the short way steps aside."""

from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapters.codecs import fast
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.official import NAMESPACE
from gateway.core.declaration import Declaration, texts
from gateway.core.faults import Refused
from gateway.ports import Place
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.codecs.documents import BENCHMARK, full_certificate, text_of
from tests.codecs.documents import example as packaged
from tests.codecs.strategies import DECLARATIONS

XML = CustomsXml()
SLOW = settings(suppress_health_check=list(HealthCheck), max_examples=60, deadline=None)
OFTEN = settings(SLOW, max_examples=400)
XSI = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
WHERE = f' xsi:schemaLocation="{NAMESPACE} coo.xsd"'
PIECES = [
    *("<", ">", "&", "&amp;", "]]>", "<!---->", "<?a?>", "<![CDATA[x]]>", "<a/>", "</Goods>", "<Goods>", "<InvNo>"),
    *(" a='b'", " xmlns='x'", " xsi:nil='true'", "\r", "\n", "\t", " ", "\x00", "\u202e", "\ufffe", "\ue000", "/n"),
    *("<OriInvs></OriInvs>", "<NonpartyCorpList></NonpartyCorpList>", "<ModCertificate></ModCertificate>"),
    *("\ufeff", "x" * 2001, "７", "-", "1", "\xa0", "\U0001f600", "/>"),
]


def agree(raw: bytes) -> bool:
    """Whether the document is plain; then the whole way says the same, field by field and in the same order."""
    found = fast.read_xml(raw)
    if found is not None:
        closely = XML.read_closely(raw)
        assert orjson.dumps(found.fields) == orjson.dumps(closely.fields)
        length = sum(len(text) for place, text in texts(found.fields) if place != ("promise",))
        assert min(found.length, closely.length) >= length
        assert {char for _, text in texts(found.fields) for char in text if not char.isascii()} == set(found.unusual)
    return found is not None


@pytest.mark.parametrize("size", [1, 20])
def test_what_erps_send_is_plain(size: int) -> None:
    for number, enterprise in enumerate(many(20)):
        assert agree(XML.write(declaration(Random(number), "C", enterprise, 0, size=size)))


@pytest.mark.parametrize("name", ["C-three-goods.xml", "C-amended.xml", "C-draft.xml", "RC-sixty-goods.xml"])
def test_the_packaged_examples_are_plain(name: str) -> None:
    assert agree(packaged(name))


@pytest.mark.parametrize(
    "attributes",
    [
        f' xmlns="{NAMESPACE}"',
        f' xmlns="{NAMESPACE}"{XSI}',
        f' xmlns="{NAMESPACE}"{XSI}{WHERE}',
        f'{XSI} xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns="{NAMESPACE}"',
        f'{XSI} xmlns="{NAMESPACE}"{WHERE}',
    ],
)
def test_the_usual_start_tags_are_plain(attributes: str) -> None:
    _, _, rest = packaged(BENCHMARK).decode().partition('coo.xsd"')
    assert agree(f"<Certificate{attributes}{rest}".encode())


def test_one_element_a_line_is_plain() -> None:
    text = text_of(full_certificate())
    assert agree(text.replace(b"'", b'"'))
    assert agree(text.replace(b"'", b'"').replace(b"\n", b"\r\n\t"))


@given(DECLARATIONS)
@SLOW
def test_both_ways_come_to_the_same_fields(content: Declaration) -> None:
    agree(XML.write(content))


@given(st.integers(0, 10_000), st.integers(0, 300), st.sampled_from(["", *PIECES]), st.integers(0, 10_000))
@example(2, 0, "\ufeff", 0)
@OFTEN
def test_a_damaged_text_has_the_same_verdict_both_ways(at: int, cut: int, piece: str, other: int) -> None:
    text = packaged(BENCHMARK).decode()
    at, other = at % len(text), other % len(text)
    agree((text[:at] + piece + text[at + cut :]).encode())
    agree((text[:at] + text[other : other + cut] + text[at:]).encode())
    agree((text[:at] + piece + text[at + cut : other] + piece + text[other:]).encode())


@pytest.mark.parametrize("piece", PIECES)
def test_any_piece_in_any_gap_and_text(piece: str) -> None:
    text = packaged(BENCHMARK).decode()
    text = text[: text.index("</Goods>")] + text[text.rindex("</Goods>") :]
    for at, sign in enumerate(text):
        if sign in "<>":
            agree((text[: at + 1] + piece + text[at + 1 :]).encode())
            agree((text[:at] + piece + text[at:]).encode())


def test_a_document_without_its_goods_list_is_not_plain() -> None:
    text = packaged(BENCHMARK)
    start, end = text.index(b"<CertificateList>"), text.index(b"</CertificateList>") + len(b"</CertificateList>")
    with pytest.raises(Refused):
        XML.read(text[:start] + text[end:])


def test_too_many_goods_are_not_plain() -> None:
    text = packaged(BENCHMARK)
    start, end = text.index(b"<Goods>"), text.index(b"</Goods>") + len(b"</Goods>")
    with pytest.raises(Refused):
        XML.read(text[:start] + text[start:end] * 2001 + text[text.index(b"</CertificateList>") :])


def test_lines_are_those_of_the_tree() -> None:
    raw = text_of(full_certificate()).replace(b"'", b'"')
    plainly, closely = XML.read_plainly(raw), XML.read_closely(raw)
    assert plainly is not None
    places: list[Place] = [(name,) for name in Declaration.model_fields]
    places += [("goods", index, name) for index in (0, 1) for name in ("hs_code", "name", "exporter_code", "line_no")]
    places += [("amendment", "old_number"), ("invoices", 0, "invoice_no"), ("non_parties", 0, "name")]
    for place in places:
        assert plainly.locate(place) == closely.locate(place)
