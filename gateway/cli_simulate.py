"""simulate: the gateway's own parts in a world where every failure is drawn from a seed."""

from typing import TYPE_CHECKING, Annotated

import typer

from gateway import logs
from gateway.cli_common import FAULTY, JsonOption, dump, example, hint, say, show

if TYPE_CHECKING:
    from simulators.simulation.run import Summary


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=example("origin simulate --seed 1 --steps 200000"))(simulate)


def simulate(
    seed: Annotated[int, typer.Option(min=0, help="The first seed; one seed is one schedule.", show_default=False)],
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Seed after seed until so many calls were made that could fail; else one seed."),
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Every step of one seed, byte for byte the same.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Crashes, lost answers, doubles, other orders, clocks that jump: does everything that was promised still hold?

    Exit 0: yes; 1: an invariant was broken, or a long run never met some kind of trouble.
    """
    from simulators.simulation.run import Summary, outcomes
    from simulators.simulation.run import simulate as one

    logs.configure("error")  # what the parts say in their worlds is no news here
    summary = Summary(seed)
    if trace or steps is None:
        outcome = one(seed, traced=trace)
        summary.add(outcome)
        for line in outcome.trace:
            say(line)
    else:
        for outcome in outcomes(seed, steps):
            summary.add(outcome)
    if as_json:
        dump(_data(summary))
    elif not trace:
        _tell(summary)
    for outcome in summary.failed:
        broken = ", ".join(dict.fromkeys(violation.invariant for violation in outcome.violations))
        hint(f"Seed {outcome.seed} breaks {broken}. Again, step by step: origin simulate --seed {outcome.seed} --trace")
    raise typer.Exit(0 if summary.holds else FAULTY)


def _data(summary: "Summary") -> dict[str, object]:
    return {
        "first_seed": summary.first,
        "seeds": summary.seeds,
        "steps": summary.steps,
        "resumed": summary.resumed,
        "faults": {fault.name.lower(): count for fault, count in sorted(summary.faults.items())},
        "never": [fault.name.lower() for fault in summary.never],
        "checked": dict(sorted(summary.checked.items())),
        "violations": [
            {"seed": outcome.seed, "invariant": violation.invariant, "text": violation.text}
            for outcome in summary.failed
            for violation in outcome.violations
        ],
    }


def _tell(summary: "Summary") -> None:
    show(("trouble", "times"), [(fault.value, count) for fault, count in sorted(summary.faults.items())])
    show(("invariant", "rows checked"), sorted(summary.checked.items()))
    for outcome in summary.failed:
        for violation in outcome.violations:
            say(f"seed {outcome.seed}: {violation}")
    if summary.never and summary.seeds > 1:
        say(f"never met: {', '.join(fault.value for fault in summary.never)}")
    say(f"{summary.seeds} seeds from {summary.first}, {summary.steps} steps, {len(summary.failed)} seeds failed")
