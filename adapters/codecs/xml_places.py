"""Where a place of the model, or an element, stands in an XML document: its path and line.

Only asked for faults. What stands side by side is counted once and remembered, so that many questions cost no more than
one reading of the document.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from lxml import etree

from adapters.codecs.explain import shown
from adapters.codecs.official import NAMESPACE, SECTIONS, official_path
from adapters.codecs.xml import line_at
from gateway.ports import Place

_REPEATED: Final = frozenset(section.item for section in SECTIONS if section.item is not None)
_STRETCH: Final = 4096
"""Bytes between two places whose line is remembered."""


class TreePlaces:
    """Places in a parsed document."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._steps: dict[etree._Element, Mapping[etree._Element, str]] = {}
        self._named: dict[tuple[etree._Element, str], Sequence[etree._Element]] = {}

    def of(self, place: Place) -> tuple[str, int | None]:
        """XPath of a place, and the line of its element or of the nearest one around it."""
        path = official_path(place)
        element = self._root
        for step in path.split("/")[2:]:
            name, _, index = step.rstrip("]").partition("[")
            same = self._children(element, name)
            at = int(index or 1) - 1
            if at >= len(same):
                break
            element = same[at]
        return path, line_at(element)

    def of_element(self, element: etree._Element) -> tuple[str, int | None]:
        """XPath of an element by local names, with an index where several of that name stand side by side, or may; and
        its line."""
        steps: list[str] = []
        current = element
        while (parent := current.getparent()) is not None:
            if parent not in self._steps:
                self._steps[parent] = _steps(parent)
            steps.append(self._steps[parent][current])
            current = parent
        return "/".join(["", shown(current), *reversed(steps)]), line_at(element)

    def _children(self, parent: etree._Element, name: str) -> Sequence[etree._Element]:
        key = (parent, name)
        if key not in self._named:
            self._named[key] = parent.findall(f"{{{NAMESPACE}}}{name}")
        return self._named[key]


def _steps(parent: etree._Element) -> Mapping[etree._Element, str]:
    """What a path says of each child."""
    children = list(parent)
    counts = Counter([str(child.tag) for child in children])
    seen: Counter[str] = Counter()
    steps: dict[etree._Element, str] = {}
    for child in children:
        tag, name = str(child.tag), shown(child)
        seen[tag] += 1
        steps[child] = f"{name}[{seen[tag]}]" if counts[tag] > 1 or name in _REPEATED else name
    return steps


class PlainPlaces:
    """Places in the bytes of a plain document (`xml_plain`)."""

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
