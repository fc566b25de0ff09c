"""PNG files (ISO 15948) looked at before anything is decoded: what a picture needs is kept, the rest is dropped.

A file of 500 kB may say that it has a thousand megapixels, or hold texts, colour profiles and further frames that
unpack to gigabytes. Only the header, the palette, the transparency and the pixels reach the decoder.
"""

import struct
from dataclasses import dataclass

from renderers.layout import RenderRefused

MAX_BYTES = 512 * 1024
MAX_PIXELS = 4_000_000
MAX_CHUNKS = 4096
SIGNATURE = b"\x89PNG\r\n\x1a\n"
NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
ONCE = NEEDED - {b"IDAT"}
METRE = 1
"""Unit of pHYs."""


@dataclass(frozen=True, slots=True, repr=False)
class Png:
    """A picture's file, still packed."""

    width: int
    height: int
    dpi: float | None
    """Across; None when the file does not say it."""
    content: bytes
    """A PNG file of the chunks that are needed."""


def look(raw: bytes) -> Png:
    """Checks kind and size and drops what is not needed. Linear in the bytes, and nothing is unpacked.

    Raises RenderRefused IMAGE-BYTES, IMAGE-KIND, IMAGE-PIXELS, IMAGE-BROKEN.
    """
    if len(raw) > MAX_BYTES:
        raise RenderRefused("IMAGE-BYTES", f"a picture has at most {MAX_BYTES // 1024} KiB")
    if not raw.startswith(SIGNATURE) or raw[12:16] != b"IHDR" or len(raw) < 33:
        raise RenderRefused("IMAGE-KIND", "a picture is a PNG file")
    width, height = struct.unpack(">II", raw[16:24])
    if not width or not height or width * height > MAX_PIXELS:
        raise RenderRefused("IMAGE-PIXELS", f"a picture has at most {MAX_PIXELS} pixels")
    kept, dpi, seen, at = [SIGNATURE], None, set[bytes](), len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        length, name = int.from_bytes(raw[at : at + 4], "big"), raw[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(raw) or (name in ONCE and name in seen):
            break
        seen.add(name)
        content = raw[at + 8 : end - 4]
        if name in NEEDED:
            kept.append(raw[at:end])
        elif name == b"pHYs" and length == 9 and content[8] == METRE:
            dpi = int.from_bytes(content[:4], "big") * 0.0254 or None
        at = end
        if name == b"IEND":
            return Png(width, height, dpi, b"".join(kept))
    raise RenderRefused("IMAGE-BROKEN", "the picture can't be decoded")
