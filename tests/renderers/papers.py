"""Signed certificates as the gateway makes them, and what others may add to such files."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from asn1crypto import cms, pem
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko.sign.validation.dss import DocumentSecurityStore

from renderers import demo_keys
from renderers.page import Unsigned
from renderers.sign import Signer
from renderers.verify import Report, verify
from tests.renderers.samples import AT, bench

# asn1crypto makes its index of names once; made before pyHanko is loaded, it lacks those of time stamps.
for names in (cms.ContentType, cms.CMSAttributeType):
    names._reverse_map = {name: number for number, name in names._map.items()}

PASSWORD = "secret"
ENTERPRISE, OTHER = "913302001026902333", "91330100799655058B"
OWN_NAME, OTHER_NAME = f"NINGBO HAITIAN {ENTERPRISE}", f"HANGZHOU LONGJING {OTHER}"
NUMBER = "C261026902330001"
AUTHORITY = "SOME CA"
SINCE, DAYS = datetime(2020, 1, 1, tzinfo=UTC), 28_000
Writer = IncrementalPdfFileWriter


@dataclass(frozen=True)
class Keys:
    """Who may be found in a file."""

    authority: demo_keys.DemoAuthority
    rival: demo_keys.DemoAuthority
    """An authority that somebody made himself, under the same name."""
    own: bytes
    other: bytes
    """Another enterprise of the same authority."""
    forged: bytes
    """The exporter's name, by the rival."""
    self_made: bytes
    stamping: bytes

    @property
    def root(self) -> bytes:
        return self.authority.pem


@cache
def keys() -> Keys:
    stamping = rsa.generate_private_key(65537, 2048)
    authority, rival = an_authority(), an_authority()
    return Keys(
        authority,
        rival,
        a_key(OWN_NAME, authority=authority),
        a_key(OTHER_NAME, authority=authority),
        a_key(OWN_NAME, authority=rival),
        a_key(OWN_NAME),
        a_key("TIME STAMPS", authority=authority, purposes=[x509.ExtendedKeyUsageOID.TIME_STAMPING], key=stamping),
    )


def an_authority() -> demo_keys.DemoAuthority:
    """As the demo's, but valid whenever the tests run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, AUTHORITY)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(SINCE)
        .not_valid_after(SINCE + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return demo_keys.DemoAuthority(key, certificate)


def a_key(
    name: str,
    *,
    authority: demo_keys.DemoAuthority | None = None,
    purposes: list[x509.ObjectIdentifier] | None = None,
    signs: bool = True,
    start: datetime = SINCE,
    days: int = DAYS,
    key: Any = None,
) -> bytes:
    """PKCS#12 of a key whose certificate says what is told; without an authority it is self-made."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(signs, signs, not signs, False, False, False, False, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(usage, critical=True)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    signing = authority.key if authority else key
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(signing, digest)
    chain = [authority.certificate] if authority else None
    return pkcs12.serialize_key_and_certificates(
        b"x", key, certificate, chain, serialization.BestAvailableEncryption(PASSWORD.encode())
    )


@cache
def paper(p12: bytes | None = None, sheets: int = 2) -> bytes:
    """A certificate of origin as the gateway makes it, signed by the exporter unless told otherwise."""
    first, last = bench().layout("C").pages
    layout = replace(bench().layout("C"), pages=(first, *[last] * (sheets - 1)))
    signer = Signer(p12 or keys().own, PASSWORD)
    return bench().renderer.render(layout, bench().marks, bench().seal, bench().handwriting, signer, AT).pdf


def unsigned(hole: int) -> Unsigned:
    """The same before it is signed."""
    return bench().renderer.prepare(bench().layout("C"), bench().marks, bench().seal, bench().handwriting, AT, hole)


def titled(title: bytes, p12: bytes | None = None, catalogue: bytes = b"") -> bytes:
    """The same in one piece, signed by the exporter unless told otherwise, with other words (PDF) for its title; more
    may stand in the catalogue, instead of how it wishes to be shown."""
    signer = Signer(p12 or keys().own, PASSWORD)
    whole = unsigned(signer.hole)
    before = _instead(rb"/Title\(.*?\)/Producer\(.*?\)/CreationDate\(.*?\)/ModDate\(.*?\)", title, whole.before)
    if catalogue:
        before = _instead(rb"/ViewerPreferences<<.*?>>", catalogue, before)
    return signer.sign(replace(whole, before=before))[0]


def _instead(pattern: bytes, new: bytes, content: bytes) -> bytes:
    """Other bytes in the place of those found, and blanks, so that nothing moves."""
    [found] = re.finditer(pattern, content)
    room = found.end() - found.start()
    assert len(new) <= room
    return content[: found.start()] + new.ljust(room) + content[found.end() :]


def saved(content: bytes, change: Callable[[Writer], object]) -> bytes:
    """A file changed and saved as PDF programs do: what was there stays, what is new comes after it."""
    writer = Writer(io.BytesIO(content))
    change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def signed_again(content: bytes, p12: bytes, **options: Any) -> bytes:
    """As `resign.py` does."""
    signer = signers.SimpleSigner.load_pkcs12_data(p12, [], passphrase=PASSWORD.encode())
    data = signers.PdfSignatureMetadata(field_name="S2", **options)
    return signers.sign_pdf(Writer(io.BytesIO(content)), data, signer=signer).getvalue()


def long_term(content: bytes, certificates: int = 1) -> bytes:
    """A document security store is added."""
    out = io.BytesIO(content)
    root = asn1_x509.Certificate.load(pem.unarmor(keys().root)[2])
    DocumentSecurityStore.add_dss(out, None, certs=[root] * certificates, ocsps=[], crls=[])
    return out.getvalue()


def time_stamped(content: bytes, box: tuple[int, int, int, int] | None = None, name: str = "T") -> bytes:
    """A document time stamp is added; with a box it is visible."""
    made = signers.SimpleSigner.load_pkcs12_data(keys().stamping, [], passphrase=PASSWORD.encode())
    stamper = DummyTimeStamper(made.signing_cert, made.signing_key, certs_to_embed=made.cert_registry, fixed_dt=AT)
    writer = Writer(io.BytesIO(content))
    if box:
        fields.append_signature_field(writer, fields.SigFieldSpec(name, box=box))
    timestamper = signers.PdfTimeStamper(stamper, field_name=name)
    return timestamper.timestamp_pdf(writer, "sha256").getvalue()


def judged(content: bytes, enterprise: str = "", at: datetime = AT) -> Report:
    """What a reader learns who trusts the authority."""
    return verify(content, [keys().root], at, enterprise)


def codes(report: Report) -> list[str]:
    return [reason.code for reason in report.reasons]


# ---------------------------------------------------------------- by hand


def update(content: bytes, *objects: tuple[int, bytes], free: Sequence[int] = (), trailer: bytes = b"") -> bytes:
    """An incremental update written by hand: objects by number, as a table names them."""
    size = max([int(number) for number in re.findall(rb"/Size (\d+)", content)] + [number + 1 for number, _ in objects])
    previous = int(re.findall(rb"startxref\s+(\d+)", content)[-1])
    out, lines = bytearray(content), []
    for number, body in objects:
        lines.append(b"%d 1\n%010d 00000 n \n" % (number, len(out)))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    lines += [b"%d 1\n0000000000 00001 f \n" % number for number in free]
    start = len(out)
    root = re.findall(rb"/Root (\d+ 0 R)", content)[-1]
    rest = b"/Root %b/Size %d/Prev %d%b" % (root, size, previous, trailer)
    table = b"xref\n0 1\n0000000000 65535 f \n%btrailer\n<<%b>>\n" % (b"".join(lines), rest)
    return bytes(out + table + b"startxref\n%d\n%%%%EOF\n" % start)


def number_of(pattern: bytes, content: bytes) -> tuple[int, bytes]:
    """The object that has a pattern in it: number and body."""
    for found in re.finditer(rb"(\d+) 0 obj\n(.*?)\nendobj", content, re.DOTALL):
        if re.search(pattern, found[2]):
            return int(found[1]), found[2]
    raise LookupError(pattern)
