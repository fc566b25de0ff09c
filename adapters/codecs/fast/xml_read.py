"""The official XML's common case: a document in the plainest form, judged by the official XSD compiled to a grammar.

The schema's blocks (`facets`) are made into regular expressions that take a document from its first byte to its last:
no attribute, prefix, comment, entity, CDATA, DOCTYPE or real line break in a text; every element in its place, every
text as the schema has it. A document they take is well-formed and valid, and is read in a quarter of the time that a
tree of it takes; what we have written ourselves is only judged, in a tenth of it. Nothing is explained here: what is
not plainly good goes the whole way (`customs_xml`), through the hardened parser and the XSD; property tests hold the
two verdicts together.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from adapters.codecs.facets import Element, Facets, Part, blocks
from adapters.codecs.official import NAMESPACE, SECTIONS, Section
from adapters.codecs.texts import unusual
from gateway.core.declaration import texts

_BLANK: Final = r"[ \t\r\n]{0,200}"
_XSI: Final = ' xmlns:xsi="http://www\\.w3\\.org/2001/XMLSchema-instance"'
_XSD: Final = ' xmlns:xsd="http://www\\.w3\\.org/2001/XMLSchema"'
_NS: Final = f' xmlns="{re.escape(NAMESPACE)}"'
_WHERE: Final = rf' xsi:schemaLocation="{re.escape(NAMESPACE)} [A-Za-z0-9_.\-]{{1,200}}"'
_ROOT: Final = f"<Certificate(?:{_NS}(?:{_XSI}(?:{_WHERE})?)?|{_XSI}(?:{_XSD})?{_NS}(?:{_WHERE})?)>"
"""The root's start tag, as it is usually written."""
_BETWEEN: Final = "<"
"""Stands between texts that are looked at together, and can't stand in one."""
_BEGINS_BLANK: Final = re.compile(f"{_BETWEEN}(?: |/n)")
_GROUP: Final = re.compile(r"(?<!\\)\((?!\?)")
_DECLARATION: Final = r"""(?:<\?xml version="1\.0"(?: encoding="(?i:utf-8)")? ?\?>)?"""


@dataclass(frozen=True, slots=True)
class _Block:
    """Takes one block with its own tags and the blanks after it."""

    take: re.Pattern[str]
    fields: tuple[str, ...]
    """What its groups are."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A section."""

    field: str
    block: _Block
    around: tuple[re.Pattern[str], re.Pattern[str]] | None
    """The tags around its items; None: it is one block."""
    required: bool
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class _Grammar:
    head: _Block
    parts: tuple[_Part, ...]
    last: re.Pattern[str]


_Walked: TypeAlias = tuple[re.Match[str], Sequence[Sequence[re.Match[str]]], str]
"""The head's block, those of each section, the promise."""


def plain(text: str) -> tuple[dict[str, Any], str, int] | None:
    """The canonical fields of a plain document, in the model's order; what is not ASCII in their texts, and the length
    of these. None: it has to be looked at closely."""
    found = _walk(text)
    if found is None:
        return None
    head, parts, promise = found
    grammar = _grammar()
    values: list[str] = []
    fields = _fields(head, grammar.head, values)
    for part, found_there in zip(grammar.parts, parts, strict=True):
        content = [_fields(block, part.block, values) for block in found_there]
        if part.around:
            fields[part.field] = tuple(content)
        elif content and content[0]:
            fields[part.field] = content[0]
    fields["promise"] = promise
    whole = _BETWEEN.join(["", *values])
    rest = unusual(whole)
    if rest is None or "\n" in whole or "&" in whole or ">" in whole:
        return None
    blank = _BEGINS_BLANK.search(whole) and any(text.isspace() for _, text in texts(fields))
    return None if blank else (fields, rest, len(whole))


def takes(text: str) -> bool:
    """Is a document valid in whose texts is no control, reference or markup? For those who have just written it."""
    return _walk(text) is not None


def _walk(text: str) -> _Walked | None:
    """From the first byte to the last; None: not in the grammar."""
    grammar = _grammar()
    head = found = grammar.head.take.match(text)
    if head is None:
        return None
    parts: list[Sequence[re.Match[str]]] = []
    at = head.end()
    for part in grammar.parts:
        block, there = part.block, []
        found = (part.around[0] if part.around else block.take).match(text, at)
        if found is None and part.required:
            return None
        if found is not None and part.around:
            at = found.end()
            while found := block.take.match(text, at):
                there.append(found)
                at = found.end()
            found = part.around[1].match(text, at)
            if found is None or not part.least <= len(there) <= part.most:
                return None
        elif found is not None:
            there.append(found)
        at = found.end() if found is not None else at
        parts.append(there)
    found = grammar.last.fullmatch(text, at)
    return None if found is None else (head, parts, found[1])


def _fields(found: re.Match[str], block: _Block, values: list[str]) -> dict[str, Any]:
    """Field -> value of one block; empty elements are absent."""
    fields: dict[str, Any] = {name: value for name, value in zip(block.fields, found.groups(), strict=True) if value}
    joined = _BETWEEN.join(fields.values())
    values.append(joined)
    if "/n" in joined:
        for name, value in fields.items():
            if "/n" in value:
                fields[name] = value.replace("/n", "\n")
    if "line_no" in fields:
        fields["line_no"] = int(fields["line_no"])
    return fields


@cache
def _grammar() -> _Grammar:
    """Made when first asked."""
    schema = blocks()
    start = f"{_DECLARATION}{_BLANK}{_ROOT}{_BLANK}"
    promise = _element("AplPromiseCode", schema.promise)
    return _Grammar(
        head=_block("CertificateHead", schema.head, before=start),
        parts=tuple(_part(section, schema.parts[section.field]) for section in SECTIONS),
        last=re.compile(f"<AplPromise>{_BLANK}{promise}</AplPromise>{_BLANK}</Certificate>{_BLANK}"),
    )


def _part(section: Section, part: Part) -> _Part:
    block, around = _block(section.item or section.container, part.elements), None
    if section.item is not None:
        around = re.compile(f"<{section.container}>{_BLANK}"), re.compile(f"</{section.container}>{_BLANK}")
    return _Part(section.field, block, around, part.required, part.least, part.most)


def _block(name: str, elements: Sequence[Element], before: str = "") -> _Block:
    """An absent element is passed over. Each has a name of its own, so one that is there can't be passed over instead,
    and a try to do so ends at once; texts and blanks have a most. So the time taken grows with the length. (Possessive
    repetition would say the same, but early releases of Python 3.11 take with it what does not match.)"""
    inner = "".join(
        _element(one.name, one.facets) if one.required else f"(?:{_element(one.name, one.facets)}|)" for one in elements
    )
    take = re.compile(f"{before}<{name}>{_BLANK}{inner}</{name}>{_BLANK}")
    return _Block(take, tuple(one.field for one in elements))


def _element(name: str, facets: Facets) -> str:
    return f"<{name}>({_value(facets)})</{name}>{_BLANK}"


def _value(facets: Facets) -> str:
    """The texts that a type takes, or some of them: of the numbers, those whose digits never are too many."""
    if facets.number:
        return f"[0-9]{{{0 if facets.may_be_empty else 1},{len(str(facets.most + 1)) - 1}}}"
    length = f"[^<]{{{facets.least},{facets.most}}}"
    if facets.pattern is None:
        return length
    return f"(?={length}<){_GROUP.sub('(?:', facets.pattern)}"
