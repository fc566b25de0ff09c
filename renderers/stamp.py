"""Seals and handwriting as pictures: checked when enrolled, decoded once, made transparent, compressed once.

Limits of size are those of the self-print manual (自助打印: 印章规格, 签字规格). Only PNG is taken, and `look` reads it
before anything is decoded. Then the picture is decoded and written anew, and only the new file is kept. That takes
a second at most, in which other threads go on.
"""

import hashlib
import io
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from PIL import Image, ImageChops, ImageStat

from renderers.layout import RenderRefused
from renderers.png import look

MIN_DPI = 150
"""Below this a seal is a blur (the manual asks for scans of 600 dpi)."""
EMBEDDED_DPI = 360
SIZE_SLACK = 0.01
"""mm, for rounding."""
SEEN, ONE_INK = 96, 6.0
"""Opacity from which a pixel's colour counts, and the scatter (of 255) up to which the colours are one ink."""


class Shape(StrEnum):
    """Shape of an enterprise's seal."""

    ROUND = "round"
    RECTANGLE = "rectangle"
    OVAL = "oval"


LARGEST: Mapping[Shape, tuple[float, float]] = MappingProxyType(
    {Shape.ROUND: (45.0, 45.0), Shape.RECTANGLE: (55.0, 40.0), Shape.OVAL: (55.0, 45.0)}
)
"""Longest and shorter side in mm."""
LARGEST_HANDWRITING = (35.0, 30.0)
WIDEST = 1000.0
"""mm; more is not looked at."""
LARGEST_MARK = (60.0, 60.0)
"""Customs' own pictures; ours."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Compressed pixels, ready to stand in a PDF: colour, and how opaque each pixel is."""

    sha256: str
    """Of the PNG it was made from."""
    width: int
    height: int
    colour_width: int
    colour_height: int
    channels: int
    """1 gray, 3 colour."""
    colour: bytes
    opacity: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Seal:
    """An enterprise's seal (企业印章). `png` is what may be stored, encrypted; it never enters a message or a log."""

    png: bytes
    shape: Shape
    width: float
    height: float
    picture: Picture

    def __repr__(self) -> str:
        return f"Seal({self.shape}, {self.width} x {self.height} mm)"


@dataclass(frozen=True, slots=True, repr=False)
class Handwriting:
    """A declarant's signature as a picture (申报员签名)."""

    png: bytes
    width: float
    height: float
    picture: Picture

    def __repr__(self) -> str:
        return f"Handwriting({self.width} x {self.height} mm)"


def size_in_mm(raw: bytes, width: float | None) -> tuple[float, float]:
    """Width and height: from the width given, else from the resolution that the file names. Nothing is decoded.

    Raises RenderRefused IMAGE-WIDTH, IMAGE-RESOLUTION and what `look` raises.
    """
    file = look(raw)
    if width is None:
        if file.dpi is None:
            raise RenderRefused(
                "IMAGE-RESOLUTION", "the file does not say its resolution, and no width in mm was given"
            )
        width = round(file.width / file.dpi * 25.4, 2)
    elif not math.isfinite(width) or not 0 < width <= WIDEST:
        raise RenderRefused("IMAGE-WIDTH", f"a width is a number of mm from 0 to {WIDEST:g}")
    return width, round(width * file.height / file.width, 2)


def enrol_seal(raw: bytes, shape: Shape, width: float, height: float) -> Seal:
    """A seal from a PNG and its real size in mm. Enrolling `Seal.png` again gives the same seal.

    Raises RenderRefused SEAL-SIZE, SEAL-SHAPE, IMAGE-*.
    """
    longest, shorter = LARGEST[shape]
    if (
        min(width, height) <= 0
        or max(width, height) > longest + SIZE_SLACK
        or min(width, height) > shorter + SIZE_SLACK
    ):
        raise RenderRefused("SEAL-SIZE", f"a {shape} seal is at most {longest:g} x {shorter:g} mm")
    if shape is Shape.ROUND and abs(width - height) > SIZE_SLACK:
        raise RenderRefused("SEAL-SHAPE", "a round seal is as wide as it is high")
    image = _decode(raw)
    _sharp_enough(image, width, height)
    png = _encode(image)
    return Seal(png, shape, width, height, _prepare(image, png, width, height))


def enrol_handwriting(raw: bytes, width: float, height: float) -> Handwriting:
    """A handwritten signature from a PNG and its real size in mm, kept in gray. Raises RenderRefused."""
    longest, shorter = LARGEST_HANDWRITING
    if min(width, height) <= 0 or width > longest + SIZE_SLACK or height > shorter + SIZE_SLACK:
        raise RenderRefused("HANDWRITING-SIZE", f"a signature is at most {longest:g} mm long and {shorter:g} mm high")
    image = _decode(raw).convert("L").convert("RGB")
    _sharp_enough(image, width, height)
    png = _encode(image)
    return Handwriting(png, width, height, _prepare(image, png, width, height))


def prepare_mark(raw: bytes, sha256: str) -> Picture:
    """A picture that customs sent along. Raises RenderRefused MARK-HASH or IMAGE-*."""
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise RenderRefused("MARK-HASH", "a picture is not the one that the layout names")
    return _prepare(_decode(raw), raw, *LARGEST_MARK)


def _decode(raw: bytes) -> Image.Image:
    """The picture on white, in RGB."""
    file = look(raw)
    try:
        with Image.open(io.BytesIO(file.content), formats=("PNG",)) as opened:
            if opened.size != (file.width, file.height):
                raise RenderRefused("IMAGE-BROKEN", "the picture can't be decoded")
            clear = opened.convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise RenderRefused("IMAGE-BROKEN", "the picture can't be decoded") from None
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")


def _sharp_enough(image: Image.Image, width: float, height: float) -> None:
    if image.width / (width / 25.4) < MIN_DPI or image.height / (height / 25.4) < MIN_DPI:
        raise RenderRefused("IMAGE-BLURRED", f"a picture has at least {MIN_DPI} dots per inch in its real size")


def _encode(image: Image.Image) -> bytes:
    """The picture and nothing else: no text, no profile, no date."""
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _prepare(image: Image.Image, png: bytes, width: float, height: float) -> Picture:
    """At most 360 dpi; white becomes transparent, as ink on paper would be."""
    largest = (round(width / 25.4 * EMBEDDED_DPI), round(height / 25.4 * EMBEDDED_DPI))
    if image.width > largest[0] or image.height > largest[1]:
        scale = min(largest[0] / image.width, largest[1] / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    red, green, blue = image.split()
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    ink = Image.merge("RGB", [ImageChops.subtract(band, least) for band in (red, green, blue)])
    opacity = ImageChops.invert(least)
    # "RGBa" holds colours multiplied by opacity; converting to RGBA divides again, in C.
    clear = Image.frombytes("RGBa", image.size, Image.merge("RGBA", (*ink.split(), opacity)).tobytes()).convert("RGBA")
    gray = not any(band.getbbox() for band in ink.split())
    colour = clear.convert("RGB").getchannel(0) if gray else clear.convert("RGB")
    colour = _one_ink(colour, opacity)
    return Picture(
        hashlib.sha256(png).hexdigest(),
        *image.size,
        *colour.size,
        1 if gray else 3,
        zlib.compress(colour.tobytes(), 9),
        zlib.compress(opacity.tobytes(), 9),
    )


def _one_ink(colour: Image.Image, opacity: Image.Image) -> Image.Image:
    """A picture in one ink needs one pixel of colour, the opacity does the rest: half the file."""
    seen = opacity.point(lambda value: 255 if value >= SEEN else 0)
    if not seen.getbbox():
        return colour.resize((1, 1))
    statistics = ImageStat.Stat(colour, seen)
    if max(statistics.stddev) > ONE_INK:
        return colour
    return Image.new(colour.mode, (1, 1), tuple(round(value) for value in statistics.mean))
