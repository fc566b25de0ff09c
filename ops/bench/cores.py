"""How many cores nobody used while something was measured: what a second process can still win."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

STAT = Path("/proc/stat")
FULL = 0.5
"""What a second process has to add where a whole core stood still beside the first."""


@dataclass(slots=True)
class Stretch:
    """Measured time, perhaps in pieces."""

    seconds: float = 0.0
    spare: float = 0.0
    """Seconds of cores that nobody used."""

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """A piece of it."""
        start, before = perf_counter(), _spare()
        yield
        self.seconds += perf_counter() - start
        self.spare += _spare() - before

    @property
    def idle(self) -> float:
        """Cores that stood still, on average."""
        return self.spare / self.seconds


def scaling_aim(idle: float) -> float:
    """How many times the rate of one process two should reach, where `idle` cores stood still beside the one."""
    return 1 + FULL * min(1.0, idle)


def _spare() -> float:
    """Seconds of all cores without work since the start (idle and waiting for a disk)."""
    idle, waiting = STAT.read_text().split("\n", 1)[0].split()[4:6]
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")
