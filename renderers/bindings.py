"""The closed set of ways in which a form's box, column or tick gets its text from a declaration and the issue data.

Form files name these by key. All texts are plain; `\\n` is a line break. Nothing here knows where anything stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from types import MappingProxyType
from typing import TypeAlias

from gateway.core.declaration import Declaration, Goods
from gateway.core.messages import Part
from renderers.layout import ImageKind

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
AMENDED, REISSUED, AMENDED_AND_REISSUED = "1", "2", "3"
"""CertStatus (证书状态)."""
FOB_SHOWN_FOR = ("RVC",)
"""Criteria (原产地标准) for which RCEP wants the FOB value."""
RATE_MARK = MappingProxyType({"1": "*", "2": "**"})
"""GoodsTaxRate (最高税率标志) -> mark beside the country of origin; the marks are explained overleaf. Ours."""
SEE_GOODS = "SEE BOX 8"
"""In the producer's box, where several producers stand with their goods."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A picture that customs adds, by reference, in its own size in mm."""

    sha256: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class IssueData:
    """What customs decides and adds when it signs (签证数据)."""

    number: str
    part: Part
    signed_on: date
    office_name: str = ""
    office_address: str = ""
    office_phone: str = ""
    office_fax: str = ""
    place: str = ""
    """Town of signing; the declaration's place of application when empty."""
    bar_code: str = ""
    """Verification code (条码/验证码), beside the number in the QR code."""
    statement: str = ""
    """Official statement (OfficeDeclare)."""
    retroactive: bool = False
    """补发: issued after shipment."""
    marks: Mapping[ImageKind, Mark] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """What a certificate's texts are made of. What all goods lines ask for is found once."""

    declaration: Declaration
    issue: IssueData

    @cached_property
    def producer(self) -> str:
        """The one producer, or where to find the several ones."""
        d = self.declaration
        lines = [line for line in d.goods if is_goods(line)]
        if "Y" in {d.producer_confidential, *(line.producer_confidential for line in lines)}:
            return "CONFIDENTIAL"
        named = {line.producer for line in lines if line.producer}
        if d.producer:
            return d.producer
        if len(named) > 1:
            return SEE_GOODS
        return next(iter(named), "NOT AVAILABLE")

    @cached_property
    def invoice_days(self) -> Mapping[str | None, str]:
        """Invoice number -> its date as printed."""
        return {invoice.invoice_no: printed_date(invoice.invoice_date) for invoice in self.declaration.invoices}

    @cached_property
    def lines_name_invoices(self) -> bool:
        """Does any goods line name its own invoice?"""
        return any(line.invoice_no for line in self.declaration.goods)


Binding: TypeAlias = Callable[[Source], str]
ColumnBinding: TypeAlias = Callable[[Source, Goods, int], str]
"""(source, line, number of the line from 1) -> text of the cell."""


def printed_date(text: str) -> str:
    """``2026-11-20`` -> ``NOV.20,2026``, the way certificates write dates; anything else stays as it is."""
    try:
        day = date.fromisoformat(text[:10])
    except ValueError:
        return text
    return f"{MONTHS[day.month - 1]}.{day.day:02d},{day.year}"


def is_goods(line: Goods) -> bool:
    """False for a line that only carries text (非货物项 Y)."""
    return line.non_goods != "Y"


def joined(*parts: str | None) -> str:
    """The non-empty parts, one a line."""
    return "\n".join(part for part in parts if part)


def flat(text: str | None) -> str:
    """On one line."""
    return " ".join((text or "").split())


def labelled(*pairs: tuple[str, str | None]) -> str:
    """``LABEL: value`` for the non-empty values, one a line."""
    return "\n".join(f"{label}: {value}" for label, value in pairs if value)


def _transport(source: Source) -> str:
    """One sentence of route, with vessel and date when the sentence doesn't say them."""
    d = source.declaration
    ways = [
        f"FROM {d.loading_port}" if d.loading_port else "",
        f"TO {d.discharge_port or d.destination_port}" if d.discharge_port or d.destination_port else "",
        f"VIA {d.transit_port}" if d.transit_port else "",
        d.transport_means or "",
    ]
    route = d.transport_details or " ".join(way for way in ways if way) or "***"
    return joined(route, d.vessel if d.vessel and d.vessel not in route else None)


def _voyage(source: Source) -> str:
    """Departure, vessel and port of discharge on lines of their own, then the route."""
    d = source.declaration
    return joined(
        labelled(
            ("Departure date", printed_date(d.shipment_date) if d.shipment_date else "***"),
            ("Vessel's name / flight number, etc.", d.vessel or d.transport_means or "***"),
            ("Port of discharge", d.discharge_port or d.destination_port or "***"),
        ),
        d.transport_details,
    )


def _official(source: Source) -> str:
    """What the authority says: replacement of an older certificate, its statement."""
    old = source.declaration.amendment.old_number if source.declaration.amendment else None
    replaced = source.declaration.certificate_status in {AMENDED, REISSUED, AMENDED_AND_REISSUED} and old
    return joined(
        f"THIS CERTIFICATE IS IN REPLACEMENT OF CERTIFICATE OF ORIGIN NO. {old} WHICH IS CANCELLED"
        if replaced
        else None,
        source.issue.statement,
    )


def _official_with_date(source: Source) -> str:
    """As `_official`, and that the certificate comes after the shipment, where the form has no tick for it."""
    return joined("ISSUED RETROACTIVELY" if source.issue.retroactive else None, _official(source))


def _remarks(source: Source) -> str:
    """The printed remark, and the third parties that invoice."""
    d = source.declaration
    third = [f"THIRD-PARTY INVOICE BY: {one.name}, {one.address}, {one.country_name}" for one in d.non_parties]
    return joined(d.remarks, *third)


def _place_and_date(place: str | None, day: str | None) -> str:
    return ", ".join(part for part in (flat(place), printed_date(day) if day else None) if part)


def _declared_at(source: Source) -> str:
    return _place_and_date(source.declaration.application_place, source.declaration.application_date)


def _certified_at(source: Source) -> str:
    return _place_and_date(
        source.issue.place or source.declaration.application_place, source.issue.signed_on.isoformat()
    )


def _office(source: Source) -> str:
    """The issuing office (签证机构) with its address and numbers."""
    issue = source.issue
    return joined(
        flat(issue.office_name),
        labelled(
            ("Address", flat(issue.office_address)), ("Tel", flat(issue.office_phone)), ("Fax", flat(issue.office_fax))
        ),
    )


FIELDS: Mapping[str, Binding] = MappingProxyType(
    {
        "exporter": lambda s: s.declaration.exporter or "",
        "consignee": lambda s: s.declaration.consignee or "",
        "destination": lambda s: s.declaration.destination or "",
        "number": lambda s: flat(s.issue.number),
        "part": lambda s: s.issue.part.value.upper(),
        "bar_code": lambda s: s.issue.bar_code,
        "transport": _transport,
        "voyage": _voyage,
        "producer": lambda s: s.producer,
        "official": _official,
        "official_with_date": _official_with_date,
        "remarks": _remarks,
        "declared_at": _declared_at,
        "certified_at": _certified_at,
        "office": _office,
        "importing_country": lambda s: flat(s.declaration.destination),
    }
)
"""Texts of the whole certificate."""


def _item(_: Source, line: Goods, index: int) -> str:
    return str(line.line_no or index) if is_goods(line) else ""


def _goods(source: Source, line: Goods, _: int) -> str:
    """The printed description; without one, packages and name. With several producers, whose this is."""
    packages = " ".join(part for part in (line.package_count, line.package_unit) if part)
    built = " OF ".join(part for part in (packages, line.name or line.name_zh) if part)
    several = source.producer == SEE_GOODS and line.producer
    return joined(line.description or built, f"PRODUCER: {line.producer}" if several else None)


def _numbered_goods(source: Source, line: Goods, index: int) -> str:
    """The description under its number, where the form has no column for the number."""
    text = _goods(source, line, index)
    return f"{_item(source, line, index)}. {text}" if is_goods(line) else text


def _hs6(_: Source, line: Goods, __: int) -> str:
    """HS code with six digits, as ``8471.30``."""
    code = line.hs_code or ""
    return f"{code[:4]}.{code[4:6]}" if is_goods(line) and len(code) >= 6 else code


def _quantity(_: Source, line: Goods, __: int) -> str:
    if not is_goods(line):
        return ""
    if line.quantity:
        return " ".join(part for part in (line.quantity, line.unit or line.unit_zh) if part)
    weight = " ".join(part for part in (line.gross_weight, line.weight_unit) if part)
    return f"G.W. {weight}" if weight else ""


def _quantity_and_fob(source: Source, line: Goods, index: int) -> str:
    """The quantity, and the FOB value where the criterion is regional value content."""
    wanted = is_goods(line) and line.fob_value and (line.origin_criterion or "").startswith(FOB_SHOWN_FOR)
    fob = " ".join(part for part in (source.declaration.currency or _first_currency(source), line.fob_value) if part)
    return joined(_quantity(source, line, index), f"FOB {fob}" if wanted else None)


def _criterion(_: Source, line: Goods, __: int) -> str:
    return joined(line.origin_criterion, line.origin_criterion_detail) if is_goods(line) else ""


def _origin(_: Source, line: Goods, __: int) -> str:
    if not is_goods(line):
        return ""
    return f"{line.origin_name or 'CHINA'}{RATE_MARK.get(line.tax_rate_flag or '', '')}"


def _first_currency(source: Source) -> str | None:
    return source.declaration.invoices[0].currency if source.declaration.invoices else None


def _invoices(source: Source, line: Goods, index: int) -> str:
    """The line's own invoice with its date; where lines name none, all invoices stand at the first line."""
    d = source.declaration
    days = source.invoice_days
    if source.lines_name_invoices:
        if not line.invoice_no:
            return ""
        head = printed_date(d.invoice_date) if d.invoice_date and line.invoice_no == d.invoice_no else None
        return joined(line.invoice_no, days.get(line.invoice_no) or head)
    if index > 1:
        return ""
    if days:
        return "\n".join(joined(number, day) for number, day in days.items())
    return joined(d.invoice_no, printed_date(d.invoice_date) if d.invoice_date else None)


def _marks(source: Source, _: Goods, __: int) -> str:
    return source.declaration.marks or "N/M"


COLUMNS: Mapping[str, ColumnBinding] = MappingProxyType(
    {
        "marks": _marks,
        "item": _item,
        "goods": _goods,
        "numbered_goods": _numbered_goods,
        "hs6": _hs6,
        "criterion": _criterion,
        "origin": _origin,
        "quantity": _quantity,
        "quantity_and_fob": _quantity_and_fob,
        "invoices": _invoices,
    }
)
"""Texts of one goods line. Marks belong to the whole certificate and run down their column by themselves."""
FLOWING = frozenset({"marks"})

TICKS: Mapping[str, Callable[[Source], bool]] = MappingProxyType(
    {
        "third_party_invoice": lambda s: s.declaration.third_party_invoice == "1" or bool(s.declaration.non_parties),
        "retroactive": lambda s: s.issue.retroactive,
        "back_to_back": lambda s: s.declaration.certificate_type == "BR",
    }
)
