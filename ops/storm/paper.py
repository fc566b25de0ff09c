"""The printer at the end of the spool, with its own ledger: each file it takes is a line (job, SHA-256) on the disk.

Its folder can be filled up: a small tmpfs where we may mount one (root); else a limit on the size of the files that the
print processes may write, which fails in the same place with another number.
"""

import contextlib
import hashlib
import os
import resource
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson

from ops.storm.disk import Disk

SIZE = 48
"""MiB of the tmpfs. The printer empties it all the time."""
LITTLE = 4096
"""Bytes a print process may write into a file while the disk is said to be full."""
PAUSE = 0.01


class Spool:
    """The spool folder and its disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._disk = Disk(folder, SIZE)

    def open(self) -> None:
        """The folder; on a disk of its own if that can be had."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._disk.open()

    @property
    def mounted(self) -> bool:
        """It is on a disk of its own."""
        return self._disk.mounted

    @property
    def how(self) -> str:
        """How it becomes full."""
        return self._disk.how if self.mounted else "RLIMIT_FSIZE of the print processes (no mount without root)"

    def fill(self, pids: Sequence[int]) -> None:
        """No file fits any more. `pids`: of the print processes."""
        if not self.mounted:
            for pid in pids:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (LITTLE, resource.RLIM_INFINITY))
            return
        self._disk.fill()

    def empty(self, pids: Sequence[int]) -> None:
        """There is room again."""
        if not self.mounted:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return
        self._disk.empty()

    def close(self) -> None:
        """The disk is given back."""
        self._disk.close()


class Printer:
    """Takes every file out of the spool: reads it, writes its line, then removes it. A thread."""

    def __init__(self, spool: Path, ledger: Path) -> None:
        self._spool = spool
        self._ledger = ledger
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="storm-printer")
        self._trouble: BaseException | None = None
        self.taken = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Take what lies there, then no more. Raises what broke it."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._trouble is not None:
            raise self._trouble

    def printed(self) -> list[tuple[str, str]]:
        """(job, SHA-256) of everything that ever came out, in order."""
        lines = [orjson.loads(line) for line in self._ledger.read_bytes().splitlines()]
        return [(line["job"], line["sha256"]) for line in lines]

    def _work(self) -> None:
        try:
            with self._ledger.open("ab", buffering=0) as ledger:
                while not self._over.is_set():
                    self._round(ledger.fileno())
                    self._over.wait(PAUSE)
                self._round(ledger.fileno())
        except BaseException as error:
            self._trouble = error

    def _round(self, ledger: int) -> None:
        for path in sorted(self._spool.glob("*.pdf")):
            line = {"job": path.stem, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            os.write(ledger, orjson.dumps(line) + b"\n")
            os.fsync(ledger)
            path.unlink()
            self.taken += 1
