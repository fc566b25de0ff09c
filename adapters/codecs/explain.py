"""Why a document does not follow its schema: every fault of it at once, with path, line and remedy.

lxml gives the verdict, fast, but stops at the first order error of a block. A refused document of up to `MAX_EXPLAINED`
bytes is read again against the same schema as xmlschema understands it: each block's children against the declared
order, each text against its declared type. What is larger gets lxml's own log, without its texts.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from lxml import etree

from adapters.codecs.catalog import Schema
from adapters.codecs.registry import fault
from adapters.codecs.xml import line_at
from gateway.core.faults import MAX_FAULTS, Fault

MAX_EXPLAINED: Final = 256 << 10
_XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
_XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"
_NAME_SHOWN: Final = 64
"""Most characters of an unknown element's name that a path repeats."""


Declared: TypeAlias = Any
"""A component of xmlschema (element or type declaration), whose own types are looser than what our schemas use."""


@dataclass(frozen=True, slots=True)
class _Child:
    """One declared child of a block."""

    position: int
    declared: Declared
    least: int
    most: int | None


def faults(schema: Schema, root: etree._Element, size: int) -> list[Fault]:
    """All faults of a document that `schema` refused; never empty."""
    if size > MAX_EXPLAINED:
        return _as_logged(schema, root)
    found = list(_take(_root_faults(schema, root)))
    return found or list(_take(_second_opinion(schema, root))) or _as_logged(schema, root)


def path_of(element: etree._Element) -> str:
    """XPath of an element by local names; an index where several of that name stand side by side, or may."""
    steps: list[str] = []
    current: etree._Element | None = element
    while current is not None:
        name = _local(current)
        parent = current.getparent()
        if parent is not None:
            before = sum(1 for _ in current.itersiblings(current.tag, preceding=True))
            if before or name in _REPEATED or next(current.itersiblings(current.tag), None) is not None:
                name += f"[{before + 1}]"
        steps.append(name)
        current = parent
    return "/" + "/".join(reversed(steps))


_REPEATED: Final = frozenset({"Goods", "NonpartyCorp", "OriInv"})


def _root_faults(schema: Schema, root: etree._Element) -> Iterator[Fault]:
    name = etree.QName(root)
    if name.localname not in schema.roots or (name.namespace or "") != schema.namespace:
        expected = " or ".join(schema.roots)
        yield fault("XSD-ROOT", "/" + _local(root), line_at(root), expected=expected, namespace=schema.namespace)
        return
    declared = schema.explained.elements[name.localname]
    yield from _element_faults(root, declared, "/" + _local(root))


def _element_faults(element: etree._Element, declared: Declared, path: str) -> Iterator[Fault]:
    facts = _facts(declared)
    declared_type = declared.type
    allowed = () if declared_type.is_simple() else tuple(declared_type.attributes)
    if any(not str(name).startswith(_XSI) and name not in allowed for name in element.attrib):
        yield fault("XSD-ATTRIBUTE", path, line_at(element), **facts)
    if declared_type.is_simple():
        if len(element):
            yield fault("XSD-CONTENT", path, line_at(element), content="text only", **facts)
        else:
            yield from _text_faults(element, declared_type, path, facts)
        return
    if any(text.strip() for text in (element.text, *(child.tail for child in element)) if text):
        yield fault("XSD-CONTENT", path, line_at(element), content="its elements, without text between", **facts)
    yield from _children_faults(element, declared, path)


def _text_faults(element: etree._Element, declared: Declared, path: str, facts: dict[str, Any]) -> Iterator[Fault]:
    text = element.text or ""
    least, most = declared.min_length, declared.max_length
    if not text and least:
        yield fault("XSD-EMPTY", path, line_at(element), **facts)
    elif most is not None and len(text) > most:
        yield fault("XSD-LENGTH", path, line_at(element), limit=most, **facts)
    elif not declared.is_valid(text):
        if not text:
            yield fault("XSD-EMPTY", path, line_at(element), **facts)
        else:
            yield fault("XSD-PATTERN", path, line_at(element), form=_form(declared), **facts)


def _children_faults(element: etree._Element, declared: Declared, path: str) -> Iterator[Fault]:
    """Unknown, repeated, misplaced and missing children, then what is wrong inside each."""
    group = declared.type.content
    children = {
        particle.name: _Child(position, particle, particle.min_occurs, particle.max_occurs)
        for position, particle in enumerate(group.iter_elements())
    }
    parent = _name(declared)
    known: list[tuple[etree._Element, _Child, str]] = []
    counts: dict[str, int] = {}
    for child in element:
        tag = str(child.tag)
        counts[tag] = counts.get(tag, 0) + 1
        entry = children.get(tag)
        step = f"{path}/{_local(child)}"
        if entry is None:
            yield fault("XSD-UNKNOWN", step, line_at(child), parent=parent)
            continue
        if entry.most != 1 or counts[tag] > 1:
            step += f"[{counts[tag]}]"
        if entry.most is not None and counts[tag] > entry.most:
            facts = _facts(entry.declared)
            yield fault("XSD-REPEATED", step, line_at(child), parent=parent, limit=entry.most, **facts)
        else:
            known.append((child, entry, step))
    ordered = list(children.values())
    if group.model == "sequence":
        for index in _misplaced([entry.position for _, entry, _ in known]):
            child, entry, step = known[index]
            where = _where(entry, ordered, counts)
            yield fault("XSD-ORDER", step, line_at(child), parent=parent, where=where, **_facts(entry.declared))
    for name, entry in children.items():
        if entry.least and not counts.get(name):
            where = _where(entry, ordered, counts) if group.model == "sequence" else "anywhere in it"
            facts = _facts(entry.declared)
            step = f"{path}/{entry.declared.local_name}"
            yield fault("XSD-MISSING", step, line_at(element), parent=parent, where=where, **facts)
    for child, entry, step in known:
        yield from _element_faults(child, entry.declared, step)


def _misplaced(positions: list[int]) -> list[int]:
    """Indices outside a longest non-decreasing run: the fewest elements that must move to restore the order."""
    tails: list[int] = []
    at: list[int] = []
    back: list[int] = []
    for index, position in enumerate(positions):
        slot = bisect_right(tails, position)
        back.append(at[slot - 1] if slot else -1)
        tails[slot : slot + 1] = [position]
        at[slot : slot + 1] = [index]
    keep: set[int] = set()
    index = at[-1] if at else -1
    while index >= 0:
        keep.add(index)
        index = back[index]
    return [index for index in range(len(positions)) if index not in keep]


def _where(entry: _Child, ordered: list[_Child], counts: dict[str, int]) -> str:
    """The place of a child among those that are there."""
    before = [c.declared.local_name for c in ordered[: entry.position] if counts.get(str(c.declared.name))]
    after = [c.declared.local_name for c in ordered[entry.position + 1 :] if counts.get(str(c.declared.name))]
    if before and after:
        return f"after {before[-1]} and before {after[0]}"
    if before:
        return f"after {before[-1]}"
    return f"before {after[0]}" if after else "as its first element"


def _second_opinion(schema: Schema, root: etree._Element) -> Iterator[Fault]:
    """What xmlschema itself finds, should the reading above find nothing."""
    for error in schema.explained.iter_errors(root):
        place: Any = error.elem
        yield fault("XSD-INVALID", path_of(place) if place is not None else "", error.sourceline)


def _as_logged(schema: Schema, root: etree._Element) -> list[Fault]:
    """lxml's log as faults: place and kind, never its text."""
    found = []
    tree = root.getroottree()
    for error in schema.errors(root)[:MAX_FAULTS]:
        path = ""
        if "*" in error.path or ":" not in error.path:  # a path with prefixes can't be asked back
            hits: Any = tree.xpath(error.path) if error.path else []
            path = path_of(hits[0]) if hits else ""
        found.append(fault("XSD-INVALID", path, error.line))
    return found or [fault("XSD-INVALID", path_of(root), line_at(root))]


def _facts(declared: Declared) -> dict[str, Any]:
    title = _note(declared, "zh")
    return {"element": declared.local_name, "title": f" ({title})" if title else ""}


def _note(component: Any, lang: str) -> str:
    """The annotation of a component in one language."""
    annotation = component.annotation
    for note in annotation.documentation if annotation is not None else ():
        if note.get(_XML_LANG) == lang and note.text:
            return str(note.text).strip()
    return ""


def _form(declared: Declared) -> str:
    return _note(declared, "en") or "it as the schema's type says"


def _name(declared: Declared) -> str:
    return str(declared.local_name)


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname[:_NAME_SHOWN]


def _take(found: Iterable[Fault]) -> Iterator[Fault]:
    """Enough to sort and cap: a hostile document can't make the list endless."""
    for index, one in enumerate(found):
        if index >= 5 * MAX_FAULTS:
            return
        yield one
