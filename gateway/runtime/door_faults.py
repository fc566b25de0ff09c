"""The faults that only the door can find: size, ownership, glyphs, numbers. Codes are public and stable."""

from collections.abc import Set

from gateway.core.faults import Fault
from gateway.core.numbers import Series


def too_large(limit: int) -> Fault:
    """A document over the size limit."""
    return Fault(
        code="DOC-TOO-LARGE",
        message=f"The document is larger than {limit} bytes.",
        remedy="Split the goods over several declarations, or ask the operator to raise ORIGIN_MAX_BYTES.",
        source="ours",
    )


def unknown_media_type(known: tuple[str, ...]) -> Fault:
    """A content type that no dialect reads."""
    return Fault(
        code="DOC-MEDIA-TYPE",
        message="The content type is not one the gateway reads.",
        remedy=f"Send one of: {', '.join(known)}.",
        source="ours",
    )


def wrong_charset(named: str | None) -> Fault:
    """A header that names another charset; `named`: how it is registered, None for one that nobody knows."""
    return Fault(
        code="DOC-MEDIA-TYPE",
        message=f"The content type names {named or 'an unknown one'} as charset; the gateway reads UTF-8.",
        remedy="Send the document in UTF-8, and leave the charset out or name utf-8.",
        source="ours",
    )


def foreign(path: str, line: int | None) -> Fault:
    """A declaration in another enterprise's name."""
    return Fault(
        code="OWNER-APPLICANT",
        path=path,
        line=line,
        message="The entering company (AplRegNo) is not the enterprise this client belongs to.",
        remedy="Declare in your own enterprise's name, or use that enterprise's own client.",
        source="GACC notice 2022-1: only data the applying company imports itself",
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
        source="ours",
    )


def range_full(wish: Series) -> Fault:
    """No number is left in a series."""
    return Fault(
        code="NUMBER-RANGE-FULL",
        path="/Certificate/CertificateHead/CertNo",
        message=f"No certificate number is left in the series {wish.certificate_type}{wish.year} of this enterprise.",
        remedy="Give the client another serial prefix (origin client add --prefix), or send your own number.",
        source="GACC notice 2022-1, CertNo",
    )
