"""The official message's blocks as tables: element <-> field, made from the model's own metadata."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from gateway.core.declaration import Amendment, Block, Declaration, Goods, Invoice, NonParty, Official, official_fields

NAMESPACE: Final = "http://www.w3.org/2000/09/xmldsig#"
"""Borrowed by the interface from W3C XML Signature."""

SCHEMA: Final = "certificate"


@dataclass(frozen=True, slots=True, eq=False)
class BlockTable:
    """One block: how its elements and fields find each other, and what writes it. Each is there once."""

    fields: Mapping[str, Official]
    by_tag: Mapping[str, str]
    """Qualified tag -> field name."""
    writers: tuple[tuple[str, str, str, str], ...]
    """(field, start tag, end tag, what stands for an absent value), in the binding order."""


def _table(block: type[Block]) -> BlockTable:
    fields = official_fields(block)
    return BlockTable(
        fields=fields,
        by_tag=MappingProxyType({f"{{{NAMESPACE}}}{mark.element}": name for name, mark in fields.items()}),
        writers=tuple(
            (name, f"<{m.element}>", f"</{m.element}>", f"<{m.element}></{m.element}>" if m.may_be_empty else "")
            for name, m in fields.items()
        ),
    )


@lru_cache(maxsize=1024)
def block_form(table: BlockTable, names: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A block with these fields, with ``%s`` for the text of each, and the fields in that order. Remembered: an
    enterprise fills in the same ones most of the time."""
    given = [name for name, *_ in table.writers if name in names]
    form = "".join(f"{start}%s{end}" if name in given else absent for name, start, end, absent in table.writers)
    return form, tuple(given)


HEAD: Final = _table(Declaration)
GOODS: Final = _table(Goods)
AMENDMENT: Final = _table(Amendment)
NON_PARTY: Final = _table(NonParty)
INVOICE: Final = _table(Invoice)


@dataclass(frozen=True, slots=True)
class Section:
    """Where a nested part of the model stands in the message."""

    field: str
    table: BlockTable
    container: str
    item: str | None
    """Element of each item in the container; None when the container is the block itself."""


SECTIONS: Final = (
    Section("goods", GOODS, "CertificateList", "Goods"),
    Section("amendment", AMENDMENT, "ModCertificate", None),
    Section("non_parties", NON_PARTY, "NonpartyCorpList", "NonpartyCorp"),
    Section("invoices", INVOICE, "OriInvs", "OriInv"),
)
"""The parts between head and promise, in the binding order."""

SECTION: Final = MappingProxyType({section.field: section for section in SECTIONS})


def official_path(place: tuple[str | int, ...]) -> str:
    """Model place -> XPath in the official message, e.g. ``/Certificate/CertificateList/Goods[3]/HSCode``.

    Namespace prefixes are left out; items are counted from 1.
    """
    if not place:
        return "/Certificate"
    first = str(place[0])
    section = SECTION.get(first)
    if section is None:
        if first == "promise":
            return "/Certificate/AplPromise/AplPromiseCode"
        mark = HEAD.fields.get(first)
        return f"/Certificate/CertificateHead/{mark.element}" if mark else "/Certificate"
    path = f"/Certificate/{section.container}"
    rest = place[1:]
    if section.item is not None and rest and isinstance(rest[0], int):
        path += f"/{section.item}[{rest[0] + 1}]"
        rest = rest[1:]
    if rest and (mark := section.table.fields.get(str(rest[0]))):
        path += f"/{mark.element}"
    return path


def model_place(path: str) -> tuple[str | int, ...]:
    """The inverse of `official_path`; the deepest place that exists for a longer or foreign path."""
    steps = [step for step in path.split("/") if step][1:]
    if not steps:
        return ()
    container = steps[0].split("[")[0]
    if container == "CertificateHead":
        return _field(HEAD, steps[1:])
    if container == "AplPromise":
        return ("promise",)
    for section in SECTIONS:
        if section.container != container:
            continue
        place: tuple[str | int, ...] = (section.field,)
        rest = steps[1:]
        if section.item is not None and rest:
            name, _, index = rest[0].rstrip("]").partition("[")
            if name != section.item:
                return place
            place += (int(index or 1) - 1,)
            rest = rest[1:]
        return place + _field(section.table, rest)
    return ()


def _field(table: BlockTable, steps: list[str]) -> tuple[str, ...]:
    if not steps:
        return ()
    name = table.by_tag.get(f"{{{NAMESPACE}}}{steps[0].split('[')[0]}")
    return (name,) if name else ()
