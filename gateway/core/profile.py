"""A certificate type as data: the format of ``schemas/profiles/*.toml`` and of code lists, read from texts.

A profile names its form, its number's pattern and its rules. A rule is one *word* of a closed vocabulary, or one named
predicate, on one path, under conditions. What a broken rule does follows from how sure its source is: surer than [M]
refuses, the others warn, unless the rule says otherwise (ops/decisions/0034).
"""

import csv
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from gateway.core.faults import Severity
from gateway.core.sources import SourceError, Sources, Sure, told
from gateway.core.value import Value

REFUSING: Final = frozenset({"V", "H", "M-H"})
"""How sure a source must be for its rules to refuse."""

T = TypeVar("T", bound=Value)


class ProfileError(Exception):
    """A profile or code list can't be used; says which and why. Raised at load, never while checking."""


def _always_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class Rule(Value):
    """One rule. `path` is a field, ``block.field``, ``list[].field`` or a whole list."""

    id: Annotated[str, Field(pattern=r"^[A-Z]{1,3}-[0-9]{3}$")]
    path: str
    word: str = ""
    predicate: str = ""
    args: Mapping[str, Any] = {}
    when: Annotated[tuple[Mapping[str, Any], ...], BeforeValidator(_always_list)] = ()
    """Conditions, all of which must hold: ``{path, <word> = <argument>, not = true}``."""
    message: str
    remedy: str
    source: str
    """Ids of sources; in a `sourced` profile what they are called, and where they are published."""
    sure: Sure
    severity: Severity | None = None

    @property
    def effective(self) -> Severity:
        """Refuse or warn."""
        if self.severity is not None:
            return self.severity
        return Severity.REFUSE if self.sure in REFUSING else Severity.WARN


class Header(Value):
    """What a certificate type is."""

    type: Annotated[str, Field(pattern=r"^[A-Z]{1,2}$")]
    title: str
    zh: str
    agreement: str
    """Code of the preferential agreement (优惠贸易协定代码); empty for non-preferential certificates."""
    form: str
    version: str
    valid_from: str
    number: str
    """Pattern of a well-formed certificate number."""
    includes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One certificate type with all its rules, included ones first."""

    header: Header
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class CodeList:
    """Codes with their names. An incomplete list never refuses."""

    name: str
    complete: bool
    rows: Mapping[str, Mapping[str, str]]
    """Code -> the columns of its row."""


class _ListEntry(Value):
    name: str
    file: str
    complete: bool
    source: str
    sure: Sure


def load_codelists(index: str, files: Mapping[str, str]) -> Mapping[str, CodeList]:
    """Code lists by name, from the text of ``index.toml`` and the texts of the CSV files it names.

    A list that isn't surer than [M] counts as incomplete: it warns. Raises ProfileError.
    """
    found: dict[str, CodeList] = {}
    for raw in _toml("codelists/index.toml", index).get("list", []):
        entry = _validated(_ListEntry, raw, "codelists/index.toml")
        if entry.name in found:
            raise ProfileError(f"codelists/index.toml names {entry.name} twice")
        if entry.file not in files:
            raise ProfileError(f"codelists/index.toml names {entry.file}, which is missing")
        rows: dict[str, Mapping[str, str]] = {}
        for row in csv.DictReader(files[entry.file].splitlines(), strict=True):
            code = row.get("code")
            if not code or None in row.values() or code in rows:
                raise ProfileError(f"codelists/{entry.file}: a row without a code of its own, near {len(rows) + 2}")
            rows[code] = MappingProxyType(row)
        complete = entry.complete and entry.sure in REFUSING
        found[entry.name] = CodeList(entry.name, complete, MappingProxyType(rows))
    return MappingProxyType(found)


def load_profiles(texts: Mapping[str, str]) -> Mapping[str, Profile]:
    """Profiles by certificate type, from TOML texts by file name without ending.

    A text without ``[profile]`` is a set of rules that others include. Rule ids are unique over all texts, retired
    ones included: an id is never used again. Raises ProfileError.
    """
    tables = {name: _toml(f"profiles/{name}.toml", text) for name, text in texts.items()}
    rules = {name: _rules(name, table) for name, table in tables.items()}
    _refuse_double_ids(tables, rules)
    found: dict[str, Profile] = {}
    for name, table in tables.items():
        if "profile" not in table:
            continue
        header = _validated(Header, table["profile"], f"profiles/{name}.toml")
        if header.type in found:
            raise ProfileError(f"profiles/{name}.toml: type {header.type} has a profile already")
        missing = [one for one in header.includes if one not in rules]
        if missing:
            raise ProfileError(f"profiles/{name}.toml includes {missing[0]}, which is missing")
        included = (rule for one in header.includes for rule in rules[one])
        found[header.type] = Profile(header, (*included, *rules[name]))
    return MappingProxyType(found)


def sourced(profile: Profile, sources: Sources) -> Profile:
    """The same, with each citation told for a reader, once for all documents. Raises ProfileError."""
    try:
        rules = tuple(rule.model_copy(update={"source": told(rule.source, sources)}) for rule in profile.rules)
        header = {"sources": tuple(told(one, sources) for one in profile.header.sources)}
    except SourceError as error:
        raise ProfileError(f"profile {profile.header.type}: {error}") from None
    return Profile(profile.header.model_copy(update=header), rules)


def _rules(name: str, table: Mapping[str, Any]) -> tuple[Rule, ...]:
    unknown = table.keys() - {"profile", "rule", "retired"}
    if unknown:
        raise ProfileError(f"profiles/{name}.toml: unknown table {sorted(unknown)[0]}")
    return tuple(_validated(Rule, raw, f"profiles/{name}.toml, rule {raw.get('id')}") for raw in table.get("rule", []))


def _refuse_double_ids(tables: Mapping[str, Any], rules: Mapping[str, Iterable[Rule]]) -> None:
    seen: dict[str, str] = {}
    for name, table in tables.items():
        for rule_id in (*table.get("retired", ()), *(rule.id for rule in rules[name])):
            if rule_id in seen:
                raise ProfileError(f"profiles/{name}.toml: rule id {rule_id} is taken, in {seen[rule_id]}.toml")
            seen[rule_id] = name


def _toml(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{name}: {error}") from None


def _validated(kind: type[T], raw: Any, where: str) -> T:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        one = error.errors(include_url=False)[0]
        raise ProfileError(f"{where}: {'.'.join(map(str, one['loc']))}: {one['msg']}") from None
