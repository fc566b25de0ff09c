"""Scenarios: what the simulated customs answers to which declaration, read from ``scenarios.toml``. Pure."""

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core.messages import Part

Seconds = Annotated[float, Field(ge=0)]


class ScenarioError(ValueError):
    """The scenario file does not hold together; the sentence says where."""


class Data(BaseModel):
    """A frozen value of the file; an unknown word is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(Data):
    """One answer."""

    answer: Literal["technical", "receipt", "reply", "layout", "raw"]
    after: Seconds
    """When it leaves, counted from the question."""
    written: Seconds | None = None
    """When the paper was made up, which is the time it bears; None: when it leaves."""
    code: str = ""
    """RetType, Channel or RepType."""
    notes: tuple[str, ...] = ()
    """Reasons, in Note."""
    statement: str = ""
    """What customs says officially (OfficeDeclare) of a reply."""
    findings: bool = False
    """Add what the examiner found."""
    part: Part | None = None
    body: str = ""
    """Of a raw answer; ``{number}`` stands for the certificate number."""

    @property
    def bears(self) -> float:
        """Seconds from the question to the time on the paper."""
        return self.after if self.written is None else self.written

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.answer in ("technical", "receipt", "reply") and not self.code:
            raise ValueError(f"a {self.answer} needs a code")
        if self.answer == "layout" and self.part is None:
            raise ValueError("a layout needs a part")
        return self


class Scenario(Data):
    """What happens to one declaration."""

    name: str
    about: str
    step: tuple[Step, ...]
    otherwise: str | None = None
    """The scenario for corrected content: this one answers only the first content under a number."""
    repeated: str | None = None
    """The scenario for the same message sent again, as if it had never come before; None: the same answers again."""

    @cached_property
    def replies(self) -> tuple[float, ...]:
        """The times on the replies of customs, in order: the place of a reply's time is its running number."""
        return tuple(sorted({step.bears for step in self.step if step.answer == "reply"}))


class Finding(Data):
    """One reason an examiner may have, by name (see `examiner`)."""

    name: str
    code: str
    text: str


class Choice(Data):
    """When a scenario is taken; all conditions must hold."""

    scenario: str
    finding: str | None = None
    field: str | None = None
    contains: str | None = None
    equals: str | None = None
    share: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.field is None) != (self.contains is None and self.equals is None):
            raise ValueError("field goes with contains or equals")
        return self

    def holds(self, fields: Mapping[str, Any], findings: Collection[str], draw: float) -> bool:
        """`fields`: canonical content; `draw`: a number in [0, 1) that belongs to the question."""
        if self.finding is not None and self.finding not in findings:
            return False
        if self.field is not None and not any(self._fits(value) for value in _values(fields, self.field)):
            return False
        return self.share is None or draw < self.share

    def _fits(self, value: str) -> bool:
        value = value.casefold()
        if self.contains is not None and self.contains.casefold() not in value:
            return False
        return self.equals is None or self.equals.casefold() == value


def _values(fields: Mapping[str, Any], name: str) -> list[str]:
    if name.startswith("goods."):
        found = [line.get(name.removeprefix("goods.")) for line in fields.get("goods", ())]
    else:
        found = [fields.get(name)]
    return [str(value) for value in found if value is not None]


class Scenarios(Data):
    """The whole file."""

    marker: str
    default: str
    invalid: str
    choose: tuple[Choice, ...] = ()
    finding: tuple[Finding, ...] = ()
    scenario: tuple[Scenario, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Scenario]:
        """Scenarios by name."""
        return {scenario.name: scenario for scenario in self.scenario}

    @cached_property
    def reasons(self) -> Mapping[str, Finding]:
        """Findings by name."""
        return {finding.name: finding for finding in self.finding}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.by_name) != len(self.scenario):
            raise ValueError("a scenario's name stands twice")
        named = {self.default, self.invalid, *(choice.scenario for choice in self.choose)}
        named |= {scenario.otherwise for scenario in self.scenario if scenario.otherwise}
        named |= {scenario.repeated for scenario in self.scenario if scenario.repeated}
        if strangers := sorted(named - set(self.by_name)):
            raise ValueError(f"no scenario is called {', '.join(strangers)}")
        if strangers := sorted({c.finding for c in self.choose if c.finding} - set(self.reasons)):
            raise ValueError(f"no finding is called {', '.join(strangers)}")
        return self

    def pick(self, fields: Mapping[str, Any], findings: Collection[str], draw: float) -> Scenario:
        """The scenario of a readable declaration: its marker, else the first choice that holds, else the default."""
        note = str(fields.get("application_note") or "")
        name = next((name for name in sorted(self.by_name, key=len, reverse=True) if self.marker + name in note), None)
        if name is None:
            holding = (choice.scenario for choice in self.choose if choice.holds(fields, findings, draw))
            name = next(holding, self.default)
        return self.by_name[name]


def load(path: Path | None = None) -> Scenarios:
    """The scenarios of a file, or the ones that come with the simulator. Raises ScenarioError, OSError."""
    file = resources.files("simulators.customs").joinpath("scenarios.toml") if path is None else path
    try:
        return Scenarios.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:  # TOML's and pydantic's errors alike
        raise ScenarioError(f"{path or 'scenarios.toml'}: {error}") from None


def drawn(seed: int, *parts: bytes | str) -> float:
    """A number in [0, 1) that depends on seed and parts alone."""
    digest = hashlib.sha256(str(seed).encode())
    for part in parts:
        digest.update(b"\0" + (part.encode() if isinstance(part, str) else part))
    return int.from_bytes(digest.digest()[:8], "big") / 2**64
