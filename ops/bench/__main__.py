"""``make bench``: every figure, or some of them by name, beside its limit of the same run."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable

from ops.bench import backlog, commits, fast, flood, intake, journey, kafka, paper, rescue, turning, verdict
from ops.bench.figures import Figure, Progress, show, write
from ops.bench.ground import FOLDER, Ground, ground

Measure = Callable[[Ground, Progress, bool], Awaitable[list[Figure]]]
PARTS: dict[str, Measure] = {
    "verdict": verdict.measure,
    "fast": fast.measure,
    "paper": paper.measure,
    "turn": turning.measure,
    "backlog": backlog.measure,
    "commits": commits.measure,
    "intake": intake.measure,
    "flood": flood.measure,
    "kafka": kafka.measure,
    "journey": journey.measure,
    "journey-kafka": journey.over_kafka,
    "rescue": rescue.measure,
}


async def run(names: list[str], quick: bool) -> list[Figure]:
    """The figures of these parts, in order."""
    progress = Progress()
    figures: list[Figure] = []
    async with ground() as place:
        for name in names:
            figures += await PARTS[name](place, progress, quick)
    return figures


def main() -> int:
    """0 when everything was measured, aims met or missed: a figure is no test. What went wrong raises."""
    parser = argparse.ArgumentParser(prog="python -m ops.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="few and short rounds: to see that it works")
    options = parser.parse_args()
    figures = asyncio.run(run(options.only or list(PARTS), options.quick))
    write(figures, FOLDER / "bench.json")
    show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
