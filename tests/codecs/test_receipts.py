"""What customs sends is read generously; what the simulator writes is strict."""

import csv

import pytest

import schemas
from adapters.codecs.catalog import catalog
from adapters.codecs.gateway_xml import INBOUND, GatewayCodec
from adapters.codecs.receipts import message_id, write_fileret, write_receipt
from adapters.codecs.xml import parse
from gateway.core.messages import (
    AttachmentReceipt,
    BusinessReceipt,
    CustomsReply,
    Part,
    ReceiptMeaning,
    TechnicalReceipt,
    TechnicalVerdict,
)
from gateway.ports import Unreadable

CODEC = GatewayCodec()


def business(body: bytes) -> BusinessReceipt:
    message = CODEC.decode(INBOUND, body)
    assert isinstance(message, BusinessReceipt)
    return message


def test_a_reply_there_and_back() -> None:
    reply = CustomsReply(
        running_no=2,
        code="5",
        statement="同意 <签发>",
        office_name="NINGBO CUSTOMS",
        signed_on="2026-11-06",
        issued_retroactively=True,
        valid_until="2027-11-06",
        certificate_type="C",
    )
    body = write_receipt("C26X", "6", note="a & b", sent_at="2026-11-06 10:00:00", reply=reply)
    assert catalog()["receipt"].valid(parse(body))
    read = business(body)
    assert (read.number, read.channel, read.note, read.reply) == ("C26X", "6", "a & b", reply)
    assert read.meaning is ReceiptMeaning.APPROVED
    assert read.message_id == message_id(body) != message_id(body + b" ")


@pytest.mark.parametrize(
    ("channel", "code", "meaning"),
    [
        ("1", None, "received"),
        ("2", None, "failed"),
        ("6", "1", "failed"),
        ("6", "2", "in_review"),
        ("6", "3", "returned"),
        ("6", "5", "approved"),
        ("6", "6", "returned"),
        ("6", "8", "unknown"),
        ("6", "77", "unknown"),
        ("6", None, "unknown"),
        ("9", "5", "unknown"),
    ],
)
def test_codes(channel: str, code: str | None, meaning: str) -> None:
    reply = CustomsReply(code=code) if code else None
    assert business(write_receipt("C26X", channel, reply=reply)).meaning == meaning


@pytest.mark.parametrize(
    ("code", "verdict"), [("1", "taken"), ("3", "taken"), ("2", "refused"), ("4", "refused"), ("x", "unknown")]
)
def test_technical_receipts(code: str, verdict: str) -> None:
    body = write_fileret("C26X", code, note="n", sent_at="2026-11-06 10:00:00")
    message = CODEC.decode(INBOUND, body)
    assert isinstance(message, TechnicalReceipt)
    assert message.verdict is TechnicalVerdict(verdict)
    attachment = CODEC.decode(INBOUND, write_fileret("C26X", code, file_type="1", file_name="a.pdf"))
    assert isinstance(attachment, AttachmentReceipt)
    assert (attachment.file_type, attachment.file_name) == ("1", "a.pdf")


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "GB18030", "gb2312", "utf-16"])
def test_encodings(encoding: str) -> None:
    content = "<CertNo>C26X</CertNo><Channel>2</Channel><Note>退回</Note>"
    text = f'<?xml version="1.0" encoding="{encoding}"?>\n<Receipt>{content}</Receipt>'
    assert business(text.encode(encoding)).note == "退回"


def test_wrapped_foreign_namespace_any_order_and_unknown_elements() -> None:
    body = """<p:Package xmlns:p="urn:p"><EnvelopInfo><CertNo>WRONG</CertNo></EnvelopInfo><DataInfo>
    <r:Receipt xmlns:r="urn:r"><r:New>x</r:New><r:CusRespData><r:RepType> 5 </r:RepType>
    <r:CertNo>WRONG</r:CertNo><r:RspNo>１</r:RspNo>
    </r:CusRespData>
    <r:Data><r:CertNo> C26X </r:CertNo></r:Data><r:Channel>6</r:Channel></r:Receipt></DataInfo></p:Package>"""
    read = business(body.encode())
    assert (read.number, read.meaning) == ("C26X", ReceiptMeaning.APPROVED)
    assert read.reply is not None
    assert read.reply.running_no is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "XML-EMPTY"),
        (b"<Receipt>", "XML-SYNTAX"),
        (b"<Other/>", "INBOUND-ROOT"),
        (b"<Receipt><Channel>1</Channel></Receipt>", "RECEIPT-NO-NUMBER"),
        (b"<FileRet/>", "RECEIPT-NO-NUMBER"),
        (b"<?xml version='1.0' encoding='GBK'?><Receipt>\x80\xff\xff</Receipt>", "RECEIPT-ENCODING"),
        (b"<!DOCTYPE x><Receipt/>", "XML-DOCTYPE"),
        (b"<LayoutDocument number='C26X' part='third' pages='1'/>", "LAYOUT-HEAD"),
        (b"<LayoutDocument number='C26X' part='copy' pages='x'/>", "LAYOUT-HEAD"),
    ],
)
def test_what_no_reading_makes_sense_of(body: bytes, code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        CODEC.decode(INBOUND, body)
    assert caught.value.code == code


def test_a_layouts_head() -> None:
    body = b'<l:LayoutDocument xmlns:l="urn:origin-gateway:layout:v1" number="C26X" part="copy" pages="3"/>'
    message = CODEC.decode(INBOUND, body)
    assert (message.number, message.part, message.pages) == ("C26X", Part.COPY, 3)  # type: ignore[union-attr]


def test_the_simulator_writes_nothing_invalid() -> None:
    with pytest.raises(ValueError, match="no valid receipt"):
        write_receipt("X" * 21, "1")
    with pytest.raises(ValueError, match="no valid fileret"):
        write_fileret("", "1")


def test_every_meaning_in_the_list_is_one_the_core_knows() -> None:
    known = {"ret_type": set(TechnicalVerdict), "rep_type": set(ReceiptMeaning), "channel": {*ReceiptMeaning, "reply"}}
    for row in csv.DictReader(schemas.read_text("codelists", "receipt_codes.csv").splitlines()):
        assert row["meaning"] in known[row["list"]]
        assert row["source"]
        assert row["sure"]
