"""Cores while something is measured: how many nobody used, and processes that leave half of one to another."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from time import perf_counter

from ops.bench.figures import Figure, rate, ratio_of, told

STAT = Path("/proc/stat")
SCALING = 1.5
"""How many times the rate of one process of half a core two of them should reach."""
SLICE = 0.01
"""Seconds that a process runs, and then stands still."""


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


@contextlib.contextmanager
def halves(processes: Sequence[int]) -> Iterator[None]:
    """One process runs half of the time; two take turns. So the second one finds free what it needs, and whether it
    adds as much as the first is a question of what they share: rows, locks, counters, partitions. On a small machine
    one process and its database leave too little to see that."""
    over = threading.Event()

    def take_turns() -> None:
        for turn in cycle((0, 1)):
            for number, process in enumerate(processes):
                os.kill(process, signal.SIGCONT if number == turn else signal.SIGSTOP)
            if over.wait(SLICE):
                break
        for process in processes:
            os.kill(process, signal.SIGCONT)

    turns = threading.Thread(target=take_turns, name="halves")
    turns.start()
    try:
        yield
    finally:
        over.set()
        turns.join()


def scaling(
    name: str,
    unit: str,
    *,
    one: Sequence[float],
    two: Sequence[float],
    half: Sequence[float],
    both: Sequence[float],
    idle: float,
) -> list[Figure]:
    """What a second process adds, round by round: to one of half a core (`both` to `half`), which is judged; and to one
    by itself (`two` to `one`), which is told, with the cores that stood idle beside that one."""
    return [
        rate(f"{name}, 2 processes of half a core", median(both), unit, "1 process of half a core", median(half),
             SCALING, ratio_of(both, half)),
        rate(f"{name}, 2 processes", median(two), unit, "1 process", median(one), None, ratio_of(two, one)),
        told("... cores idle beside one process", idle, "cores", "what a second one can win"),
    ]  # fmt: skip


def _spare() -> float:
    """Seconds of all cores without work since the start (idle and waiting for a disk)."""
    idle, waiting = STAT.read_text().split("\n", 1)[0].split()[4:6]
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")
