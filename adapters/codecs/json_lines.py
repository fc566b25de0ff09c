"""On which line of a JSON document a place stands, and which names stand twice. Only asked when something looks wrong;
one reading answers for all of it, because a hostile document has much."""

import re
from functools import cache, cached_property
from typing import Final, NamedTuple, TypeAlias

import orjson

from adapters.codecs.facets import blocks
from gateway.core.faults import MAX_FAULTS
from gateway.ports import Place

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_BRACKET: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]', re.DOTALL)
_DEEPEST: Final = 3
"""Steps of the model's longest places; what is deeper is passed over."""


_Inner: TypeAlias = "dict[str, _Value] | list[_Value]"
_Value: TypeAlias = "int | tuple[int, _Inner]"
"""The line a value starts on, and what is in it."""


class _Read(NamedTuple):
    whole: _Value
    doubles: list[Place]


class Lines:
    """The lines of one valid JSON document, which is read at the first question."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def of(self, place: Place) -> int | None:
        """The line, from 1, where the value at `place` starts; of the nearest value around it when it is not there."""
        if b"\n" not in self._raw:
            return 1  # as every document of a batch is
        value = self._read.whole
        for step in place:
            inner = _at(value, step)
            if inner is None:
                break
            value = inner
        return value if isinstance(value, int) else value[0]

    @property
    def doubles(self) -> list[Place]:
        """Names that stand in an object again, the first `MAX_FAULTS` of them, as far down as a declaration goes."""
        return self._read.doubles

    @cached_property
    def _read(self) -> _Read:
        raw = self._raw
        whole: _Value = 1
        doubles: list[Place] = []
        path: list[str | int] = []
        around: list[_Inner] = []
        """The objects and lists that are open; `path` has the steps to the value that comes next in the last."""
        names = False
        """A name comes next, if a text does."""
        line, counted = 1, 0
        tokens = _TOKEN.finditer(raw)
        while token := next(tokens, None):
            text = token[0]
            if text in (b"}", b"]"):
                around.pop()
                path.pop()
                names = False
            elif text == b",":
                last = path[-1]
                names = isinstance(last, str)
                if isinstance(last, int):
                    path[-1] = last + 1
                    if last == _most():
                        around.pop()
                        path.pop()
                        tokens = _TOKEN.finditer(raw, _end(raw, token.end()))
            elif text == b":":
                names = False
            elif names:
                path[-1] = name = _name(text)
                if name in around[-1] and len(doubles) < MAX_FAULTS:
                    doubles.append(tuple(path))
            else:
                line, counted = line + raw.count(b"\n", counted, token.start()), token.start()
                inner: _Inner | None = {} if text == b"{" else [] if text == b"[" else None
                value: _Value = line if inner is None else (line, inner)
                if not around:
                    whole = value
                elif isinstance(outer := around[-1], dict):
                    outer[str(path[-1])] = value
                else:
                    outer.append(value)
                if inner is None:
                    continue
                if len(around) == _DEEPEST:
                    tokens = _TOKEN.finditer(raw, _end(raw, token.end()))
                    continue
                around.append(inner)
                names = isinstance(inner, dict)
                path.append("" if names else 0)
        return _Read(whole, doubles)


@cache
def _most() -> int:
    """Items of the longest list there may be; those after it are passed over."""
    return max(part.most for part in blocks().parts.values())


def _end(raw: bytes, at: int) -> int:
    """Where the object or list ends in which `at` is."""
    depth = 1
    for bracket in _BRACKET.finditer(raw, at):
        sign = bracket[0]
        if sign in (b"{", b"["):
            depth += 1
        elif sign in (b"}", b"]"):
            depth -= 1
            if not depth:
                return bracket.end()
    return len(raw)


def _at(value: _Value, step: str | int) -> "_Value | None":
    """One value in another."""
    inner = None if isinstance(value, int) else value[1]
    if isinstance(inner, dict):
        return inner.get(step) if isinstance(step, str) else None
    if isinstance(inner, list) and isinstance(step, int) and 0 <= step < len(inner):
        return inner[step]
    return None


def _name(token: bytes) -> str:
    """A name as the object has it."""
    name: str = orjson.loads(token) if b"\\" in token else token[1:-1].decode()
    return name
