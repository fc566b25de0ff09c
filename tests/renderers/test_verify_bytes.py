"""`origin verify` takes a signature for what it is: made in one way, over all bytes, and each byte accounted for."""

import hashlib
import io
import re
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from pyhanko.pdf_utils.reader import PdfFileReader

from renderers.der import OCTETS, SEQUENCE, SET, context, der
from renderers.sign import ECDSA_SHA256, MESSAGE_DIGEST, SIGNED_DATA, Signer
from tests.renderers.papers import (
    ENTERPRISE,
    OTHER,
    OWN_NAME,
    PASSWORD,
    a_key,
    codes,
    judged,
    keys,
    long_term,
    number_of,
    paper,
    signed_again,
    time_stamped,
    unsigned,
    update,
)
from tests.renderers.samples import bench

# ---------------------------------------------------------------- how it is signed


def test_a_key_that_is_not_for_signing() -> None:
    signer = Signer(keys().own, PASSWORD)
    signer.certificate = x509.load_pem_x509_certificate(keys().root)
    signer._prepare()
    assert "KEY-USAGE" in codes(judged(signer.sign(unsigned(signer.hole))[0]))
    assert "KEY-USAGE" in codes(judged(by_another_program(a_key(OWN_NAME, authority=keys().authority, signs=False))))


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 1024), ed25519.Ed25519PrivateKey.generate()])
def test_a_weak_key(key: Any) -> None:
    assert "WEAK" in codes(judged(by_another_program(a_key(OWN_NAME, authority=keys().authority, key=key))))


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_a_weak_digest(digest: str) -> None:
    strong = rsa.generate_private_key(65537, 2048)
    signed = by_another_program(a_key(OWN_NAME, authority=keys().authority, key=strong), md_algorithm=digest)
    report = judged(signed)
    assert "WEAK" in codes(report), report.text()
    assert not set(codes(report)) & {"CHANGED", "OTHER-AUTHORITY"}, "which would be false"


def by_another_program(p12: bytes, **options: Any) -> bytes:
    """Signed by a PDF program: PKCS#7, and in a second revision."""
    return signed_again(bench().unsigned(bench().layout("C")), p12, **options)


def test_another_kind_of_signature() -> None:
    assert set(codes(judged(by_another_program(keys().own)))) == {"NOT-IN-ONE-PIECE", "NOT-PADES"}


@pytest.mark.parametrize("missing", ["signing-certificate", "message-digest", "content-type", "all"])
def test_signed_attributes_are_asked_for(missing: str) -> None:
    """Without them a signature says neither what it signs nor by which certificate."""
    signer = Signer(keys().own, PASSWORD)
    paper_ = unsigned(signer.hole)
    digest = der(SEQUENCE, MESSAGE_DIGEST, der(SET, der(OCTETS, paper_.digest())))
    content_type, certificate = signer._fixed_attributes
    kept = {"signing-certificate": (content_type, digest), "message-digest": (content_type, certificate),
            "content-type": (certificate, digest), "all": ()}[missing]  # fmt: skip
    attributes = b"".join(sorted(kept))
    if missing == "all":
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        made = signer._key.sign(paper_.digest(), ec.ECDSA(utils.Prehashed(hashes.SHA256())))  # type: ignore[arg-type, call-arg]
        one = der(SEQUENCE, signer._signer, ECDSA_SHA256, der(OCTETS, made))
        signature = der(SEQUENCE, SIGNED_DATA, context(0, der(SEQUENCE, signer._head, der(SET, one))))
    else:
        signature = signer._cms(attributes, signer._raw(der(SET, attributes)))
    report = judged(paper_.filled(signature)[0])
    assert not report.valid
    assert report.problem or "NOT-PADES" in codes(report), report.text()
    whole = signer._cms(signer._attributes(paper_.digest()), signer._raw(der(SET, signer._attributes(paper_.digest()))))
    assert judged(paper_.filled(whole)[0]).valid


# ---------------------------------------------------------------- what covers what


def end_of_hole(content: bytes) -> int:
    found = re.search(rb"/ByteRange\[0 \d+ (\d+) \d+\]", content)
    assert found
    return int(found[1])


def signature_object(content: bytes) -> tuple[int, bytes]:
    return number_of(rb"/ByteRange", content)


RANGES = {
    "a gap": lambda n: (0, n[0], n[1] + 10, n[2] - 10),
    "an overlap": lambda n: (0, n[0], n[1] - 4000, n[2] + 4000),
    "from later on": lambda n: (10, n[0] - 10, n[1], n[2]),
    "a short end": lambda n: (0, n[0], n[1], n[2] - 10),
    "beyond the end": lambda n: (0, n[0], n[1], n[2] + 10_000),
    "nothing": lambda n: (0, 0, 0, 0),
    "backwards": lambda n: (n[1], n[2], 0, n[0]),
    "negative": lambda n: (0, -1, n[1], n[2]),
    "three": lambda n: (0, n[0], n[1]),
    "six": lambda n: (0, n[0], n[1], n[2] - 10, n[1] + n[2] - 10, 10),
    "the same total": lambda n: (0, n[0] - 100, n[1] - 100, n[2] + 100),
}  # fmt: skip


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("how", ["in place", "by an update"])
def test_what_is_said_to_be_signed(name: str, how: str) -> None:
    content = paper()
    number, body = signature_object(content)
    old = re.search(rb"/ByteRange\[0 (\d+) (\d+) (\d+)\]", content)
    assert old
    values = RANGES[name](tuple(map(int, old.groups())))
    written = b"/ByteRange[" + b" ".join(b"%d" % value for value in values) + b"]"
    if how == "in place":
        changed = content.replace(old[0], written.ljust(len(old[0])))
    else:
        changed = update(content, (number, body.replace(old[0], written)))
    report = judged(changed)
    assert not report.valid
    assert report.problem or set(codes(report)) & {"CHANGED", "UNREADABLE", "NOT-IN-ONE-PIECE"}, report.text()


@pytest.mark.parametrize("name", [name for name in RANGES if name not in ("beyond the end", "negative")])
def test_a_signature_that_leaves_something_out(name: str) -> None:
    """By the exporter's own key, and intact: but not over all that the file shows."""
    signer = Signer(keys().own, PASSWORD)
    content = unsigned(signer.hole).filled(b"")[0]
    old = re.search(rb"/ByteRange\[0 (\d+) (\d+) (\d+)\]", content)
    assert old
    before, after, rest = map(int, old.groups())
    values = RANGES[name]((before, after, rest))
    written = (b"/ByteRange[" + b" ".join(b"%d" % value for value in values) + b"]").ljust(len(old[0]))
    content = content.replace(old[0], written)
    pairs = zip(values[::2], values[1::2], strict=False)
    digest = hashlib.sha256(b"".join(content[start : start + length] for start, length in pairs)).digest()
    made = signer._cms(signer._attributes(digest), signer._raw(der(SET, signer._attributes(digest))))
    signed = content[: before + 1] + made.hex().encode().ljust(after - before - 2, b"0") + content[after - 1 :]
    report = judged(signed)
    assert not report.valid
    overlaps = name in ("an overlap", "the same total", "nothing", "backwards", "three")
    assert "CHANGED-AFTER" in codes(report) or overlaps, report.text()


@pytest.mark.parametrize(
    ("find", "put"),
    [
        (rb"/Contents<[0-9a-f]+>", b""),
        (rb"/Contents<[0-9a-f]+>", b"/Contents<>"),
        (rb"/Contents<[0-9a-f]+>", b"/Contents null"),
        (rb"/Contents<[0-9a-f]+>", b"/Contents 0"),
        (rb"/Contents<[0-9a-f]+>", b"/Contents<00>"),
        (rb"/Contents<[0-9a-f]+>", b"/Contents<3080>"),
        (rb"/ByteRange\[.*?\]", b""),
        (rb"/ByteRange\[.*?\]", b"/ByteRange null"),
        (rb"/ByteRange\[.*?\]", b"/ByteRange[]"),
        (rb"/ByteRange\[.*?\]", b"/ByteRange[(a) (b) (c) (d)]"),
        (rb"/ByteRange\[.*?\]", b"/ByteRange[0 null null null]"),
        (rb"/SubFilter/ETSI.CAdES.detached", b""),
        (rb"/SubFilter/ETSI.CAdES.detached", b"/SubFilter/unknown"),
        (rb"/SubFilter/ETSI.CAdES.detached", b"/SubFilter/ETSI.RFC3161"),
        (rb"/Type/Sig\b", b"/Type/Font"),
        (rb"/Type/Sig\b", b"/Type/DocTimeStamp"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["in place", "by an update"])
def test_a_signature_that_can_not_be_read_is_none(find: bytes, put: bytes, how: str) -> None:
    """Universal signature forgery: a signature without what makes it one."""
    content = paper()
    number, body = signature_object(content)
    changed = re.sub(find, put, body)
    assert changed != body
    spoilt = (
        content.replace(body, changed.ljust(len(body))) if how == "in place" else update(content, (number, changed))
    )
    report = judged(spoilt)
    assert not report.valid
    assert report.summary.startswith("NOT ")


def test_what_hides_in_the_hole() -> None:
    """Nobody signs the room behind the signature in its hole."""
    content = paper()
    end = end_of_hole(content)
    for place in (end - 100, end - 2):
        assert content[place : place + 1] == b"0"
        changed = content[:place] + b"7" + content[place + 1 :]
        assert codes(judged(changed)) == ["CHANGED-AFTER"]
    spaced = content[: end - 2] + b" " + content[end - 1 :]
    assert not judged(spaced).valid


@pytest.mark.parametrize(
    "tail",
    [
        b"\n", b" ", b"\0", b"% more", b"%%EOF\n", b"garbage" * 1000, b"startxref\n154213\n%%EOF\n",
        b"99 0 obj\n<<>>\nendobj\n", b"trailer\n<</Root 1 0 R>>\n", b"\n%PDF-1.7\n" + bytes(100),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content", [paper(), long_term(paper())])
def test_something_appended(content: bytes, tail: bytes) -> None:
    report = judged(content + tail)
    assert not report.valid or (tail == b"\n" and content != paper()), report.text()


def test_objects_that_no_table_names() -> None:
    """Incremental saving attack: viewers that mend a file find them. The table in between is the signed one's."""
    content = paper()
    number, body = number_of(rb"/Type/Catalog", content)
    start = re.findall(rb"startxref\s+(\d+)", content)[-1]
    hidden = b"%d 0 obj\n%b\nendobj\n" % (number, body)
    end = b"startxref\n%b\n%%%%EOF\n" % start
    assert codes(judged(content + hidden + end)) == ["CHANGED-AFTER"]
    assert codes(judged(content + b"trailer\n<</Root 1 0 R/Size 99>>\n" + end)) == ["CHANGED-AFTER"]
    added = long_term(content)
    assert judged(added).valid
    at = added.rindex(b"xref\n0 1")
    moved = added[:at] + hidden + added[at:]
    moved = re.sub(rb"startxref\n\d+\n%%EOF\n$", b"startxref\n%d\n%%%%EOF\n" % (at + len(hidden)), moved)
    assert codes(judged(moved)) == ["CHANGED-AFTER"]


def test_a_table_that_points_back() -> None:
    """One object is named where it was signed, so that the count is right for another that nobody names."""
    content = paper()
    number, body = number_of(rb"/Type/Catalog", content)
    place = content.index(b"%d 0 obj\n%b" % (number, body))
    hidden = b"%d 0 obj\n<</Type/Catalog>>\nendobj\n" % number
    updated = update(content, (number, body))
    swapped = updated[: len(content)] + hidden + updated[updated.rindex(b"xref\n0 1") :]
    swapped = swapped.replace(b"%010d 00000 n \ntrailer" % len(content), b"%010d 00000 n \ntrailer" % place)
    start = swapped.rindex(b"xref\n0 1")
    swapped = re.sub(rb"startxref\n\d+\n%%EOF\n$", b"startxref\n%d\n%%%%EOF\n" % start, swapped)
    assert codes(judged(swapped)) == ["CHANGED-AFTER"]


def test_a_past_that_nobody_signed() -> None:
    """A table of its own, without a word before it, takes the place of the one that was signed."""
    content = paper()
    first = content.rindex(b"xref\n0 ")
    entries = content[first : content.index(b"trailer", first)]
    number, body = number_of(rb"/Type/Page\b", content)
    page = b"%d 0 obj\n%b\nendobj\n" % (number, body.replace(b"/MediaBox[0 0", b"/MediaBox[9 9"))
    lines = entries.splitlines(keepends=True)
    lines[2 + number] = b"%010d 00000 n \n" % len(content)
    trailer = re.findall(rb"trailer\n<<(.*?)>>\nstartxref", content, re.DOTALL)[-1]
    rebuilt = len(content) + len(page)
    out = content + page + b"".join(lines) + b"trailer\n<<%b>>\n" % trailer
    last = len(out)
    out += b"xref\n%d 1\n%010d 00000 n \ntrailer\n<<%b/Prev %d>>\n" % (number, len(content), trailer, rebuilt)
    out += b"startxref\n%d\n%%%%EOF\n" % last
    report = judged(out)
    assert report.signatures[0].intact
    assert codes(report) == ["CHANGED-AFTER"]


def test_an_update_by_hand() -> None:
    content = paper()
    number, body = number_of(rb"/Type/Catalog", content)
    assert codes(judged(update(content, (number, body)))) == [], "the same once more changes nothing"
    page, page_body = number_of(rb"/Type/Page\b", content)
    moved = page_body.replace(b"/MediaBox[0 0", b"/MediaBox[9 9")
    assert codes(judged(update(content, (page, moved)))) == ["CHANGED-AFTER"]
    assert codes(judged(update(content, free=[number_of(rb"/SMask", content)[0]]))) == ["CHANGED-AFTER"]
    info, _ = number_of(rb"/Title", content)
    assert codes(judged(update(content, (99, b"<</Title(other)>>"), trailer=b"/Info 99 0 R"))) == ["CHANGED-AFTER"]
    assert codes(judged(update(content, trailer=b"/Info %d 0 R" % number))) == ["CHANGED-AFTER"]
    assert judged(update(content, trailer=b"/Info %d 0 R" % info)).valid
    assert judged(update(content, trailer=b"/Encrypt %d 0 R" % info)).problem
    field, field_body = number_of(rb"/FT/Sig", content)
    look = field_body.replace(b"/F 132", b"/F 2")
    assert codes(judged(update(content, (field, look)))) == ["CHANGED-AFTER"]


def test_a_time_stamp_that_is_more_than_that() -> None:
    assert codes(judged(time_stamped(paper(), (0, 0, 600, 800)))) == ["CHANGED-AFTER"], "it covers the page"
    unknown = time_stamped(paper()).replace(b"/ETSI.RFC3161", b"/ETSI.RFC9999")
    assert judged(unknown).problem == "the file has a signature of a kind that nobody knows"


def test_a_time_stamp_that_is_broken() -> None:
    content = time_stamped(paper())
    [stamp] = PdfFileReader(io.BytesIO(content)).embedded_timestamp_signatures
    signature = bytes(stamp.signer_info["signature"].native).hex().upper().encode()
    assert content.count(signature) == 1
    report = judged(content.replace(signature, signature[::-1]))
    assert codes(report) == ["TIME-STAMP"]
    assert report.summary == f'NOT VALID: signed by "{OWN_NAME}", but the time stamp of "TIME STAMPS" is broken'


def test_the_report_as_data() -> None:
    from dataclasses import asdict

    data = asdict(judged(signed_again(paper(), keys().other)))
    assert {"signatures", "problem", "time_stamps", "number", "additions", "reasons", "sha256"} <= set(data)
    assert [reason["code"] for reason in data["reasons"]] == ["SIGNED-AGAIN", "CHANGED-AFTER"]
    assert [one["enterprises"] for one in data["signatures"]] == [(ENTERPRISE,), (OTHER,)]
