"""A page of a PDF as a picture, for people to look at."""

import io

import pypdfium2 as pdfium


def first_page_png(pdf: bytes, *, dpi: int = 150, page: int = 0) -> bytes:
    """PNG of one page (the first one unless told otherwise) of a file of ours, on white."""
    document = pdfium.PdfDocument(pdf)
    try:
        image = document[page].render(scale=dpi / 72, may_draw_forms=False).to_pil()
        out = io.BytesIO()
        image.convert("RGB").save(out, "PNG", optimize=True)
        return out.getvalue()
    finally:
        document.close()
