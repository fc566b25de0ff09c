"""Approved layout -> signed, stamped PDF: ours, the limit and the peer, on the same certificate, key and pictures.

Each function prepares what may be prepared and returns a callable that makes one file. Ours starts from the layout's
XML or from its value. The limit does only what no writer can leave out: the same font subset, texts formatted, the QR
code, the bytes joined and hashed, one raw signature (no CMS, nothing looked up or checked); from XML it is the sum of
its raw parts: bare parse and XSD verdict come first, their result is thrown away. The peer starts from values:
reportlab with pictures and form as ready objects (no QR code: its own takes 10 ms), pyHanko with the key object kept.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.resources import as_file, files
from io import BytesIO
from statistics import median
from time import perf_counter
from typing import Any

from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko_certvalidator.registry import SimpleCertificateStore
from reportlab.pdfbase import pdfdoc, pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from adapters.codecs.catalog import catalog
from adapters.codecs.xml import parse
from gateway.core.declaration import Declaration, Goods
from gateway.core.messages import Part
from renderers import demo_keys, demo_marks, fonts, layout_xml, page, pdf, qr
from renderers.bindings import IssueData, Mark
from renderers.compose import compose
from renderers.forms import Form, form_for
from renderers.layout import ImageKind, Layout
from renderers.render import Renderer
from renderers.sign import Signer
from renderers.stamp import Handwriting, Picture, Seal, Shape, enrol_handwriting, enrol_seal, prepare_mark

AT = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
PASSWORD = "bench"
SIGNED = 4096
"""Hexadecimal digits that the limit keeps free for its signature."""
Make = Callable[[], bytes]


@dataclass(frozen=True)
class Work:
    """One certificate, one enterprise, one customs office."""

    form: Form
    layout: Layout
    xml: bytes
    marks: dict[str, bytes]
    seal: Seal
    handwriting: Handwriting
    p12: bytes

    @property
    def placed(self) -> list[tuple[Picture, float, float, float, float]]:
        """Pictures of the front with x, y from the top, width, height in mm."""
        front = self.layout.pages[0]
        found: list[tuple[Picture, float, float, float, float]] = [
            (prepare_mark(self.marks[one.sha256], one.sha256), one.x, one.y, one.width, one.height)
            for one in front.images
        ]
        stamps: tuple[Seal | Handwriting, ...] = (self.seal, self.handwriting)
        for slot, stamp in zip(front.slots, stamps, strict=True):
            x, y = slot.x + (slot.width - stamp.width) / 2, slot.y + (slot.height - stamp.height) / 2
            found.append((stamp.picture, x, y, stamp.width, stamp.height))
        return found


def work() -> Work:
    """An RCEP certificate with a Chinese description, so that each file needs a font subset of its own."""
    line = partial(
        Goods, hs_code="9617001100", quantity="2400", unit="PIECES", origin_criterion="CTC", packing_type="1"
    )
    names = ("STAINLESS STEEL VACUUM FLASKS 不锈钢真空保温杯", "CERAMIC TABLEWARE 陶瓷餐具", "COTTON T-SHIRTS 棉制汗衫")
    goods = tuple(line(line_no=n, description=f"EIGHTEEN (18) CARTONS OF {name}") for n, name in enumerate(names, 1))
    declaration = Declaration(
        apply_type="1",
        certificate_status="0",
        certificate_type="RC",
        exporter_code="91330200102690233K",
        applicant_code="91330200102690233K",
        company_name="宁波海天进出口有限公司",
        application_place="NINGBO, CHINA",
        application_date="2026-11-18",
        exporter="NINGBO HAITIAN IMPORT AND EXPORT CO., LTD.\nNO. 88 ZHONGSHAN EAST ROAD, NINGBO, CHINA",
        consignee="SAKURA TRADING KABUSHIKI KAISHA\n2-7-1 NIHONBASHI, CHUO-KU, TOKYO\nJAPAN",
        marks="SAKURA\nOSAKA\nC/NO. 1-178",
        destination="JAPAN",
        goods=goods,
        promise="1",
    )
    customs, officer = demo_marks.customs_seal("中华人民共和国宁波海关"), demo_marks.handwriting("Wang Lihua")
    marks = {hashlib.sha256(one).hexdigest(): one for one in (customs, officer)}
    seal_name, officer_name = marks
    form = form_for("RC", AT.date())
    issue = IssueData(
        number="RC261026902330001",
        part=Part.ORIGINAL,
        signed_on=AT.date(),
        office_name="NINGBO CUSTOMS",
        office_address="NO. 89 MAYUAN ROAD, NINGBO, CHINA",
        bar_code="310026112000017",
        marks={
            ImageKind.CUSTOMS_SEAL: Mark(seal_name, 40, 40),
            ImageKind.OFFICER_SIGNATURE: Mark(officer_name, 32, 14),
        },
    )
    layout = compose(form, declaration, issue)
    return Work(
        form,
        layout,
        layout_xml.write(layout),
        marks,
        enrol_seal(demo_marks.round_seal("宁波海天进出口有限公司"), Shape.ROUND, 42, 42),
        enrol_handwriting(demo_marks.handwriting("张伟"), 32, 14),
        demo_keys.make_key(demo_keys.make_authority(AT), "Ningbo Haitian", PASSWORD, AT),
    )


def ours(given: Work, *, from_xml: bool = True) -> Make:
    """The product's own way."""
    renderer, signer = Renderer(), Signer(given.p12, PASSWORD)
    renderer.warm()
    source = given.xml if from_xml else given.layout
    return lambda: renderer.render(source, given.marks, given.seal, given.handwriting, signer, AT).pdf


def hand_assembled(given: Work, *, from_xml: bool = True) -> Make:
    """The limit: string formatting, one subset, one hash, one raw signature; and before it the raw parse and XSD."""
    schema = catalog()["layout"]
    code = given.layout.pages[0].codes[0]
    first = page.prefix(given.form, {one[0].sha256: one[0] for one in given.placed}.values())
    key = _key(given.p12)
    algorithm = ec.ECDSA(hashes.SHA256())
    face = fonts.face(fonts.Weight.REGULAR)
    height, point = page.PAGE_HEIGHT, page.PT
    texts = [(one.size, one.x * point, height - one.y * point, one.text) for one in given.layout.pages[0].texts]
    wide = {character for *_, text in texts if not text.isascii() for character in text}
    stamped = "".join(
        f"q {w * point:.2f} 0 0 {h * point:.2f} {x * point:.2f} {height - (y + h) * point:.2f} cm /I{p.sha256} Do Q\n"
        for p, x, y, w, h in given.placed
    )
    start = "/Tfront Do BT\n"
    square = partial(
        qr.inline_image, code.content, code.x * point, height - (code.y + code.size) * point, code.size * point
    )
    names = {name: number for name, number in first.names.items() if name[0] in "IT"}

    def make() -> bytes:
        if from_xml and not schema.valid(parse(given.xml)):
            raise ValueError("the layout is not valid")
        objects = pdf.Objects(len(first.body), first.count)
        subset = face.subset(wide)
        own = pdf.add_font(objects, subset, face.weight, by_code_point=False)
        codes = subset.codes()
        lines = [
            f"/R {size:g} Tf 1 0 0 1 {x:.2f} {y:.2f} Tm <{text.encode('utf-16-be').hex()}> Tj"
            if text.isascii()
            else f"/r {size:g} Tf 1 0 0 1 {x:.2f} {y:.2f} Tm <{text.translate(codes).encode('utf-16-be').hex()}> Tj"
            for size, x, y, text in texts
        ]
        content = objects.stream(b"", (start + "\n".join(lines) + "\nET\n" + stamped).encode() + square())
        back = objects.stream(b"", b"/Toverleaf Do\n")
        resources = objects.add(
            b"<</Font<</R %d 0 R/r %d 0 R>>/XObject<<%b>>>>" % (first.names["R"], own, pdf.references(names))
        )
        tree = objects.reserve()
        sides = [
            objects.add(
                b"<</Type/Page/Parent %d 0 R/MediaBox[0 0 595.28 841.89]/Resources %d 0 R/Contents %d 0 R>>"
                % (tree, resources, side)
            )
            for side in (content, back)
        ]
        objects.add(b"<</Type/Pages/Kids[%d 0 R %d 0 R]/Count 2>>" % tuple(sides), tree)
        root = objects.add(b"<</Type/Catalog/Pages %d 0 R>>" % tree)
        rest = b"".join(objects.parts)
        end = pdf.table(
            first.entries + pdf.entries(objects.offsets, first.count + 1, objects.count),
            objects.count,
            b"/Root %d 0 R" % root,
            len(first.body) + len(rest) + SIGNED + 2,
        )
        state = first.state.copy()
        state.update(rest)
        state.update(end)
        signature = key.sign(state.digest(), algorithm)
        return first.body + rest + b"%" + signature.hex().encode().ljust(SIGNED, b"0") + b"\n" + end

    return make


class Ready(pdfdoc.PDFObject):  # type: ignore[misc]
    """An object whose bytes are ready; `mask` is the soft mask it refers to."""

    def __init__(self, dictionary: bytes, data: bytes, mask: Any = None) -> None:
        self._dictionary, self._data, self._mask = dictionary, data, mask

    def format(self, document: Any) -> bytes:
        """Called by reportlab when it writes the file."""
        mask = b"/SMask " + self._mask.format(document) if self._mask is not None else b""
        return b"<<%b%b/Length %d>>\nstream\n%b\nendstream" % (self._dictionary, mask, len(self._data), self._data)


class KeptKey(signers.SimpleSigner):
    """pyHanko's signer without loading and checking the key for every signature."""

    kept: ec.EllipticCurvePrivateKey

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        """DER of the ECDSA signature."""
        return bytes(72) if dry_run else self.kept.sign(data, ec.ECDSA(hashes.SHA256()))


def reportlab_pyhanko(given: Work) -> Make:
    """The peer."""
    with as_file(files(fonts.FILE[0]).joinpath(fonts.FILE[1])) as path:
        pdfmetrics.registerFont(TTFont("Noto", str(path)))
    placed, front = given.placed, given.layout.pages[0]
    helvetica = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
    shape = b"/Type/XObject/Subtype/Form/BBox[0 0 595.28 841.89]/Resources<</Font<</F %b>>>>" % helvetica
    static = {name: _static(given.form, name) for name in ("front", "overleaf")}
    signer = _kept_key(given.p12)
    details = signers.PdfSignatureMetadata(
        field_name="EnterpriseSignature", md_algorithm="sha256", subfilter=fields.SigSeedSubFilter.PADES
    )
    height, point = page.PAGE_HEIGHT, page.PT

    def draw(canvas: Canvas, name: str, thing: Any) -> None:
        inner = pdfdoc.xObjectName(name)
        canvas._doc.Reference(thing, inner)
        canvas._formsinuse.append(name)
        canvas._code.append(f"/{inner} Do")

    def make() -> bytes:
        out = BytesIO()
        canvas = Canvas(out, pagesize=(595.28, 841.89), pageCompression=0, invariant=1)
        draw(canvas, "front", Ready(shape, static["front"]))
        for one in front.texts:
            canvas.setFont("Helvetica" if one.text.isascii() else "Noto", one.size)
            canvas.drawString(one.x * point, height - one.y * point, one.text)
        for number, (picture, x, y, w, h) in enumerate(placed):
            mask = canvas._doc.Reference(Ready(_shape(picture, True), picture.opacity), f"mask{number}")
            canvas.saveState()
            canvas.transform(w * point, 0, 0, h * point, x * point, height - (y + h) * point)
            draw(canvas, f"picture{number}", Ready(_shape(picture, False), picture.colour, mask))
            canvas.restoreState()
        canvas.showPage()
        draw(canvas, "overleaf", Ready(shape, static["overleaf"]))
        canvas.showPage()
        canvas.save()
        signed = signers.sign_pdf(
            IncrementalPdfFileWriter(out), details, signer=signer, bytes_reserved=8192, in_place=False
        )
        return bytes(signed.getvalue())

    return make


def _static(form: Form, name: str) -> bytes:
    """The form's lines and words as page operators, in Helvetica."""
    template = form.templates[name]
    words = [
        f"BT /F {one.size:g} Tf {one.x * page.PT:.2f} {page.PAGE_HEIGHT - one.y * page.PT:.2f} Td "
        f"<{one.text.encode('cp1252').hex()}> Tj ET"
        for one in template.texts
    ]
    return page._drawn(template.rules, template.boxes) + "\n".join(words).encode()


def _shape(picture: Picture, mask: bool) -> bytes:
    wide, high = (picture.width, picture.height) if mask else (picture.colour_width, picture.colour_height)
    space = b"/DeviceGray" if mask or picture.channels == 1 else b"/DeviceRGB"
    return b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent 8/Filter/FlateDecode/ColorSpace%b" % (
        wide,
        high,
        space,
    )


def _key(p12: bytes) -> ec.EllipticCurvePrivateKey:
    key = pkcs12.load_key_and_certificates(p12, PASSWORD.encode())[0]
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("the bench signs on P-256")
    return key


def _kept_key(p12: bytes) -> KeptKey:
    key, certificate, others = pkcs12.load_key_and_certificates(p12, PASSWORD.encode())
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate is None:
        raise TypeError("the bench signs on P-256")
    der = serialization.Encoding.DER
    store: Any = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    store.register_multiple([asn1_x509.Certificate.load(one.public_bytes(der)) for one in others])
    raw = key.private_bytes(der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signer = KeptKey(
        signing_cert=asn1_x509.Certificate.load(certificate.public_bytes(der)),
        signing_key=asn1_keys.PrivateKeyInfo.load(raw),
        cert_registry=store,
    )
    signer.kept = key
    return signer


def compare(seconds: float = 2.0) -> dict[str, float]:
    """Median milliseconds a file, taken in turns, so that a busy machine slows all alike."""
    given = work()
    makers = {
        "ours": ours(given),
        "limit": hand_assembled(given),
        "ours from values": ours(given, from_xml=False),
        "limit from values": hand_assembled(given, from_xml=False),
        "peer": reportlab_pyhanko(given),
    }
    times: dict[str, list[float]] = {name: [] for name in makers}
    for make in makers.values():
        make()
    end = perf_counter() + seconds
    while perf_counter() < end:
        for name, make in makers.items():
            for _ in range(1 if name == "peer" else 10):
                start = perf_counter()
                make()
                times[name].append((perf_counter() - start) * 1000)
    return {name: median(found) for name, found in times.items()}
