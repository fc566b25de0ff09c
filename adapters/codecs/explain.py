"""Why a document does not follow its schema: every fault of it at once, with path, line and remedy.

lxml gives the verdict, fast, but stops at the first order error of a block. A refused document is read again against
the same schema as xmlschema understands it: each block's children against the declared order, each text against its
declared type. It is read in the document's order and no further than an answer goes, so that the work grows with the
document's size and no faster, whatever is wrong with it.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Final

from lxml import etree

from adapters.codecs.catalog import Schema
from adapters.codecs.declared import Declared, Text, declared
from adapters.codecs.registry import fault
from adapters.codecs.xml import line_at
from gateway.core.faults import MAX_FAULTS, Fault

_XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
_NIL: Final = f"{_XSI}nil"
_TYPE: Final = f"{_XSI}type"
_OF_EVERY_ELEMENT: Final = frozenset({_NIL, _TYPE, f"{_XSI}schemaLocation", f"{_XSI}noNamespaceSchemaLocation"})
"""Attributes that a schema need not declare: XML Schema 1.0, part 1, section 2.6. The first two have faults of their
own; where a schema lies is not looked at."""
_NAME_SHOWN: Final = 64
"""Most characters of an unknown element's name that a path repeats."""
_BLANKS: Final = " \t\r\n"
"""What XML itself counts as white space."""


def faults(schema: Schema, root: etree._Element) -> list[Fault]:
    """The faults of a document that `schema` refused, the first `MAX_FAULTS` of them; never empty."""
    return list(islice(_root_faults(schema, root), MAX_FAULTS)) or _as_logged(schema, root)


def shown(element: etree._Element) -> str:
    """An element's name as paths have it: local, and cut where it is longer than any of ours."""
    return etree.QName(element).localname[:_NAME_SHOWN]


def _root_faults(schema: Schema, root: etree._Element) -> Iterator[Fault]:
    name = etree.QName(root)
    path = "/" + shown(root)
    if name.localname not in schema.roots:
        expected = " or ".join(schema.roots)
        yield fault("XSD-ROOT", path, line_at(root), expected=expected, namespace=schema.namespace)
    elif (name.namespace or "") != schema.namespace:
        facts = {"element": name.localname, "where": _namespace(name), "namespace": schema.namespace}
        yield fault("XSD-NAMESPACE", path, line_at(root), **facts)
    else:
        yield from _element_faults(root, declared(schema)[name.localname], path)


def _namespace(name: etree.QName) -> str:
    return "another namespace" if name.namespace else "no namespace"


def _element_faults(element: etree._Element, own: Declared, path: str) -> Iterator[Fault]:
    nil = False
    if len(element.attrib):
        names = frozenset(map(str, element.attrib))
        nil = _NIL in names
        if nil:
            yield fault("XSD-NIL", path, line_at(element), **own.facts)
        if _TYPE in names and element.get(_TYPE, "").strip(_BLANKS).rpartition(":")[2] != own.type_name:
            yield fault("XSD-TYPE", path, line_at(element), **own.facts)
        if names - _OF_EVERY_ELEMENT - own.attributes:
            yield fault("XSD-ATTRIBUTE", path, line_at(element), **own.facts)
    if own.text is not None:
        if len(element):
            yield fault("XSD-CONTENT", path, line_at(element), content="text only", **own.facts)
        elif element.text or not nil:
            yield from _text_faults(element, own.text, own, path)
        return
    if _has_text(element):
        yield fault("XSD-CONTENT", path, line_at(element), content="its elements, without text between", **own.facts)
    yield from _children_faults(element, own, path)


def _has_text(element: etree._Element) -> bool:
    """Is there text between the children of a block?"""
    if element.text and element.text.strip(_BLANKS):
        return True
    return any(tail.strip(_BLANKS) for child in element if (tail := child.tail))


def _text_faults(element: etree._Element, kind: Text, own: Declared, path: str) -> Iterator[Fault]:
    text = element.text or ""
    if not text and kind.least:
        yield fault("XSD-EMPTY", path, line_at(element), **own.facts)
    elif kind.most is not None and len(text) > kind.most:
        yield fault("XSD-LENGTH", path, line_at(element), limit=kind.most, **own.facts)
    elif not kind.fits(text):
        if not text:
            yield fault("XSD-EMPTY", path, line_at(element), **own.facts)
        else:
            yield fault("XSD-PATTERN", path, line_at(element), form=kind.form, **own.facts)


def _children_faults(element: etree._Element, own: Declared, path: str) -> Iterator[Fault]:
    """Missing children, then each child in turn: unknown, repeated, misplaced, and what is wrong inside it.

    A child of the right name in another namespace is there, and told as that.
    """
    children = list(element)
    tags = [str(child.tag) for child in children]
    counts = Counter(tags)
    foreign = frozenset(etree.QName(tag).localname for tag in counts.keys() - own.children.keys()) & own.names
    for missing in own.children.values():
        if missing.least and not counts[missing.tag] and missing.name not in foreign:
            where = _where(missing, own, counts)
            step = f"{path}/{missing.name}"
            yield fault("XSD-MISSING", step, line_at(element), parent=own.name, where=where, **missing.facts)
    misplaced = _misplaced(tags, own) if own.in_order else frozenset()
    seen: Counter[str] = Counter()
    for index, (child, tag) in enumerate(zip(children, tags, strict=True)):
        known = own.children.get(tag)
        step = f"{path}/{shown(child)}"
        if known is None:
            yield _unknown(child, own, step)
            continue
        seen[tag] += 1
        if known.most != 1 or seen[tag] > 1:
            step += f"[{seen[tag]}]"
        if known.most is not None and seen[tag] > known.most:
            yield fault("XSD-REPEATED", step, line_at(child), parent=own.name, limit=known.most, **known.facts)
            continue
        if index in misplaced:
            where = _where(known, own, counts)
            yield fault("XSD-ORDER", step, line_at(child), parent=own.name, where=where, **known.facts)
        yield from _element_faults(child, known, step)


def _unknown(child: etree._Element, parent: Declared, step: str) -> Fault:
    name = etree.QName(child)
    if name.localname not in parent.names:
        return fault("XSD-UNKNOWN", step, line_at(child), parent=parent.name)
    facts = {"element": name.localname, "where": _namespace(name), "namespace": parent.namespace}
    return fault("XSD-NAMESPACE", step, line_at(child), **facts)


def _misplaced(tags: list[str], own: Declared) -> frozenset[int]:
    """Indices of children outside a longest non-decreasing run: the fewest that must move to restore the order.

    Only as many of each are looked at as there may be, so the schema bounds the work.
    """
    counts: Counter[str] = Counter()
    tails: list[int] = []
    ends: list[int] = []
    """`tails[n]` is the least position that a run of n + 1 children ends with, `ends[n]` the child that has it."""
    back: dict[int, int] = {}
    for index, tag in enumerate(tags):
        known = own.children.get(tag)
        if known is None or (known.most is not None and counts[tag] >= known.most):
            continue
        counts[tag] += 1
        slot = bisect_right(tails, known.position)
        back[index] = ends[slot - 1] if slot else -1
        tails[slot : slot + 1] = [known.position]
        ends[slot : slot + 1] = [index]
    kept: set[int] = set()
    index = ends[-1] if ends else -1
    while index >= 0:
        kept.add(index)
        index = back[index]
    return frozenset(back.keys() - kept)


def _where(child: Declared, parent: Declared, counts: Counter[str]) -> str:
    """The place of a child among those that are there."""
    if not parent.in_order:
        return "anywhere in it"
    before = [one.name for one in parent.children.values() if one.position < child.position and counts[one.tag]]
    after = [one.name for one in parent.children.values() if one.position > child.position and counts[one.tag]]
    if before and after:
        return f"after {before[-1]} and before {after[0]}"
    if before:
        return f"after {before[-1]}"
    return f"before {after[0]}" if after else "as its first element"


def _as_logged(schema: Schema, root: etree._Element) -> list[Fault]:
    """The lines of lxml's log, never its texts, should the reading above find nothing."""
    found = [fault("XSD-INVALID", "", error.line) for error in schema.errors(root)[:MAX_FAULTS]]
    return found or [fault("XSD-INVALID", "/" + shown(root), line_at(root))]
