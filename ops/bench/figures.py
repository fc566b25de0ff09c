"""A figure beside its limit or peer, measured in turn because a machine's speed drifts; the table and the file."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TypeAlias

import orjson
from rich.console import Console
from rich.table import Table

Side: TypeAlias = Callable[[], float]
"""Measures once."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; a member of ``build/bench/bench.json``."""

    name: str
    value: float
    unit: str
    against: str
    """What it is held against: a limit, a peer, a duration that was asked for."""
    limit: float | None
    """The same quantity of `against`, measured in the same run."""
    ratio: float | None
    """How we stand to it, so that more is better: value over limit for rates, limit over value for durations."""
    aim: float | None
    """The ratio to reach; None: told, not judged."""
    holds: bool | None


def rate(name: str, value: float, unit: str, against: str, limit: float, aim: float | None, ratio: float) -> Figure:
    """More is better. `ratio` is the median of the rounds' own ratios, which drift cannot touch."""
    return Figure(name, value, unit, against, limit, ratio, aim, None if aim is None else ratio >= aim)


def duration(name: str, value: float, unit: str, against: str, limit: float, aim: float | None = 1.0) -> Figure:
    """Less is better."""
    ratio = limit / value
    return Figure(name, value, unit, against, limit, ratio, aim, None if aim is None else ratio >= aim)


def told(name: str, value: float, unit: str, against: str = "") -> Figure:
    """A figure without a limit."""
    return Figure(name, value, unit, against, None, None, None, None)


class Progress:
    """One line on standard error for each thing done: what runs, which round, what came out."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._started = perf_counter()

    def say(self, text: str) -> None:
        """Tell what happens now."""
        self._console.print(f"[dim]{perf_counter() - self._started:6.1f} s[/dim]  {text}")


def interleaved(progress: Progress, name: str, rounds: int, **sides: Side) -> dict[str, list[float]]:
    """Each side once a round, in turn (A B A B ...): what disturbs the machine disturbs both."""
    found: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(1, rounds + 1):
        for side, measure in sides.items():
            found[side].append(measure())
        told_so = ", ".join(f"{side} {values[-1]:,.1f}" for side, values in found.items())
        progress.say(f"{name} {number}/{rounds}: {told_so}")
    return found


def ratio_of(above: Sequence[float], below: Sequence[float]) -> float:
    """The median of the rounds' own ratios."""
    return median(a / b for a, b in zip(above, below, strict=True))


def timed(work: Callable[[], object], seconds: float) -> float:
    """Microseconds a call of `work`, called for about `seconds`; the median of its batches."""
    work()
    batches: list[float] = []
    end = perf_counter() + seconds
    count = 1
    while perf_counter() < end or len(batches) < 3:
        start = perf_counter()
        for _ in range(count):
            work()
        took = perf_counter() - start
        batches.append(took / count * 1e6)
        if took < seconds / 40:
            count *= 2
    return median(batches)


def write(figures: Iterable[Figure], path: Path) -> None:
    """The file that machines read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps([asdict(figure) for figure in figures], option=orjson.OPT_INDENT_2) + b"\n")


def show(figures: Sequence[Figure]) -> None:
    """The table that people read."""
    table = Table(title="measured in one run, each beside its limit or peer", title_justify="left", box=None)
    for column in ("figure", "value", "unit", "against", "limit", "ratio", "aim", ""):
        table.add_column(column, justify="left" if column in ("figure", "unit", "against", "") else "right")
    for figure in figures:
        mark = {True: "holds", False: "[red]MISSED[/red]", None: ""}[figure.holds]
        numbers = (_plain(figure.limit), _plain(figure.ratio), _plain(figure.aim))
        table.add_row(figure.name, _plain(figure.value), figure.unit, figure.against, *numbers, mark)
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=180)
    console.print(table)


def _plain(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
