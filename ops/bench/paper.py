"""Approved layout -> signed, stamped PDF, per core, beside the hand-assembled limit and reportlab + pyHanko."""

import asyncio

from ops.bench.figures import Figure, Progress, rate
from ops.bench.ground import Ground
from ops.bench.render_peers import compare

HALF = 0.5
TEN = 10.0


async def measure(_: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """Two figures that are judged, and how it stands when the layout is a value already."""
    took = await asyncio.to_thread(compare, 1.0 if quick else 8.0)  # pyHanko runs a loop of its own
    progress.say(", ".join(f"{name} {milliseconds:.3g} ms" for name, milliseconds in took.items()))
    each = {name: 1000 / milliseconds for name, milliseconds in took.items()}

    def beside(name: str, own: str, other: str, against: str, aim: float | None) -> Figure:
        return rate(name, each[own], "files/s", against, each[other], aim, each[own] / each[other])

    return [
        beside("layout -> signed PDF", "ours", "limit", "hand-assembled, the same key and pictures", HALF),
        beside("layout -> signed PDF", "ours", "peer", "reportlab + pyHanko, all prepared", TEN),
        beside("... the layout a value already", "ours from values", "limit from values", "hand-assembled", None),
    ]
