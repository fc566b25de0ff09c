"""The enterprise JSON's common case: an object in which every name is known and every text simple.

Nothing is explained here. What is not plain goes the whole way (`enterprise_json`), which finds every fault and comes
to the same fields; tests hold the two together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from adapters.codecs.official import AMENDMENT, GOODS, HEAD, INVOICE, NON_PARTY, SECTIONS, BlockTable
from adapters.codecs.texts import clean
from gateway.core.declaration import Amendment, Block, Declaration, Goods, Invoice, NonParty

_NESTED: Final = tuple(section.field for section in SECTIONS)
_ONLY_TEXTS: Final = frozenset({str})


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a plain block looks like."""

    order: tuple[str, ...]
    known: frozenset[str]
    required: frozenset[str]
    numbered: bool
    """It has a `line_no`, the only value that is no text."""


def _shape(block: type[Block], table: BlockTable, *also: str) -> _Shape:
    order = (*table.fields, *also)
    required = frozenset(name for name in order if block.model_fields[name].is_required())
    return _Shape(order, frozenset(order), required, "line_no" in order)


_HEAD: Final = _shape(Declaration, HEAD)
_ITEMS: Final[Mapping[str, _Shape]] = MappingProxyType(
    {
        "goods": _shape(Goods, GOODS),
        "non_parties": _shape(NonParty, NON_PARTY),
        "invoices": _shape(Invoice, INVOICE),
    }
)
_AMENDMENT: Final = _shape(Amendment, AMENDMENT)


_TOP: Final = _HEAD.known | set(_NESTED) | {"promise", "reference"}


def plain(content: Any) -> tuple[dict[str, Any], int] | None:
    """The canonical fields of a plain object, and how many names it has in all; None: it has to be looked at closely.

    Nothing is said of its ``reference``.
    """
    if type(content) is not dict or not content.keys() <= _TOP:
        return None
    texts: list[str] = []
    names = len(content)
    fields = _block(content, _HEAD, texts)
    promise = content.get("promise")
    if fields is None or type(promise) is not str or not promise:
        return None
    for name in _NESTED:
        value = content.get(name)
        if name == "amendment":
            if value is not None:
                block = _block(value, _AMENDMENT, texts) if _is_known(value, _AMENDMENT) else None
                if not block:
                    return None
                names += len(value)
                fields[name] = block
            continue
        shape = _ITEMS[name]
        items = []
        if value is not None:
            if type(value) is not list:
                return None
            for item in value:
                block = _block(item, shape, texts) if _is_known(item, shape) else None
                if block is None:
                    return None
                names += len(item)
                items.append(block)
        fields[name] = tuple(items)
    fields["promise"] = promise
    texts.append(promise)
    whole = "".join(texts)
    return None if "/n" in whole or "\r" in whole or not clean(whole) else (fields, names)


def _is_known(content: Any, shape: _Shape) -> bool:
    return type(content) is dict and content.keys() <= shape.known


def _block(content: Mapping[str, Any], shape: _Shape, texts: list[str]) -> dict[str, Any] | None:
    """One block in the model's order, without what is absent; its texts are added to `texts`. None: not plain."""
    get = content.get
    fields = {name: value for name in shape.order if (value := get(name)) is not None and value != ""}
    if not shape.required <= fields.keys():
        return None
    values = list(fields.values())
    if shape.numbered and (line_no := fields.get("line_no")) is not None:
        if type(line_no) is not int:
            return None
        values.remove(line_no)
    if not _ONLY_TEXTS.issuperset(map(type, values)):
        return None
    texts += values
    return fields
