"""What a schema declares, as xmlschema understands it, in the few facts that `explain` asks for. Made once a schema."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from adapters.codecs.catalog import Schema

_XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_XS: Final = "{http://www.w3.org/2001/XMLSchema}"
_OF_TEXTS: Final = frozenset(f"{_XS}{name}" for name in ("minLength", "maxLength", "pattern", "enumeration"))
_LEADING_ZEROS: Final = re.compile(r"^([ \t\r\n]*[+-]?)0+(?=[0-9])")

_Component: TypeAlias = Any
"""A component of xmlschema (element or type declaration), whose own types are looser than what our schemas use."""


@dataclass(frozen=True, slots=True)
class Text:
    """What a simple type takes."""

    least: int
    most: int | None
    fits: Callable[[str], bool]
    """Asked of a text that is no longer than `most`."""
    form: str
    """How it is written, in words."""


@dataclass(frozen=True)
class Declared:
    """One declared element."""

    name: str
    tag: str
    namespace: str
    title: str
    type_name: str
    """Local name of its type; empty when the type has none."""
    attributes: frozenset[str]
    text: Text | None
    """None: it is a block."""
    children: Mapping[str, "Declared"]
    """By tag, in the declared order."""
    in_order: bool
    """The order of the children is binding."""
    position: int
    """Among its parent's children."""
    least: int
    most: int | None

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """What a fault says of it."""
        return {"element": self.name, "title": f" ({self.title})" if self.title else ""}

    @cached_property
    def names(self) -> frozenset[str]:
        """Local names of its children."""
        return frozenset(child.name for child in self.children.values())


@cache
def declared(schema: Schema) -> Mapping[str, Declared]:
    """The roots of a schema by local name."""
    elements = schema.explained.elements
    return MappingProxyType({name: _element(elements[name], schema.namespace, 0) for name in schema.roots})


def _element(one: _Component, namespace: str, position: int) -> Declared:
    kind, simple = one.type, one.type.is_simple()
    group = None if simple else kind.content
    particles = [] if group is None else list(group.iter_elements())
    return Declared(
        name=one.local_name,
        tag=one.name,
        namespace=namespace,
        title=_note(one, "zh"),
        type_name=kind.local_name or "",
        attributes=frozenset() if simple else frozenset(map(str, kind.attributes)),
        text=_text(kind) if simple else None,
        children={child.name: _element(child, namespace, at) for at, child in enumerate(particles)},
        in_order=group is not None and group.model == "sequence",
        position=position,
        least=one.min_occurs,
        most=one.max_occurs,
    )


def _text(kind: _Component) -> Text:
    form = _note(kind, "en") or "it as the schema's type says"
    return Text(kind.min_length or 0, kind.max_length, _fits(kind), form)


def _fits(kind: _Component) -> Callable[[str], bool]:
    """xmlschema takes its time; of a text with a pattern the pattern alone is asked."""
    facets = getattr(kind, "facets", {})
    if not facets or not facets.keys() <= _OF_TEXTS:
        # Zeros before a number count for nothing, and Python converts no number of thousands of digits.
        return lambda text: bool(kind.is_valid(_LEADING_ZEROS.sub(r"\1", text)))
    patterns = tuple(kind.patterns.patterns) if kind.patterns is not None else ()
    values = None if kind.enumeration is None else frozenset(kind.enumeration)
    return lambda text: (values is None or text in values) and all(one.match(text) for one in patterns)


def _note(component: _Component, lang: str) -> str:
    """The annotation of a component in one language."""
    annotation = component.annotation
    for note in annotation.documentation if annotation is not None else ():
        if note.get(_XML_LANG) == lang and note.text:
            return str(note.text).strip()
    return ""
