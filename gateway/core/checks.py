"""A declaration against its profile: rules compiled once into closures over the canonical fields.

The vocabulary is closed (design, law 7): present, absent, equals, one_of, in_codelist, matches, max_length, decimal,
min, max, count, unique, sum_equals, not_after, and `when` for conditions. An absent value breaks no rule but `present`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from gateway.core.declaration import Amendment, Block, Declaration, Goods, Invoice, NonParty
from gateway.core.faults import Fault, Severity
from gateway.core.predicates import Check, predicate
from gateway.core.profile import CodeList, Header, Profile, ProfileError, Rule
from gateway.core.words import (
    ARGUMENTS,
    COLLECTIVE,
    CONDITION_ARGUMENT,
    WORDS,
    Fields,
    Place,
    codelist,
    pattern,
)

Condition: TypeAlias = Callable[[Fields, Fields], bool]
"""(block, whole declaration) -> does the rule apply?"""

_LISTS: Final[Mapping[str, type[Block]]] = MappingProxyType(
    {"goods": Goods, "non_parties": NonParty, "invoices": Invoice}
)
_BLOCKS: Final[Mapping[str, type[Block]]] = MappingProxyType({"amendment": Amendment})


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule at one place."""

    place: Place
    rule: Rule
    severity: Severity

    def fault(self, locate: Callable[[Place], tuple[str, int | None]]) -> Fault:
        """The finding in the sender's own places."""
        path, line = locate(self.place)
        return Fault(
            code=self.rule.id,
            path=path,
            line=line,
            message=self.rule.message,
            remedy=self.rule.remedy,
            severity=self.severity,
            source=self.rule.source,
        )


@dataclass(frozen=True, slots=True)
class _Single:
    """A rule on one value of a block."""

    rule: Rule
    severity: Severity
    field: str
    needs_value: bool
    check: Check


@dataclass(frozen=True, slots=True)
class _Group:
    """Rules of one block under the same conditions, which are judged once per block."""

    scope: str
    is_list: bool
    applies: Condition | None
    required: frozenset[str]
    """Fields of `presences`: a block that has them all breaks none of those rules, and one look tells."""
    presences: tuple[_Single, ...]
    singles: tuple[_Single, ...]


@dataclass(frozen=True, slots=True)
class _Collective:
    """A rule on all values of one field in a list."""

    rule: Rule
    severity: Severity
    applies: Condition | None
    check: Callable[[Fields], list[Place]]


@dataclass(frozen=True, slots=True)
class Checks:
    """A profile's rules, ready to run."""

    header: Header
    groups: tuple[_Group, ...]
    collectives: tuple[_Collective, ...]

    def run(self, fields: Fields) -> list[Finding]:
        """Every broken rule."""
        found: list[Finding] = []
        for group in self.groups:
            scope = group.scope
            if not scope:
                _judge(group, fields, fields, (), found)
            elif group.is_list:
                for index, block in enumerate(fields.get(scope, ())):
                    _judge(group, block, fields, (scope, index), found)
            else:
                _judge(group, fields.get(scope, _EMPTY), fields, (scope,), found)
        for one in self.collectives:
            if one.applies is None or one.applies(fields, fields):
                found.extend(Finding(place, one.rule, one.severity) for place in one.check(fields))
        return found


_EMPTY: Final[Fields] = MappingProxyType({})


def _judge(group: _Group, block: Fields, root: Fields, place: Place, found: list[Finding]) -> None:
    if group.applies is not None and not group.applies(block, root):
        return
    get = block.get
    if not group.required <= block.keys():
        for one in group.presences:
            if one.field not in block:
                found.append(Finding((*place, one.field), one.rule, one.severity))
    for one in group.singles:
        value = get(one.field)
        if value is None and one.needs_value:
            continue
        if not one.check(value, block, root):
            found.append(Finding((*place, one.field), one.rule, one.severity))


def compile_profile(profile: Profile, codelists: Mapping[str, CodeList]) -> Checks:
    """Raises ProfileError for unknown words, fields, arguments, code lists, predicates and bad patterns."""
    pattern(profile.header.number)
    grouped: dict[tuple[str, str], list[_Single]] = {}
    conditions: dict[tuple[str, str], Condition | None] = {}
    collectives: list[_Collective] = []
    for rule in profile.rules:
        try:
            scope, field, each = _resolve(rule.path)
            severity = _severity(rule, codelists)
            if rule.word in COLLECTIVE:
                collectives.append(_collective(rule, severity, scope, field, each))
                continue
            applies = _conditions(rule, scope, codelists)
            single = _Single(
                rule, severity, field, rule.word not in ("present", "absent", "count"), _check(rule, codelists)
            )
            key = (scope if each or scope in _BLOCKS else "", repr(rule.when))
            grouped.setdefault(key, []).append(single)
            conditions[key] = applies
        except ProfileError as error:
            raise ProfileError(f"{profile.header.type}, rule {rule.id}: {error}") from None
    groups = tuple(_group(key[0], conditions[key], singles) for key, singles in grouped.items())
    return Checks(profile.header, groups, tuple(collectives))


def _group(scope: str, applies: Condition | None, rules: Sequence[_Single]) -> _Group:
    """An absent text is not in the block at all; a list is always there, perhaps empty, and is looked at."""
    presences = tuple(one for one in rules if one.rule.word == "present" and one.field not in _LISTS)
    singles = tuple(one for one in rules if one not in presences)
    return _Group(scope, scope in _LISTS, applies, frozenset(one.field for one in presences), presences, singles)


def _severity(rule: Rule, codelists: Mapping[str, CodeList]) -> Severity:
    """An incomplete code list never refuses, however sure the rule."""
    if rule.word == "in_codelist" and not codelist(rule.args.get("list"), codelists).complete:
        return Severity.WARN
    return rule.effective


def _resolve(path: str) -> tuple[str, str, bool]:
    """(list or block, field, whether each item is meant) of a path."""
    head, dot, field = path.partition(".")
    if not dot:
        if head in Declaration.model_fields:
            return "", head, False
    elif head.endswith("[]") and head[:-2] in _LISTS and field in _LISTS[head[:-2]].model_fields:
        return head[:-2], field, True
    elif head in _BLOCKS and field in _BLOCKS[head].model_fields:
        return head, field, False
    raise ProfileError(f"no field is called {path}")


def _conditions(rule: Rule, scope: str, codelists: Mapping[str, CodeList]) -> Condition | None:
    made = [_condition(one, scope, codelists) for one in rule.when]
    if not made:
        return None
    if len(made) == 1:
        return made[0]
    return lambda block, root: all(one(block, root) for one in made)


def _condition(spec: Mapping[str, Any], scope: str, codelists: Mapping[str, CodeList]) -> Condition:
    """One condition: a path, one word with its argument, perhaps ``not = true``."""
    spec = dict(spec)
    path, negated = spec.pop("path", ""), spec.pop("not", False)
    if len(spec) != 1:
        raise ProfileError("a condition has a path and exactly one word")
    word, argument = next(iter(spec.items()))
    own, field, each = _resolve(path)
    if each and own != scope:
        raise ProfileError(f"the condition on {path} does not say which item is meant")
    if word not in CONDITION_ARGUMENT:
        raise ProfileError(f"{word} is no word for a condition")
    name = CONDITION_ARGUMENT[word]
    args = argument if name is None and isinstance(argument, dict) else {name: argument} if name else {}
    check = WORDS[word](_arguments(word, args), codelists)
    empty_holds = word == "absent"

    def holds(block: Fields, root: Fields) -> bool:
        here = block if each or (own and own == scope) else root.get(own, _EMPTY) if own else root
        value = here.get(field)
        if value is None or value == ():
            return empty_holds is not negated
        return check(value, here, root) is not negated

    return holds


def _check(rule: Rule, codelists: Mapping[str, CodeList]) -> Check:
    if bool(rule.word) == bool(rule.predicate):
        raise ProfileError("a rule has a word or a predicate, one of them")
    if rule.predicate:
        return predicate(rule.predicate, rule.args, codelists)
    if rule.word not in WORDS:
        raise ProfileError(f"{rule.word} is no word of the vocabulary")
    return WORDS[rule.word](_arguments(rule.word, rule.args), codelists)


def _arguments(word: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
    required, optional = ARGUMENTS[word]
    if not required <= args.keys() or not args.keys() <= required | optional:
        raise ProfileError(f"{word} takes {sorted(required | optional) or 'no arguments'}")
    for name in ("path", "total"):
        if name in args:
            _resolve(args[name])
    return args


def _collective(rule: Rule, severity: Severity, scope: str, field: str, each: bool) -> _Collective:
    if not each:
        raise ProfileError(f"{rule.word} is for a field of each item, list[].field")
    check = COLLECTIVE[rule.word](_arguments(rule.word, rule.args), scope, field)
    return _Collective(rule, severity, _conditions(rule, "", {}), check)
