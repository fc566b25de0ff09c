"""What may stand in a text, and how line breaks travel.

Judged on decoded values: a character reference must not smuggle in what raw text may not contain.
"""

import re
import unicodedata

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""The characters with Unicode's property Bidi_Control."""

_SEEN = bytes([0x0A, *range(0x20, 0x7F)])
"""The bytes of ASCII's printable characters, and of the line break."""
_ALONE = bytes([*range(0xC0), 0xC2, 0xC3, *range(0xE4, 0xEA)])
"""All bytes but those that begin, in UTF-8, a character which may not be composed: what is begun by others is Latin-1
and most of Chinese, U+4000 to U+9FFF."""

_REFERENCE = re.compile("&(?:amp|lt|gt|quot|apos|nbsp|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_XML_FORBIDS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> bool:
    """True when no character of `text` needs a second look; line breaks are fine. C speed, for whole documents."""
    return text.isprintable() or text.replace("\n", "").isprintable()


def unusual(text: str) -> str | None:
    """What is not ASCII in a text that is clean and composed; None: it is not. For whole documents, nearly all of whose
    characters are ASCII and looked at once."""
    try:
        encoded = text.encode().translate(None, _SEEN)
    except UnicodeEncodeError:  # half a pair of surrogates
        return None
    rest = encoded.decode()
    return rest if rest.isprintable() and (not encoded.translate(None, _ALONE) or is_composed(text)) else None


def trouble(text: str) -> str | None:
    """The fault code of the first forbidden character, or None.

    Forbidden are C0 and C1 controls but the line break, bidirectional controls, private use, unassigned code
    points and noncharacters, lone surrogates, and Unicode's own line separators.
    """
    if clean(text):
        return None
    for char in dict.fromkeys(text):
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


def blank(text: str) -> bool:
    """True of a text in which nothing would be seen: white space as Unicode has it, and format characters of no width,
    but for those that change the direction, which are refused. It counts as absent."""
    text = text.strip()
    if not text or text.isprintable():
        return not text
    return all(
        char.isspace() or (unicodedata.category(char) == "Cf" and char not in _BIDI) for char in dict.fromkeys(text)
    )


def composed(text: str) -> str:
    """A text in Unicode's form NFC, which customs and fonts expect: letter and accent are one character, as are the
    parts of a Hangul syllable. By Unicode's own rule (UAX 15) both forms are the same text."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def is_composed(text: str) -> bool:
    """Is it in that form already? C speed, for whole documents."""
    return text.isascii() or unicodedata.is_normalized("NFC", text)


def composed_official(text: str) -> str:
    """The same for a text in the official form: the n of ``/n`` is a line break and takes no accent."""
    return composed(text) if "/n" not in text else "/n".join([composed(line) for line in text.split("/n")])


def escaped_twice(text: str) -> bool:
    """Does a text still hold a reference of XML or HTML, such as ``&amp;``, after it was read?"""
    return "&" in text and _REFERENCE.search(text) is not None


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
