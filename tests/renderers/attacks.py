"""What an attacker can do to a signed certificate with a library for PDF files."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import ArrayObject, DictionaryObject, StreamObject, pdf_date, pdf_name, pdf_string
from pyhanko.sign import fields

from tests.renderers.papers import AT, Writer


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
