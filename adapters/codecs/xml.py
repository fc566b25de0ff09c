"""The one XML parser of the gateway: no DTD, no entities, no network, no recovery, bounded size and depth.

Everything that reads XML from outside calls `parse`; an architecture test forbids every other parser call.
"""

import re
from functools import cache
from typing import Any, Final

from lxml import etree

from adapters.codecs.registry import fault
from gateway.core.faults import Refused

MAX_BYTES: Final = 4 << 20
"""Largest document parsed unless its reader names another limit, as that of declarations does."""

MAX_DEPTH: Final = 64

_DECLARATION = re.compile(rb"<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._\-]{1,40})[\"']")
_MISC = re.compile(rb"\s+|<\?.*?\?>|<!--.*?-->", re.DOTALL)
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<", b"\x00\x00")
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF8_NAMES = ("UTF-8", "UTF8", "US-ASCII", "ASCII")

_too_deep = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")

_E = etree.ErrorTypes
_REASONS: Final = {
    _E.ERR_TAG_NAME_MISMATCH: "an end tag does not match its start tag",
    _E.ERR_TAG_NOT_FINISHED: "an element is not closed",
    _E.ERR_GT_REQUIRED: "a tag is not closed with >",
    _E.ERR_LT_REQUIRED: "a tag does not start with <",
    _E.ERR_LT_IN_ATTRIBUTE: "an attribute contains an unescaped <",
    _E.ERR_ATTRIBUTE_REDEFINED: "an attribute stands twice",
    _E.ERR_ATTRIBUTE_NOT_STARTED: "an attribute's value is not in quotes",
    _E.ERR_UNDECLARED_ENTITY: "an entity is used, which is never read; an ampersand is written &amp;",
    _E.ERR_NAME_REQUIRED: "a name is missing after < or &; they are written &lt; and &amp;",
    _E.ERR_ENTITYREF_SEMICOL_MISSING: "an ampersand is not written &amp;",
    _E.ERR_DOCUMENT_END: "there is something after the end of the document",
    _E.ERR_DOCUMENT_EMPTY: "there is no element",
    _E.NS_ERR_UNDEFINED_NAMESPACE: "a namespace prefix is not declared",
    _E.ERR_RESERVED_XML_NAME: "the XML declaration is not at the very beginning",
    _E.ERR_NAME_TOO_LONG: "a name is too long",
}
_CONTROL: Final = (_E.ERR_INVALID_CHAR, _E.ERR_INVALID_CHARREF)
_LIMITS: Final = (_E.ERR_RESOURCE_LIMIT,)


@cache
def parser() -> etree.XMLParser:
    """The hardened parser; lxml locks it while it works, so one is enough."""
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )


def parse(raw: bytes, *, limit: int = MAX_BYTES, any_declaration: bool = False) -> etree._Element:
    """The root of a UTF-8 document of at most `limit` bytes. Raises Refused with one fault: code, line, remedy.

    `any_declaration`: a document in UTF-8 is read though its XML declaration names another encoding.
    """
    _inspect(raw, limit, any_declaration)
    try:
        root = etree.fromstring(raw, parser())
    except etree.XMLSyntaxError as error:
        raise _refusal(error) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise Refused([fault("XML-DOCTYPE")])
    if raw.count(b"<") > MAX_DEPTH and _too_deep(root):
        raise Refused([fault("XML-DEPTH", limit=MAX_DEPTH)])
    return root


def parse_own(document: bytes) -> etree._Element:
    """The root of a document this program has just written: a few elements deep, without DOCTYPE, in UTF-8."""
    return etree.fromstring(document, parser())


def line_at(element: etree._Element) -> int | None:
    """The line of an element's start tag, from 1, where known."""
    line: Any = element.sourceline
    return line if isinstance(line, int) else None


def declared_encoding(raw: bytes) -> str:
    """The encoding named in the XML declaration, upper case; "" when none is."""
    found = _DECLARATION.match(raw)
    return found[1].decode("ascii").upper() if found else ""


def _inspect(raw: bytes, limit: int, any_declaration: bool) -> None:
    """What can be refused without a parser."""
    if len(raw) > limit:
        raise Refused([fault("XML-SIZE", limit=limit)])
    if raw.startswith(_WIDE):
        raise Refused([fault("XML-ENCODING", line=1)])
    body = raw[3:] if raw.startswith(_UTF8_BOM) else raw
    if not body.strip():
        raise Refused([fault("XML-EMPTY")])
    if b"\0" in body:
        raise Refused([fault("TEXT-CONTROL", line=_line(raw, raw.index(b"\0")))])
    if b"<!DOCTYPE" in body:
        _refuse_doctype(body)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused([fault("XML-ENCODING", line=_line(body, error.start))]) from None
    if not any_declaration and (declared_encoding(body) or "UTF-8") not in _UTF8_NAMES:
        raise Refused([fault("XML-DECLARATION", line=1)])


def _refuse_doctype(body: bytes) -> None:
    """A DOCTYPE can only stand before the root: skip what else may stand there. The parser never sees one."""
    at = 0
    while found := _MISC.match(body, at):
        at = found.end()
    if body.startswith(b"<!DOCTYPE", at):
        raise Refused([fault("XML-DOCTYPE", line=_line(body, at))])


def _refusal(error: etree.XMLSyntaxError) -> Refused:
    """libxml2's complaint as a fault; its text is dropped, because it quotes the document."""
    line = error.lineno
    code: Any = getattr(error, "code", 0)
    if code in _CONTROL:
        return Refused([fault("TEXT-CONTROL", line=line)])
    if code == _E.ERR_INVALID_ENCODING:
        return Refused([fault("XML-ENCODING", line=line)])
    if code in _LIMITS:
        return Refused([fault("XML-DEPTH", line=line, limit=MAX_DEPTH)])
    reason = _REASONS.get(code, "the parser stops here")
    return Refused([fault("XML-SYNTAX", line=line, reason=reason)])


def _line(raw: bytes, offset: int) -> int:
    return raw.count(b"\n", 0, offset) + 1
