"""A declaration against its profile: rules compiled once into closures over the canonical fields.

The vocabulary is closed (ops/decisions/0034): present, absent, equals, one_of, in_codelist, matches, max_length,
decimal, min, max, count, unique, sum_equals, not_after, and `when` for conditions. An absent value breaks no rule but
`present`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from gateway.core.declaration import Amendment, Block, Declaration, Goods, Invoice, NonParty
from gateway.core.faults import MAX_FAULTS, Fault, Severity, capped
from gateway.core.predicates import COLLECTIVE_PREDICATES, Check, Fields, Place, predicate
from gateway.core.profile import CodeList, Header, Profile, ProfileError, Rule
from gateway.core.words import (
    ARGUMENTS,
    COLLECTIVE,
    CONDITION_ARGUMENT,
    WORDS,
    codelist,
    pattern,
)

Condition: TypeAlias = Callable[[Fields, Fields], bool]
"""(item, or the whole declaration again; whole declaration) -> does the rule apply?"""

_LISTS: Final[Mapping[str, type[Block]]] = MappingProxyType(
    {"goods": Goods, "non_parties": NonParty, "invoices": Invoice}
)
_BLOCKS: Final[Mapping[str, type[Block]]] = MappingProxyType({"amendment": Amendment})
BLOCKS: Final = 512
"""Sets of fields whose rules are remembered, for each block of a profile."""
_JUDGE_ABSENCE: Final = frozenset({"present", "absent", "count"})
"""Words that have something to say of a value that is not there."""


class Finding(NamedTuple):
    """One broken rule at one place: cheap, for a document may break rules in thousands of places."""

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


@dataclass(slots=True)
class _Findings:
    """What was found of one kind of block, in its order: of what refuses, and of what warns, as many as an answer
    can carry."""

    refusing: list[Finding] = field(default_factory=list)
    warning: list[Finding] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Nothing that could still be found would be told."""
        return len(self.refusing) >= MAX_FAULTS and len(self.warning) >= MAX_FAULTS

    def add(self, place: Place, one: "_Single | _Collective") -> None:
        """Unless there are enough of its kind."""
        kept = self.refusing if one.severity is Severity.REFUSE else self.warning
        if len(kept) < MAX_FAULTS:
            kept.append(Finding(place, one.rule, one.severity))


@dataclass(frozen=True, slots=True)
class _Single:
    """A rule on one value of a block."""

    rule: Rule
    severity: Severity
    field: str
    check: Check


@dataclass(frozen=True, slots=True)
class _Group:
    """Rules of one block under the same conditions."""

    whole: Condition | None
    """Conditions on the declaration."""
    own: Condition | None
    """Conditions on the item of a list."""
    presences: tuple[_Single, ...]
    valued: tuple[tuple[str, Check, _Single], ...]
    """Rules on a value, where there is one. Plain tuples: this is the inner loop of the door."""
    counted: tuple[_Single, ...]
    """Rules that judge an absent value too."""

    def left(self, fields: tuple[str, ...]) -> "_Group | None":
        """What there is to say of a block with these fields and no others; None: nothing."""
        there = frozenset(fields)
        presences = tuple(one for one in self.presences if one.field not in there)
        valued = tuple(one for one in self.valued if one[0] in there)
        some = presences or valued or self.counted
        return replace(self, presences=presences, valued=valued) if some else None


@dataclass(frozen=True, slots=True)
class _Scope:
    """All rules on the declaration itself, on one of its blocks, or on each item of one of its lists."""

    name: str
    is_list: bool
    groups: Callable[[tuple[str, ...]], tuple[_Group, ...]]
    """The fields that a block has -> its groups, without the rules that these fields alone settle. Remembered: blocks
    of the same fields recur, and most of a profile asks whether a field is there."""

    def judge(self, fields: Fields, found: _Findings) -> None:
        """Broken rules are added to `found`, until it is full."""
        if not self.name:
            self._judge(fields, fields, (), found)
        elif self.is_list:
            for index, block in enumerate(fields.get(self.name, ())):
                self._judge(block, fields, (self.name, index), found)
                if found.refusing and found.full:
                    return
        else:
            self._judge(fields.get(self.name, _EMPTY), fields, (self.name,), found)

    def _judge(self, block: Fields, root: Fields, place: Place, found: _Findings) -> None:
        for group in self.groups(tuple(block)):
            if group.whole is not None and not group.whole(root, root):
                continue
            if group.own is not None and not group.own(block, root):
                continue
            for one in group.presences:
                found.add((*place, one.field), one)
            for name, check, one in group.valued:
                if not check(block[name], block, root):
                    found.add((*place, name), one)
            for one in group.counted:
                if not one.check(block.get(one.field), block, root):
                    found.add((*place, one.field), one)


@dataclass(frozen=True, slots=True)
class _Collective:
    """A rule on all values of one field in a list."""

    rule: Rule
    severity: Severity
    applies: Condition | None
    check: Callable[[Fields], Iterable[Place]]


@dataclass(frozen=True, slots=True)
class Checks:
    """A profile's rules, ready to run."""

    header: Header
    rules: tuple[Rule, ...]
    scopes: tuple[_Scope, ...]
    collectives: tuple[_Collective, ...]

    def run(self, fields: Fields) -> Sequence[Finding]:
        """Every broken rule, sorted by place, as many as an answer can carry: those that refuse go first."""
        found: list[Finding] = []
        of_scope = _Findings()
        for scope in self.scopes:
            scope.judge(fields, of_scope)
            if of_scope.refusing or of_scope.warning:
                found += of_scope.refusing + of_scope.warning
                of_scope = _Findings()
        for one in self.collectives:
            if one.applies is None or one.applies(fields, fields):
                places = islice(one.check(fields), MAX_FAULTS)
                found += [Finding(place, one.rule, one.severity) for place in places]
        return capped(sorted(found, key=_rank)) if len(found) > 1 else found


_EMPTY: Final[Fields] = MappingProxyType({})
_SCOPES: Final[Mapping[str, type[Block]]] = MappingProxyType({"": Declaration, **_LISTS, **_BLOCKS})
_ORDER: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {scope: {name: at for at, name in enumerate(block.model_fields)} for scope, block in _SCOPES.items()}
)
"""Scope -> its fields, each with its number."""


def _rank(finding: Finding) -> tuple[int, ...]:
    """Places in the order of the declaration."""
    scope, *rest = finding.place
    inside = (step if isinstance(step, int) else _ORDER[str(scope)][step] for step in rest)
    return (_ORDER[""][str(scope)], *inside)


def compile_profile(profile: Profile, codelists: Mapping[str, CodeList]) -> Checks:
    """Raises ProfileError for unknown words, fields, arguments, code lists, predicates and bad patterns."""
    pattern(profile.header.number)
    grouped: dict[str, dict[str, list[_Single]]] = {}
    collectives: list[_Collective] = []
    for rule in profile.rules:
        try:
            scope, field, each = _resolve(rule.path)
            severity = _severity(rule, codelists)
            if rule.word in COLLECTIVE or rule.predicate in COLLECTIVE_PREDICATES:
                collectives.append(_collective(rule, severity, scope, field, each))
                continue
            _conditions(rule, scope, codelists)
            single = _Single(rule, severity, field, _check(rule, codelists))
            groups = grouped.setdefault(scope if each or scope in _BLOCKS else "", {})
            groups.setdefault(repr(rule.when), []).append(single)
        except ProfileError as error:
            raise ProfileError(f"{profile.header.type}, rule {rule.id}: {error}") from None
    scopes = tuple(_scope(name, groups.values(), codelists) for name, groups in grouped.items())
    return Checks(profile.header, tuple(profile.rules), scopes, tuple(collectives))


def _scope(name: str, rules: Iterable[Sequence[_Single]], codelists: Mapping[str, CodeList]) -> _Scope:
    groups = [_group(name, singles, codelists) for singles in rules]

    @lru_cache(maxsize=BLOCKS)
    def of_block(fields: tuple[str, ...]) -> tuple[_Group, ...]:
        return tuple(left for group in groups if (left := group.left(fields)) is not None)

    return _Scope(name, name in _LISTS, of_block)


def _group(scope: str, rules: Sequence[_Single], codelists: Mapping[str, CodeList]) -> _Group:
    """An absent text is not in the block at all; a list is always there, perhaps empty, and is looked at."""
    whole, own = _conditions(rules[0].rule, scope, codelists)
    presences = tuple(one for one in rules if one.rule.word == "present" and one.field not in _LISTS)
    valued = tuple((one.field, one.check, one) for one in rules if one.rule.word not in _JUDGE_ABSENCE)
    counted = tuple(one for one in rules if one.rule.word in _JUDGE_ABSENCE and one not in presences)
    return _Group(whole, own, presences, valued, counted)


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


def _conditions(rule: Rule, scope: str, codelists: Mapping[str, CodeList]) -> tuple[Condition | None, Condition | None]:
    """A rule's conditions on the whole declaration, and those on the item of the list that the rule is about."""
    whole: list[Condition] = []
    own: list[Condition] = []
    for spec in rule.when:
        made, of_item = _condition(spec, scope, codelists)
        (own if of_item else whole).append(made)
    return _all(whole), _all(own)


def _all(conditions: Sequence[Condition]) -> Condition | None:
    if not conditions:
        return None
    first, rest = conditions[0], _all(conditions[1:])
    return first if rest is None else lambda block, root: first(block, root) and rest(block, root)


def _condition(spec: Mapping[str, Any], scope: str, codelists: Mapping[str, CodeList]) -> tuple[Condition, bool]:
    """One condition (a path, one word with its argument, perhaps ``not = true``), and whether it is on the item."""
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
    when_empty = (word == "absent") is not negated

    def of_item(block: Fields, root: Fields) -> bool:
        value = block.get(field)
        return when_empty if value is None or value == () else check(value, block, root) is not negated

    def of_declaration(_block: Fields, root: Fields) -> bool:
        return of_item(root.get(own, _EMPTY) if own else root, root)

    return (of_item, True) if each else (of_declaration, False)


def _check(rule: Rule, codelists: Mapping[str, CodeList]) -> Check:
    _one_of_both(rule)
    if rule.predicate:
        return predicate(rule.predicate, rule.args, codelists)
    if rule.word not in WORDS:
        raise ProfileError(f"{rule.word} is no word of the vocabulary")
    return WORDS[rule.word](_arguments(rule.word, rule.args), codelists)


def _one_of_both(rule: Rule) -> None:
    if bool(rule.word) == bool(rule.predicate):
        raise ProfileError("a rule has a word or a predicate, one of them")


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
        raise ProfileError(f"{rule.word or rule.predicate} is for a field of each item, list[].field")
    _one_of_both(rule)
    if rule.predicate and rule.args:
        raise ProfileError(f"predicate {rule.predicate} takes no arguments")
    check: Callable[[Fields], Iterable[Place]] = (
        COLLECTIVE_PREDICATES[rule.predicate](scope, field)
        if rule.predicate
        else COLLECTIVE[rule.word](_arguments(rule.word, rule.args), scope, field)
    )
    return _Collective(rule, severity, _conditions(rule, "", {})[0], check)
