"""The spool printer: a folder that a print server empties. Each file is named by its job, so it can be asked.

The whole file is made ready in ``.jobs/`` and leaves by one rename, which cannot happen twice. A marker written before
it stays behind: ready file there, not handed out; marker alone, handed out; neither, never seen. One lock per folder
keeps a worker that was paused and its successor apart.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from gateway.ports import PrintRefused, Unavailable

PATIENCE = 10.0
"""Seconds to wait for another process that works in the same folder."""


class SpoolPrinter:
    """See `gateway.ports.Printer`. `root` is made if it is not there."""

    def __init__(self, root: Path, *, confirms: bool = True, patience: float = PATIENCE) -> None:
        self._root = root
        self._jobs = root / ".jobs"
        self._confirms = confirms
        self._patience = patience
        root.mkdir(parents=True, exist_ok=True, mode=0o770)
        self._jobs.mkdir(exist_ok=True, mode=0o700)

    @property
    def confirms(self) -> bool:
        """A file in the spool counts as printed and confirmed, unless a person is to look."""
        return self._confirms

    async def submit(self, job: str, pdf: bytes) -> None:
        """Hand the file out once. Raises PrintRefused when the folder takes none, Unavailable while another process
        works in it; never PrintUnknown."""
        await asyncio.to_thread(self._submit, job, pdf)

    async def was_printed(self, job: str) -> bool | None:
        """True when the job's file was handed out; one that stood ready is handed out now. Raises Unavailable."""
        try:
            return await asyncio.to_thread(self._ask, job)
        except OSError as error:
            raise Unavailable(f"the spool folder can't be asked: {error.strerror}") from error

    def _ask(self, job: str) -> bool:
        with self._alone():
            return self._finish(job)

    def _submit(self, job: str, pdf: bytes) -> None:
        try:
            with self._alone():
                self._hand_out(job, pdf)
        except OSError as error:
            raise PrintRefused(f"the spool folder takes no file: {error.strerror}") from error

    def _hand_out(self, job: str, pdf: bytes) -> None:
        try:
            if self._finish(job):
                return
            partial = self._jobs / f"{job}.part"
            _write(partial, pdf)
            os.rename(partial, self._ready(job))
            self._finish(job)
        except OSError:
            self._take_back(job)
            raise

    @cached_property
    def name(self) -> str:
        """Of this very folder, whoever works in it: its jobs can be asked for nowhere else. Made once and kept."""
        path = self._jobs / "name"
        if not path.exists():
            with self._alone():
                if not path.exists():
                    aside = self._jobs / "name.part"
                    _write(aside, secrets.token_hex(6).encode())
                    os.rename(aside, path)
                    _sync(self._jobs)
        return f"spool-{path.read_text('ascii').strip()}"

    def _ready(self, job: str) -> Path:
        return self._jobs / f"{job}.ready"

    def _marker(self, job: str) -> Path:
        return self._jobs / f"{job}.out"

    def _finish(self, job: str) -> bool:
        """Hand out what stands ready. True when it is out, now or before."""
        ready, marker = self._ready(job), self._marker(job)
        if not ready.exists():
            return marker.exists()
        target = self._root / f"{job}.pdf"
        if os.path.lexists(target):  # somebody else's: a job leaves by its name once
            raise FileExistsError(errno.EEXIST, "something of the job's name stands in the spool already")
        marker.touch()
        _sync(self._jobs)
        os.rename(ready, target)
        try:
            _sync(self._jobs)
            _sync(self._root)
        except OSError:
            return True  # it is out; only a power cut in this very moment could tell otherwise
        return True

    def _take_back(self, job: str) -> None:
        """Nothing was handed out. The marker goes first: alone it would say the opposite."""
        for path in (self._marker(job), self._ready(job), self._jobs / f"{job}.part"):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                return

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """The folder's lock; a process that dies lets go of it. Raises Unavailable after `patience` seconds."""
        handle = os.open(self._jobs / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = time.monotonic() + self._patience
            while not _locked(handle):
                if time.monotonic() > end:
                    raise Unavailable("another process works in the spool folder")
                time.sleep(0.02)
            yield
        finally:
            os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    """Durable, and for the print server's group only: an original lies open to nobody else."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o640), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
