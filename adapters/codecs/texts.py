"""What may stand in a text, and how line breaks travel.

Judged on decoded values: a character reference must not smuggle in what raw text may not contain.
"""

import re
import unicodedata

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""The characters with Unicode's property Bidi_Control."""

_XML_FORBIDS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> bool:
    """True when no character of `text` needs a second look; line breaks are fine. C speed, for whole documents."""
    return text.isprintable() or text.replace("\n", "").isprintable()


def trouble(text: str) -> str | None:
    """The fault code of the first forbidden character, or None.

    Forbidden are C0 and C1 controls but the line break, bidirectional controls, private use, unassigned code
    points and noncharacters, lone surrogates, and Unicode's own line separators.
    """
    if clean(text):
        return None
    for char in text:
        if char == "\n" or char.isprintable():
            continue
        if char in _BIDI:
            return "TEXT-BIDI"
        category = unicodedata.category(char)
        if category in ("Cc", "Zl", "Zp"):
            return "TEXT-CONTROL"
        if category in ("Co", "Cn", "Cs"):
            return "TEXT-UNASSIGNED"
    return None


def unbroken(text: str) -> str:
    """CRLF and CR as ``\\n``."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def from_customs(text: str) -> str:
    """An official text in the model's form: the two characters ``/n``, and real breaks, are ``\\n``."""
    return unbroken(text).replace("/n", "\n")


def to_customs(text: str) -> str:
    """A model's text in the official form. The caller refuses a text that contains ``/n`` itself (TEXT-SLASH-N)."""
    return text.replace("\n", "/n")


def escaped(text: str) -> str:
    """For element content: ``& < >`` escaped, CR kept by a reference."""
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    return text.replace("\r", "&#13;") if "\r" in text else text


def presentable(text: str) -> str:
    """A text of our own making (an error's detail, a printer's word) as XML can carry it: what can't be is U+FFFD."""
    return text if clean(text) else _XML_FORBIDS.sub("\ufffd", text)
