"""Receipts that are a little odd: wrong about their encoding, several in one document, with elements nobody knows."""

import pytest

from adapters.codecs.bundles import MOST, apart
from adapters.codecs.encodings import as_utf8
from adapters.codecs.gateway_xml import INBOUND, GatewayCodec, number_in
from adapters.codecs.receipts import write_fileret, write_receipt
from gateway.core.messages import BusinessReceipt, CustomsReply
from gateway.ports import Unreadable

CODEC = GatewayCodec()
A, B, C = "C26MA9XYD0C20001", "C26MA9XYD0C20002", "C26MA9XYD0C20003"
NOTE = "退回：发票号不符，请核对品名与HS编码"


def receipt(declared: str = "", note: str = NOTE) -> str:
    head = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    return f"{head}<Receipt><CertNo>{A}</CertNo><Channel>2</Channel><Note>{note}</Note></Receipt>"


def read(body: bytes) -> BusinessReceipt:
    message = CODEC.decode(INBOUND, body)
    assert isinstance(message, BusinessReceipt)
    return message


# ------------------------------------------------------------ encodings


ACTUAL = ("utf-8", "utf-8-sig", "gbk", "gb18030", "gb2312", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
DECLARED = ("", "UTF-8", "utf-16", "GBK", "GB2312", "gb18030", "ISO-8859-1", "windows-1252", "big5", "x-unknown")


@pytest.mark.parametrize("actual", ACTUAL)
@pytest.mark.parametrize("declared", DECLARED)
def test_what_can_be_read_is_read_whatever_it_says_about_itself(declared: str, actual: str) -> None:
    assert read(receipt(declared).encode(actual)).note == NOTE


def test_what_was_done_is_told() -> None:
    assert read(receipt("utf-16").encode()).noticed == "It declares another encoding and was read as UTF-8."
    assert read(receipt("GBK").encode()).noticed == "It declares GBK and was read as UTF-8."
    assert read(receipt("UTF-8").encode("gbk")).noticed == "It declares UTF-8 and was read as GB18030."
    assert read(receipt("").encode("gbk")).noticed == "It declares no encoding and was read as GB18030."
    for declared, actual in (("", "utf-8"), ("UTF-8", "utf-8"), ("GBK", "gbk"), ("GB2312", "gb18030")):
        assert read(receipt(declared).encode(actual)).noticed == ""
    assert read(receipt("GBK", "no").encode()).noticed == "", "ASCII is ASCII in both"


def test_a_chinese_declaration_counts_where_the_bytes_are_utf8_by_chance() -> None:
    """These characters in GBK are valid UTF-8, of letters that nobody writes."""
    note = bytes.fromhex("c4a3c4a3").decode("gbk")
    body = receipt("GBK", note).encode("gbk")
    assert body.decode("utf-8")
    assert read(body).note == note


def test_hz_is_plain_ascii_and_not_what_it_looks_like() -> None:
    assert read(receipt("HZ-GB-2312", "退回").encode("hz")).note == "退回"


@pytest.mark.parametrize(
    "body",
    [
        receipt("GBK").encode("gbk")[:-30] + b"\xff\xff</Note></Receipt>",
        receipt("UTF-8", "caf\xe9").encode("latin-1"),
        receipt("ISO-8859-1", "\xa4\xe9 \xfc").encode("latin-1"),
        b"\xff\xfe" + receipt().encode("utf-16-le")[:-1],
        receipt("", "§é§é§é").encode("latin-1"),
        receipt("GBK", "ª¡ª¢").encode("latin-1"),
    ],
    ids=["torn", "latin-1 as utf-8", "latin-1", "half a character", "Cyrillic in GB18030", "private use in GB18030"],
)
def test_what_would_be_signs_without_sense_is_not_read(body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        CODEC.decode(INBOUND, body)
    assert caught.value.code == "RECEIPT-ENCODING"


def test_what_is_plain_comes_back_untouched() -> None:
    body = receipt("UTF-8").encode()
    assert as_utf8(body)[0] is body
    assert as_utf8(body)[1] == ""


@pytest.mark.parametrize("more", [b"", b"\n", b"\x1a", b"\0\0\0", b" \r\n"])
@pytest.mark.parametrize("before", [b"", b"\n", b"\xef\xbb\xbf\r\n"])
def test_blanks_and_the_marks_of_old_programs_around_it_do_no_harm(before: bytes, more: bytes) -> None:
    assert read(before + receipt("UTF-8").encode() + more).note == NOTE


# ------------------------------------------------------------ several in one


def single(*bodies: bytes) -> list[bytes]:
    return [body.split(b"?>", 1)[1].strip() for body in bodies]


def numbers(body: bytes) -> list[str]:
    return [CODEC.decode(INBOUND, part).number for part in apart(body)]  # type: ignore[union-attr]


FIRST, SECOND = write_receipt(A, "1"), write_fileret(B, "1")
LAYOUT = f'<LayoutDocument xmlns="urn:origin-gateway:layout:v1" number="{C}" part="copy" pages="1"/>'.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"<Receipts>%b%b%b</Receipts>",
        b'<x:Package xmlns:x="urn:x"><x:Count>3</x:Count><List>%b<List>%b</List></List>%b</x:Package>',
        b"<Receipt><Receipt>%b</Receipt>%b%b</Receipt>",
        b"%b%b%b",
        b"%b\n\n%b\n%b\n",
        b'<?xml version="1.0" encoding="UTF-8"?>%b<?xml version="1.0"?>%b\n<?xml version="1.0"?>%b',
    ],
    ids=["list", "nested", "of its own name", "chained", "chained by lines", "with declarations"],
)
def test_each_of_several_is_read(body: bytes) -> None:
    whole = body % (*single(FIRST, SECOND), LAYOUT)
    assert numbers(whole) == [A, B, C]
    wide = whole.replace(b' encoding="UTF-8"', b"").decode().encode("utf-16")
    assert numbers(wide) == [A, B, C]
    for part in apart(whole):
        assert apart(part) == (part,), "a part is a single document"
    with pytest.raises(Unreadable):
        CODEC.decode(INBOUND, whole)


def test_a_receipt_with_several_replies_is_a_receipt_for_each() -> None:
    first, second = (
        write_receipt(A, "6", note="n", reply=CustomsReply(running_no=no, code=code))
        for no, code in ((1, "2"), (2, "5"))
    )
    start = second.index(b"<CusRespData>")
    end = second.index(b"</CusRespData>") + len(b"</CusRespData>")
    both = first.replace(b"</CusRespData>", b"</CusRespData>" + second[start:end])
    read = [CODEC.decode(INBOUND, part) for part in apart(both)]
    replies = [(one.number, one.note, one.reply.running_no, one.reply.code) for one in read]  # type: ignore[union-attr]
    assert replies == [(A, "n", 1, "2"), (A, "n", 2, "5")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (f"<Receipt><CertNo>{A}</CertNo><CertNo>{B}</CertNo></Receipt>", "RECEIPT-NUMBERS"),
        (f"<Receipt><CertNo>{A}</CertNo><Receipt><CertNo>{B}</CertNo></Receipt></Receipt>", "INBOUND-NESTED"),
        (f"<Receipt><CertNo>{A}</CertNo></Receipt><File><CertNo>{B}</CertNo></File>", "INBOUND-CHAIN"),
        (f"<R>{'<Receipt><CertNo>A</CertNo></Receipt>' * (MOST + 1)}</R>", "INBOUND-MANY"),
        (f"<Receipt><CertNo>A</CertNo><Note>{'n' * 20_000}</Note>{'<CusRespData/>' * 400}</Receipt>", "INBOUND-MANY"),
    ],
)
def test_what_can_not_be_told_apart_is_unreadable_as_a_whole(body: str, code: str) -> None:
    with pytest.raises(Unreadable) as caught:
        apart(body.encode())
    assert caught.value.code == code


@pytest.mark.parametrize(
    "body",
    [
        FIRST,
        b"<Envelope><Head><CertNo>X</CertNo></Head>%b</Envelope>" % single(FIRST)[0],
        b"<Receipt><CertNo>A</CertNo><CertNo>A</CertNo></Receipt>",
        b"",
        b"<Receipts/>",
        b"no XML at all, but a Receipt, a Receipt and a CertNo, CertNo, CertNo",
        b"<Receipt><CertNo>A</CertNo></Receipt><Receipt><CertNo>B</CertNo></Rec",
        b"<Receipt><CertNo>A</CertNo></Receipt> and <Receipt><CertNo>B</CertNo></Receipt>",
    ],
)
def test_a_single_one_and_what_nobody_can_read_comes_back_as_it_is(body: bytes) -> None:
    assert apart(body) == (body,)


def test_elements_that_nobody_told_us_of_are_named() -> None:
    body = (
        f"<Receipt><CertNo>{A}</CertNo><Channel>1</Channel><Fee>12</Fee><Empty/><s:Signature xmlns:s='urn:s'><V>x</V>"
    )
    body += "</s:Signature><Deadline>2026-12-01</Deadline><Fee>1</Fee></Receipt>"
    assert read(body.encode()).noticed == "Elements that nobody told us of: Fee, Deadline."
    many = "".join(f"<New{n}>x</New{n}>" for n in range(30))
    told = read(f"<Receipt><CertNo>{A}</CertNo>{many}</Receipt>".encode()).noticed
    assert "New9 and more" in told
    assert "New10" not in told
    assert read(FIRST).noticed == ""


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (f"<Receipt><CertNo>{A}</CertNo><Torn".encode(), A),
        (f"<r:Receipt><r:CertNo> {A} </r:CertNo><Torn".encode("utf-16"), A),
        (f'<LayoutDocument number="{A}" part="third"'.encode(), A),
        (f'<LayoutDocument number="{A}" part="third" pages="x">'.encode(), A),
        (f"<CertNo>{A}</CertNo><CertNo>{B}</CertNo>".encode(), ""),
        (b"<CertNo>\xff\xfe</CertNo>", ""),
        (b"", ""),
    ],
)
def test_the_number_in_what_nobody_can_read(body: bytes, number: str) -> None:
    assert number_in(body) == number
