"""A file of a stranger costs what its bytes cost, whatever it says about itself, and its reader gets a sentence.

Without the limits that these tests hold, most of the files take minutes, gigabytes or the process.
"""

import random
import re
import zlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from pyhanko.pdf_utils.generic import Reference
from pyhanko.pdf_utils.misc import PdfError

from renderers import hostile_pdf
from renderers.hostile_pdf import MAX_BYTES, MAX_REVISIONS
from renderers.sign import Signer
from renderers.verify import verify
from tests.renderers.papers import (
    AT,
    DAYS,
    PASSWORD,
    SINCE,
    keys,
    long_term,
    number_of,
    paper,
    signed_again,
    time_stamped,
    unsigned,
    update,
)

Key = ec.EllipticCurvePrivateKey


def a_pdf(objects: dict[int, bytes], trailer: bytes = b"/Root 1 0 R") -> bytes:
    """A small file: objects by number, the first one its catalogue."""
    out, places = bytearray(b"%PDF-1.7\n"), {}
    for number, body in objects.items():
        places[number] = len(out)
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    size = max(objects) + 1
    lines = [b"%010d 00000 n \n" % places[n] if n in places else b"%010d 00000 f \n" % 0 for n in range(1, size)]
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, b"".join(lines))
    return bytes(out + b"trailer\n<<%b/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (trailer, size, start))


PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"


def with_fields(fields: bytes, **more: bytes) -> bytes:
    """A catalogue with these form fields."""
    catalogue = b"<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields%b>>>>" % fields
    return a_pdf({1: catalogue, 2: PAGES, 3: PAGE, **{int(name[1:]): body for name, body in more.items()}})


def with_catalogue(entry: bytes, **more: bytes) -> bytes:
    """A certificate-like file that somebody signed, with an entry in its catalogue, and with data added later."""
    catalogue = b"<</Type/Catalog/Pages 2 0 R%b>>" % entry
    content = a_pdf({1: catalogue, 2: PAGES, 3: PAGE, **{int(name[1:]): body for name, body in more.items()}})
    return long_term(signed_again(content, keys().other))


def many_ways(levels: int) -> bytes:
    """Two ways from each object to the next: 2 to the power of `levels` ways to the last."""
    more = {f"o{4 + n}": b"[%d 0 R %d 0 R]" % (5 + n, 5 + n) for n in range(levels)}
    return with_catalogue(b"/Ways 4 0 R", **more, **{f"o{4 + levels}": b"[]"})


def wide_ways(width: int) -> bytes:
    """Many ways to one large object."""
    return with_catalogue(b"/Ways[%b]" % (b"4 0 R " * width), o4=b"[%b]" % (b"0 " * 2_000))


def packed(kind: bytes, content: bytes, dictionary: bytes) -> bytes:
    """A file whose objects, or whose table, stand in a compressed stream."""
    stream = zlib.compress(content, 9)
    start = len(b"%PDF-1.7\n")
    body = b"9 0 obj\n<</Type%b/Length %d/Filter/FlateDecode%b>>\nstream\n%b\nendstream\nendobj\n"
    return b"%PDF-1.7\n" + body % (kind, len(stream), dictionary, stream) + b"startxref\n%d\n%%%%EOF\n" % start


def revisions(count: int) -> bytes:
    content = paper()
    for _ in range(count):
        content = update(content, number_of(rb"/Type/Catalog", paper()))
    return content


def tables(count: int) -> bytes:
    """A chain of tables that free the same object again and again, each to be compared with all others."""
    out = bytearray(with_fields(b"[]"))
    before = out.rindex(b"xref\n0")
    for _ in range(count):
        start = len(out)
        out += b"xref\n3 1\n0000000000 00001 f \ntrailer\n<</Size 4/Root 1 0 R/Prev %d>>\n" % before
        before = start
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % before)


def certificates_of_one_name(count: int) -> bytes:
    """Signed with a chain in which everybody may have issued everybody."""
    authority, secrets = keys().authority, [ec.generate_private_key(ec.SECP256R1()) for _ in range(count)]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ALL")])

    def certificate(
        own: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, subject: x509.Name
    ) -> x509.Certificate:
        usage = x509.KeyUsage(True, True, False, False, False, True, True, False, False)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(SINCE)
            .not_valid_after(SINCE + timedelta(days=DAYS))
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .add_extension(usage, critical=True)
            .sign(by, hashes.SHA256())
        )

    chain = [certificate(one, secrets[0], name) for one in secrets]
    signer_key = ec.generate_private_key(ec.SECP256R1())
    signs = certificate(signer_key, secrets[0], x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "X")]))
    p12 = pkcs12.serialize_key_and_certificates(
        b"x",
        signer_key,
        signs,
        [*chain, authority.certificate],
        serialization.BestAvailableEncryption(PASSWORD.encode()),
    )
    signer = Signer(p12, PASSWORD)
    return signer.sign(unsigned(signer.hole))[0]


FIRST_TABLE = with_fields(b"[]").rindex(b"xref\n0")
HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no PDF": lambda: b"hello",
    "a header": lambda: b"%PDF-1.7\n",
    "too large": lambda: b"%PDF-1.7\n" + bytes(MAX_BYTES),
    "large and full of brackets": lambda: with_fields(b"[" * (1 << 20)),
    "large and full of numbers": lambda: with_fields(b"[%b]" % (b"0 " * (1 << 17))),
    "a large string": lambda: with_fields(b"[(%b)]" % (b"(" * (1 << 18) + b")" * (1 << 18))),
    "a large hexadecimal string": lambda: with_fields(b"[<%b>]" % (b"0" * (1 << 19))),
    "a large comment": lambda: with_fields(b"[%%%b\n]" % (b"x" * (1 << 20))),
    "a large name": lambda: with_fields(b"[/%b]" % (b"#41" * (1 << 17))),
    "a large number": lambda: with_fields(b"[%b 0 R]" % (b"9" * 10_000)),
    "deep": lambda: with_fields(b"[" * 50_000 + b"]" * 50_000),
    "deep dictionaries": lambda: with_fields(b"<</A" * 50_000),
    "deep by reference": lambda: with_fields(
        b"[4 0 R]", **{f"o{n}": b"<</Kids[%d 0 R]>>" % (n + 1) for n in range(4, 3000)}
    ),
    "a loop of fields": lambda: with_fields(b"[4 0 R]", o4=b"<</T(a)/Kids[4 0 R]>>"),
    "a loop of references": lambda: with_fields(b" 4 0 R", o4=b"5 0 R", o5=b"4 0 R"),
    "itself": lambda: with_fields(b" 4 0 R", o4=b"4 0 R"),
    "a loop of pages": lambda: with_catalogue(b"/Loop 4 0 R", o4=b"<</Kids[4 0 R]/Type/Pages>>"),
    "many fields": lambda: with_fields(b"[%b]" % (b"4 0 R " * 20_000), o4=b"<</FT/Sig/T(a)/V 5 0 R>>", o5=b"<<>>"),
    "many ways": lambda: many_ways(40),
    "many ways to much": lambda: wide_ways(1_000),
    "a table of a thousand million": lambda: with_fields(b"[]").replace(b"xref\n0 4", b"xref\n0 999999999"),
    "a table that is its own past": lambda: with_fields(b"[]").replace(b"/Size 4", b"/Size 4/Prev %d" % FIRST_TABLE),
    "a packed table without end": lambda: packed(b"/XRef", b"", b"/Size 999999999999/W[0 0 0]/Root 1 0 R"),
    "a packed table, its name disguised": lambda: packed(b"/X#52ef", b"", b"/Size 999999999999/W[0 0 0]/Root 1 0 R"),
    "a packed table of a gigabyte": lambda: packed(b"/XRef", bytes(64 << 20), b"/Size 99999999/W[1 1 1]/Root 1 0 R"),
    "many revisions": lambda: revisions(MAX_REVISIONS + 1),
    "many tables": lambda: tables(60_000),
    "many certificates": lambda: certificates_of_one_name(12),
    "certificates up to the limit": lambda: certificates_of_one_name(4),
    "a gigabyte in the store": lambda: re.sub(rb"(?<=/Length )(\d+)(?=\n>>\nstream\n0)", b"9" * 9, long_term(paper())),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_a_sentence(name: str) -> None:
    report = verify(HOSTILE[name](), [keys().root], AT)
    assert not report.valid
    assert report.summary.startswith("NOT ")
    assert "\n" not in report.summary


def test_what_is_read_is_counted() -> None:
    """Each object of a chain has the next one in its stream: reading all of them is reading the square of the file."""
    inner, count = b"x" * 100_000, 300
    for number in range(count + 3, 3, -1):
        inner = b"%d 0 obj\n<</Length %d>>\nstream\n%b\nendstream\nendobj\n" % (number, len(inner), inner)
    out = b"%PDF-1.7\n" + inner
    lines = [b"%010d 00000 n \n" % out.index(b"%d 0 obj" % number) for number in range(4, count + 4)]
    table = b"xref\n4 %d\n%btrailer\n<</Root 4 0 R/Size %d>>\n" % (count, b"".join(lines), count + 4)
    reader = hostile_pdf.read(out + table + b"startxref\n%d\n%%%%EOF\n" % len(out))

    def read_all() -> None:
        for number in range(4, count + 4):
            reader.get_object(Reference(number, 0, reader))  # type: ignore[no-untyped-call]

    with pytest.raises(PdfError, match="too much"):
        read_all()


def test_each_look_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of many small ones is read one by one."""
    monkeypatch.setattr(hostile_pdf, "MAX_READS", 100_000)
    reader = hostile_pdf.read(with_fields(b"[%b]" % (b"0 " * 100_000)))
    with pytest.raises(PdfError, match="too much"):
        reader.get_object(Reference(1, 0, reader))  # type: ignore[no-untyped-call]


def test_signatures_are_counted() -> None:
    numbers = range(5, 6 + MAX_REVISIONS)
    fields = {f"o{number}": b"<</FT/Sig/T(f%d)/V 4 0 R>>" % number for number in numbers}
    body = number_of(rb"/ByteRange", paper())[1]
    content = with_fields(b"[%b]" % b" ".join(b"%d 0 R" % number for number in numbers), o4=body, **fields)
    assert verify(content).problem == f"the file has more than {MAX_REVISIONS} signatures"


PIECES = (b"<<", b">>", b"[", b"]", b" R", b"null", b"-1", b"/Kids", b"obj")


def damaged(original: bytes, chance: random.Random) -> bytes:
    """Bytes are changed, dropped, doubled and put elsewhere, behind the fonts and pictures, but not in the signatures
    themselves: they hold the authorities' certificates too, which nobody signs."""
    content = bytearray(original)
    signatures = [found.span() for found in re.finditer(rb"/Contents ?<[0-9A-Fa-f]{999,}>", original)]
    places = [
        place
        for place in range(original.index(b"/Type/Page/"), len(original))
        if not any(start < place < end for start, end in signatures)
    ]
    for _ in range(chance.randint(1, 3)):
        at = min(chance.choice(places), len(content) - 1)
        piece = bytes(content[at : at + chance.randint(1, 200)])
        match chance.randrange(5):
            case 0:
                content[at] ^= 1 << chance.randrange(8)
            case 1:
                del content[at : at + len(piece)]
            case 2:
                content[at:at] = piece
            case 3:
                content[at : at + 1] = chance.choice(PIECES)
            case _:
                content += piece
    return bytes(content)


@pytest.mark.parametrize("seed", range(3))
def test_damage_of_every_kind_is_not_valid_and_told(seed: int) -> None:
    """What is not the same file is never valid, and nothing breaks."""
    chance = random.Random(seed)
    for original in (paper(), time_stamped(long_term(paper()))):
        for _ in range(40):
            content = damaged(original, chance)
            report = verify(content, [keys().root], AT)
            assert report.valid == (content == original), report.text()
            assert report.valid or report.summary.startswith("NOT ")
