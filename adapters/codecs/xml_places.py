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
