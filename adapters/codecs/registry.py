"""Faults of form by their stable code, with the sentences of ``schemas/faults.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import schemas
from gateway.core.faults import Fault, Severity
from gateway.runtime import sources


@dataclass(frozen=True, slots=True)
class Entry:
    """The sentences of one code; words in braces are filled from our schemas, never from the sender's document."""

    message: str
    remedy: str
    source: str
    """Title and place of publication."""
    severity: Severity = Severity.REFUSE


@cache
def registry() -> Mapping[str, Entry]:
    """Every registered code."""
    table = tomllib.loads(schemas.read_text("faults.toml"))
    return MappingProxyType({code: _entry(**entry) for code, entry in table.items()})


def _entry(message: str, remedy: str, source: str, severity: str = Severity.REFUSE) -> Entry:
    return Entry(message, remedy, sources.source(source), Severity(severity))


def fault(code: str, path: str = "", line: int | None = None, **facts: object) -> Fault:
    """A fault of form. Raises KeyError for a code, or a word in braces, that nobody registered: our bug."""
    entry = registry()[code]
    return Fault(
        code=code,
        path=path,
        line=line,
        message=entry.message.format(**facts),
        remedy=entry.remedy.format(**facts),
        severity=entry.severity,
        source=entry.source,
    )
