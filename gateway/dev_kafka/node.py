"""One broker as a process: started, asked for, stopped, killed, paused. Calls block; Linux only (/proc)."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""PR_SET_PDEATHSIG (1) with SIGKILL, kept over exec. The parent may have died before: then there is no signal."""
LOG_MAX = 8 << 20
"""Bytes; a larger log is begun anew at the next start."""


class Node:
    """The process whose id stands in `<directory>/pid`, ours or one that an earlier program started.

    The file holds the process's start time too: a number that the system gave to another process is no broker.
    """

    def __init__(self, number: int, directory: Path) -> None:
        self.number = number
        """The broker's node id, from 1."""
        self.directory = directory
        self.logfile = directory / "server.log"
        self._pidfile = directory / "pid"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The broker's process id; None when it does not run. A paused broker runs."""
        if self._child is not None:
            if self._child.poll() is None:
                return self._child.pid
            self._child = None
        try:
            pid, started = self._pidfile.read_text("ascii").split()
        except (OSError, ValueError):
            return None
        return int(pid) if pid.isdecimal() and _started(int(pid)) == started else None

    @property
    def memory(self) -> int | None:
        """Resident memory, bytes; None when it does not run."""
        pid = self.pid
        if pid is None:
            return None
        with contextlib.suppress(OSError, IndexError):
            return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return None

    def launch(self, command: Sequence[str], *, die_with_parent: bool) -> None:
        """Starts the process. `die_with_parent`: the kernel kills it when this program ends, in whatever way."""
        if die_with_parent:
            command = [sys.executable, "-ISc", DIE_WITH_PARENT, str(os.getpid()), *command]
        self._child = (
            _lasting_thread().submit(self._spawn, command).result() if die_with_parent else self._spawn(command)
        )
        self._pidfile.write_text(f"{self._child.pid} {_started(self._child.pid)}\n", "ascii")

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        small = self.logfile.exists() and self.logfile.stat().st_size < LOG_MAX
        with self.logfile.open("ab" if small else "wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                env={"LANG": "C.UTF-8", "PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def release(self) -> None:
        """The process goes on without us: a program that ends does not wait for it."""
        if self._child is not None and self._child.poll() is None:
            self._child.returncode = 0  # keeps Python from warning of a child that nobody waited for
        self._child = None

    def kill(self) -> None:
        """SIGKILL; the process is gone on return. Nothing when it does not run."""
        self._signal(signal.SIGKILL)
        self.wait_gone(10.0)

    def pause(self) -> None:
        """SIGSTOP: it answers nobody until `resume`. It has stopped on return."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + 5.0
        while (pid := self.pid) is not None and _fields(pid)[0] != "T" and time.monotonic() < deadline:
            time.sleep(0.002)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM; a paused one is resumed, so that it hears it."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def wait_gone(self, seconds: float) -> bool:
        """Waits until the process has ended, at most `seconds`; True when it has."""
        deadline = time.monotonic() + seconds
        while self.pid is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        self._pidfile.unlink(missing_ok=True)
        return True

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@functools.cache
def _lasting_thread() -> ThreadPoolExecutor:
    """For PR_SET_PDEATHSIG the parent is the thread that forked: this one lives as long as the program."""
    return ThreadPoolExecutor(1, "broker-parent")


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since the machine did; None for one that is gone.

    A zombie is gone when its last thread is: until then it holds its ports.
    """
    try:
        fields = _fields(pid)
        if fields[0] in "ZX" and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1:
            return None
    except OSError:
        return None
    return fields[19]


def _fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the name: the state first."""
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
