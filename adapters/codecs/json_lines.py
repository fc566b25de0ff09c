"""On which line of a JSON document a place stands. Only asked for faults, so plain and careful rather than fast."""

import re
from typing import Final

from gateway.ports import Place

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def line_of(raw: bytes, place: Place) -> int | None:
    """The line, from 1, where the value at `place` starts; of the nearest value around it when it is not there.

    `raw` is valid JSON. None for what is no object.
    """
    best_depth, best_offset = -1, None
    path: list[str | int] = []
    opened: list[bytes] = []
    expects_key = False
    for token in _TOKEN.finditer(raw):
        text = token[0]
        if text in (b"}", b"]"):
            opened.pop()
            if path:
                path.pop()
            expects_key = False
            if len(opened) < best_depth:
                break
            continue
        if text == b",":
            expects_key = opened[-1] == b"{"
            if opened[-1] == b"[":
                path[-1] = int(path[-1]) + 1
            continue
        if text == b":":
            expects_key = False
            continue
        if expects_key:
            if len(path) == len(opened):
                path.pop()
            path.append(_name(text))
            expects_key = False
            continue
        if len(path) > best_depth and tuple(path) == tuple(place[: len(path)]):
            best_depth, best_offset = len(path), token.start()
            if best_depth == len(place):
                break
        if text in (b"{", b"["):
            opened.append(text)
            expects_key = text == b"{"
            path.append("" if text == b"{" else 0)
    return None if best_offset is None else raw.count(b"\n", 0, best_offset) + 1


def _name(token: bytes) -> str:
    """A key's text; an escaped one is rare and only has to compare equal."""
    text = token[1:-1].decode("utf-8", "replace")
    return text.encode().decode("unicode_escape", "replace") if "\\" in text else text
