"""Seals and signatures for enterprises and customs that do not exist: drawn, so that nothing real can be copied.

A Chinese company seal is a red ring of 40 to 42 mm, its name on the arc from lower left to lower right, a star in the
middle. Handwriting is a few strokes of a broad pen, the same for the same name. For the demo and the simulator only.
"""

import io
import math
import random
from functools import cache
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from renderers.fonts import font_bytes

RED = (206, 28, 34)
INK = (24, 28, 60)
SCALE = 3
"""Drawn this much larger, then reduced: smooth edges."""
STAR = 5


def round_seal(name: str, foot: str = "", *, diameter: float = 42.0, dpi: int = 600) -> bytes:
    """PNG of a round seal: `name` on the arc, a star, `foot` on a straight line below it. `diameter` in mm."""
    side = round(diameter / 25.4 * dpi)
    large = side * 2
    image = Image.new("L", (large, large), 0)
    draw = ImageDraw.Draw(image)
    middle = large / 2
    ring = large * 0.026
    draw.ellipse((2, 2, large - 3, large - 3), outline=255, width=round(ring))
    _star(draw, middle, middle * 1.0, large * 0.135)
    size = large * (0.14 if len(name) <= 12 else 1.7 / len(name))
    span = math.radians(min(270, 19.5 * len(name)))
    radius = middle - ring - size * 0.72
    for index, character in enumerate(name):
        angle = -span / 2 + (span * index / (len(name) - 1) if len(name) > 1 else 0)
        glyph = _upright(character, size, 700, narrow=0.74)
        turned = glyph.rotate(-math.degrees(angle), resample=Image.Resampling.BICUBIC, expand=True)
        place = (middle + radius * math.sin(angle), middle - radius * math.cos(angle))
        _add(image, turned, place)
    if foot:
        _add(image, _upright(foot, large * 0.085, 700), (middle, large * 0.74))
    return _inked(image.resize((side, side), Image.Resampling.LANCZOS), RED, foot or name, dpi)


def customs_seal(office: str, *, diameter: float = 40.0, dpi: int = 600) -> bytes:
    """PNG of a customs' signing seal (签证印章): two rings, `office` on the arc, what it is for in the middle."""
    side = round(diameter / 25.4 * dpi)
    large = side * 2
    image = Image.new("L", (large, large), 0)
    draw = ImageDraw.Draw(image)
    middle = large / 2
    draw.ellipse((2, 2, large - 3, large - 3), outline=255, width=round(large * 0.022))
    inset = large * 0.036
    draw.ellipse((inset, inset, large - inset, large - inset), outline=255, width=round(large * 0.006))
    size = large * 0.115
    radius = middle - inset - size * 0.78
    span = math.radians(min(250, 22 * len(office)))
    for index, character in enumerate(office):
        angle = -span / 2 + (span * index / (len(office) - 1) if len(office) > 1 else 0)
        turned = _upright(character, size, 700, narrow=0.85).rotate(
            -math.degrees(angle), resample=Image.Resampling.BICUBIC, expand=True
        )
        _add(image, turned, (middle + radius * math.sin(angle), middle - radius * math.cos(angle)))
    _star(draw, middle, middle * 0.92, large * 0.10)
    _add(image, _upright("原产地签证", large * 0.082, 700), (middle, large * 0.66))
    _add(image, _upright("(模拟)", large * 0.062, 700), (middle, large * 0.77))
    return _inked(image.resize((side, side), Image.Resampling.LANCZOS), RED, office, dpi)


def handwriting(name: str, *, width: float = 32.0, height: float = 14.0, dpi: int = 600) -> bytes:
    """PNG of a handwritten signature: strokes of a pen whose pressure changes, the same for the same name. mm."""
    wide, high = round(width / 25.4 * dpi), round(height / 25.4 * dpi)
    image = Image.new("L", (wide, high), 0)
    draw = ImageDraw.Draw(image)
    dice = random.Random(f"handwriting {name}")  # noqa: S311  # a picture, not a secret
    letters = max(4, min(9, len(name) + 2))
    step = wide * 0.78 / letters
    points: list[tuple[float, float]] = [(wide * 0.05, high * 0.6)]
    for index in range(letters):
        left = wide * 0.07 + step * index
        tall = high * (0.42 if index in (0, letters // 2) else 0.16 + 0.08 * dice.random())
        base = high * (0.62 - 0.012 * index)
        points += [
            (left + step * 0.1, base - tall * dice.uniform(0.7, 1.0)),
            (left + step * dice.uniform(0.3, 0.6), base - tall * dice.uniform(0.9, 1.15)),
            (left + step * dice.uniform(0.2, 0.5), base + high * dice.uniform(0.0, 0.1)),
            (left + step * dice.uniform(0.7, 1.0), base + high * dice.uniform(-0.02, 0.05)),
        ]
    points += [
        (wide * 0.95, high * 0.34),
        (wide * 0.84, high * 0.3),
        (wide * 0.3, high * 0.86),
        (wide * 0.97, high * 0.74),
    ]
    curve = list(_spline(points, 48))
    pen = high * 0.026
    for (x1, y1), (x2, y2) in pairwise(curve):
        speed = math.hypot(x2 - x1, y2 - y1) / (wide / 400)
        thick = pen * (1.45 - min(0.95, speed * 0.42))
        draw.line((x1, y1, x2, y2), fill=255, width=max(2, round(thick * 2)))
        draw.ellipse((x2 - thick, y2 - thick, x2 + thick, y2 + thick), fill=255)
    return _written(image.filter(ImageFilter.GaussianBlur(1.2)), dpi)


def _spline(points: list[tuple[float, float]], steps: int) -> "list[tuple[float, float]]":
    """A smooth curve through all points (Catmull-Rom)."""
    padded = [points[0], *points, points[-1]]
    out = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for index in range(steps):
            t = index / steps
            out.append(
                (
                    _catmull(a[0], b[0], c[0], d[0], t),
                    _catmull(a[1], b[1], c[1], d[1], t),
                )
            )
    return out


def _catmull(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)


def _star(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    inner = radius * 0.382
    corners = []
    for index in range(2 * STAR):
        angle = math.pi * index / STAR
        length = inner if index % 2 else radius
        corners.append((x + length * math.sin(angle), y - length * math.cos(angle)))
    draw.polygon(corners, fill=255)


def _upright(text: str, size: float, weight: int, narrow: float = 1.0) -> Image.Image:
    """Text as a mask, cropped to its ink; `narrow` squeezes its width, as seal script is narrow."""
    font = _font(round(size), weight)
    left, top, right, bottom = font.getbbox(text)
    glyph = Image.new("L", (round(right - left) + 4, round(bottom - top) + 4), 0)
    ImageDraw.Draw(glyph).text((2 - left, 2 - top), text, font=font, fill=255)
    return glyph.resize((max(1, round(glyph.width * narrow)), glyph.height), Image.Resampling.LANCZOS)


@cache
def _font(size: int, weight: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(io.BytesIO(font_bytes()), size)
    font.set_variation_by_axes([weight])
    return font


def _add(image: Image.Image, mask: Image.Image, middle: tuple[float, float]) -> None:
    at = (round(middle[0] - mask.width / 2), round(middle[1] - mask.height / 2))
    image.paste(255, (at[0], at[1], at[0] + mask.width, at[1] + mask.height), mask)


def _inked(mask: Image.Image, colour: tuple[int, int, int], seed: str, dpi: int) -> bytes:
    """Stamped, not printed: the ink lies a little unevenly."""
    dice = random.Random(f"ink {seed}")  # noqa: S311
    coarse = Image.new("L", (24, 24))
    coarse.putdata([dice.randint(205, 255) for _ in range(24 * 24)])
    fine = Image.new("L", (180, 180))
    fine.putdata([255 if dice.random() > 0.035 else dice.randint(120, 220) for _ in range(180 * 180)])
    cloud = coarse.resize(mask.size, Image.Resampling.BICUBIC)
    grain = fine.resize(mask.size, Image.Resampling.BICUBIC)
    ink = Image.composite(cloud, Image.new("L", mask.size, 0), mask)
    ink = Image.composite(ink, Image.new("L", mask.size, 0), grain)
    paper = Image.new("RGB", mask.size, "white")
    paper.paste(colour, (0, 0, *mask.size), ink)
    return _png(paper.quantize(96).convert("RGB"), dpi)


def _written(mask: Image.Image, dpi: int) -> bytes:
    paper = Image.new("RGB", mask.size, "white")
    paper.paste(INK, (0, 0, *mask.size), mask)
    return _png(paper.convert("L"), dpi)


def _png(image: Image.Image, dpi: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, dpi=(dpi, dpi))
    return out.getvalue()
