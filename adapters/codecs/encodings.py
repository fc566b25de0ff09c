"""What customs sends as UTF-8, whatever it says about itself: the bytes decide, a declaration is only a hint.

Receipts have come in UTF-8 that declare UTF-16, and in GBK that declare nothing. A reading counts when it is strict
and, in a Chinese encoding, sane: else a wrong declaration would turn a reason of customs into signs without sense.
"""

import re
from types import MappingProxyType
from typing import Final

from adapters.codecs.xml import MAX_BYTES, declared_encoding
from gateway.ports import Unreadable

_BOM: Final = b"\xef\xbb\xbf"
_WIDE: Final = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"<\x00", "utf-16-le"),
    (b"\x00<", "utf-16-be"),
)
"""How a document in wide characters begins -> its codec."""
_CHINESE: Final = ("GBK", "GB2312", "GB18030", "CP936", "MS936", "WINDOWS-936", "GB_2312-80", "EUC-CN", "X-GBK")
_CODECS: Final = MappingProxyType(
    {
        **dict.fromkeys(("UTF-8", "UTF8", "US-ASCII", "ASCII"), "utf-8"),
        **dict.fromkeys(_CHINESE, "gb18030"),
        "HZ-GB-2312": "hz",
    }
)
"""Encodings in which a wrong byte can be told -> codec. The others take any byte, or stand in `_WIDE`."""
_DECLARED: Final = re.compile(r"^\s*<\?xml[^>]*\?>")
_OTHER: Final = re.compile("[^\x00-\x7f]+")
_IDEOGRAPH: Final = re.compile("[\u3001-\u303f\u3400-\u9fff\uff01-\uff65]+")
_SENSELESS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_END: Final = b"\x00\x1a \t\r\n"
"""What programs of the old days write after the end."""


def as_utf8(body: bytes) -> tuple[bytes, str]:
    """(the body in UTF-8, what was odd about it as a sentence; "": nothing). Raises Unreadable.

    A body in UTF-8 that does not declare anything else comes back as it is.
    """
    if len(body) > MAX_BYTES:
        raise Unreadable("XML-SIZE", f"the body is larger than {MAX_BYTES} bytes")
    for begin, codec in _WIDE:
        if body.startswith(begin):
            text = _strict(body, codec)
            if text is None:
                raise Unreadable("RECEIPT-ENCODING", f"the body begins as {codec.upper()} and does not go on so")
            declared = declared_encoding(text[:300].lstrip("\ufeff").encode())
            odd = declared and not declared.startswith(("UTF-16", "UTF-32", "UCS-", "ISO-10646"))
            return _undeclared(text), f"It declares another encoding and was read as {codec.upper()}." if odd else ""
    plain = body.removeprefix(_BOM).lstrip()
    declared = declared_encoding(plain)
    said = _CODECS.get(declared)
    text, codec = _read(plain, said)
    if codec == "utf-8" and (said == codec or not declared):
        return plain.rstrip(_END), ""
    if codec == said or text.isascii():
        return _undeclared(text), ""
    claim = f"declares {declared}" if said else "declares another encoding" if declared else "declares no encoding"
    return _undeclared(text), f"It {claim} and was read as {codec.upper()}."


def _read(body: bytes, said: str | None) -> tuple[str, str]:
    """(text, codec). UTF-8 comes first: other text is hardly ever valid in it. Raises Unreadable."""
    text = _strict(body, "utf-8")
    if text is not None and said != "hz" and (said in (None, "utf-8") or _IDEOGRAPH.search(text) or text.isascii()):
        return text, "utf-8"
    for codec in dict.fromkeys((said or "gb18030", "gb18030")):
        found = _strict(body, codec)
        if found is not None and _sane(found):
            return found, codec
    if text is not None:
        return text, "utf-8"
    raise Unreadable("RECEIPT-ENCODING", "the body is not in UTF-8, nor in GB18030, nor in what it declares")


def _sane(text: str) -> bool:
    """Chinese as somebody writes it: most of what is not ASCII is an ideograph or its punctuation."""
    others, ideographs = (sum(map(len, kind.findall(text))) for kind in (_OTHER, _IDEOGRAPH))
    return _SENSELESS.search(text) is None and 2 * ideographs >= others


def _strict(body: bytes, codec: str) -> str | None:
    try:
        return body.decode(codec)
    except UnicodeDecodeError:
        return None


def _undeclared(text: str) -> bytes:
    """In UTF-8, without a declaration that says something else."""
    return _DECLARED.sub("", text.removeprefix("\ufeff").rstrip("\0\x1a \t\r\n"), count=1).encode()
