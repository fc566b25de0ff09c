"""The enterprise JSON's common case: an object without a fault, judged by the official XSD compiled for JSON.

The schema's blocks are flat: elements with a type that has a length, a pattern, a range or one value. They are read
from the schema itself and made into a pydantic-core validator, which spares a good document the detour of being written
as XML to be validated. Nothing is explained here: what is not plainly good goes the whole way (`enterprise_json`),
through the XSD, which finds every fault; property tests hold the two verdicts together.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from lxml import etree
from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from adapters.codecs.catalog import catalog
from adapters.codecs.official import HEAD, NAMESPACE, SCHEMA, SECTIONS, BlockTable
from adapters.codecs.texts import clean
from gateway.core.declaration import Amendment, Block, Declaration, Goods, Invoice, NonParty

_XS: Final = "{http://www.w3.org/2001/XMLSchema}"
_MODELS: Final[Mapping[str, type[Block]]] = {
    "goods": Goods,
    "amendment": Amendment,
    "non_parties": NonParty,
    "invoices": Invoice,
}
_UNBOUNDED: Final = 1 << 30


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


def plain(content: Any) -> tuple[dict[str, Any], int] | None:
    """The canonical fields of a plain object, and how many names it has in all; None: it has to be looked at closely.

    Nothing is said of its ``reference``.
    """
    compiled = _compiled()
    try:
        content = compiled.validator.validate_python(content)
    except ValidationError:
        return None
    names, promise = len(content), content.pop("promise")
    content.pop("reference", None)
    nested = {name: content.pop(name, None) for name in compiled.sections}
    texts: list[str] = []
    fields = _taken(content, compiled.head, texts)
    if fields is None:
        return None
    for name, shape in compiled.sections.items():
        value = nested[name]
        if name != "amendment":
            names += sum(map(len, value or ()))
            items = tuple([_taken(item, shape, texts) for item in value or ()])
            if None in items:
                return None
            fields[name] = items
        elif value is not None:
            names += len(value)
            block = _taken(value, shape, texts)
            if not block:
                return None
            fields[name] = block
    fields["promise"] = promise
    whole = "".join(texts)
    return None if "/n" in whole or "\r" in whole or not clean(whole) else (fields, names)


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
    joined = "".join([value for value in fields.values() if type(value) is str])
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
    root = catalog()[SCHEMA].document()
    types = {one.get("name", ""): one for one in root.iterchildren(f"{_XS}complexType", f"{_XS}simpleType")}
    most = {one.get("name", ""): int(one.get("maxOccurs", "1")) for one in root.iter(f"{_XS}element")}
    head = _shape("CertificateHead", Declaration, HEAD, types)
    top = dict(head.fields)
    sections: dict[str, _Shape] = {}
    for section in SECTIONS:
        name = section.item or section.container
        shape = sections[section.field] = _shape(name, _MODELS[section.field], section.table, types)
        block: CoreSchema = core_schema.typed_dict_schema(dict(shape.fields), extra_behavior="forbid")
        if section.item is not None:
            block = core_schema.list_schema(block, strict=True, max_length=most[name])
        top[section.field] = core_schema.typed_dict_field(core_schema.nullable_schema(block), required=False)
    promise, _, _ = _value(types["Promise"], types)
    top["promise"] = core_schema.typed_dict_field(promise, required=True)
    top["reference"] = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
    return _Plain(SchemaValidator(core_schema.typed_dict_schema(top, extra_behavior="forbid")), head, sections)


def _shape(name: str, block: type[Block], table: BlockTable, types: Mapping[str, etree._Element]) -> _Shape:
    """A block of the schema: every element it may have, in order."""
    fields, limits = {}, {}
    required = {field for field in table.fields if block.model_fields[field].is_required()}
    for element in types[name].iterfind(f"{_XS}sequence/{_XS}element"):
        field = table.by_tag[f"{{{NAMESPACE}}}{element.get('name')}"]
        schema, empty, limits[field] = _value(types[element.get("type", "")], types)
        fields[field] = core_schema.typed_dict_field(core_schema.nullable_schema(schema), required=False)
        if element.get("minOccurs") != "0" and not empty:
            required.add(field)
    return _Shape(frozenset(required), limits, fields)


def _value(kind: etree._Element, types: Mapping[str, etree._Element]) -> tuple[CoreSchema, bool, int]:
    """A simple type: what it takes besides nothing, whether nothing is enough, and its most characters."""
    union = kind.find(f"{_XS}union")
    if union is not None:  # of a number and nothing
        number, _ = union.get("memberTypes", "").split()
        schema, _, limit = _value(types[number], types)
        return schema, True, limit
    [restriction] = kind.iterfind(f"{_XS}restriction")
    facets = {etree.QName(facet).localname: facet.get("value", "") for facet in restriction}
    if restriction.get("base") == "xs:int":
        low, high = int(facets["minInclusive"]), int(facets["maxInclusive"])
        return core_schema.int_schema(strict=True, ge=low, le=high), False, 0
    pattern = facets.get("pattern") or (re.escape(facets["enumeration"]) if "enumeration" in facets else None)
    empty = int(facets.get("minLength", "0")) == 0 and (pattern is None or re.fullmatch(pattern, "") is not None)
    limit = int(facets.get("maxLength", _UNBOUNDED))
    pattern = None if pattern is None else f"^(?:{pattern})?$"  # an empty text counts as absent
    return core_schema.str_schema(strict=True, max_length=limit, pattern=pattern), empty, limit
