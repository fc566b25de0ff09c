"""One layout to one signed file: the pure piece of the render worker, with everything warm that can be.

A `Renderer` belongs to one process; its caches hold prepared first halves of files (form + pictures) and customs'
pictures, never a certificate's text.
"""

import gc
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from renderers import layout_xml
from renderers.forms import Form, form_named, forms
from renderers.layout import Layout, RenderRefused
from renderers.page import Prefix, Unsigned, assemble, prefix
from renderers.png import look
from renderers.sign import Signer
from renderers.stamp import Handwriting, Picture, Seal, prepare_mark

PREFIXES_KEPT = 64
"""About 0.2 MB each."""
MARKS_KEPT = 256
MOST_PIXELS = 8_000_000
"""Of all pictures of a layout. A few kilobytes may hold millions, and each costs time."""
QUICK_PAGES = 20
"""A page takes 0.3 ms when everything is warm."""


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """A finished file."""

    pdf: bytes
    pages: int
    sha256: str


class Renderer:
    """Layout -> PDF, signed, with caches that stay warm."""

    def __init__(self) -> None:
        self._prefixes: OrderedDict[tuple[str, ...], Prefix] = OrderedDict()
        self._marks: OrderedDict[str, Picture] = OrderedDict()

    def warm(self) -> None:
        """Loads fonts and forms, which the first file would otherwise pay for (some 0.2 s).

        What is loaded by then is frozen: the garbage collector would walk through all libraries again and again, which
        took a quarter of the time of a file.
        """
        for form in forms():
            self._prefix(form, {})
        gc.collect()
        gc.freeze()

    def is_quick(self, layout: Layout, seal: Seal | None, handwriting: Handwriting | None) -> bool:
        """Can `render` be called where others wait? Few pages, and all pictures seen before."""
        form = form_named(layout.form, layout.version)
        own = {part.picture.sha256 for part in (seal, handwriting) if part}
        return (
            len(layout.pages) <= QUICK_PAGES
            and form is not None
            and (form.sha256, *sorted({*layout.images(), *own})) in self._prefixes
            and self._marks.keys() >= set(layout.images())
        )

    def render(
        self,
        layout: Layout | bytes,
        marks: Mapping[str, bytes],
        seal: Seal | None,
        handwriting: Handwriting | None,
        signer: Signer | None,
        at: datetime,
    ) -> RenderedFile:
        """The file of a layout (value or XML). `marks`: its pictures by SHA-256; `at`: aware, the signing time.

        Without a signer the file has no signature. Raises RenderRefused.
        """
        value = layout_xml.read(layout) if isinstance(layout, bytes) else layout
        if signer:
            signer.check(at)
        unsigned = self.prepare(value, marks, seal, handwriting, at, signer.hole if signer else 0)
        content, sha256 = signer.sign(unsigned) if signer else unsigned.filled(b"")
        return RenderedFile(content, len(value.pages), sha256)

    def prepare(
        self,
        layout: Layout,
        marks: Mapping[str, bytes],
        seal: Seal | None,
        handwriting: Handwriting | None,
        at: datetime,
        hole: int,
    ) -> Unsigned:
        """The file up to its signature, for which `hole` hexadecimal digits are kept free. Raises RenderRefused."""
        form = form_named(layout.form, layout.version)
        if form is None:
            raise RenderRefused("FORM-UNKNOWN", "the layout is made for a form version that is not installed")
        if form.sha256 != layout.form_sha256:
            raise RenderRefused("FORM-CHANGED", "the layout is made for another edition of its form version")
        wanted = layout.images()
        if sum(_pixels(marks[sha256]) for sha256 in wanted if sha256 in marks) > MOST_PIXELS:
            raise RenderRefused("IMAGE-PIXELS", f"the pictures of a layout have at most {MOST_PIXELS} pixels together")
        pictures = {sha256: self._mark(sha256, marks) for sha256 in wanted}
        pictures.update({part.picture.sha256: part.picture for part in (seal, handwriting) if part})
        first = self._prefix(form, pictures)
        return assemble(first, layout, at=at, seal=seal, handwriting=handwriting, hole=hole)

    def _prefix(self, form: Form, pictures: Mapping[str, Picture]) -> Prefix:
        key = (form.sha256, *sorted(pictures))
        found = self._prefixes.get(key)
        if found is None:
            found = self._prefixes[key] = prefix(form, pictures.values())
            if len(self._prefixes) > PREFIXES_KEPT:
                self._prefixes.popitem(last=False)
        else:
            self._prefixes.move_to_end(key)
        return found

    def _mark(self, sha256: str, marks: Mapping[str, bytes]) -> Picture:
        found = self._marks.get(sha256)
        if found is None:
            if sha256 not in marks:
                raise RenderRefused("MARK-MISSING", "a picture that the layout names is not there")
            found = self._marks[sha256] = prepare_mark(marks[sha256], sha256)
            if len(self._marks) > MARKS_KEPT:
                self._marks.popitem(last=False)
        else:
            self._marks.move_to_end(sha256)
        return found


def _pixels(raw: bytes) -> int:
    """By the picture's header; what is no picture is refused when it is prepared."""
    try:
        file = look(raw)
    except RenderRefused:
        return 0
    return file.width * file.height
