"""Who signed a PDF, and is it whole? The answer of `origin verify`, by pyHanko, which shares no code with our signer.

A certificate is written in one piece and signed once, by its exporter, over all of it. VALID means that this is so:
that signature is intact, its key was fit and its certificate in force, and nothing was added but data for long-term
validation (see `additions`). Whatever else is in the file is told as what it is, and the file is NOT VALID.

Nothing is fetched: revocation is not asked, and trust is what the caller's authorities say. Without an authority
anybody could have made the key, so the first line says that nobody was asked.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from pyhanko.pdf_utils.generic import TextStringObject
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import enumerate_sig_fields

from renderers import hostile_pdf
from renderers.additions import info
from renderers.hostile_pdf import PdfRefused, damaged
from renderers.signatures import Examined, Reason, SignatureReport, TimeStampReport, quoted, signature, time_stamp

MAX_SIGNATURES = hostile_pdf.MAX_REVISIONS
TITLE = re.compile(rb"Certificate of origin ([A-Z]{1,3}[0-9]{2}([0-9A-Z]{9})[0-9A-Za-z]{4}), (?:original|copy)")
"""As `page` writes it: the certificate number, and in it the exporter's organisation (credit code, characters 9-17)."""
NOT_ASKED = "nobody was asked whether the key is theirs (--authority)"
NOT_COMPARED = "the key's certificate names no credit code, so nobody can tell whether the number is theirs"


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one file."""

    signatures: tuple[SignatureReport, ...] = ()
    """In the order they were made; the first is the certificate's own."""
    problem: str = ""
    """Why the file could not be examined."""
    time_stamps: tuple[TimeStampReport, ...] = ()
    """Added later, for long-term validation."""
    number: str = ""
    """The certificate number in the title of the signed file; empty when the title is none of the gateway's. What is
    drawn on the pages is not read."""
    additions: bool = False
    """Data for long-term validation was added after signing."""
    reasons: tuple[Reason, ...] = ()
    """Why a signed file is not valid, the gravest first."""
    sha256: str = ""
    """Of the whole file; empty when it was not read to its end. The gateway keeps it for each paper it made: `origin
    timeline` shows it."""

    @property
    def valid(self) -> bool:
        """Signed, examined, and nothing speaks against it."""
        return bool(self.signatures) and not self.problem and not self.reasons

    @property
    def summary(self) -> str:
        """The verdict in one line, with who signed the whole and which certificate number it has."""
        if self.problem:
            return f"NOT VALID: {self.problem}"
        if not self.signatures:
            return "NOT SIGNED"
        if self.reasons:
            return f"NOT VALID: {self.reasons[0].text}"
        own = self.signatures[0]
        told = [f"VALID: signed by {own.who} under the number {self.number}"]
        if own.trusted:
            told.append(f"{quoted(own.issuer)} vouches for the key")
        else:
            told.append(NOT_ASKED)
        if not own.enterprises:
            told.append(NOT_COMPARED)
        if self.additions:
            told.append("only long-term data was added since")
        return "; ".join(told)

    def text(self) -> str:
        """For people: the summary, then what is known of each signature."""
        lines = [self.summary]
        lines += [f"  reason      {reason.text}" for reason in self.reasons[1:]]
        if self.signatures and self.number:
            lines.append(f"  certificate {self.number}")
        for one in self.signatures:
            lines += one.lines()
        lines += [line for stamp in self.time_stamps for line in stamp.lines()]
        return "\n".join(lines)


def verify(
    content: bytes, authorities: Sequence[bytes] = (), at: datetime | None = None, enterprise: str = ""
) -> Report:
    """Examines a PDF.

    `authorities`: trusted certificates (PEM, one or several in each, or DER); the signer's own certificate is one too.
    `at`: the aware moment of judgement (now). `enterprise`: credit code of who should have signed. Raises ValueError
    when an authority is no certificate; nothing for whatever is in `content`.
    """
    roots = [root for one in authorities for root in _certificates(one)]
    moment = at or datetime.now(UTC)
    try:
        report = _report(content, hostile_pdf.read(content), roots, moment, enterprise)
    except PdfRefused as refusal:
        report = Report(problem=str(refusal))
    except Exception:  # hostile bytes: whatever pyHanko stumbles over, nobody can vouch for the file
        report = Report(problem=str(damaged()))
    whole = len(content) <= hostile_pdf.MAX_BYTES
    return replace(report, sha256=hashlib.sha256(content).hexdigest() if whole else "")


def _certificates(content: bytes) -> list[x509.Certificate]:
    """Raises ValueError."""
    if b"-----BEGIN" in content:
        return x509.load_pem_x509_certificates(content)
    return [x509.load_der_x509_certificate(content)]


def _report(
    content: bytes, reader: PdfFileReader, roots: Sequence[x509.Certificate], at: datetime, enterprise: str
) -> Report:
    fields = [value for _, value, _ in islice(enumerate_sig_fields(reader), MAX_SIGNATURES + 1)]
    if not any(fields):
        return Report()
    if len(fields) > MAX_SIGNATURES:
        raise PdfRefused(f"the file has more than {MAX_SIGNATURES} signatures")
    embedded = reader.embedded_signatures
    empty = sum(value is None for value in fields)
    if len(embedded) + empty != len(fields):
        raise PdfRefused("the file has a signature of a kind that nobody knows")
    signed = [signature(one, content, roots, at) for one in embedded if one.sig_object_type == "/Sig"]
    stamps = [time_stamp(one, content, roots, at) for one in embedded if one.sig_object_type == "/DocTimeStamp"]
    if len(signed) + len(stamps) != len(embedded) or not signed:
        raise PdfRefused("the file has no signature of its own, only a time stamp, or something that is neither")
    number = _number(reader)
    reports = tuple(one.report for one in signed)
    first_of_all = embedded[0].sig_object_type == "/Sig" and embedded[0].signed_revision == 0
    reasons = [
        *_signed_again(signed, roots),
        *_not_the_whole(reports[0], first_of_all, bool(empty), stamps),
        *_not_by_whom(reports[0], number, enterprise),
        *(Reason(fault.code, f"signed by {reports[0].who} {fault.text}") for fault in reports[0].faults),
    ]
    return Report(
        signatures=reports,
        time_stamps=tuple(stamps),
        number=number[0],
        additions=reports[0].later == "long-term data",
        reasons=tuple(reasons),
    )


def _number(reader: PdfFileReader) -> tuple[str, str]:
    """Certificate number and organisation in the title of the file as it was signed; empty when the title is not, byte
    by byte, one that the gateway writes, or when there may be another one in metadata (XMP), which it never writes."""
    signed = reader.get_historical_resolver(0)
    try:
        title = info(signed)["/Title"]
    except KeyError:
        return "", ""
    if not isinstance(title, TextStringObject) or "/Metadata" in signed.root:
        return "", ""
    found = TITLE.fullmatch(title.original_bytes)
    return (found[1].decode(), found[2].decode()) if found else ("", "")


def _signed_again(signed: Sequence[Examined], roots: Sequence[x509.Certificate]) -> Iterator[Reason]:
    """The last signature covers the whole, so that is who signed it; the certificate's own is the first."""
    if len(signed) > 1:
        own, last = signed[0], signed[-1]
        relation = _relation(own, last, roots)
        text = f"the whole is signed by {last.report.who} ({relation}), over what {own.report.who} had signed before"
        yield Reason("SIGNED-AGAIN", text)


def _relation(own: Examined, other: Examined, roots: Sequence[x509.Certificate]) -> str:
    """Who somebody is that signed after the exporter."""
    if other.certificate == own.certificate:
        return "the same key once more"
    if other.report.self_made and not other.report.trusted:
        return "a self-made key: no authority vouches for it"
    if not any(_issued(one, own.certificate) and _issued(one, other.certificate) for one in [*own.others, *roots]):
        return f"a key of another authority, {quoted(other.report.issuer)}"
    if set(other.report.enterprises) & set(own.report.enterprises):
        return "another key of the same enterprise"
    return f"another enterprise of the same authority, {quoted(other.report.issuer)}"


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _not_the_whole(
    own: SignatureReport, first_of_all: bool, empty_field: bool, stamps: Sequence[TimeStampReport]
) -> Iterator[Reason]:
    """What does not stand under the exporter's signature."""
    if own.detail and not any(fault.code == "WEAK" for fault in own.faults):
        yield Reason("UNREADABLE", f"the signature by {own.who} can't be examined ({own.detail})")
    elif not own.intact and not own.detail:
        yield Reason("CHANGED", f"what {own.who} signed was changed since, or another key signed it")
    if not first_of_all:
        yield Reason("NOT-IN-ONE-PIECE", f"{own.who} signed a file that was changed before; a certificate never was")
    if own.later == "changes" or empty_field:
        yield Reason("CHANGED-AFTER", f"{own.who} signed a part only: something was added or changed later")
    for stamp in stamps:
        if not (stamp.intact and stamp.whole):
            yield Reason(
                "TIME-STAMP", f"signed by {own.who}, but the time stamp of {quoted(stamp.authority)} is broken"
            )


def _not_by_whom(own: SignatureReport, number: tuple[str, str], enterprise: str) -> Iterator[Reason]:
    """Who should have signed is the enterprise that the caller names, and the one whose number it is."""
    if own.self_made and not own.trusted:
        yield Reason("SELF-MADE", f"signed by {own.who} with a self-made key, for which no authority vouches")
    elif own.trusted is False and not own.faults:  # they are why nobody vouches for it
        text = (
            f"signed by {own.who} with a key of {quoted(own.issuer)}, for which none of the given authorities vouches"
        )
        yield Reason("OTHER-AUTHORITY", text)
    if enterprise and not own.enterprises:
        text = (
            f"signed by {own.who}, whose certificate names no credit code: nobody can tell whether it is {enterprise}"
        )
        yield Reason("ENTERPRISE-NOT-NAMED", text)
    elif enterprise and enterprise not in own.enterprises:
        yield Reason("OTHER-ENTERPRISE", f"signed by {own.who}, not by {enterprise}")
    elif own.enterprises and number[0] and all(code[8:17] != number[1] for code in own.enterprises):
        yield Reason("OTHER-ENTERPRISE", f"signed by {own.who}, but {number[0]} is another enterprise's number")
    if not number[0]:
        text = "it is no certificate of this gateway: its title names no certificate number as the gateway writes it"
        yield Reason("NO-NUMBER", f"signed by {own.who}, but {text}")
