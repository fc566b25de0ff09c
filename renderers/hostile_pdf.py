"""PDF files of strangers, read by pyHanko at a cost that is counted: reads, objects and revisions, never seconds.

Only what this gateway writes and what may be added to it later is read: plain cross-reference tables, nothing
encrypted, no objects packed into streams. So nothing is ever unpacked here.
"""

import io
import logging
import re
from collections.abc import Hashable
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader

# A report says all there is to say; pyHanko would print a stack trace for each thing it does not like.
for name in ("pyhanko", "pyhanko_certvalidator"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

MAX_BYTES = 32 << 20
MAX_REVISIONS = 16
"""Signed, and seven times long-term data with a time stamp: twenty years and more."""
MAX_READS = 2_000_000
"""Calls that read from the file; one of 400 pages takes 130,000 in the end."""
MOST_TIMES, SPARE_BYTES = 8, 1 << 20
"""A file may be read eight times, a small one more often."""
NODES_PER_BYTE, SPARE_NODES, MAX_NODES = 40, 1_000_000, 20_000_000
"""Values looked at, each as often as a path leads to it. 400 pages, 240 kB, take 9 million in the end: all their pages
are compared for each time stamp."""
LOOK_UP = 20
"""Values that looking up an object counts for."""
MOST_TABLES = 3 * MAX_REVISIONS
"""Times that a file may say xref: twice a revision, and now and then by chance."""
STREAMS = re.compile(rb"/(?:X|#58)(?:R|#52)(?:e|#65)(?:f|#66)")
"""The type of a cross-reference stream, however it is written."""
TRAILER = frozenset({"/Root", "/Info", "/ID", "/Size", "/Prev"})


class PdfRefused(Exception):
    """A file that is not examined; one sentence."""


def read(content: bytes) -> PdfFileReader:
    """A reader for a file. Raises PdfRefused; using it later may raise whatever pyHanko stumbles over."""
    if not content:
        raise PdfRefused("the file is empty")
    if len(content) > MAX_BYTES:
        raise PdfRefused(f"the file has more than {MAX_BYTES >> 20} MiB")
    if not content.startswith(b"%PDF-"):
        raise PdfRefused("this is no PDF file")
    if STREAMS.search(content) or content.count(b"xref") > MOST_TABLES:
        raise PdfRefused("this gateway writes no such files: its objects are packed, or it was changed many times")
    try:
        reader = _Reader(content)
        strange = set(reader.trailer_view) - TRAILER
    except Exception:  # hostile bytes: whatever pyHanko stumbles over, this can't be read
        raise damaged() from None
    if "/Encrypt" in strange:
        raise PdfRefused("the file is encrypted, which a certificate never is")
    if strange or reader.total_revisions > MAX_REVISIONS:
        raise damaged()
    return reader


def damaged() -> PdfRefused:
    """Of a file that pyHanko can't read."""
    return PdfRefused("the file is damaged: it can't be read as a PDF")


class _Metered(io.BytesIO):
    """A file that ends the work when too much was read from it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._reads = MAX_READS
        self._bytes = MOST_TIMES * len(content) + SPARE_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._reads -= 1
        self._bytes -= len(data)
        if self._reads < 0 or self._bytes < 0:
            raise PdfError("too much is read")
        return data


class _Reader(PdfFileReader):
    """Counts the values it hands out."""

    def __init__(self, content: bytes) -> None:
        self._left = min(MAX_NODES, SPARE_NODES + NODES_PER_BYTE * len(content))
        self._sizes: dict[Hashable, int] = {}
        self._resolvers: dict[int, HistoricalResolver] = {}
        super().__init__(_Metered(content))

    def get_object(self, *given: Any, **named: Any) -> Any:
        value = super().get_object(*given, **named)  # type: ignore[no-untyped-call]
        return self.counted((*given, *named.items()), value)

    def get_historical_resolver(self, revision: int) -> HistoricalResolver:
        return self._resolvers.setdefault(revision, _Resolver(self, revision))

    def counted(self, name: Hashable, value: Any) -> Any:
        """The same value, once it is paid for."""
        if name not in self._sizes:
            self._sizes[name] = LOOK_UP + _size(value)
        self._left -= self._sizes[name]
        if self._left < 0:
            raise PdfError("too much is looked at")
        return value


class _Resolver(HistoricalResolver):
    """The same for one revision."""

    def __init__(self, reader: _Reader, revision: int) -> None:
        super().__init__(reader, revision)
        self._counted = reader.counted

    def get_object(self, *given: Any, **named: Any) -> Any:
        return self._counted((self.revision, *given, *named.items()), super().get_object(*given, **named))


def _size(value: Any) -> int:
    """Values in a value."""
    size, open_ones = 0, [value]
    while open_ones:
        one = open_ones.pop()
        size += 1
        if isinstance(one, generic.DictionaryObject):
            open_ones += one.values()
        elif isinstance(one, generic.ArrayObject):
            open_ones += one
    return size
