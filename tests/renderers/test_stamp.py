"""Pictures: size in mm, size in bytes and pixels, kind; white becomes transparent; what is kept is written anew."""

import io
import struct
import zlib
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from renderers import demo_marks
from renderers.layout import RenderRefused
from renderers.png import MAX_BYTES, MAX_CHUNKS, SIGNATURE, look
from renderers.stamp import Shape, enrol_handwriting, enrol_seal, prepare_mark, size_in_mm
from tests.renderers.samples import bench, digest


def picture(width: int = 400, height: int = 400, kind: str = "PNG", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), "white").save(out, kind)
    return out.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def bomb(width: int, height: int) -> bytes:
    """A few kB that would become `width` x `height` pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1 << 20), 9)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("shape", "width", "height"),
    [
        (Shape.ROUND, 45, 45),
        (Shape.ROUND, 40, 40),
        (Shape.RECTANGLE, 55, 40),
        (Shape.RECTANGLE, 40, 55),
        (Shape.OVAL, 55, 45),
    ],
)
def test_sizes_of_the_manual_pass(shape: Shape, width: float, height: float) -> None:
    assert (enrol_seal(picture(), shape, width, height).width) == width


@pytest.mark.parametrize(
    ("shape", "width", "height", "code"),
    [
        (Shape.ROUND, 45.1, 45.1, "SEAL-SIZE"),
        (Shape.ROUND, 45, 40, "SEAL-SHAPE"),
        (Shape.RECTANGLE, 55.1, 40, "SEAL-SIZE"),
        (Shape.RECTANGLE, 55, 41, "SEAL-SIZE"),
        (Shape.OVAL, 50, 46, "SEAL-SIZE"),
        (Shape.OVAL, 0, 10, "SEAL-SIZE"),
    ],
)
def test_larger_seals_are_refused(shape: Shape, width: float, height: float, code: str) -> None:
    with pytest.raises(RenderRefused, match=code):
        enrol_seal(picture(), shape, width, height)


@pytest.mark.parametrize(("width", "height"), [(35.1, 30), (35, 30.1), (-1, 5)])
def test_larger_handwriting_is_refused(width: float, height: float) -> None:
    with pytest.raises(RenderRefused, match="HANDWRITING-SIZE"):
        enrol_handwriting(picture(), width, height)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "IMAGE-KIND"),
        (picture(kind="JPEG"), "IMAGE-KIND"),
        (picture(kind="GIF", mode="P"), "IMAGE-KIND"),
        (bytes(MAX_BYTES + 1), "IMAGE-BYTES"),
        (bomb(60000, 60000), "IMAGE-PIXELS"),
        (bomb(2001, 2000), "IMAGE-PIXELS"),
        (bomb(1000, 1000)[:-40], "IMAGE-BROKEN"),
        (SIGNATURE + chunk(b"IHDR", bytes(13)), "IMAGE-PIXELS"),
        (picture(200, 200), "IMAGE-BLURRED"),
    ],
)
def test_bad_pictures_are_refused(raw: bytes, code: str) -> None:
    with pytest.raises(RenderRefused) as refused:
        enrol_seal(raw, Shape.ROUND, 45, 45)
    assert refused.value.code == code


def inserted(raw: bytes, *chunks: bytes) -> bytes:
    """Further chunks behind the header."""
    return raw[:33] + b"".join(chunks) + raw[33:]


BOMB = zlib.compress(bytes(64 << 20), 9)
"""64 kB that become 64 MiB."""
BESIDE = {
    "text": chunk(b"zTXt", b"Comment\0\0" + BOMB),
    "international text": chunk(b"iTXt", b"Comment\0\1\0\0\0" + BOMB),
    "profile": chunk(b"iCCP", b"sRGB\0\0" + BOMB),
    "animation": chunk(b"acTL", struct.pack(">II", 1 << 30, 0)) + chunk(b"fdAT", bytes(4) + BOMB),
    "exif": chunk(b"eXIf", b"MM\0*\0\0\0\x08" + bytes(1000)),
    "unknown": chunk(b"quIx", BOMB),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_a_picture_does_not_need_is_never_unpacked(name: str) -> None:
    plain = enrol_seal(picture(), Shape.ROUND, 45, 45)
    assert enrol_seal(inserted(picture(), *[BESIDE[name]] * 3), Shape.ROUND, 45, 45).png == plain.png
    assert BOMB[:100] not in look(inserted(picture(), BESIDE[name])).content


@pytest.mark.parametrize(
    "raw",
    [
        inserted(picture(), picture()[8:33]),  # a second header
        inserted(picture(), struct.pack(">IIBBBBB", 2000, 2000, 8, 2, 0, 0, 0).join([b"\0\0\0\rIHDR", bytes(4)])),
        inserted(picture(), *[chunk(b"tEXt", b"a\0b")] * MAX_CHUNKS),
        inserted(picture(), b"\xff\xff\xff\xfftEXt"),  # longer than the file
        inserted(picture(), b"\x7f\xff\xff\xffIDAT"),
        picture()[:-12],  # without an end
    ],
)
def test_a_file_that_lies_about_its_parts_is_refused(raw: bytes) -> None:
    with pytest.raises(RenderRefused, match="IMAGE-BROKEN"):
        enrol_seal(raw, Shape.ROUND, 45, 45)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_is_read_as_before(mode: str) -> None:
    image = Image.linear_gradient("L").resize((400, 400))
    image = image.convert("RGB").convert(mode) if mode != "I;16" else image.convert("I").convert(mode)
    out = io.BytesIO()
    image.save(out, "PNG", **({"transparency": 3} if mode == "P" else {}))
    with Image.open(io.BytesIO(out.getvalue())) as opened:
        clear = opened.convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    kept = enrol_seal(out.getvalue(), Shape.ROUND, 45, 45).png
    assert Image.open(io.BytesIO(kept)).tobytes() == white.tobytes()


@pytest.mark.parametrize(
    ("dots_per_metre", "width", "size"),
    [(23622, None, (16.93, 16.93)), (23622, 40.0, (40.0, 40.0)), (0, None, "IMAGE-RESOLUTION")]
    + [(23622, width, "IMAGE-WIDTH") for width in (float("nan"), float("inf"), -1.0, 0.0, 1e308)],
)
def test_the_real_size(dots_per_metre: int, width: float | None, size: tuple[float, float] | str) -> None:
    raw = inserted(picture(), chunk(b"pHYs", struct.pack(">IIB", dots_per_metre, dots_per_metre, 1)))
    if isinstance(size, str):
        with pytest.raises(RenderRefused, match=size):
            size_in_mm(raw, width)
    else:
        assert size_in_mm(raw, width) == size


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 3000), value=st.integers(0, 255))
def test_a_damaged_picture_is_refused_or_taken(at: int, value: int) -> None:
    raw = bytearray(picture(300, 300))
    raw[at % len(raw)] = value
    with suppress(RenderRefused):
        enrol_seal(bytes(raw), Shape.ROUND, 45, 45)


def test_what_is_kept_is_written_anew() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "scanned by Zhang")
    out = io.BytesIO()
    Image.new("RGB", (400, 400), "red").save(out, "PNG", pnginfo=notes)
    seal = enrol_seal(out.getvalue(), Shape.ROUND, 45, 45)
    assert b"Zhang" in out.getvalue()
    assert b"Zhang" not in seal.png
    again = enrol_seal(seal.png, Shape.ROUND, 45, 45)
    assert (again.png, again.picture) == (seal.png, seal.picture)


def test_white_becomes_transparent_and_ink_stays() -> None:
    image = Image.new("RGB", (300, 300), "white")
    image.paste((200, 20, 30), (100, 100, 200, 200))
    out = io.BytesIO()
    image.save(out, "PNG")
    made = enrol_seal(out.getvalue(), Shape.ROUND, 40, 40).picture
    opacity = Image.frombytes("L", (made.width, made.height), zlib.decompress(made.opacity))
    assert opacity.getpixel((5, 5)) == 0
    assert opacity.getpixel((150, 150)) == 235
    red, green, blue = zlib.decompress(made.colour)
    over_white = [round(value * 235 / 255 + 20) for value in (red, green, blue)]
    assert all(abs(a - b) <= 2 for a, b in zip(over_white, (200, 20, 30), strict=True))


def test_two_inks_keep_their_colours() -> None:
    image = Image.new("RGB", (300, 300), "white")
    image.paste((200, 20, 30), (50, 50, 150, 250))
    image.paste((20, 30, 200), (150, 50, 250, 250))
    out = io.BytesIO()
    image.save(out, "PNG")
    made = enrol_seal(out.getvalue(), Shape.ROUND, 40, 40).picture
    assert (made.colour_width, made.colour_height) == (made.width, made.height)


def test_a_mark_is_what_the_layout_names() -> None:
    sha256, raw = next(iter(bench().marks.items()))
    assert prepare_mark(raw, sha256).sha256 == sha256
    with pytest.raises(RenderRefused, match="MARK-HASH"):
        prepare_mark(raw, digest(b"other"))


def test_a_seal_larger_than_its_place_is_refused() -> None:
    layout = bench().layout("C")
    slot = layout.pages[0].slots[0]._replace(width=20.0, height=20.0)
    small = replace(layout, pages=(replace(layout.pages[0], slots=(slot,)),))
    with pytest.raises(RenderRefused, match="SLOT-TOO-SMALL"):
        bench().unsigned(small)


def test_demo_marks_are_the_same_each_time() -> None:
    assert demo_marks.handwriting("Li Na", dpi=200) == demo_marks.handwriting("Li Na", dpi=200)
    assert demo_marks.handwriting("Li Na", dpi=200) != demo_marks.handwriting("Wang Wu", dpi=200)
    seal = demo_marks.round_seal("苏州青竹工艺品股份有限公司", dpi=200)
    assert enrol_seal(seal, Shape.ROUND, 42, 42).picture.colour_width == 1, "one ink"
