"""Declarations of the storm: each asks the simulated customs for a life of its own, by the marker in its note.

Most lives end before there is paper: rendering is the slow stage, and a storm of 100,000 rendered declarations would
measure nothing else. `paper` is the share that goes the whole way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from simulators.customs.scenarios import Scenario, Scenarios, Step
from simulators.erp.enterprises import Enterprise
from simulators.erp.generator import declaration

DRAFT = "draft"
"""A declaration that is stored only (暂存): customs hears nothing of it."""
PAPER: Mapping[str, float] = {"approve": 4, "duplicate-receipts": 2, "backwards": 2, "layout-first": 2}
"""Scenarios that end with a print, and how often each is drawn among them."""
SHORT: Mapping[str, float] = {"return": 4, DRAFT: 3, "refuse": 1, "fail": 1, "withdrawn": 1}
"""Those that end before."""
RECEIPTS: Mapping[str, str] = {"duplicate-receipts": "duplicate receipts", "backwards": "reordered receipts"}
"""Faults that are part of a life."""
LINES = (1, 1, 1, 2, 3)
APPROVED, RETURNED = ("5",), ("3", "6")
"""RepType of verdicts (schemas/codelists/receipt_codes.csv)."""
TAKEN = "1"
"""RetType of a technical receipt that takes the file."""
FAILED = "2"
"""Channel of a receipt that says that storing failed."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One declaration to deliver."""

    key: str
    """Idempotency-Key."""
    enterprise: str
    """Credit code."""
    life: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a life ends, and how many papers of customs it takes."""

    status: str
    papers: int
    """Distinct receipts and layouts; a paper that comes twice is one."""


def parcels(seed: int, enterprises: Sequence[Enterprise], paper: float) -> Iterator[Parcel]:
    """Without an end: the same seed, the same parcels."""
    serial = 0
    while True:
        random = Random(f"storm/{seed}/{serial}")  # noqa: S311 (an example, not a secret)
        mix = PAPER if random.random() < paper else SHORT
        life = random.choices(list(mix), list(mix.values()))[0]
        yield parcel(random, f"storm-{seed}-{serial:06d}", life, enterprises[serial % len(enterprises)], serial)
        serial += 1


def parcel(random: Random, key: str, life: str, enterprise: Enterprise, serial: int) -> Parcel:
    """One declaration with a life of our choice."""
    content = declaration(random, random.choice(("C", "RC")), enterprise, serial, size=random.choice(LINES))
    if life == DRAFT:
        content = content.model_copy(update={"apply_type": "0"})
    else:
        content = content.model_copy(update={"application_note": f"SIM:{life}"})
    dialect = random.choice((CustomsXml(), EnterpriseJson()))
    return Parcel(key, enterprise.code, life, dialect.media_type, dialect.write(content))


def endings(scenarios: Scenarios) -> dict[str, Ending]:
    """What customs' own book of scenarios says about each life."""
    return {DRAFT: Ending("draft", 0)} | {
        name: ending(scenarios.by_name[name]) for name in (*PAPER, *SHORT) if name != DRAFT
    }


def ending(scenario: Scenario) -> Ending:
    """The newest verdict, by the time on the paper, wins; approved with both layouts goes to paper by itself."""
    papers = {(step.answer, step.bears, step.code, step.part, step.notes) for step in scenario.step}
    verdicts = [(step.bears, status) for step in scenario.step if (status := _verdict(step))]
    last = max(verdicts)[1] if verdicts else ""
    parts = {step.part for step in scenario.step if step.answer == "layout"}
    if last == "approved" and len(parts) == 2:
        last = "confirmed"
    return Ending(last, len(papers))


def _verdict(step: Step) -> str:
    match step.answer:
        case "reply" if step.code in APPROVED:
            return "approved"
        case "reply" if step.code in RETURNED:
            return "returned"
        case "technical" if step.code != TAKEN:
            return "returned"
        case "receipt" if step.code == FAILED:
            return "returned"
    return ""
