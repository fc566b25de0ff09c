"""The official schema as tables: which elements a block has, in order, and what each may hold.

For those who judge documents without a tree (`fast`), and who ask how many items a list may have: what they know of
the message they read here, from the schema itself. Its blocks are flat: elements with a type that has a length, a
pattern, a range or one value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from lxml import etree

from adapters.codecs.catalog import catalog
from adapters.codecs.official import HEAD, NAMESPACE, SCHEMA, SECTIONS, BlockTable

UNBOUNDED: Final = 1 << 30
KNOWN: Final = frozenset({"minLength", "maxLength", "pattern", "enumeration", "minInclusive", "maxInclusive"})
_XS: Final = "{http://www.w3.org/2001/XMLSchema}"


@dataclass(frozen=True, slots=True)
class Facets:
    """What a simple type takes: a whole number from `least` to `most`, or a text of so many characters."""

    number: bool
    least: int
    most: int
    pattern: str | None
    may_be_empty: bool
    """Nothing at all is enough."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a block."""

    name: str
    field: str
    required: bool
    """It must be there, perhaps empty."""
    facets: Facets


@dataclass(frozen=True, slots=True)
class Part:
    """What a section is made of."""

    elements: tuple[Element, ...]
    """Of its one block, or of each of its items."""
    required: bool
    """Its container must be there."""
    least: int
    most: int
    """Items in it."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The whole message."""

    head: tuple[Element, ...]
    parts: Mapping[str, Part]
    """By the model's name of the section."""
    promise: Facets


@cache
def blocks() -> Blocks:
    """Read from the schema when first asked. Raises ValueError for a type that is not understood."""
    root = catalog()[SCHEMA].document()
    types = {one.get("name", ""): one for one in root.iterchildren(f"{_XS}complexType", f"{_XS}simpleType")}
    places = {one.get("name", ""): one for one in root.iter(f"{_XS}element")}
    parts = {
        one.field: Part(
            elements=_elements(one.item or one.container, one.table, types),
            required=places[one.container].get("minOccurs") != "0",
            least=int(places[one.item or one.container].get("minOccurs", "1")),
            most=int(places[one.item or one.container].get("maxOccurs", "1")),
        )
        for one in SECTIONS
    }
    return Blocks(_elements("CertificateHead", HEAD, types), parts, _facets(types["Promise"], types))


def _elements(name: str, table: BlockTable, types: Mapping[str, etree._Element]) -> tuple[Element, ...]:
    return tuple(
        Element(
            name=one.get("name", ""),
            field=table.by_tag[f"{{{NAMESPACE}}}{one.get('name')}"],
            required=one.get("minOccurs") != "0",
            facets=_facets(types[one.get("type", "")], types),
        )
        for one in types[name].iterfind(f"{_XS}sequence/{_XS}element")
    )


def _facets(kind: etree._Element, types: Mapping[str, etree._Element]) -> Facets:
    union = kind.find(f"{_XS}union")
    if union is not None:  # of a number and nothing
        number, _ = union.get("memberTypes", "").split()
        whole = _facets(types[number], types)
        return Facets(whole.number, whole.least, whole.most, None, may_be_empty=True)
    [restriction] = kind.iterfind(f"{_XS}restriction")
    said = {etree.QName(facet).localname: facet.get("value", "") for facet in restriction}
    if not said.keys() <= KNOWN or len(said) < len(restriction):
        raise ValueError(f"the schema's type {kind.get('name')} is more than is read here")
    if restriction.get("base") == "xs:int":
        return Facets(True, int(said["minInclusive"]), int(said["maxInclusive"]), None, may_be_empty=False)
    pattern = said.get("pattern") or (re.escape(said["enumeration"]) if "enumeration" in said else None)
    least = int(said.get("minLength", "0"))
    empty = least == 0 and (pattern is None or re.fullmatch(pattern, "") is not None)
    return Facets(False, least, int(said.get("maxLength", UNBOUNDED)), pattern, empty)
