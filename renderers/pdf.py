"""The PDF file format, as far as a page of text, lines and pictures needs it: objects, fonts, cross-reference table."""

import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from renderers import fonts
from renderers.fonts import Subset, Weight
from renderers.stamp import Picture

HEADER = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
SYSTEM = b"<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"


@dataclass(slots=True)
class Objects:
    """Objects one after another, and where each one starts."""

    start: int
    """Offset of the first one in the file."""
    count: int
    """Highest object number given so far."""
    parts: list[bytes] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)
    size: int = 0

    def reserve(self) -> int:
        """A number for an object that comes later."""
        self.count += 1
        return self.count

    def add(self, content: bytes, number: int | None = None) -> int:
        """Writes an object; returns its number."""
        given = self.reserve() if number is None else number
        self.offsets[given] = self.start + self.size
        part = b"%d 0 obj\n%b\nendobj\n" % (given, content)
        self.parts.append(part)
        self.size += len(part)
        return given

    def stream(self, dictionary: bytes, data: bytes) -> int:
        """Writes a stream; `dictionary` holds all entries but the length, without brackets."""
        return self.add(b"<<%b/Length %d>>\nstream\n%b\nendstream" % (dictionary, len(data), data))

    def packed(self, dictionary: bytes, data: bytes) -> int:
        """Writes a stream, compressed: for what is prepared once."""
        return self.stream(dictionary + b"/Filter/FlateDecode", zlib.compress(data, 9))


def add_font(objects: Objects, subset: Subset, weight: Weight, *, by_code_point: bool) -> int:
    """Embeds a subset as CIDFontType2 with Identity-H. CIDs are code points (BMP), or places in the subset from 1."""
    cids = [ord(one) if by_code_point else place for place, one in enumerate(subset.characters, 1)]
    tag = "".join(chr(65 + byte % 26) for byte in hashlib.sha256(subset.program).digest()[:6])
    name = f"{tag}+{fonts.NAME}-{weight.name.title()}".encode()
    write = objects.packed if by_code_point else objects.stream
    program = write(b"/Length1 %d" % len(subset.program), subset.program)
    glyphs = bytearray(2 * (max(cids, default=0) + 1))
    for cid, glyph in zip(cids, subset.glyphs, strict=True):
        glyphs[2 * cid : 2 * cid + 2] = glyph.to_bytes(2, "big")
    to_glyph = write(b"", bytes(glyphs))
    unicode_map = write(b"", _to_unicode(zip(cids, subset.characters, strict=True)))
    descriptor = objects.add(
        b"<</Type/FontDescriptor/FontName/%b/Flags 4/FontBBox[-200 -250 1200 1000]/ItalicAngle 0/Ascent %d/Descent %d"
        b"/CapHeight %d/StemV %d/FontFile2 %d 0 R>>"
        % (name, fonts.ASCENT, fonts.DESCENT, fonts.CAP_HEIGHT, 80 if weight is Weight.REGULAR else 130, program)
    )
    descendant = objects.add(
        b"<</Type/Font/Subtype/CIDFontType2/BaseFont/%b/CIDSystemInfo%b/FontDescriptor %d 0 R/DW 1000/W[%b]"
        b"/CIDToGIDMap %d 0 R>>" % (name, SYSTEM, descriptor, _widths(cids, subset.widths), to_glyph)
    )
    return objects.add(
        b"<</Type/Font/Subtype/Type0/BaseFont/%b/Encoding/Identity-H/DescendantFonts[%d 0 R]/ToUnicode %d 0 R>>"
        % (name, descendant, unicode_map)
    )


def _widths(cids: list[int], widths: tuple[int, ...]) -> bytes:
    """Runs of neighbouring CIDs, each with its widths."""
    out: list[str] = []
    last = -2
    for cid, width in zip(cids, widths, strict=True):
        out.append(f" {width}" if cid == last + 1 else f"{']' if out else ''}{cid}[{width}")
        last = cid
    return ("".join(out) + ("]" if out else "")).encode()


def _to_unicode(pairs: Iterable[tuple[int, str]]) -> bytes:
    lines = [f"<{cid:04x}><{character.encode('utf-16-be').hex()}>" for cid, character in pairs]
    blocks = [lines[at : at + 100] for at in range(0, len(lines), 100)]
    body = "\n".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks)
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n"
        "/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n"
        "/CMapName /Adobe-Identity-UCS def /CMapType 2 def\n"
        f"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n{body}\nendcmap end end"
    ).encode()


def add_picture(objects: Objects, picture: Picture) -> int:
    """An image with a soft mask, from pixels compressed long ago."""
    mask = objects.stream(_image(picture.width, picture.height, b"/DeviceGray"), picture.opacity)
    space = b"/DeviceGray" if picture.channels == 1 else b"/DeviceRGB"
    colour = _image(picture.colour_width, picture.colour_height, space)
    return objects.stream(b"%b/SMask %d 0 R" % (colour, mask), picture.colour)


def _image(width: int, height: int, space: bytes) -> bytes:
    return b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent 8/Filter/FlateDecode/ColorSpace%b" % (
        width,
        height,
        space,
    )


def text_string(text: str) -> bytes:
    """A text string of the file's own data (never of a page)."""
    if text.isascii():
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        return b"(%b)" % escaped.encode("ascii")
    return b"<feff%b>" % text.encode("utf-16-be").hex().encode()


def time_string(at: datetime) -> bytes:
    """``D:20261120083000Z``."""
    return at.astimezone(UTC).strftime("(D:%Y%m%d%H%M%SZ)").encode()


def references(entries: Mapping[str, int]) -> bytes:
    """``/F1 3 0 R/F2 8 0 R`` in the order given."""
    return b"".join(b"/%b %d 0 R" % (name.encode(), number) for name, number in entries.items())


def table(entries: bytes, count: int, trailer: bytes, at: int) -> bytes:
    """Cross-reference table, trailer and end of file; `entries` are the lines of objects 1 to `count`."""
    return b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<<%b/Size %d>>\nstartxref\n%d\n%%%%EOF\n" % (
        count + 1,
        entries,
        trailer,
        count + 1,
        at,
    )


def entries(offsets: Mapping[int, int], first: int, last: int) -> bytes:
    """Cross-reference lines of objects `first` to `last`."""
    return b"".join(b"%010d 00000 n \n" % offsets[number] for number in range(first, last + 1))
