"""Several things that customs wrote into one document: each is read for itself, and none is lost without a word.

A document may hold several receipts, in a list, in lists of lists, or one after the other; a receipt may hold several
replies. Each becomes a document of its own. What can't be told apart is unreadable as a whole.
"""

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Final

from lxml import etree

from adapters.codecs.encodings import as_utf8
from adapters.codecs.xml import MAX_BYTES, parse
from gateway.core.faults import Refused
from gateway.ports import Unreadable

KNOWN: Final = ("Receipt", "FileRet", "LayoutDocument")
"""What customs sends, by local name."""
REPLY: Final = "CusRespData"
MOST: Final = 500
"""Documents in one."""
_TAGS: Final = tuple(f"{{*}}{name}" for name in KNOWN)
_TOLD: Final = tuple(name.encode() for name in (*KNOWN, REPLY, "CertNo"))
_DECLARATION: Final = re.compile(rb"<\?xml\s[^>]{0,200}\?>")


def apart(body: bytes) -> Sequence[bytes]:
    """The single documents in `body`, in order. A single one, and one that nobody can read, comes back as it is.

    Raises Unreadable: there are several, and it can't be told what belongs to which.
    """
    if b"\0" not in body[:4] and all(body.count(name) <= 2 for name in _TOLD):
        return (body,)  # a name in a start tag and an end tag: nearly all there is
    try:
        text, _ = as_utf8(body)
        root, chained = _opened(text)
    except (Unreadable, Refused):
        return (body,)
    found = leaves(root)
    replies = [_replies(leaf) for leaf in found]
    if not found or (len(found) == 1 and len(replies[0]) < 2 and not chained and not _wrapped_layout(found[0], root)):
        return (body,)
    if chained and any(next(document.iter(*_TAGS), None) is None for document in root):
        raise Unreadable("INBOUND-CHAIN", "a document of an unknown kind follows or goes before a receipt")
    if sum(max(1, len(each)) for each in replies) > MOST:
        raise Unreadable("INBOUND-MANY", f"there are more than {MOST} receipts in one document")
    return [part for leaf, each in zip(found, replies, strict=True) for part in _parts(leaf, each)]


def leaves(root: etree._Element) -> list[etree._Element]:
    """The receipts and layouts in a document, in order. Raises Unreadable where one names several certificates, or
    stands inside another that has a number of its own."""
    known = list(root.iter(*_TAGS))
    around = {outer for element in known if (outer := _owner(element.getparent())) is not None}
    numbers: dict[etree._Element, set[str]] = {}
    for element in root.iter("{*}CertNo"):
        owner = _owner(element, stop=REPLY)
        if owner is not None:
            numbers.setdefault(owner, set()).add((element.text or "").strip())
    if any(outer in numbers for outer in around):
        raise Unreadable("INBOUND-NESTED", "a receipt with a certificate number has another receipt inside")
    if any(len(named - {""}) > 1 for named in numbers.values()):
        raise Unreadable("RECEIPT-NUMBERS", "the receipt names several certificates")
    return [element for element in known if element not in around]


def _opened(text: bytes) -> tuple[etree._Element, bool]:
    """(root, whether documents that follow each other had to be put into one). Raises Refused."""
    try:
        return parse(text), False
    except Refused:
        root = parse(b"<Chain>%b</Chain>" % _DECLARATION.sub(b"", text))
        if any((part.tail or "").strip() for part in root) or (root.text or "").strip():
            raise
        return root, True


def _wrapped_layout(leaf: etree._Element, root: etree._Element) -> bool:
    """A layout is read, and stored, by itself: without what it was wrapped in."""
    return leaf is not root and _name(leaf) == "LayoutDocument"


def _owner(element: etree._Element | None, stop: str = "") -> etree._Element | None:
    """The nearest receipt or layout that an element is in, or is; None: there is none, or a `stop` is nearer."""
    while element is not None and _name(element) not in KNOWN:
        if _name(element) == stop:
            return None
        element = element.getparent()
    return element


def _replies(leaf: etree._Element) -> list[etree._Element]:
    return [one for one in leaf.iter(f"{{*}}{REPLY}") if _name(leaf) == KNOWN[0] and not _inside_reply(one)]


def _inside_reply(element: etree._Element) -> bool:
    return any(_name(outer) == REPLY for outer in element.iterancestors())


def _parts(leaf: etree._Element, replies: Sequence[etree._Element]) -> list[bytes]:
    """A receipt of its own for each reply. What they share is copied, so it must not be much."""
    if len(replies) < 2:
        return [_written(leaf)]
    shell = deepcopy(leaf)
    places = []
    for reply in _replies(shell):
        parent = reply.getparent()
        if parent is not None:
            places.append((parent, reply))
    for parent, reply in places:
        parent.remove(reply)
    if len(etree.tostring(shell)) * len(places) > MAX_BYTES:
        raise Unreadable("INBOUND-MANY", "the receipt has too many replies to be read one by one")
    parts = []
    for parent, reply in places:
        parent.append(reply)
        parts.append(_written(shell))
        parent.remove(reply)
    return parts


def _written(element: etree._Element) -> bytes:
    return etree.tostring(element, xml_declaration=True, encoding="UTF-8", with_tail=False)


def _name(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]
