"""On which line of a JSON document a place stands. Only asked for faults; one reading answers for all of them, because
a hostile document has many."""

import re
from functools import cached_property
from typing import Final

from gateway.ports import Place

_TOKEN: Final = re.compile(rb'\s*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+)')
_DEEPEST: Final = 4
"""Steps of a place that are remembered; the model's own places have at most three."""


class Lines:
    """The lines of one valid JSON document, which is read at the first question."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def of(self, place: Place) -> int | None:
        """The line, from 1, where the value at `place` starts; of the nearest value around it when it is not there."""
        if b"\n" not in self._raw:
            return 1  # as every document of a batch is
        known = tuple(place[:_DEEPEST])
        while known and known not in self._starts:
            known = known[:-1]
        return self._starts.get(known)

    @cached_property
    def _starts(self) -> dict[Place, int]:
        raw = self._raw
        starts: dict[Place, int] = {}
        path: list[str | int] = []
        opened: list[bytes] = []
        expects_key = False
        line, counted = 1, 0
        for token in _TOKEN.finditer(raw):
            text = token[1]
            if text in (b"}", b"]"):
                opened.pop()
                if path:
                    path.pop()
                expects_key = False
            elif text == b",":
                expects_key = opened[-1] == b"{"
                if opened[-1] == b"[":
                    path[-1] = int(path[-1]) + 1
            elif text == b":":
                expects_key = False
            elif expects_key:
                if len(path) == len(opened):
                    path.pop()
                path.append(_name(text))
                expects_key = False
            else:
                if len(path) <= _DEEPEST:
                    start = token.start(1)
                    line, counted = line + raw.count(b"\n", counted, start), start
                    starts.setdefault(tuple(path), line)
                if text in (b"{", b"["):
                    opened.append(text)
                    expects_key = text == b"{"
                    path.append("" if text == b"{" else 0)
        return starts


def _name(token: bytes) -> str:
    """A key's text; an escaped one is rare and only has to compare equal."""
    text = token[1:-1].decode("utf-8", "replace")
    return text.encode().decode("unicode_escape", "replace") if "\\" in text else text
