"""What a Content-Type header says, over HTTP as on the bus: RFC 9110, section 8.3, read by the standard library."""

import codecs
from collections.abc import Mapping
from email.message import Message
from email.utils import collapse_rfc2231_value
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from gateway.core.faults import Refused
from gateway.runtime.door_faults import unknown_media_type, wrong_charset

NDJSON: Final = "application/x-ndjson"
DOCUMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {"application/xml": "application/xml", "text/xml": "application/xml", "application/json": "application/json"}
)
"""What a sender may call one declaration -> what its dialect is called."""
DOCUMENTS_AND_BATCHES: Final[Mapping[str, str]] = MappingProxyType({**DOCUMENTS, NDJSON: NDJSON})
CHARSETS: Final = frozenset({"utf-8", "ascii"})
"""As Python names them; it knows the aliases."""
LONGEST: Final = 1000
"""Characters of a header that is looked at."""


def dialect(header: str, known: Mapping[str, str]) -> str:
    """The dialect of a document with this header. Raises Refused: not a type of `known`, or not in UTF-8."""
    name, charsets = _read(header)
    found = known.get(name)
    if found is None:
        raise Refused([unknown_media_type(tuple(dict.fromkeys(known.values())))])
    if wrong := [charset for charset in charsets if charset not in CHARSETS]:
        raise Refused([wrong_charset(wrong[0])])
    return found


@lru_cache(maxsize=256)
def _read(header: str) -> tuple[str, tuple[str | None, ...]]:
    """The type, and the charset of each parameter of that name. Remembered: a client writes one or two."""
    message = Message()
    message["content-type"] = header if len(header) <= LONGEST else ""
    (name, _), *parameters = message.get_params(header="content-type") or [("", "")]
    charsets = (_charset(collapse_rfc2231_value(value)) for name, value in parameters if name.lower() == "charset")
    return name.lower(), tuple(charsets)


def _charset(value: str) -> str | None:
    """Python's name of a charset, or None for one that nobody knows: the sender's own word is not repeated."""
    try:
        return codecs.lookup(value.strip(" '\"")).name
    except (LookupError, ValueError):
        return None
