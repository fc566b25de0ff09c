"""Who signed a PDF, and is it whole? The answer of `origin verify`, by pyHanko, which shares no code with our signer.

Nothing is fetched: revocation is not asked, trust is what the caller's authorities say. A file counts as whole only
when a signature covers all of it: an update appended later is not trusted, whatever it says.
"""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.general import SigningError
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko.sign.validation.status import SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext

MAX_BYTES = 32 << 20
# The report says all; pyHanko would print a stack trace for every certificate of an unknown authority.
logging.getLogger("pyhanko.sign.validation").setLevel(logging.CRITICAL)
USAGE = KeyUsageConstraints(key_usage={"digital_signature", "non_repudiation"}, match_all_key_usages=False)

TRUST = {True: "a trusted authority", False: "not a trusted authority", None: "trust was not examined"}


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
    """The signature covers the whole file."""
    trusted: bool | None
    """Chain leads to a given authority; None when none was given or the content is not intact anyway."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one file."""

    signatures: tuple[SignatureReport, ...]
    problem: str = ""
    """Why the file could not be examined."""

    @property
    def valid(self) -> bool:
        """At least one signature, all intact, one over the whole file, none known to be untrusted."""
        return (
            bool(self.signatures)
            and all(one.intact and one.trusted is not False for one in self.signatures)
            and any(one.whole for one in self.signatures)
        )

    def text(self) -> str:
        """For people."""
        if self.problem:
            return f"NOT VALID: {self.problem}"
        if not self.signatures:
            return "NOT SIGNED"
        lines = ["VALID" if self.valid else "NOT VALID"]
        for one in self.signatures:
            lines += [
                f"  signed by   {one.signer}",
                f"  issued by   {one.issuer} ({TRUST[one.trusted]})",
                f"  says when   {one.signed_at.isoformat() if one.signed_at else 'not said'}",
                f"  content     {'unchanged' if one.intact else 'CHANGED since it was signed, or by another key'}",
                f"  covers      {'the whole file' if one.whole else 'only a part of the file'}",
            ]
            if one.detail:
                lines.append(f"  remark      {one.detail}")
        return "\n".join(lines)


def verify(content: bytes, authorities: Sequence[bytes] = (), at: datetime | None = None) -> Report:
    """Examines a PDF. `authorities` are trusted certificates (PEM or DER), `at` the aware moment of judgement (now)."""
    if len(content) > MAX_BYTES:
        return Report((), f"the file has more than {MAX_BYTES >> 20} MiB")
    if not content.startswith(b"%PDF-"):
        return Report((), "this is no PDF file")
    try:
        roots = [_certificate(one) for one in authorities]
    except ValueError:
        return Report((), "a given authority is no certificate")
    try:
        found = tuple(PdfFileReader(io.BytesIO(content)).embedded_signatures)
        return Report(tuple(_report(one, roots, at) for one in found))
    except (
        PdfError,
        SigningError,
        SignatureValidationError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
    ):
        # pyHanko parses hostile bytes here; whatever it stumbles over, the file is not valid.
        return Report((), "the file is damaged: it can't be read as a PDF")


def _certificate(content: bytes) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(pem.unarmor(content)[2] if pem.detect(content) else content)


def _report(embedded: Any, roots: Sequence[asn1_x509.Certificate], at: datetime | None) -> SignatureReport:
    certificate = embedded.signer_cert
    context = ValidationContext(trust_roots=list(roots), allow_fetching=False, moment=at, revocation_mode="soft-fail")
    detail = ""
    try:
        status = validate_pdf_signature(embedded, context, key_usage_settings=USAGE)
        intact = bool(status.intact and status.valid)
        whole = status.coverage == SignatureCoverageLevel.ENTIRE_FILE
        trusted: bool | None = bool(status.trusted) if roots and intact else None
    except (SignatureValidationError, SigningError, PdfError, ValueError) as error:
        intact, whole, trusted = False, False, None
        detail = type(error).__name__
    return SignatureReport(
        field=str(embedded.field_name),
        signer=str(certificate.subject.native.get("common_name", certificate.subject.human_friendly)),
        issuer=str(certificate.issuer.native.get("common_name", certificate.issuer.human_friendly)),
        certificate_sha256=certificate.sha256.hex(),
        signed_at=embedded.self_reported_timestamp,
        intact=intact,
        whole=whole,
        trusted=trusted,
        detail=detail,
    )
