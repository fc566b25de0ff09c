"""The faults that only the door can find: size, ownership, glyphs, numbers. Codes are public and stable."""

from collections.abc import Mapping, Set
from types import MappingProxyType
from uuid import UUID

from gateway.core.faults import Fault, Severity
from gateway.core.numbers import Series
from gateway.core.quotas import Over, Quota
from gateway.runtime.sources import source


def not_plain() -> Fault:
    """A link, a pipe, or a file that may not be read."""
    return Fault(
        code="FILE-NOT-PLAIN",
        message="This is no regular file, or the gateway may not read it.",
        remedy="Put the document itself into the folder, readable for the gateway.",
        source=source("decision-0037"),
    )


def too_large(limit: int) -> Fault:
    """A document over the size limit."""
    return Fault(
        code="DOC-TOO-LARGE",
        message=f"The document is larger than {limit} bytes.",
        remedy="Split the goods over several declarations, or ask the operator to raise ORIGIN_MAX_BYTES.",
        source=source("decision-0047"),
    )


def our_mistake(kept: UUID) -> Fault:
    """The document broke the gateway; `kept` names its dead letter."""
    return Fault(
        code="GATEWAY-BROKE",
        message="This is our mistake: the declaration was not accepted, and is kept for the operator.",
        remedy="Do not send the same again: it would break again. Ask the operator to send it on when the mistake is "
        f"mended: origin dlt replay {kept}.",
        source=source("decision-0032"),
    )


def unknown_media_type(known: tuple[str, ...]) -> Fault:
    """A content type that no dialect reads."""
    return Fault(
        code="DOC-MEDIA-TYPE",
        message="The content type is not one the gateway reads.",
        remedy=f"Send one of: {', '.join(known)}.",
        source=source("decision-0030"),
    )


def wrong_charset(named: str | None) -> Fault:
    """A header that names another charset; `named`: how it is registered, None for one that nobody knows."""
    return Fault(
        code="DOC-MEDIA-TYPE",
        message=f"The content type names {named or 'an unknown one'} as charset; the gateway reads UTF-8.",
        remedy="Send the document in UTF-8, and leave the charset out or name utf-8.",
        source=source("decision-0030"),
    )


def key_reserved() -> Fault:
    """An idempotency key that the gateway itself may give to another document."""
    return Fault(
        code="KEY-RESERVED",
        message="An idempotency key that reads content: or sha256: and 64 hexadecimal digits is the gateway's own.",
        remedy="Use a key of your own making, e.g. a UUID; or leave it out, and the same bytes are known again.",
        source=source("decision-0040"),
    )


def foreign(path: str, line: int | None) -> Fault:
    """A declaration in another enterprise's name."""
    return Fault(
        code="OWNER-APPLICANT",
        path=path,
        line=line,
        message="The entering company (AplRegNo) is not the enterprise this client belongs to.",
        remedy="Declare in your own enterprise's name, or use that enterprise's own client.",
        source=source("interface-own-data; decision-0039"),
    )


def no_leave(path: str, line: int | None, client: str) -> Fault:
    """A declaration for an exporter that this client has no leave to declare for."""
    return Fault(
        code="OWNER-EXPORTER",
        path=path,
        line=line,
        message="The exporter (出口商代码, CiqRegNo) is another enterprise than this client's, which has no leave to"
        " declare for it.",
        remedy="Correct the code if it should be your own enterprise's. If you declare for that exporter (代理申报),"
        f" ask the gateway's operator to enter your leave: origin client grant {client} --exporter <its credit code>.",
        source=source("interface-own-data; decision-0023"),
    )


def leave_proposed(path: str, line: int | None) -> Fault:
    """The client declared for this exporter before leave was needed, and nobody has said yes or no yet."""
    return Fault(
        code="OWNER-EXPORTER-PROPOSED",
        path=path,
        line=line,
        message="The exporter (出口商代码, CiqRegNo) is another enterprise than this client's, and the operator has not"
        " confirmed yet that it may declare for it.",
        remedy="It is accepted meanwhile. Ask the gateway's operator for an answer: origin client grants --proposed.",
        severity=Severity.WARN,
        source=source("interface-own-data; decision-0023"),
    )


def over_quota(found: Over) -> Fault:
    """As much as this client may do; nothing was looked at."""
    what = _QUOTAS[found.quota]
    return Fault(
        code="QUOTA-EXCEEDED",
        message=f"This client has its quota of {found.most} {what}; nothing of this was read or kept.",
        remedy=f"Send the same again in {found.seconds} seconds. If that is your real need, ask the gateway's operator:"
        " origin client quota.",
        source=source("decision-0024"),
    )


def too_many_drafts(path: str, line: int | None, most: int) -> Fault:
    """One more draft than a client may have open."""
    return Fault(
        code="QUOTA-DRAFTS",
        path=path,
        line=line,
        message=f"This client has its quota of {most} {_QUOTAS[Quota.OPEN_DRAFTS]}.",
        remedy="Declare some of them (ApplyType 1), then send this again; or ask the operator (origin client quota).",
        source=source("decision-0024"),
    )


_QUOTAS: Mapping[Quota, str] = MappingProxyType(
    {
        Quota.DECLARATIONS_PER_MINUTE: "declarations a minute",
        Quota.DECLARATIONS_PER_DAY: "declarations a day",
        Quota.BYTES_PER_MINUTE: "bytes of declarations a minute",
        Quota.BYTES_PER_DAY: "bytes of declarations a day",
        Quota.CONNECTIONS: "requests at the same time",
        Quota.STREAMS: "event streams at the same time",
        Quota.OPEN_DRAFTS: "drafts (暂存) that are not declared yet",
    }
)


def no_glyph(path: str, line: int | None, missing: Set[str]) -> Fault:
    """A character the certificate's font can't print; its code point is named, never the text."""
    points = ", ".join(f"U+{ord(character):04X}" for character in sorted(missing)[:5])
    return Fault(
        code="TEXT-GLYPH",
        path=path,
        line=line,
        message=f"The certificate's font has no glyph for {points}.",
        remedy="Write it with characters that can be printed.",
        source=source("decision-0026"),
    )


def paper_too_long(path: str, line: int | None, most: int) -> Fault:
    """A declaration whose certificate nobody could print."""
    return Fault(
        code="PAPER-TOO-LONG",
        path=path,
        line=line,
        message=f"The certificate would take more than {most} sheets of paper.",
        remedy="Shorten the descriptions and take out line breaks, or split the goods over several declarations.",
        source=source("decision-0026"),
    )


def range_full(wish: Series) -> Fault:
    """No number is left in a series."""
    return Fault(
        code="NUMBER-RANGE-FULL",
        path="/Certificate/CertificateHead/CertNo",
        message=f"No certificate number is left in the series {wish.certificate_type}{wish.year} of this enterprise.",
        remedy="Give the client another serial prefix (origin client add --prefix), or send your own number.",
        source=source("interface-number; decision-0040"),
    )
