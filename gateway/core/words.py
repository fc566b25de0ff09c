"""The words of a profile's rules: a closed vocabulary (ops/decisions/0034), each made into a closure over a value.

An absent value breaks no rule but `present`; the caller sees to that.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final

from gateway.core.predicates import Check, Fields, Place
from gateway.core.profile import CodeList, ProfileError

_UNSAFE: Final = re.compile(r"\(\?|\\[1-9]|\)[*+{]")
"""Lookaround and flags, back references, repeated groups: what can make Python's `re` run away, or surprise."""


def _present(args: Fields, _lists: Any) -> Check:
    return lambda value, _block, _root: value is not None and value != ()


def _absent(args: Fields, _lists: Any) -> Check:
    return lambda value, _block, _root: value is None or value == ()


def _equals(args: Fields, _lists: Any) -> Check:
    if ("value" in args) == ("path" in args):
        raise ProfileError("equals takes a value or a path")
    if "path" in args:
        return lambda value, _block, root, other=args["path"]: root.get(other, value) == value  # type: ignore[misc]
    return lambda value, _block, _root, fixed=args["value"]: value == fixed  # type: ignore[misc]


def _one_of(args: Fields, _lists: Any) -> Check:
    values = frozenset(args["values"])
    return lambda value, _block, _root: value in values


def codelist(name: Any, codelists: Mapping[str, CodeList]) -> CodeList:
    if name not in codelists:
        raise ProfileError(f"no code list is called {name}")
    return codelists[name]


def _in_codelist(args: Fields, lists: Mapping[str, CodeList]) -> Check:
    codes = frozenset(codelist(args["list"], lists).rows)
    return lambda value, _block, _root: value in codes


def pattern(text: str) -> re.Pattern[str]:
    if _UNSAFE.search(text):
        raise ProfileError("a pattern has no lookaround, flags, back references or repeated groups")
    try:
        return re.compile(text)
    except re.error as error:
        raise ProfileError(f"bad pattern: {error}") from None


def _matches(args: Fields, _lists: Any) -> Check:
    match = pattern(args["pattern"]).fullmatch
    return lambda value, _block, _root: match(value) is not None


def _max_length(args: Fields, _lists: Any) -> Check:
    limit = int(args["limit"])
    return lambda value, _block, _root: len(value) <= limit


def _decimal(args: Fields, _lists: Any) -> Check:
    whole, fraction = int(args["whole"]), int(args["fraction"])
    match = re.compile(rf"[0-9]{{1,{whole}}}(\.[0-9]{{1,{fraction}}})?").fullmatch
    return lambda value, _block, _root: match(value) is not None


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _bound(args: Fields, right: Callable[[Decimal, Decimal], bool]) -> Check:
    limit = Decimal(str(args["value"]))

    def check(value: Any, _block: Fields, _root: Fields) -> bool:
        number = _number(value)
        return number is not None and right(number, limit)

    return check


def _min(args: Fields, _lists: Any) -> Check:
    return _bound(args, lambda number, limit: number >= limit)


def _max(args: Fields, _lists: Any) -> Check:
    return _bound(args, lambda number, limit: number <= limit)


def _count(args: Fields, _lists: Any) -> Check:
    least, most = int(args.get("min", 0)), int(args.get("max", 1 << 30))
    return lambda value, _block, _root: least <= len(value or ()) <= most


def _not_after(args: Fields, _lists: Any) -> Check:
    other = args["path"]
    return lambda value, _block, root: value <= root.get(other, value)


WORDS: Final[Mapping[str, Callable[[Fields, Mapping[str, CodeList]], Check]]] = MappingProxyType(
    {
        "present": _present,
        "absent": _absent,
        "equals": _equals,
        "one_of": _one_of,
        "in_codelist": _in_codelist,
        "matches": _matches,
        "max_length": _max_length,
        "decimal": _decimal,
        "min": _min,
        "max": _max,
        "count": _count,
        "not_after": _not_after,
    }
)

ARGUMENTS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = MappingProxyType(
    {
        "present": (frozenset(), frozenset()),
        "absent": (frozenset(), frozenset()),
        "equals": (frozenset(), frozenset({"value", "path"})),
        "one_of": (frozenset({"values"}), frozenset()),
        "in_codelist": (frozenset({"list"}), frozenset()),
        "matches": (frozenset({"pattern"}), frozenset()),
        "max_length": (frozenset({"limit"}), frozenset()),
        "decimal": (frozenset({"whole", "fraction"}), frozenset()),
        "min": (frozenset({"value"}), frozenset()),
        "max": (frozenset({"value"}), frozenset()),
        "count": (frozenset(), frozenset({"min", "max"})),
        "not_after": (frozenset({"path"}), frozenset()),
        "unique": (frozenset(), frozenset()),
        "sum_equals": (frozenset({"total"}), frozenset({"tolerance"})),
    }
)
"""Word -> (required, optional) arguments."""

CONDITION_ARGUMENT: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "present": None,
        "absent": None,
        "equals": "value",
        "one_of": "values",
        "in_codelist": "list",
        "matches": "pattern",
        "max_length": "limit",
        "min": "value",
        "max": "value",
        "count": None,
        "not_after": "path",
    }
)
"""Word -> the argument that a condition's value stands for; None: a table, or ``true``."""


# ------------------------------------------------------------------ words on a whole list


def _unique(args: Fields, scope: str, field: str) -> Callable[[Fields], Iterator[Place]]:
    def check(fields: Fields) -> Iterator[Place]:
        seen: set[Any] = set()
        for index, item in enumerate(fields.get(scope, ())):
            value = item.get(field)
            if value in seen:
                yield scope, index, field
            elif value is not None:
                seen.add(value)

    return check


def _sum_equals(args: Fields, scope: str, field: str) -> Callable[[Fields], Sequence[Place]]:
    total, tolerance = args["total"], Decimal(str(args.get("tolerance", "0")))

    def check(fields: Fields) -> Sequence[Place]:
        parts = [value for item in fields.get(scope, ()) if (value := item.get(field)) is not None]
        stated = fields.get(total)
        if stated is None or not parts:
            return []
        try:
            return [] if abs(sum(map(Decimal, parts)) - Decimal(stated)) <= tolerance else [(total,)]
        except InvalidOperation:  # what is no number is told elsewhere
            return []

    return check


COLLECTIVE: Final[Mapping[str, Callable[[Fields, str, str], Callable[[Fields], Iterable[Place]]]]] = MappingProxyType(
    {"unique": _unique, "sum_equals": _sum_equals}
)

VOCABULARY: Final[Sequence[str]] = (*WORDS, *COLLECTIVE, "when")
"""Every word a rule may use."""
