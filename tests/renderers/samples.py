"""Declarations, issue data, marks and keys for the renderer's tests."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, Literal

from gateway.core.declaration import Declaration, Goods, Invoice
from gateway.core.messages import Part
from renderers import demo_keys, demo_marks
from renderers.bindings import IssueData, Mark
from renderers.compose import compose
from renderers.forms import Form, form_for
from renderers.layout import ImageKind, Layout
from renderers.render import Renderer
from renderers.sign import Signer
from renderers.stamp import Handwriting, Seal, Shape, enrol_handwriting, enrol_seal

AT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
DAY = date(2026, 11, 20)
GOODS = (
    ("9617001100", "ONE HUNDRED AND TWENTY (120) CARTONS OF STAINLESS STEEL VACUUM FLASKS", "CTC"),
    ("6109100021", "EIGHTEEN (18) CARTONS OF COTTON KNITTED T-SHIRTS FOR MEN", "RVC"),
    ("6912001000", "FORTY (40) PALLETS OF CERAMIC TABLEWARE, GLAZED, WITH DECORATION 陶瓷餐具", "WO"),
)
EXPORTER = (
    "NINGBO HAITIAN IMPORT AND EXPORT CO., LTD.\n宁波海天进出口有限公司\nNO. 88 ZHONGSHAN EAST ROAD, NINGBO, CHINA"
)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def form(certificate_type: str) -> Form:
    return form_for(certificate_type, DAY)


def declaration(certificate_type: str = "RC", lines: int = 3, **changed: Any) -> Declaration:
    """A declaration as a trader would write it; `changed` replaces fields."""
    number = f"{certificate_type}261026902330001"
    rcep = certificate_type == "RC"
    goods = tuple(
        Goods(
            line_no=index + 1,
            hs_code=GOODS[index % 3][0],
            description=GOODS[index % 3][1],
            package_count="120",
            package_unit="CARTONS",
            quantity=str(2400 + 10 * index),
            unit="PIECES",
            origin_criterion=GOODS[index % 3][2],
            origin_name="CHINA",
            fob_value="18240.00",
            invoice_no="NBHT20261108" if rcep else None,
            packing_type="1",
        )
        for index in range(lines)
    )
    fields: dict[str, Any] = {
        "number": number,
        "apply_type": "1",
        "certificate_status": "0",
        "certificate_type": certificate_type,
        "exporter_code": "91330200102690233K",
        "applicant_code": "91330200102690233K",
        "company_name": "宁波海天进出口有限公司",
        "application_place": "NINGBO, CHINA",
        "application_date": "2026-11-18",
        "invoice_no": "NBHT20261108",
        "invoice_date": "2026-11-08",
        "destination": "JAPAN",
        "exporter": EXPORTER,
        "consignee": "SAKURA TRADING KABUSHIKI KAISHA\n2-7-1 NIHONBASHI, CHUO-KU, TOKYO\nJAPAN",
        "marks": "SAKURA\nOSAKA\nC/NO. 1-178\nMADE IN CHINA",
        "loading_port": "NINGBO, CHINA",
        "discharge_port": "OSAKA, JAPAN",
        "transport_means": "BY SEA",
        "vessel": "COSCO PRINCE RUPERT V.0126E",
        "transport_details": "FROM NINGBO, CHINA TO OSAKA, JAPAN BY SEA",
        "shipment_date": "2026-11-20",
        "currency": "USD",
        "goods": goods,
        "promise": "1",
        "producer": "NINGBO HAITIAN METALWARE FACTORY\nNO. 12 BINHAI ROAD, BEILUN, NINGBO, CHINA" if rcep else None,
        "invoices": (
            Invoice(
                certificate_number=number,
                invoice_no="NBHT20261108",
                currency="USD",
                price_terms="FOB",
                invoice_date="2026-11-08",
            ),
        )
        if rcep
        else (),
    }
    return Declaration(**{**fields, **changed})


def issue(certificate_type: str = "RC", part: Part = Part.ORIGINAL, **changed: Any) -> IssueData:
    """What customs adds. Pictures are named by the digests of fixed bytes unless `marks` says otherwise."""
    fields: dict[str, Any] = {
        "number": f"{certificate_type}261026902330001",
        "part": part,
        "signed_on": DAY,
        "office_name": "NINGBO CUSTOMS OF THE PEOPLE'S REPUBLIC OF CHINA",
        "office_phone": "+86-574-89090000",
        "office_address": "NO. 89 MAYUAN ROAD, NINGBO, ZHEJIANG, CHINA",
        "bar_code": "310026112000017",
        "marks": {
            ImageKind.CUSTOMS_SEAL: Mark(digest(b"seal"), 40, 40),
            ImageKind.OFFICER_SIGNATURE: Mark(digest(b"signature"), 32, 14),
        },
    }
    return IssueData(**{**fields, **changed})


@dataclass(frozen=True)
class Bench:
    """All that turns a layout into a signed file."""

    renderer: Renderer
    marks: dict[str, bytes]
    places: dict[ImageKind, Mark]
    seal: Seal
    handwriting: Handwriting
    authority: demo_keys.DemoAuthority
    signer: Signer
    rsa: Signer

    def layout(self, certificate_type: str, part: Part = Part.ORIGINAL, lines: int = 3, **changed: Any) -> Layout:
        data = issue(certificate_type, part, marks=self.places)
        return compose(form(certificate_type), declaration(certificate_type, lines, **changed), data)

    def signed(self, layout: Layout | bytes, kind: Literal["P-256", "RSA-2048"] = "P-256") -> bytes:
        signer = self.signer if kind == "P-256" else self.rsa
        return self.renderer.render(layout, self.marks, self.seal, self.handwriting, signer, AT).pdf

    def unsigned(self, layout: Layout | bytes) -> bytes:
        return self.renderer.render(layout, self.marks, self.seal, self.handwriting, None, AT).pdf


@cache
def bench() -> Bench:
    customs = demo_marks.customs_seal("中华人民共和国宁波海关", dpi=300)
    officer = demo_marks.handwriting("Wang Lihua", dpi=300)
    authority = demo_keys.make_authority(AT)

    def signer(kind: Literal["P-256", "RSA-2048"]) -> Signer:
        return Signer(
            demo_keys.make_key(authority, "Ningbo Haitian Import and Export", "secret", AT, kind=kind), "secret"
        )

    return Bench(
        Renderer(),
        {digest(customs): customs, digest(officer): officer},
        {
            ImageKind.CUSTOMS_SEAL: Mark(digest(customs), 40, 40),
            ImageKind.OFFICER_SIGNATURE: Mark(digest(officer), 32, 14),
        },
        enrol_seal(demo_marks.round_seal("宁波海天进出口有限公司", dpi=300), Shape.ROUND, 42, 42),
        enrol_handwriting(demo_marks.handwriting("张伟", dpi=300), 32, 14),
        authority,
        signer("P-256"),
        signer("RSA-2048"),
    )
