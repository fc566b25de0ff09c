"""QR codes at the price of a few XORs: segno knows the code, linearity makes it fast.

With version, mask and error level fixed, every module of a QR code is an affine function of the content's bits over
GF(2). So segno draws the code of each single bit once, and a content is the XOR of the codes of its bits. segno's own
call costs 1 ms and a mask search 8 ms; this one 20 us. A test holds it against segno.
"""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

import segno

from renderers.layout import RenderRefused

CAPACITY: Mapping[int, int] = MappingProxyType({2: 26, 3: 42, 4: 62, 5: 84, 6: 106})
"""Version -> bytes at error level M."""
MASK = 2
BYTES_KEPT, BITS_KEPT = 20_000, 10_000
"""Kept per process, some 8 MB together; a certificate's content needs about 35 x 36 bytes and 35 x 7 bits."""


def version_for(length: int) -> int:
    """The smallest version that holds `length` bytes. Raises RenderRefused CODE-TOO-LONG."""
    for version, capacity in CAPACITY.items():
        if length <= capacity:
            return version
    raise RenderRefused("CODE-TOO-LONG", f"the QR code holds at most {max(CAPACITY.values())} characters")


def side_of(version: int) -> int:
    """Modules along one side."""
    return 17 + 4 * version


def rows(content: bytes) -> tuple[int, bytes]:
    """(modules a side, rows from the top, each filled up to whole bytes with white; the left module first)."""
    version = version_for(len(content))
    grid = _drawn(version, bytes(len(content)))
    for position, byte in enumerate(content):
        grid ^= _difference(version, len(content), position, byte)
    side = side_of(version)
    return side, grid.to_bytes(side * _bytes_a_row(side), "big")


def _bytes_a_row(side: int) -> int:
    return -(-side // 8)


@lru_cache(maxsize=BYTES_KEPT)
def _difference(version: int, length: int, position: int, byte: int) -> int:
    """What a byte at a place changes in the code of zeros."""
    zeros = bytes(length)
    changed = 0
    for bit in range(8):
        if byte >> bit & 1:
            one = bytearray(zeros)
            one[position] = 1 << bit
            changed ^= _drawn(version, bytes(one)) ^ _drawn(version, zeros)
    return changed


@lru_cache(maxsize=BITS_KEPT)
def _drawn(version: int, content: bytes) -> int:
    """The code of zeros, or of a single bit, by segno."""
    code = segno.make_qr(content, version=version, error="m", mask=MASK, mode="byte", boost_error=False)
    filling = "0" * (8 * _bytes_a_row(side_of(version)) - side_of(version))
    return int("".join("".join("1" if module else "0" for module in row) + filling for row in code.matrix), 2)


def inline_image(content: str, x: float, y: float, size: float) -> bytes:
    """PDF operators that draw the code with its lower left corner at (`x`, `y`), `size` wide; points.

    A 1-bit image mask; each row is filled up to whole bytes. Raises RenderRefused CODE-*.
    """
    try:
        side, bits = rows(content.encode("ascii"))
    except UnicodeEncodeError:
        raise RenderRefused("CODE-NOT-ASCII", "the QR code of a certificate is plain ASCII") from None
    return (
        f"q {size:.3f} 0 0 {size:.3f} {x:.3f} {y:.3f} cm "
        f"BI /W {side} /H {side} /IM true /D [1 0] /F /AHx ID {bits.hex()}> EI Q\n"
    ).encode()
