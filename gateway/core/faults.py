"""The sender's mistakes, as values: a code, a place, one sentence, what to do. The value itself is never echoed."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

MAX_FAULTS = 200
"""Most faults one answer carries (ops/decisions/0042)."""


class Severity(StrEnum):
    """What a broken rule does to the declaration."""

    REFUSE = "refuse"
    WARN = "warn"


class Fault(BaseModel):
    """One mistake in one document.

    `path` names the place in the sender's own dialect: an XPath for XML, a JSON pointer for JSON.
    """

    model_config = ConfigDict(frozen=True)

    code: Annotated[str, Field(description="stable code, never reused, e.g. XSD-LENGTH or C-014")]
    path: Annotated[str, Field(description="XPath (XML) or JSON pointer (JSON) of the place")] = ""
    message: Annotated[str, Field(description="one sentence: what is wrong")]
    remedy: Annotated[str, Field(description="one sentence: what to do")] = ""
    line: Annotated[int | None, Field(description="line in the document, from 1, where known")] = None
    severity: Severity = Severity.REFUSE
    source: Annotated[
        str,
        Field(description="where the rule comes from, and where that is published"),
    ] = ""


class Refused(Exception):
    """A document was refused; carries every fault found, sorted by place and capped."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = in_order(faults)
        super().__init__(f"refused with {len(self.faults)} fault(s)")


def in_order(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Faults sorted by line, then path, then code, and `capped`."""
    ranked = sorted(faults, key=lambda f: (f.line if f.line is not None else 1 << 30, f.path, f.code))
    return tuple(capped(ranked))


class Graded(Protocol):
    """What was found, and what it does to the declaration."""

    @property
    def severity(self) -> Severity:
        """Refuse or warn."""
        ...


Found = TypeVar("Found", bound=Graded)


def capped(ranked: Sequence[Found]) -> Sequence[Found]:
    """The first `MAX_FAULTS`, in their order. What refuses goes first: no number of warnings hides why a document is
    refused."""
    if len(ranked) <= MAX_FAULTS:
        return ranked
    refusing = min(MAX_FAULTS, sum(one.severity is Severity.REFUSE for one in ranked))
    room = {Severity.REFUSE: refusing, Severity.WARN: MAX_FAULTS - refusing}
    kept: list[Found] = []
    for one in ranked:
        if room[one.severity]:
            room[one.severity] -= 1
            kept.append(one)
    return kept
