"""Declarations as an ERP would send them: seeded, realistic, both dialects, both types, 1 to 60 goods lines."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from importlib import resources
from itertools import islice
from random import Random

from num2words import num2words

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.core.declaration import Declaration, Goods, Invoice
from simulators.erp.enterprises import ENTERPRISES, Enterprise

SIZES = (1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 12, 20, 40, 60)
"""Numbers of goods lines, the small ones more often."""
LAST_DAY = date(2026, 11, 20)
"""Applications are made on this day or up to 30 days before it, unless the caller names another."""
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Article:
    """One line of goods.csv."""

    hs: str
    name: str
    name_zh: str
    package_unit: str
    packages: str
    """The unit in words, for the description."""
    unit: str
    unit_zh: str
    per_package: int
    price: Decimal
    kilos: Decimal
    criterion: str


@dataclass(frozen=True, slots=True)
class Destination:
    """One line of destinations.csv."""

    code: str
    name: str
    name_zh: str
    port: str
    consignee: str
    types: tuple[str, ...]


def declarations(
    seed: int, count: int, enterprises: Sequence[Enterprise] = ENTERPRISES, *, last_day: date = LAST_DAY
) -> Iterator[tuple[str, bytes]]:
    """`count` declarations as (media type, bytes), for the enterprises in turn; the same arguments, the same bytes."""
    return islice(endless(seed, enterprises, last_day=last_day), count)


def endless(
    seed: int, enterprises: Sequence[Enterprise] = ENTERPRISES, *, last_day: date = LAST_DAY
) -> Iterator[tuple[str, bytes]]:
    """As `declarations`, without an end."""
    xml, json = CustomsXml(), EnterpriseJson()
    serial = 0
    while True:
        random = Random(f"{seed}/{serial}")  # noqa: S311 (an example, not a secret)
        kind = random.choice(("C", "RC"))
        content = declaration(random, kind, enterprises[serial % len(enterprises)], serial, last_day)
        dialect = random.choice((xml, json))
        yield dialect.media_type, dialect.write(content)
        serial += 1


def declaration(
    random: Random, kind: str, enterprise: Enterprise, serial: int, last_day: date = LAST_DAY, size: int | None = None
) -> Declaration:
    """One declaration of certificate type C or RC, without a number: the gateway gives one."""
    place = random.choice([d for d in destinations() if kind in d.types])
    applied = last_day - timedelta(days=random.randrange(30))
    invoiced = applied - timedelta(days=random.randrange(1, 10))
    invoice_no = f"{enterprise.slug[-3:].upper()}{invoiced:%y%m%d}-{serial:05d}"
    chosen = [random.choice(articles()) for _ in range(size or random.choice(SIZES))]
    goods = tuple(_line(random, kind, enterprise, a, n, invoice_no) for n, a in enumerate(chosen, 1))
    total = str(sum(Decimal(line.amount or 0) for line in goods))
    loading = f"{enterprise.town.name}, CHINA"
    marks = "N/M" if random.random() < 0.4 else f"{place.consignee.split()[0]}\n{invoice_no}\nC/NO. 1-{serial + 10}"
    invoice = Invoice(
        invoice_no=invoice_no,
        amount=total,
        currency="USD",
        price_terms="FOB",
        invoice_date=invoiced.isoformat(),
    )
    return Declaration(
        apply_type="1",
        certificate_status="0",
        certificate_type=kind,
        exporter_code=enterprise.code,
        applicant_code=enterprise.code,
        company_name=enterprise.name_zh,
        declarant_name=enterprise.declarant,
        declarant_id=enterprise.declarant_id,
        declarant_phone=enterprise.phone,
        issuing_office=enterprise.town.office,
        collecting_office=enterprise.town.office,
        application_place=loading,
        invoice_date=invoiced.isoformat(),
        invoice_no=invoice_no,
        application_date=applied.isoformat(),
        destination=place.name,
        destination_code=place.code,
        destination_name_zh=place.name_zh,
        exporter=enterprise.block,
        consignee=place.consignee,
        marks=marks,
        loading_port=loading,
        discharge_port=place.port,
        transport_means="BY SEA",
        vessel=f"EXAMPLE STAR V.{random.randrange(100, 999)}W",
        destination_port=place.port,
        transport_details=f"FROM {loading} TO {place.port} BY SEA",
        shipment_date=(applied + timedelta(days=random.randrange(1, 8))).isoformat(),
        trade_mode="1",
        fob_value=total,
        total_amount=total,
        price_terms="FOB",
        currency="USD",
        contract_no=f"CT-{invoice_no}",
        exporter_phone=enterprise.phone,
        exporter_fax=enterprise.phone,
        exporter_email=f"export@{enterprise.slug}.example",
        contact_name=enterprise.declarant,
        contact_phone=enterprise.phone,
        goods=goods,
        invoices=(invoice,) if kind == "RC" else (),
        promise="1",
    )


def _line(random: Random, kind: str, enterprise: Enterprise, article: Article, number: int, invoice_no: str) -> Goods:
    packages = random.randrange(1, 400)
    quantity = packages * article.per_package
    amount = (quantity * article.price).quantize(CENT)
    net = (quantity * article.kilos).quantize(CENT)
    words = num2words(packages).replace("-", " ").replace(",", "").upper()
    line = Goods(
        non_goods="N",
        line_no=number,
        hs_code=article.hs,
        name_zh=article.name_zh,
        name=article.name,
        package_count=str(packages),
        package_unit=article.package_unit,
        quantity=str(quantity),
        unit=article.unit,
        unit_zh=article.unit_zh,
        second_quantity=str(net),
        second_unit="KGS",
        gross_weight=str((net * Decimal("1.08")).quantize(CENT)),
        net_weight=str(net),
        weight_unit="KGS",
        unit_price=str(article.price),
        amount=str(amount),
        fob_value=str(amount),
        import_content="0",
        producer_code=enterprise.organisation,
        producer_name_zh=enterprise.name_zh,
        producer_contact=enterprise.declarant,
        producer_contact_phone=enterprise.phone,
        description=f"{words} ({packages}) {article.packages} OF {article.name}",
        packing_type="1",
    )
    if kind != "RC":
        return line
    return line.model_copy(
        update={
            "origin_criterion": article.criterion,
            "producer": enterprise.block,
            "origin_code": "156",
            "origin_name": "CHINA",
            "tax_rate_flag": "0",
            "invoice_no": invoice_no,
        }
    )


@cache
def articles() -> tuple[Article, ...]:
    """What the fictional enterprises sell."""
    return tuple(
        Article(
            hs=row["hs"],
            name=row["name"],
            name_zh=row["name_zh"],
            package_unit=row["package_unit"],
            packages=row["packages"],
            unit=row["unit"],
            unit_zh=row["unit_zh"],
            per_package=int(row["per_package"]),
            price=Decimal(row["price"]),
            kilos=Decimal(row["kilos"]),
            criterion=row["criterion"],
        )
        for row in _table("goods.csv")
    )


@cache
def destinations() -> tuple[Destination, ...]:
    """Where they sell it."""
    return tuple(
        Destination(
            code=row["code"],
            name=row["name"],
            name_zh=row["name_zh"],
            port=row["port"],
            consignee=row["consignee"].replace("|", "\n"),
            types=tuple(row["types"].split()),
        )
        for row in _table("destinations.csv")
    )


def _table(name: str) -> list[dict[str, str]]:
    text = resources.files("simulators.erp").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
