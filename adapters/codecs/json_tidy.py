"""An enterprise's JSON object as the model's fields: what is absent left out, texts in one form, and what only JSON can
get wrong (types, unknown and missing names) named with its place.

What is named is left out of the fields, so that the rest can be judged by the schema.
"""

from collections.abc import Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from adapters.codecs.facets import blocks
from adapters.codecs.official import HEAD, SECTION, BlockTable
from adapters.codecs.texts import blank, composed, unbroken
from gateway.core.declaration import Amendment, Declaration, Goods, Invoice, NonParty
from gateway.core.faults import MAX_FAULTS
from gateway.ports import Place

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    section: tuple(name for name, info in block.model_fields.items() if info.is_required())
    for section, block in (
        ("", Declaration),
        ("goods", Goods),
        ("amendment", Amendment),
        ("non_parties", NonParty),
        ("invoices", Invoice),
    )
}


class Mistake(NamedTuple):
    """A fault before its line is looked for: cheap, for a hostile document has no end of them."""

    place: Place
    code: str
    facts: Mapping[str, Any] = MappingProxyType({})


def tidy(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """(fields, the first `MAX_FAULTS` mistakes in the document's order)."""
    found: list[Mistake] = []
    fields = _block(content, "", (), found)
    return fields, found


def _block(content: Mapping[str, Any], section: str, place: Place, found: list[Mistake]) -> dict[str, Any]:
    table = SECTION[section].table if section else HEAD
    for name in _REQUIRED[section]:
        if _absent(content.get(name)):
            _add(found, (*place, name), "JSON-MISSING")
    fields: dict[str, Any] = {}
    for name, value in content.items():
        if _absent(value):
            continue
        if not section and name in SECTION:
            part = _part(value, name, found)
            if part:
                fields[name] = part
        elif name not in table.fields and (section or name != "promise"):
            _add(found, (*place, name), "JSON-UNKNOWN-FIELD")
        elif type(value) is not (int if _is_number(table, name) else str):
            _add(found, (*place, name), "JSON-TYPE", expected=_expected(table, name))
        else:
            fields[name] = composed(unbroken(value)) if type(value) is str else value
    return fields


def _part(value: Any, section: str, found: list[Mistake]) -> Any:
    """An inner block, or a list of them. One item more than there may be is enough for the schema to say so."""
    if SECTION[section].item is None:
        if isinstance(value, dict):
            return _block(value, section, (section,), found)
        _add(found, (section,), "JSON-TYPE", expected="an object")
        return None
    if not isinstance(value, list):
        _add(found, (section,), "JSON-TYPE", expected="a list of objects")
        return None
    items: list[dict[str, Any]] = []
    for index, item in enumerate(islice(value, blocks().parts[section].most + 1)):
        if isinstance(item, dict):
            items.append(_block(item, section, (section, index), found))
        else:
            _add(found, (section, index), "JSON-TYPE", expected="an object")
            items.append({})  # the others keep their places
    return items


def _absent(value: Any) -> bool:
    return value is None or (type(value) is str and blank(value))


def _is_number(table: BlockTable, name: str) -> bool:
    mark = table.fields.get(name)
    return mark is not None and mark.length is None


def _expected(table: BlockTable, name: str) -> str:
    """What a field takes, in words."""
    mark = table.fields.get(name)
    if mark is None:
        return "a text"
    return "a whole number" if mark.length is None else f"a text of at most {mark.length} characters"


def _add(found: list[Mistake], place: Place, code: str, **facts: object) -> None:
    if len(found) < MAX_FAULTS:
        found.append(Mistake(place, code, facts))
