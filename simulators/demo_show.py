"""What the demo shows to people: tables with rich; live only on a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gateway.core.declared import OPENING

COLOURS = {
    "confirmed": "bold green",
    "printed": "green",
    "printing": "green",
    "approved": "cyan",
    "returned": "yellow",
    "refused": "red",
    "in_doubt": "bold red",
    "misprinted": "bold red",
}
HIDDEN = frozenset(
    {
        *("receipt", "layout", "content", "raw", "file", "job", "original", "copy", "order"),
        *("seal", "key", "signature"),
        *OPENING.values(),
    }
) - {"reference"}
"""Data of events that says little to a person: hashes, ids, and what the certificate itself says."""
STEPS = (
    "declared",
    "sent",
    "received",
    "in_review",
    "approved",
    "layout_arriving",
    "ready_to_print",
    "rendered",
    "printing",
    "printed",
    "confirmed",
)


def faults_table(name: str, faults: Sequence[Mapping[str, Any]]) -> Table:
    """Every fault of a refused declaration: the value is nowhere."""
    table = _table(f"{name}: refused, {len(faults)} faults, nothing kept")
    for column in ("code", "line", "place", "what is wrong", "what to do"):
        table.add_column(column, overflow="fold")
    for fault in faults:
        line = str(fault.get("line") or "")
        table.add_row(fault["code"], line, fault.get("path", ""), fault.get("message", ""), fault.get("remedy", ""))
    return table


def progress_table(rows: Iterable[tuple[str, str, str, str]]) -> Table:
    """(example, way in, number, status) of every certificate, with a bar of its progress."""
    table = _table("Certificates on their way")
    table.add_column("example", no_wrap=True)
    for column, width in (("by", 6), ("number", 17), ("status", 15), ("", len(STEPS))):
        table.add_column(column, no_wrap=True, min_width=width)
    for example, way, number, status in rows:
        done = STEPS.index(status) + 1 if status in STEPS else 0
        bar = Text("━" * done, style="green") + Text("━" * (len(STEPS) - done), style="bright_black")
        table.add_row(example, way, number, Text(status, style=COLOURS.get(status, "")), bar)
    return table


def timeline_table(number: str, title: str, events: Sequence[Mapping[str, Any]]) -> Table:
    """The life of one certificate."""
    table = _table(f"{number}  {title}")
    for column in ("#", "time (UTC)", "what", "about"):
        table.add_column(column, overflow="fold")
    for event in events:
        kind = str(event["kind"])
        shown = {k: v for k, v in event["data"].items() if k not in HIDDEN and v not in ("", None)}
        about = ", ".join(f"{name} {value}" for name, value in shown.items())
        when = str(event["at"])[11:23]
        table.add_row(str(event["sequence"]), when, Text(kind, style=COLOURS.get(kind, "")), about)
    return table


def files_table(rows: Iterable[tuple[str, str, str, Path, Path]]) -> Table:
    """(number, part, what the signature is worth, PDF, PNG)."""
    table = _table("Signed files")
    table.add_column("certificate", no_wrap=True)
    table.add_column("signature, file, picture", overflow="fold")
    for number, part, signature, pdf, png in rows:
        worth = Text(signature, style="green" if signature.startswith("valid") else "bold red")
        table.add_row(Text(f"{number}\n{part}"), Group(worth, Text(_near(pdf)), Text(_near(png), style="bright_black")))
    return table


def show(console: Console, *what: RenderableType) -> None:
    """Print each with an empty line after it."""
    for one in what:
        console.print(one)
        console.print()


def _near(path: Path) -> str:
    """As seen from where the demo runs."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
