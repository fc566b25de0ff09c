"""One signature, or one time stamp, in a PDF: who made it, is it intact, what does it cover, what came after it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asn1crypto import parser
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.sign.diff_analysis import DiffResult, ModificationLevel
from pyhanko.sign.general import SigningError
from pyhanko.sign.validation import validate_pdf_signature, validate_pdf_timestamp
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext
from stdnum.cn import uscc

from renderers.additions import POLICY, all_named

USAGE = KeyUsageConstraints(key_usage={"digital_signature", "non_repudiation"}, match_all_key_usages=False)
LONGEST = 128 << 10
"""Bytes of a signature (CMS)."""
MOST_CERTIFICATES = 6
"""In a signature: the signer's and those up to an authority. Each more multiplies the ways from one to another."""
MOST_LETTERS = 100
"""Of a name in a certificate."""
LEAST_RSA_BITS, LEAST_CURVE_BITS = 2048, 256
DIGESTS = frozenset({"sha256", "sha384", "sha512"})
BASELINE = {"content_type", "message_digest"}
"""Signed attributes of PAdES B-B, beside signing_certificate or signing_certificate_v2."""
CODE = re.compile(r"(?<![0-9A-Z])[0-9A-HJ-NPQRTUWXY]{18}(?![0-9A-Z])")
"""A unified social credit code (GB 32100), wherever it stands in a subject's name."""
FULL = (SignatureCoverageLevel.ENTIRE_FILE, SignatureCoverageLevel.ENTIRE_REVISION)
TRUST = {True: "vouched for by a given authority", False: "by none of the given authorities", None: "nobody was asked"}
LATER = {
    "nothing": "the whole file",
    "long-term data": "the whole file but for long-term data added later, which is permitted",
    "changes": "only a part of the file: something was added or changed later",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """What speaks against a signature or a file."""

    code: str
    """Stable, for scripts."""
    text: str
    """One sentence, or what follows a name in one."""


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """What is known of one signature."""

    field: str
    signer: str
    """Common name in the certificate."""
    issuer: str
    certificate_sha256: str
    signed_at: datetime | None
    """The signer's own claim (/M): B-B has no time stamp."""
    intact: bool
    """The signed bytes are unchanged and the signature is by this certificate's key."""
    whole: bool
    """The signature covers the whole file, apart from what may be added later."""
    trusted: bool | None
    """Chain leads to a given authority; None when none was given or the content is not intact anyway."""
    detail: str = ""
    """Why it could not be examined; empty when it was."""
    enterprises: tuple[str, ...] = ()
    """Credit codes in the certificate's subject."""
    self_made: bool = False
    """The certificate names no authority but itself."""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    """Of the certificate."""
    later: str = "changes"
    """What came after it in the file: nothing, long-term data or changes."""
    faults: tuple[Reason, ...] = ()
    """What is wrong with key, certificate or form of the signature, whatever it covers."""

    @property
    def who(self) -> str:
        """The signer, with the credit code unless it is in the name."""
        return quoted(self.signer) + "".join(f" ({code})" for code in self.enterprises if code not in self.signer)

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"  signed by   {self.who}",
            f"  issued by   {'itself' if self.self_made else quoted(self.issuer)} ({TRUST[self.trusted]})",
            f"  says when   {self.signed_at.isoformat() if self.signed_at else 'not said'}",
            f"  content     {'unchanged' if self.intact else 'CHANGED since it was signed, or by another key'}",
            f"  covers      {LATER[self.later]}",
        ]
        return lines + ([f"  remark      {self.detail}"] if self.detail else [])


@dataclass(frozen=True, slots=True)
class TimeStampReport:
    """What is known of one document time stamp."""

    field: str
    authority: str
    at: datetime | None
    intact: bool
    whole: bool
    """It covers the whole file, apart from what may be added later."""

    def lines(self) -> list[str]:
        """For people."""
        at = self.at.isoformat() if self.at else "not said"
        return [f"  time stamp  {at} by {quoted(self.authority)}, {'unchanged' if self.intact else 'BROKEN'}"]


@dataclass(frozen=True, slots=True)
class Examined:
    """A signature with the certificates in it."""

    report: SignatureReport
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]


def quoted(name: str) -> str:
    """A name in quotation marks: one that reads like a verdict is still seen to be a name."""
    return '"' + name.replace('"', "'") + '"'


def signature(embedded: Any, content: bytes, roots: Sequence[x509.Certificate], at: datetime) -> Examined:
    """Examines one signature of pyHanko's reader. May raise whatever pyHanko does for a damaged file."""
    certificate, others = _certificates(embedded)
    intact, trusted, detail = False, None, ""
    try:
        status = validate_pdf_signature(embedded, _context(roots, at), diff_policy=POLICY, key_usage_settings=USAGE)
        intact = bool(status.intact and status.valid)
        trusted = bool(status.trusted) if roots and intact else None
    except (SignatureValidationError, SigningError, PdfError, ValueError) as error:
        detail = type(error).__name__
    later = _later(embedded, content)
    signed_at = _said(embedded)
    report = SignatureReport(
        field=str(embedded.field_name),
        signer=_common(certificate.subject),
        issuer=_common(certificate.issuer),
        certificate_sha256=embedded.signer_cert.sha256.hex(),
        signed_at=signed_at,
        intact=intact,
        whole=later != "changes",
        trusted=trusted,
        detail=detail,
        enterprises=_codes(certificate.subject),
        self_made=certificate.subject == certificate.issuer,
        valid_from=certificate.not_valid_before_utc,
        valid_to=certificate.not_valid_after_utc,
        later=later,
        faults=tuple(_faults(embedded, certificate, signed_at, at)),
    )
    return Examined(report, certificate, others)


def time_stamp(embedded: Any, content: bytes, roots: Sequence[x509.Certificate], at: datetime) -> TimeStampReport:
    """Examines one document time stamp. May raise whatever pyHanko does for a damaged file."""
    certificate, _ = _certificates(embedded)
    try:
        status = validate_pdf_timestamp(embedded, _context(roots, at), diff_policy=POLICY)
        intact, later = bool(status.intact and status.valid), _later(embedded, content)
    except (SignatureValidationError, SigningError, PdfError, ValueError):
        intact, later = False, "changes"
    said = embedded.signed_data["encap_content_info"]["content"].parsed["gen_time"].native
    return TimeStampReport(str(embedded.field_name), _common(certificate.subject), said, intact, later != "changes")


def _certificates(embedded: Any) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
    """The signer's and the others. Raises PdfError when there are more than it takes."""
    if len(embedded.pkcs7_content) > LONGEST or len(embedded.signed_data["certificates"]) > MOST_CERTIFICATES:
        raise PdfError("a signature that large")
    others = [x509.load_der_x509_certificate(one.dump()) for one in embedded.other_embedded_certs]
    return x509.load_der_x509_certificate(embedded.signer_cert.dump()), tuple(others)


def _context(roots: Sequence[x509.Certificate], at: datetime) -> ValidationContext:
    known = [asn1_x509.Certificate.load(root.public_bytes(Encoding.DER)) for root in roots]
    return ValidationContext(trust_roots=known, allow_fetching=False, moment=at, revocation_mode="soft-fail")


def _later(embedded: Any, content: bytes) -> str:
    """What came after a signature that pyHanko has looked at. Its word for it counts only when the signed bytes are all
    from the first on, but for the signature itself, and each byte after them is accounted for."""
    end = _end(embedded, content)
    if end == len(content):
        return "nothing"
    found = embedded.diff_result
    permitted = isinstance(found, DiffResult) and found.modification_level <= ModificationLevel.LTA_UPDATES
    if end is None or embedded.coverage not in FULL or not permitted:
        return "changes"
    return "long-term data" if all_named(content, end, embedded.reader, embedded.signed_revision) else "changes"


def _end(embedded: Any, content: bytes) -> int | None:
    """Where the signed bytes end; None when they leave out more than the signature (EN 319 142-1, 5.4)."""
    cms = embedded.pkcs7_content
    first, before, start, after = (*embedded.byte_range, *[-1] * 4)[:4]
    hole = content[before:start] if 0 < before < start else b""
    alone = len(embedded.byte_range) == 4 and first == 0 and hole.lower() == b"<%b>" % cms.hex().encode()
    if not alone or cms[parser.peek(cms) :].strip(b"\0") or after < 0 or start + after > len(content):
        return None
    return int(start + after)


def _said(embedded: Any) -> datetime | None:
    """The time that the signer claims; UTC when it names no zone."""
    try:
        said: datetime | None = embedded.self_reported_timestamp
    except (PdfError, ValueError, TypeError):
        return None
    return said if said is None or said.tzinfo else said.replace(tzinfo=UTC)


def _faults(embedded: Any, certificate: x509.Certificate, signed_at: datetime | None, at: datetime) -> list[Reason]:
    """What is wrong with form, key and certificate, whatever the signature covers."""
    found = []
    key, start, end = certificate.public_key(), certificate.not_valid_before_utc, certificate.not_valid_after_utc
    attributes = {one["type"].native for one in embedded.signer_info["signed_attrs"]}
    named = attributes & {"signing_certificate", "signing_certificate_v2"}
    if embedded.sig_object.get("/SubFilter") != "/ETSI.CAdES.detached" or not attributes >= BASELINE or not named:
        found.append(Reason("NOT-PADES", "in a form that no certificate of origin has (it is no PAdES signature)"))
    if not _strong(key) or embedded.md_algorithm not in DIGESTS:
        found.append(Reason("WEAK", "with a key or a digest that is no longer safe, or never was in use here"))
    if not _for_signing(certificate):
        found.append(Reason("KEY-USAGE", "with a key whose certificate is not for signing documents"))
    if at < start:
        found.append(Reason("NOT-YET-VALID", f"with a key whose certificate is valid from {start:%Y-%m-%d} only"))
    elif at > end:
        detail = f"with a key whose certificate ended on {end:%Y-%m-%d}, and nothing proves that it signed before"
        found.append(Reason("EXPIRED", detail))
    elif signed_at is not None and not start <= signed_at <= end:
        found.append(Reason("SIGNED-OUTSIDE", "at a time, it says, when the key's certificate was not valid"))
    return found


def _strong(key: Any) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= LEAST_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size >= LEAST_CURVE_BITS


def _for_signing(certificate: x509.Certificate) -> bool:
    """Its keyUsage says digitalSignature or nonRepudiation (RFC 5280, 4.2.1.3)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    return usage.digital_signature or usage.content_commitment


def _common(name: x509.Name) -> str:
    """The common name, or the whole name where there is none, in one line: anybody may write anything into one."""
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    text = str(found[0].value if found else name.rfc4514_string())[:MOST_LETTERS]
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _codes(name: x509.Name) -> tuple[str, ...]:
    """Credit codes of enterprises in a subject: authorities put them into the common name, a serial number, an OU or an
    organizationIdentifier."""
    found = [code for one in name for code in CODE.findall(str(one.value)) if uscc.is_valid(code)]
    return tuple(dict.fromkeys(found))
