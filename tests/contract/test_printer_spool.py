"""The contract, on the spool folder; and a crash, or a refusal of the system, at every single step."""

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.printers.spool import SpoolPrinter
from gateway.ports import Printer, PrintRefused, Unavailable
from tests.contract.printer_suite import Harness, PrinterSuite

PDF = b"%PDF-1.7 original"


REAL_OPEN, REAL_UNLINK = os.open, os.unlink


class Server:
    """A print server: it takes away every file that appears under its final name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.taken: list[bytes] = []

    def sweep(self) -> None:
        for name in sorted(os.listdir(self.root)) if self.root.exists() else ():
            path = self.root / name
            if path.suffix == ".pdf" and path.is_file():
                handle = REAL_OPEN(path, os.O_RDONLY)
                self.taken.append(os.read(handle, 1 << 20))
                os.close(handle)
                REAL_UNLINK(path)


class SpoolHarness(Harness):
    """A folder with a print server behind it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server = Server(root)

    def open(self) -> Printer:
        return SpoolPrinter(self.root)

    def out(self) -> Sequence[bytes]:
        self.server.sweep()
        return self.server.taken

    def refuse(self, refusing: bool) -> None:
        jobs = self.root / ".jobs"
        jobs.rename(self.root / ".away") if refusing else (self.root / ".away").rename(jobs)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    SpoolPrinter(tmp_path / "spool")
    return SpoolHarness(tmp_path / "spool")


class TestSpoolPrinter(PrinterSuite):
    """Every promise."""


class Killed(BaseException):
    """The process ends here: nothing of ours runs any more."""


@contextmanager
def failing(at: int, error: Callable[[], BaseException], *, after: bool, server: Server | None) -> Iterator[list[str]]:
    """The `at`-th call into the system fails, before or after its effect; once killed, no later one has any effect.

    A print server, where there is one, looks after every call. Yields the calls so far.
    """
    calls: list[str] = []
    dead = threading.Event()

    def step(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if dead.is_set():
                raise Killed
            calls.append(name)
            trouble = error() if len(calls) == at else None
            if isinstance(trouble, Killed):
                dead.set()
            if trouble is not None and not after:
                raise trouble
            done = work(*arguments, **named)
            if server is not None:
                server.sweep()
            if trouble is not None:
                if hasattr(done, "close"):
                    done.close()
                raise trouble
            return done

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "rename", "open"):
            patch.setattr(os, name, step(name, getattr(os, name)))
        for name in ("touch", "unlink", "open"):
            patch.setattr(Path, name, step(f"Path.{name}", getattr(Path, name)))
        yield calls


def steps_of_one_print(root: Path) -> int:
    """How many calls one print makes."""
    with failing(0, Killed, after=False, server=None) as calls:
        asyncio.run(SpoolPrinter(root).submit("job", PDF))
    return len(calls)


def work_until_done(root: Path, server: Server) -> str:
    """What the print room does after a crash: ask, and print when the answer is no."""
    printer = SpoolPrinter(root)

    async def work() -> str:
        if await printer.was_printed("job"):
            return "printed"
        await printer.submit("job", PDF)
        return "printed"

    try:
        return asyncio.run(work())
    except PrintRefused:
        return "refused"


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_crash_at_any_step_prints_exactly_one(tmp_path: Path, after: bool, at_once: bool) -> None:
    count = steps_of_one_print(tmp_path / "count")
    assert count >= 8
    for at in range(1, count + 1):
        root = tmp_path / f"crash-{at}"
        server = Server(root)
        with (
            failing(at, Killed, after=after, server=server if at_once else None),
            pytest.raises(Killed),
        ):
            SpoolPrinter(root)._submit("job", PDF)
        assert work_until_done(root, server) == "printed"
        assert work_until_done(root, server) == "printed"
        server.sweep()
        assert server.taken == [PDF], f"step {at} of {count}"


@pytest.mark.parametrize("second", range(1, 9))
def test_a_crash_during_the_recovery_too(tmp_path: Path, second: int) -> None:
    for at in range(1, steps_of_one_print(tmp_path / "count") + 1):
        root = tmp_path / f"{at}"
        server = Server(root)
        with failing(at, Killed, after=True, server=server), pytest.raises(Killed):
            SpoolPrinter(root)._submit("job", PDF)
        with failing(second, Killed, after=True, server=server):
            try:
                if not SpoolPrinter(root)._ask("job"):
                    SpoolPrinter(root)._submit("job", PDF)
            except Killed:
                pass
        assert work_until_done(root, server) == "printed"
        server.sweep()
        assert server.taken == [PDF], f"steps {at}, {second}"


def test_a_system_that_refuses_at_any_step_prints_one_or_none_and_tells_which(tmp_path: Path) -> None:
    told = set()
    for at in range(1, steps_of_one_print(tmp_path / "count") + 1):
        root = tmp_path / f"refused-{at}"
        server = Server(root)
        outcome = "printed"
        with failing(at, lambda: OSError(28, "No space left on device"), after=False, server=server):
            try:
                SpoolPrinter(root)._submit("job", PDF)
            except PrintRefused:
                outcome = "refused"
        server.sweep()
        assert server.taken == ([PDF] if outcome == "printed" else []), f"step {at}"
        assert SpoolPrinter(root)._ask("job") is (outcome == "printed"), f"step {at}"
        told.add(outcome)
    assert told == {"printed", "refused"}


def test_a_crash_while_taking_back_never_says_printed_when_nothing_left(tmp_path: Path) -> None:
    """The rename out fails for good; the process dies somewhere in the clean-up."""
    for at in range(1, 4):
        root = tmp_path / f"{at}"
        printer, server = SpoolPrinter(root), Server(root)
        (root / "job.pdf").mkdir()  # no file can be renamed onto a folder
        calls: list[Path] = []

        def dies(path: Path, missing_ok: bool = False, *, at: int = at, calls: list[Path] = calls) -> None:
            calls.append(path)
            if len(calls) >= at:
                raise Killed
            if os.path.exists(path):
                REAL_UNLINK(path)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "unlink", dies)
            with pytest.raises(Killed):
                printer._submit("job", PDF)
        (root / "job.pdf").rmdir()
        assert work_until_done(root, server) == "printed"
        server.sweep()
        assert server.taken == [PDF], f"step {at}"


async def test_a_paused_worker_and_its_successor_do_not_both_print(tmp_path: Path) -> None:
    old, new = SpoolPrinter(tmp_path), SpoolPrinter(tmp_path, patience=0.1)
    paused, go_on = threading.Event(), threading.Event()
    rename = os.rename

    def pausing(source: Path, target: Path) -> None:
        if str(source).endswith(".part"):
            paused.set()
            go_on.wait(10)
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", pausing)
        task = asyncio.create_task(old.submit("job", PDF))
        await asyncio.to_thread(paused.wait, 10)
        with pytest.raises(Unavailable):
            await new.was_printed("job")
        with pytest.raises(Unavailable):
            await new.submit("job", PDF)
        go_on.set()
        await task
    assert await new.was_printed("job") is True
    await new.submit("job", PDF)
    server = Server(tmp_path)
    server.sweep()
    assert server.taken == [PDF]


def test_the_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    printer = SpoolPrinter(tmp_path)
    handle = os.open(tmp_path / ".jobs" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.close(handle)
    printer._submit("job", PDF)


@pytest.mark.parametrize("stranger", ["file", "directory", "link"])
async def test_what_stands_under_a_jobs_name_is_not_written_over(tmp_path: Path, stranger: str) -> None:
    """The job is refused and can be asked for again; nothing of it counts as handed out."""
    printer, place = SpoolPrinter(tmp_path), tmp_path / "job.pdf"
    if stranger == "file":
        place.write_bytes(b"somebody else's")
    elif stranger == "directory":
        place.mkdir()
    else:
        place.symlink_to("/nowhere")
    with pytest.raises(PrintRefused, match="stands in the spool already"):
        await printer.submit("job", PDF)
    assert await printer.was_printed("job") is False
    assert stranger != "file" or place.read_bytes() == b"somebody else's"
    place.rmdir() if stranger == "directory" else place.unlink()
    await printer.submit("job", PDF)
    assert place.read_bytes() == PDF


async def test_a_link_in_the_place_of_a_file_being_made_is_not_followed(tmp_path: Path) -> None:
    printer, other = SpoolPrinter(tmp_path), tmp_path / "other"
    other.write_bytes(b"kept")
    (tmp_path / ".jobs" / "job.part").symlink_to(other)
    with pytest.raises(PrintRefused):
        await printer.submit("job", PDF)
    assert other.read_bytes() == b"kept"
