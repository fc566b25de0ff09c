"""Where a place of the model stands in the bytes of a plain document (`xml_read`): its path and line. The twin of
`adapters.codecs.xml_places`.

Only asked for faults. What was looked for is remembered, so that many questions cost no more than one reading.
"""

from collections.abc import Sequence
from typing import Final

from adapters.codecs.official import official_path
from gateway.ports import Place

_STRETCH: Final = 4096
"""Bytes between two places whose line is remembered."""


class PlainPlaces:
    """Places in the bytes of a plain document (`xml_read`)."""

    __slots__ = ("_document", "_items", "_lines", "_parts")

    def __init__(self, document: bytes) -> None:
        self._document = document
        self._parts: dict[bytes, int] = {}
        """Where each part of the message begins that was asked for; -1: it is not there."""
        self._items: dict[bytes, Sequence[int]] = {}
        """Where each item of a list begins that was asked for."""
        self._lines = [0]
        """Line breaks before the beginning of each stretch, as far as was asked for."""

    def of(self, place: Place) -> tuple[str, int]:
        """XPath of a place, and the line of its element or of the nearest one around it."""
        path = official_path(place)
        return path, self._line(self._start(path.encode().split(b"/")[2:]))

    def _start(self, steps: Sequence[bytes]) -> int:
        """The offset of the nearest element there is."""
        document, at = self._document, self._document.index(b"<Certificate ")
        if not steps:
            return at
        name, *rest = steps
        if (found := self._part(name)) < 0:
            return at
        at = found
        if rest and rest[0].endswith(b"]"):
            name, _, index = rest.pop(0)[:-1].partition(b"[")
            items = self._items_of(name)
            if int(index) > len(items):
                return at
            at = items[int(index) - 1]
        if not rest:
            return at
        found = document.find(b"<%b>" % rest[0], at, document.index(b"</%b>" % name, at))
        return at if found < 0 else found

    def _part(self, name: bytes) -> int:
        found = self._parts.get(name)
        if found is None:
            found = self._parts[name] = self._document.find(b"<%b>" % name)
        return found

    def _items_of(self, name: bytes) -> Sequence[int]:
        found = self._items.get(name)
        if found is None:
            found = self._items[name] = _offsets(self._document, b"<%b>" % name)
        return found

    def _line(self, offset: int) -> int:
        stretch, lines, document = offset // _STRETCH, self._lines, self._document
        for start in range((len(lines) - 1) * _STRETCH, stretch * _STRETCH, _STRETCH):
            lines.append(lines[-1] + document.count(b"\n", start, start + _STRETCH))
        return lines[stretch] + document.count(b"\n", stretch * _STRETCH, offset) + 1


def _offsets(document: bytes, sign: bytes) -> Sequence[int]:
    found: list[int] = []
    at = document.find(sign)
    while at >= 0:
        found.append(at)
        at = document.find(sign, at + 1)
    return found
