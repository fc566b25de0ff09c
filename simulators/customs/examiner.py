"""What an examiner would find in a declaration: named predicates over its canonical content. Pure.

Reasons are those users report: discharge port outside the importing country (report-ports), a foreign origin in the
marks (guide-filling), PACKAGE as a kind of packages (report-packages). Words and codes of each finding stand in
``scenarios.toml``.
"""

import csv
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

Fields = Mapping[str, Any]

LANDLOCKED = frozenset(
    ("040", "051", "112", "203", "348", "398", "417", "418", "496", "524", "703", "756", "762", "860")
)
"""ISO numeric codes of destinations whose goods are discharged in a neighbour country."""

_MADE_IN = re.compile(r"\bMADE\s+IN\s+(?!CHINA\b|P\.?\s?R\.?\s?C|P\.?R\.? ?CHINA|THE PEOPLE)([A-Z]+)", re.IGNORECASE)


def findings(fields: Fields) -> tuple[str, ...]:
    """Names of everything wrong with a declaration, in a fixed order."""
    return tuple(name for name, wrong in EXAMINATIONS.items() if wrong(fields))


def discharge_port(fields: Fields) -> bool:
    """The discharge port is known and lies in another country than the destination."""
    country = ports().get(_port(fields.get("discharge_port")))
    destination = str(fields.get("destination_code") or "").zfill(3)
    return bool(country) and destination != "000" and country != destination and destination not in LANDLOCKED


def foreign_marks(fields: Fields) -> bool:
    """The shipping marks say MADE IN some other country."""
    return bool(_MADE_IN.search(str(fields.get("marks") or "")))


def package_unit(fields: Fields) -> bool:
    """A line counts PACKAGEs, which says nothing about the kind of packages."""
    units = (str(line.get("package_unit") or "").strip().upper() for line in fields.get("goods", ()))
    return any(unit in ("PACKAGE", "PACKAGES") for unit in units)


EXAMINATIONS: Mapping[str, Callable[[Fields], bool]] = {
    "discharge-port": discharge_port,
    "foreign-marks": foreign_marks,
    "package-unit": package_unit,
}


@cache
def ports() -> Mapping[str, str]:
    """Port, upper case -> ISO numeric country. Our own small list: an unknown port is never a finding."""
    text = resources.files("simulators.customs").joinpath("ports.csv").read_text(encoding="utf-8")
    return {row["port"]: row["country"] for row in csv.DictReader(text.splitlines())}


def _port(text: object) -> str:
    """The bare name: "Busan Port, Korea" is BUSAN."""
    name = re.split(r"[,;(]", str(text or "").upper())[0].strip()
    return re.sub(r"^(THE )?PORT OF (?!SPAIN)|( SEA)?\s?PORT$", "", name).strip()
