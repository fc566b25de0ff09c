"""The report: a file for machines, a table for people."""

import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from ops.storm.check import Hit, Verdict
from ops.storm.faults import Struck
from ops.storm.fleet import ROOT


@dataclass(frozen=True, slots=True)
class Report:
    """One storm."""

    seed: int
    commit: str
    declarations: int
    paper: float
    bus: str
    session: float
    fleet: Mapping[str, int]
    seconds: float
    faults: Sequence[Struck]
    attacks: Mapping[str, Mapping[str, int]]
    """Attack -> HTTP status of its answers -> how many."""
    receipts: Mapping[str, int]
    """Declarations whose receipts customs doubled or reordered."""
    missing: Sequence[str]
    """Kinds of fault that the schedule has and that never struck."""
    verdicts: Sequence[Verdict]
    told: Mapping[str, Any]
    """Other figures: retries of clients, processes that ended by themselves, seconds until calm."""

    @property
    def holds(self) -> bool:
        """Every invariant held, and every kind of fault struck."""
        return all(verdict.holds for verdict in self.verdicts) and not self.missing

    def write(self, path: Path) -> None:
        """The file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"holds": self.holds, **asdict(self)}
        path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")

    def show(self) -> None:
        """The table."""
        console = Console(file=sys.stdout, highlight=False)
        if not console.is_terminal:
            console = Console(file=sys.stdout, width=140, highlight=False)
        console.print(
            f"storm: seed {self.seed}, commit {self.commit}, {self.declarations:,} declarations ({self.paper:.0%} to"
            f" paper), bus {self.bus}, {sum(self.fleet.values())} processes, {self.seconds:,.0f} s"
        )
        console.print(self._struck())
        console.print(self._attacked())
        console.print(self._checked())
        console.print(", ".join(f"{name}: {value}" for name, value in self.told.items()))
        for verdict in self.verdicts:
            for violation in verdict.violations:
                console.print(f"[red]{verdict.name}[/red] {violation}")
            if verdict.more:
                console.print(f"[red]{verdict.name}[/red] ... and {verdict.more} more")
        for kind in self.missing:
            console.print(f"[red]never struck:[/red] {kind}")
        if not self.holds:
            console.print(f"[red]The storm found something.[/red] Again: --seed {self.seed}")

    def _struck(self) -> Table:
        table = Table(box=None, title="faults, and the median and longest recovery", title_justify="left")
        for column in ("kind", "times", "hit", "ready s", "longest", "answered s", "longest", "through s", "longest"):
            table.add_column(column, justify="left" if column == "kind" else "right")
        groups: dict[str, list[Struck]] = defaultdict(list)
        for one in self.faults:
            role = one.target.rpartition("-")[0]
            groups[f"{one.kind}{f': {role}' if role else ''}"].append(one)
        for name, some in sorted(groups.items()):
            ready, answered = [one.ready for one in some], [one.answered for one in some]
            through = [inf if one.through is None else one.through for one in some]
            figures = [pick(values) for values in (ready, answered, through) for pick in (median, max)]
            told = ["never" if figure == inf else f"{figure:.1f}" for figure in figures]
            table.add_row(name, str(len(some)), str(sum(one.hit for one in some)), *told)
        for name, times in self.receipts.items():
            table.add_row(name, str(times), str(times))
        return table

    def _attacked(self) -> Table:
        table = Table(box=None, title="attacks, and their answers", title_justify="left")
        table.add_column("what")
        table.add_column("answers")
        for attack, answers in self.attacks.items():
            told = (f"{status}: {times:,}" for status, times in sorted(answers.items()))
            table.add_row(attack, ", ".join(told))
        return table

    def _checked(self) -> Table:
        table = Table(box=None, title="invariants", title_justify="left")
        for column in ("", "what", "rows", ""):
            table.add_column(column, justify="right" if column == "rows" else "left")
        for verdict in self.verdicts:
            mark = "holds" if verdict.holds else f"[red]{len(verdict.violations) + verdict.more} violations[/red]"
            table.add_row(verdict.name, verdict.about, f"{verdict.rows:,}", mark)
        return table


def tally(attacks: Iterable[Hit]) -> dict[str, dict[str, int]]:
    """The answers to each attack, by their HTTP status."""
    found: dict[str, dict[str, int]] = {}
    for hit in attacks:
        answers, status = found.setdefault(hit.attack, {}), str(hit.http or "none")
        answers[status] = answers.get(status, 0) + hit.times
    return found


def never(planned: Sequence[str], struck: Sequence[Struck]) -> list[str]:
    """Kinds that were planned and never hit."""
    hits = Counter(one.kind for one in struck if one.hit)
    return [kind for kind in dict.fromkeys(planned) if not hits[kind]]


def commit() -> str:
    """What is checked out here; "+" where files were changed."""
    try:
        asked = [
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked[0] + ("+" if asked[1] else "")
