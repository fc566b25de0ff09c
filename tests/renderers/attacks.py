"""Signed certificates, and what an attacker can do to them with a library for PDF files."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from asn1crypto import cms, pem
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, StreamObject, pdf_date, pdf_name, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import fields, signers
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko.sign.validation.dss import DocumentSecurityStore

from renderers import demo_keys
from renderers.page import Unsigned
from renderers.sign import Signer
from tests.renderers.samples import AT, bench

# asn1crypto makes its index of names once. Made for a key file before pyHanko was loaded, it lacks those of time stamps.
for names in (cms.ContentType, cms.CMSAttributeType):
    names._reverse_map = {name: number for number, name in names._map.items()}

PASSWORD = "secret"
ENTERPRISE, OTHER = "913302001026902333", "91330100799655058B"
OWN_NAME, OTHER_NAME = f"NINGBO HAITIAN {ENTERPRISE}", f"HANGZHOU LONGJING {OTHER}"
NUMBER = "C261026902330001"
AUTHORITY = "SOME CA"
SINCE, DAYS = datetime(2020, 1, 1, tzinfo=UTC), 28_000
Writer = IncrementalPdfFileWriter


@dataclass(frozen=True)
class Keys:
    """Who may be found in a file."""

    authority: demo_keys.DemoAuthority
    rival: demo_keys.DemoAuthority
    """An authority that somebody made himself, under the same name."""
    own: bytes
    other: bytes
    """Another enterprise of the same authority."""
    forged: bytes
    """The exporter's name, by the rival."""
    self_made: bytes
    stamping: bytes

    @property
    def root(self) -> bytes:
        return self.authority.pem


@cache
def keys() -> Keys:
    stamping = rsa.generate_private_key(65537, 2048)
    authority, rival = an_authority(), an_authority()
    return Keys(
        authority,
        rival,
        a_key(OWN_NAME, authority=authority),
        a_key(OTHER_NAME, authority=authority),
        a_key(OWN_NAME, authority=rival),
        a_key(OWN_NAME),
        a_key("TIME STAMPS", authority=authority, purposes=[x509.ExtendedKeyUsageOID.TIME_STAMPING], key=stamping),
    )


def an_authority() -> demo_keys.DemoAuthority:
    """As the demo's, but valid whenever the tests run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, AUTHORITY)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(SINCE)
        .not_valid_after(SINCE + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return demo_keys.DemoAuthority(key, certificate)


def a_key(
    name: str,
    *,
    authority: demo_keys.DemoAuthority | None = None,
    purposes: list[x509.ObjectIdentifier] | None = None,
    signs: bool = True,
    start: datetime = SINCE,
    days: int = DAYS,
    key: Any = None,
) -> bytes:
    """PKCS#12 of a key whose certificate says what is told; without an authority it is self-made."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(signs, signs, not signs, False, False, False, False, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(usage, critical=True)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    signing = authority.key if authority else key
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(signing, digest)
    chain = [authority.certificate] if authority else None
    return pkcs12.serialize_key_and_certificates(
        b"x", key, certificate, chain, serialization.BestAvailableEncryption(PASSWORD.encode())
    )


@cache
def paper(p12: bytes | None = None) -> bytes:
    """A certificate of origin of two pages as the gateway makes it, signed by the exporter unless told otherwise."""
    return (
        bench()
        .renderer.render(
            bench().layout("C"),
            bench().marks,
            bench().seal,
            bench().handwriting,
            Signer(p12 or keys().own, PASSWORD),
            AT,
        )
        .pdf
    )


def unsigned(hole: int) -> Unsigned:
    """The same before it is signed."""
    return bench().renderer.prepare(bench().layout("C"), bench().marks, bench().seal, bench().handwriting, AT, hole)


def saved(content: bytes, change: Callable[[Writer], object]) -> bytes:
    """A file changed and saved as PDF programs do: what was there stays, what is new comes after it."""
    writer = Writer(io.BytesIO(content))
    change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def signed_again(content: bytes, p12: bytes, **options: Any) -> bytes:
    """As `resign.py` does."""
    signer = signers.SimpleSigner.load_pkcs12_data(p12, [], passphrase=PASSWORD.encode())
    data = signers.PdfSignatureMetadata(field_name="S2", **options)
    return signers.sign_pdf(Writer(io.BytesIO(content)), data, signer=signer).getvalue()


def long_term(content: bytes, certificates: int = 1) -> bytes:
    """A document security store is added."""
    out = io.BytesIO(content)
    root = asn1_x509.Certificate.load(pem.unarmor(keys().root)[2])
    DocumentSecurityStore.add_dss(out, None, certs=[root] * certificates, ocsps=[], crls=[])
    return out.getvalue()


def time_stamped(content: bytes, box: tuple[int, int, int, int] | None = None, name: str = "T") -> bytes:
    """A document time stamp is added; with a box it is visible."""
    made = signers.SimpleSigner.load_pkcs12_data(keys().stamping, [], passphrase=PASSWORD.encode())
    stamper = DummyTimeStamper(made.signing_cert, made.signing_key, certs_to_embed=made.cert_registry, fixed_dt=AT)
    writer = Writer(io.BytesIO(content))
    if box:
        fields.append_signature_field(writer, fields.SigFieldSpec(name, box=box))
    timestamper = signers.PdfTimeStamper(stamper, field_name=name)
    return timestamper.timestamp_pdf(writer, "sha256").getvalue()


# ---------------------------------------------------------------- what can be changed


def a_page(writer: Writer, number: int = 0) -> Any:
    page = writer.root["/Pages"]["/Kids"][number].get_object()
    writer.update_container(page)
    return page


def a_picture(writer: Writer, content: bytes = b"0 0 600 800 re f") -> Any:
    """A reference to a drawing that covers a page."""
    look = {"/Type": pdf_name("/XObject"), "/Subtype": pdf_name("/Form"), "/BBox": numbers(0, 0, 600, 800)}
    return writer.add_object(StreamObject(dict_data={pdf_name(k): v for k, v in look.items()}, stream_data=content))


def numbers(*values: float) -> ArrayObject:
    return ArrayObject(generic.FloatObject(value) for value in values)


def dictionary(**entries: Any) -> DictionaryObject:
    return DictionaryObject({pdf_name(f"/{name}"): value for name, value in entries.items()})


def annotation(kind: str, **entries: Any) -> Callable[[Writer], None]:
    """Of any kind, over the whole page."""

    def change(writer: Writer) -> None:
        look = dictionary(N=a_picture(writer))
        body = dictionary(
            Type=pdf_name("/Annot"), Subtype=pdf_name(f"/{kind}"), Rect=numbers(0, 0, 600, 800), AP=look,
            Contents=pdf_string("FAKE"), F=generic.NumberObject(4), **entries,
        )  # fmt: skip
        page = a_page(writer)
        page["/Annots"] = ArrayObject([*page["/Annots"], writer.add_object(body)])

    return change


def field(kind: str, **entries: Any) -> Callable[[Writer], None]:
    """A form field with a picture over the page."""

    def change(writer: Writer) -> None:
        annotation("Widget", FT=pdf_name(f"/{kind}"), T=pdf_string("over"), **entries)(writer)
        form = writer.root["/AcroForm"]
        form["/Fields"] = ArrayObject([*form["/Fields"], a_page(writer)["/Annots"][-1]])
        writer.update_root()

    return change


def catalogue(**entries: Any) -> Callable[[Writer], None]:
    def change(writer: Writer) -> None:
        for name, value in entries.items():
            writer.root[pdf_name(f"/{name}")] = value
        writer.update_root()

    return change


def form(**entries: Any) -> Callable[[Writer], None]:
    def change(writer: Writer) -> None:
        for name, value in entries.items():
            writer.root["/AcroForm"][pdf_name(f"/{name}")] = value
        writer.update_root()

    return change


def page(number: int = 0, **entries: Any) -> Callable[[Writer], None]:
    def change(writer: Writer) -> None:
        changed = a_page(writer, number)
        for name, value in entries.items():
            changed[pdf_name(f"/{name}")] = value

    return change


def info(**entries: Any) -> Callable[[Writer], None]:
    def change(writer: Writer) -> None:
        known = writer.trailer["/Info"]
        for name, value in entries.items():
            known[pdf_name(f"/{name}")] = value
        writer.update_container(known)

    return change


def replaced(find: Callable[[Writer], Any], content: bytes | None = None) -> Callable[[Writer], None]:
    """Another object under the number of one that is there; a stream when `content` is given, else nothing."""

    def change(writer: Writer) -> None:
        ref = find(writer).reference
        old = ref.get_object()
        new: Any = generic.NullObject()
        if content is not None:
            kept = {k: v for k, v in old.items() if k not in ("/Length", "/Filter")}
            new = StreamObject(dict_data=kept, stream_data=content)
        writer.objects[(0, ref.idnum)] = new
        writer._force_write_when_empty = True

    return change


def first_content(writer: Writer) -> Any:
    """A reference to what page 1 draws."""
    return writer.root["/Pages"]["/Kids"][0].get_object().raw_get("/Contents")


def resource(kind: str) -> Callable[[Writer], Any]:
    """A reference to the first font or picture of page 1."""

    def find(writer: Writer) -> Any:
        resources = writer.root["/Pages"]["/Kids"][0]["/Resources"]
        return next(iter(resources[f"/{kind}"].values()))

    return find


def repointed(kind: str, name: str) -> Callable[[Writer], None]:
    """A resource's name leads elsewhere."""

    def change(writer: Writer) -> None:
        resources = writer.root["/Pages"]["/Kids"][0]["/Resources"]
        known = next(key for key in resources[f"/{kind}"] if key.startswith(name))
        resources[f"/{kind}"][pdf_name(known)] = a_picture(writer)
        writer.update_container(resources)

    return change


def painted_over(writer: Writer) -> None:
    """As `resign.py` does."""
    ref = writer.add_object(StreamObject(stream_data=b"BT /R 40 Tf 100 500 Td <00460041004b0045> Tj ET"))
    changed = a_page(writer)
    changed["/Contents"] = ArrayObject([changed.raw_get("/Contents"), ref])


def another_page(writer: Writer) -> None:
    pages = writer.root["/Pages"]
    new = writer.add_object(
        dictionary(Type=pdf_name("/Page"), Parent=writer.root.raw_get("/Pages"), MediaBox=numbers(0, 0, 600, 800),
                   Contents=writer.add_object(StreamObject(stream_data=b"0 0 600 800 re f")))
    )  # fmt: skip
    pages["/Kids"] = ArrayObject([*pages["/Kids"], new])
    pages["/Count"] = generic.NumberObject(len(pages["/Kids"]))
    writer.update_container(pages)


def pages_reordered(writer: Writer) -> None:
    pages = writer.root["/Pages"]
    pages["/Kids"] = ArrayObject(reversed(list(pages["/Kids"])))
    writer.update_container(pages)


def one_page_less(writer: Writer) -> None:
    pages = writer.root["/Pages"]
    pages["/Kids"] = ArrayObject(list(pages["/Kids"])[:1])
    pages["/Count"] = generic.NumberObject(1)
    writer.update_container(pages)


def attached(writer: Writer) -> None:
    file = writer.add_object(StreamObject(stream_data=b"another certificate"))
    spec = writer.add_object(dictionary(Type=pdf_name("/Filespec"), F=pdf_string("a.pdf"), EF=dictionary(F=file)))
    names = dictionary(EmbeddedFiles=dictionary(Names=ArrayObject([pdf_string("a.pdf"), spec])))
    catalogue(Names=names, AF=ArrayObject([spec]))(writer)


def layers(writer: Writer) -> None:
    """Optional content: what is seen on the screen is not what is printed."""
    group = writer.add_object(dictionary(Type=pdf_name("/OCG"), Name=pdf_string("layer")))
    shown = dictionary(OFF=ArrayObject([group]), Order=ArrayObject([group]))
    catalogue(OCProperties=dictionary(OCGs=ArrayObject([group]), D=shown))(writer)


def own_field(**entries: Any) -> Callable[[Writer], None]:
    """The signature's own field."""

    def change(writer: Writer) -> None:
        known = writer.root["/AcroForm"]["/Fields"][0].get_object()
        for name, value in entries.items():
            known[pdf_name(f"/{name}")] = value
        writer.update_container(known)

    return change


def own_look(writer: Writer) -> None:
    """A picture over the page, as the look of the exporter's own signature."""
    own_field(AP=dictionary(N=a_picture(writer)), Rect=numbers(0, 0, 600, 800))(writer)


def a_place_to_sign(writer: Writer) -> None:
    fields.append_signature_field(writer, fields.SigFieldSpec("Empty"))


def a_place_to_sign_on_the_page(writer: Writer) -> None:
    fields.append_signature_field(writer, fields.SigFieldSpec("Empty", box=(0, 0, 600, 800)))


def nobodys_object(writer: Writer) -> None:
    writer.add_object(dictionary(Type=pdf_name("/Catalog"), Pages=pdf_string("another")))


def store(**entries: Any) -> Callable[[Writer], None]:
    """A document security store with something else in it."""

    def change(writer: Writer) -> None:
        made = dictionary(**{name: make(writer) for name, make in entries.items()})
        catalogue(DSS=writer.add_object(made))(writer)

    return change


def stored_over_a_page(writer: Writer) -> None:
    """The content of page 1, changed, called a certificate of the store."""
    replaced(first_content, b"0 0 600 800 re f")(writer)
    catalogue(DSS=dictionary(Certs=ArrayObject([first_content(writer)])))(writer)


SCRIPT = dictionary(S=pdf_name("/JavaScript"), JS=pdf_string("app.alert(1)"))
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
KINDS = (
    "3D", "Caret", "Circle", "FileAttachment", "FreeText", "Highlight", "Ink", "Line", "Link", "Movie", "PolyLine",
    "Polygon", "Popup", "PrinterMark", "Projection", "Redact", "RichMedia", "Screen", "Sound", "Square", "Squiggly",
    "Stamp", "StrikeOut", "Text", "TrapNet", "Underline", "Watermark",
)  # fmt: skip
"""Of annotations (ISO 32000-2, 12.5.6); widgets are apart."""
CHANGES: Mapping[str, Callable[[Writer], Any]] = {
    "painted over": painted_over,
    "another page": another_page,
    "pages reordered": pages_reordered,
    "one page less": one_page_less,
    "attached": attached,
    "layers": layers,
    "script": catalogue(OpenAction=SCRIPT),
    "script on events": catalogue(AA=dictionary(WP=SCRIPT)),
    "outlines": catalogue(Outlines=dictionary(Count=generic.NumberObject(0))),
    "page mode": catalogue(PageMode=pdf_name("/UseAttachments")),
    "viewer preferences": catalogue(ViewerPreferences=dictionary(ViewArea=pdf_name("/CropBox"))),
    "language": catalogue(Lang=pdf_string("zh")),
    "collection": catalogue(Collection=dictionary(View=pdf_name("/H"))),
    "metadata": lambda w: catalogue(Metadata=w.add_object(StreamObject(stream_data=XMP)))(w),
    "title": info(Title=pdf_string("Certificate of origin C261026902330002, original")),
    "author": info(Author=pdf_string("Mallory")),
    "keywords": info(Keywords=pdf_string("x")),
    "made": info(CreationDate=pdf_date(AT + timedelta(days=1))),
    "media box": page(MediaBox=numbers(0, 0, 300, 300)),
    "crop box": page(CropBox=numbers(100, 100, 300, 300)),
    "rotation": page(Rotate=generic.NumberObject(180)),
    "user unit": page(UserUnit=generic.FloatObject(2)),
    "second page's box": page(1, MediaBox=numbers(0, 0, 300, 300)),
    "annotations gone": page(Annots=ArrayObject([])),
    "content replaced": replaced(first_content, b"0 0 9 9 re f"),
    "content emptied": replaced(first_content),
    "font replaced": replaced(resource("Font")),
    "picture replaced": replaced(resource("XObject"), b"0 0 600 800 re f"),
    "font's name repointed": repointed("Font", "/R"),
    "picture's name repointed": repointed("XObject", "/I"),
    "template's name repointed": repointed("XObject", "/T"),
    "picture emptied": replaced(resource("XObject")),
    "nobody's object": nobodys_object,
    "own field's look": own_look,
    "own field moved": own_field(Rect=numbers(0, 0, 1, 1)),
    "own field renamed": own_field(TU=pdf_string("Mallory")),
    "own field hidden": own_field(F=generic.NumberObject(2)),
    "own field's lock": own_field(Lock=dictionary(Action=pdf_name("/All"))),
    "a place to sign": a_place_to_sign,
    "a place to sign on the page": a_place_to_sign_on_the_page,
    "needs appearances": form(NeedAppearances=generic.BooleanObject(True)),
    "form resources": form(DR=dictionary(Font=dictionary())),
    "form look": form(DA=pdf_string("/R 9 Tf")),
    "XFA": lambda w: form(XFA=w.add_object(StreamObject(stream_data=b"<xdp/>")))(w),
    "calculated": form(CO=ArrayObject([])),
    "text field": field("Tx", V=pdf_string("FAKE")),
    "button": field("Btn"),
    "choice": field("Ch"),
    "store with more": store(Pages=lambda w: a_picture(w)),
    "store with no list": store(Certs=lambda w: a_picture(w)),
    "store with no streams": store(Certs=lambda w: ArrayObject([w.add_object(pdf_string("x"))])),
    "store over a page": stored_over_a_page,
    "widget": annotation("Widget"),
    **{f"annotation {kind}": annotation(kind) for kind in KINDS},
}  # fmt: skip
"""Name -> change of a signed file."""


# ---------------------------------------------------------------- by hand


def update(content: bytes, *objects: tuple[int, bytes], free: Sequence[int] = (), trailer: bytes = b"") -> bytes:
    """An incremental update written by hand: objects by number, as a table names them."""
    size = max([int(number) for number in re.findall(rb"/Size (\d+)", content)] + [number + 1 for number, _ in objects])
    previous = int(re.findall(rb"startxref\s+(\d+)", content)[-1])
    out, lines = bytearray(content), []
    for number, body in objects:
        lines.append(b"%d 1\n%010d 00000 n \n" % (number, len(out)))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    lines += [b"%d 1\n0000000000 00001 f \n" % number for number in free]
    start = len(out)
    root = re.findall(rb"/Root (\d+ 0 R)", content)[-1]
    rest = b"/Root %b/Size %d/Prev %d%b" % (root, size, previous, trailer)
    table = b"xref\n0 1\n0000000000 65535 f \n%btrailer\n<<%b>>\n" % (b"".join(lines), rest)
    return bytes(out + table + b"startxref\n%d\n%%%%EOF\n" % start)


def number_of(pattern: bytes, content: bytes) -> tuple[int, bytes]:
    """The object that has a pattern in it: number and body."""
    for found in re.finditer(rb"(\d+) 0 obj\n(.*?)\nendobj", content, re.DOTALL):
        if re.search(pattern, found[2]):
            return int(found[1]), found[2]
    raise LookupError(pattern)
