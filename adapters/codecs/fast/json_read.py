"""The enterprise JSON's common case: an object without a fault, judged by the official XSD compiled for JSON.

The schema's blocks (`facets`) are made into a pydantic-core validator, which spares a good document the detour of being
written as XML to be validated. Nothing is explained here: what is not plainly good goes the whole way
(`enterprise_json`), through the XSD, which finds every fault; property tests hold the two verdicts together.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from adapters.codecs.facets import Element, Facets, blocks
from adapters.codecs.official import SECTIONS
from adapters.codecs.texts import escaped_twice, unusual
from gateway.core.declaration import Amendment, Block, Declaration, Goods, Invoice, NonParty, texts

_MODELS: Final[Mapping[str, type[Block]]] = {
    "goods": Goods,
    "amendment": Amendment,
    "non_parties": NonParty,
    "invoices": Invoice,
}


_BETWEEN: Final = "<"
"""Stands between texts that are looked at together; it may stand in one, too."""
_BEGINS_BLANK: Final = re.compile(f"{_BETWEEN}[ \n]")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a good block looks like."""

    required: frozenset[str]
    limits: Mapping[str, int]
    """Most characters of the official text, in which a line break takes two."""
    fields: Mapping[str, core_schema.TypedDictField]


@dataclass(frozen=True, slots=True)
class _Plain:
    validator: SchemaValidator
    head: _Shape
    sections: Mapping[str, _Shape]


def plain(content: Any, raw: bytes) -> tuple[dict[str, Any], str, int] | None:
    """The canonical fields of a plain object, which was loaded from `raw`; what is not ASCII in its texts, and the
    length of these. None: it has to be looked at closely.

    Nothing is said of its ``reference``.
    """
    compiled = _compiled()
    try:
        content = compiled.validator.validate_python(content)
    except ValidationError:
        return None
    names, promise = len(content), content.pop("promise")
    if not promise:
        return None
    content.pop("reference", None)
    nested = {name: content.pop(name, None) for name in compiled.sections}
    joined: list[str] = []
    fields = _taken(content, compiled.head, joined)
    if fields is None:
        return None
    for name, shape in compiled.sections.items():
        value = nested[name]
        if name != "amendment":
            names += sum(map(len, value or ()))
            items = tuple([_taken(item, shape, joined) for item in value or ()])
            if None in items:
                return None
            fields[name] = items
        elif value is not None:
            names += len(value)
            block = _taken(value, shape, joined)
            if not block:
                return None
            fields[name] = block
    fields["promise"] = promise
    if not _names_once(raw, names):
        return None
    whole = _BETWEEN.join(["", *joined])
    rest = unusual(whole)
    if rest is None or "/n" in whole or escaped_twice(whole):
        return None
    blank = _BEGINS_BLANK.search(whole) and any(text.isspace() for _, text in texts(fields))
    return None if blank else (fields, rest, len(whole))


def _names_once(raw: bytes, names: int) -> bool:
    """No more names stand in the document than are in the object: none stands twice. May say no wrongly, not yes.

    A colon follows every name; those inside texts make it look closer: there a quote before a colon is escaped.
    """
    return raw.count(b":") == names or raw.translate(None, b" \t\r\n").count(b'":') == names


def _taken(content: dict[str, Any], shape: _Shape, texts: list[str]) -> dict[str, Any] | None:
    """One block without what is absent; its texts are added to `texts`. None: not plain.

    The validator gives the names in the schema's order, which is the model's.
    """
    values = content.values()
    fields = content
    if None in values or "" in values:
        fields = {name: value for name, value in content.items() if value is not None and value != ""}
    if not shape.required <= fields.keys():
        return None
    joined = _BETWEEN.join([value for value in fields.values() if type(value) is str])
    if "\n" in joined and not _fits(fields, shape):
        return None
    texts.append(joined)
    return fields


def _fits(fields: Mapping[str, Any], shape: _Shape) -> bool:
    return all(
        len(value) + value.count("\n") <= shape.limits[name]
        for name, value in fields.items()
        if type(value) is str and "\n" in value
    )


@cache
def _compiled() -> _Plain:
    """Read from the schema when first asked."""
    schema = blocks()
    head = _shape(Declaration, schema.head)
    top = dict(head.fields)
    sections: dict[str, _Shape] = {}
    for section in SECTIONS:
        part = schema.parts[section.field]
        shape = sections[section.field] = _shape(_MODELS[section.field], part.elements)
        block: CoreSchema = core_schema.typed_dict_schema(dict(shape.fields), extra_behavior="forbid")
        if section.item is not None:
            block = core_schema.list_schema(block, strict=True, max_length=part.most, fail_fast=True)
        top[section.field] = core_schema.typed_dict_field(core_schema.nullable_schema(block), required=False)
    top["promise"] = core_schema.typed_dict_field(_value(schema.promise), required=True)
    top["reference"] = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
    return _Plain(SchemaValidator(core_schema.typed_dict_schema(top, extra_behavior="forbid")), head, sections)


def _shape(block: type[Block], elements: Sequence[Element]) -> _Shape:
    """A block of the schema: every element it may have, in order."""
    required = {name for name, info in block.model_fields.items() if info.is_required()}
    required |= {one.field for one in elements if one.required and not one.facets.may_be_empty}
    fields = {
        one.field: core_schema.typed_dict_field(core_schema.nullable_schema(_value(one.facets)), required=False)
        for one in elements
    }
    return _Shape(frozenset(required & fields.keys()), {one.field: one.facets.most for one in elements}, fields)


def _value(facets: Facets) -> CoreSchema:
    """What it takes besides nothing."""
    if facets.number:
        return core_schema.int_schema(strict=True, ge=facets.least, le=facets.most)
    # an empty text counts as absent
    pattern = None if facets.pattern is None else f"^(?:{facets.pattern})?$"
    return core_schema.str_schema(strict=True, max_length=facets.most, pattern=pattern)
