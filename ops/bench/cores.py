"""Cores while something is measured: how many nobody used, and processes that leave half of one to another."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

STAT = Path("/proc/stat")
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
        first = True
        while not over.is_set():
            for number, process in enumerate(processes):
                os.kill(process, signal.SIGCONT if first is (number == 0) else signal.SIGSTOP)
            first = not first
            over.wait(SLICE)
        for process in processes:
            os.kill(process, signal.SIGCONT)

    turns = threading.Thread(target=take_turns, name="halves")
    turns.start()
    try:
        yield
    finally:
        over.set()
        turns.join()


def _spare() -> float:
    """Seconds of all cores without work since the start (idle and waiting for a disk)."""
    idle, waiting = STAT.read_text().split("\n", 1)[0].split()[4:6]
    return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")
