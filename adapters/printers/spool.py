"""The spool printer: a folder that a print server empties. Each file is named by its job, so it can be asked.

The whole file is made ready in ``.jobs/`` and leaves by one rename, which cannot happen twice. A marker beside it (a
hard link) stays behind: ready file there, not handed out; marker alone, handed out; neither, never seen.
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from gateway.ports import PrintRefused


class SpoolPrinter:
    """See `gateway.ports.Printer`. `root` is made if it is not there."""

    def __init__(self, root: Path, *, confirms: bool = True) -> None:
        self._root = root
        self._jobs = root / ".jobs"
        self._confirms = confirms
        self._jobs.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def confirms(self) -> bool:
        """A file in the spool counts as printed and confirmed, unless a person is to look."""
        return self._confirms

    async def submit(self, job: str, pdf: bytes) -> None:
        """Hand the file out once. Raises PrintRefused when the folder takes none; never PrintUnknown."""
        await asyncio.to_thread(self._submit, job, pdf)

    async def was_printed(self, job: str) -> bool | None:
        """True when the job's file was handed out; one that stood ready is handed out now."""
        return await asyncio.to_thread(self._finish, job)

    def _submit(self, job: str, pdf: bytes) -> None:
        try:
            if self._finish(job):
                return
            partial = self._jobs / f"{job}.part"
            with partial.open("wb") as file:
                file.write(pdf)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._ready(job))
            self._finish(job)
        except OSError as error:
            for name in (f"{job}.part", f"{job}.ready", f"{job}.out"):
                with suppress(OSError):
                    (self._jobs / name).unlink(missing_ok=True)
            raise PrintRefused(f"the spool folder takes no file: {error.strerror}") from error

    def _ready(self, job: str) -> Path:
        return self._jobs / f"{job}.ready"

    def _finish(self, job: str) -> bool:
        """Hand out what stands ready. True when it is out, now or before."""
        marker = self._jobs / f"{job}.out"
        ready = self._ready(job)
        if not ready.exists():
            return marker.exists()
        with suppress(FileExistsError):
            os.link(ready, marker)
        _sync(self._jobs)
        ready.rename(self._root / f"{job}.pdf")
        with suppress(OSError):  # it is out; only a power cut in this very moment could tell otherwise
            _sync(self._jobs)
            _sync(self._root)
        return True


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
