"""Text into lines: word wrap by real advance widths, Chinese between any two characters, unbroken text by force."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from renderers.fonts import Face
from renderers.layout import MM

WIDE = (
    "\u1100-\u11ff\u2e80-\u2fdf\u2ff0-\u303f\u3040-\u30ff\u3100-\u31ff\u3200-\u33ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
)
OPENING = "(\\[{“‘《「『【〔〈（［｛"
CLOSING = "!),.:;?\\]}”’、。〉》」』】〕！），．：；？］｝％"
TOKEN = re.compile(f"[ \\t\u3000]+|[{OPENING}]*[{WIDE}][{CLOSING}]*|[^ \\t\\n\u3000{WIDE}]+[{CLOSING}]*")
"""A gap, a wide character with the punctuation that may not leave it (避头尾), or a word."""


@dataclass(frozen=True, slots=True)
class Line:
    """One set line, and where in the source the next one begins."""

    text: str
    end: int


def wrap(text: str, width: float, size: float, face: Face) -> list[Line]:
    """`text` in lines of at most `width` mm at `size` points. An empty line stays one; outer blanks of a line go."""
    room = width / MM * 1000 / size
    lines: list[Line] = []
    start = 0
    for paragraph in text.split("\n"):
        end = start + len(paragraph)
        kept = paragraph.strip()
        if sum(map(face.advances.__getitem__, kept)) <= room:
            lines.append(Line(kept, end + 1))
        else:
            lines += _paragraph(paragraph, start, room, face)
        start = end + 1
    return lines


def _paragraph(paragraph: str, start: int, room: float, face: Face) -> Iterator[Line]:
    """Greedy: a piece goes on the line while it fits; blanks at a break vanish."""
    advances = face.advances
    begin, used = 0, 0
    for first, last, width in _pieces(paragraph, room, face):
        if used + width > room and paragraph[begin:first].strip():
            if not paragraph[first:last].strip():
                continue
            yield Line(paragraph[begin:first].strip(), start + first)
            begin, used = first, 0
        if not used and not paragraph[first:last].strip():
            begin = last
            continue
        used = sum(map(advances.__getitem__, paragraph[begin:last]))
    yield Line(paragraph[begin:].strip(), start + len(paragraph) + 1)


def _pieces(paragraph: str, room: float, face: Face) -> Iterator[tuple[int, int, int]]:
    """(first, last, width) of what may not be broken; a word wider than the line is broken by characters."""
    advances = face.advances
    for token in TOKEN.finditer(paragraph):
        width = sum(map(advances.__getitem__, token.group()))
        if width <= room or token.group().isspace():
            yield token.start(), token.end(), width
            continue
        for at in range(token.start(), token.end()):
            yield at, at + 1, advances[paragraph[at]]


def longest_piece(text: str, face: Face) -> float:
    """Width in ems of the widest word of `text`: what a column must hold if nothing is to be broken."""
    return max(
        (sum(map(face.advances.__getitem__, token)) / 1000 for token in TOKEN.findall(text) if not token.isspace()),
        default=0.0,
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """Text set into a rectangle: at this size, in these lines; `rest` found no room."""

    size: float
    lines: tuple[str, ...]
    rest: str = ""


def fit(
    text: str,
    width: float,
    height: float,
    face: Face,
    *,
    size: float,
    smallest: float,
    leading: float,
    reserve: int = 0,
) -> Fitted:
    """Shrink `text` in half points from `size` to `smallest` until it fits `width` x `height` mm; the rest is returned.

    `leading` is the line distance in ems. When something is left over, `reserve` lines are kept free for a notice.
    """
    steps = round((size - smallest) * 2)
    for step in range(steps + 1):
        current = size - step / 2
        lines = wrap(text, width, current, face)
        if len(lines) <= room_for(height, current, leading):
            return Fitted(current, tuple(line.text for line in lines))
    kept = lines[: max(0, room_for(height, current, leading) - reserve)]
    rest = text[kept[-1].end :] if kept else text
    return Fitted(current, tuple(line.text for line in kept), rest.strip())


def room_for(height: float, size: float, leading: float) -> int:
    """How many lines fit into `height` mm."""
    em = size * MM
    return 0 if height < 1.1 * em else int((height - 1.1 * em) / (leading * em) + 1e-6) + 1
