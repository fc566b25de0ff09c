"""A gateway as its user runs it: `python -m gateway.cli serve`, a process of its own that can be killed and started.

Everything it starts has its working directory below the test's folder (PostgreSQL changes into its data directory), so
`leftovers` sees whatever outlives a test. Only processes found in this way are ever ended.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import httpx

from adapters.postgres.embedded import running_dsn
from gateway import keyfile
from tests.leftovers import leftovers

ROOT = Path(__file__).parents[2]
LISTENING = "listening on http://127.0.0.1:"
START_SECONDS = 30.0
ALL_ROLES = "intake,turn,render,print,customs-simulator"


class NotReady(AssertionError):
    """The gateway ended, or did not answer in time; what it said last is in the text."""


class Serve:
    """One gateway: its data directory stays, processes come and go. Leaving the context ends everything."""

    def __init__(
        self,
        home: Path,
        *,
        roles: str = ALL_ROLES,
        environment: Mapping[str, str] | None = None,
        data: Path | None = None,
        spool: Path | None = None,
    ) -> None:
        """`data`: shared by the processes of one gateway with split roles; default: below `home`, its own."""
        self.home = home
        self.data = data or home / "data"
        self.folders = home / "folders"
        self.spool = spool or self.data / "spool"
        self.output = home / "gateway.log"
        self.starts = 0
        self.slowest = 0.0
        """Seconds from a start to readiness: the longest so far."""
        self.port = 0
        self._roles = roles
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._said_before = 0
        self._begun = 0.0
        home.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Serve":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        end_all(self.home)

    # ------------------------------------------------------------ start

    def spawn(self) -> None:
        """Start a process and don't wait for it."""
        assert self._process is None, "it runs already"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORIGIN_")}
        settings = {
            "ORIGIN_DATA": str(self.data),
            "ORIGIN_FOLDER_ROOT": str(self.folders),
            "ORIGIN_FOLDER_SETTLE_SECONDS": "0.1",
            "ORIGIN_SPOOL": str(self.spool),
            **self._environment,
        }
        self.folders.mkdir(exist_ok=True)
        self._said_before = self.output.stat().st_size if self.output.exists() else 0
        with self.output.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "serve", "--port", "0", "--roles", self._roles],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.home,
                env={**kept, "PYTHONPATH": str(ROOT), **settings},
            )
        self.starts += 1
        self._begun = time.monotonic()
        self.port = 0

    def ready(self, timeout: float = START_SECONDS) -> None:
        """Wait until it serves. Raises NotReady."""
        end = time.monotonic() + timeout
        while not self.is_ready():
            if self._process is None or self._process.poll() is not None or time.monotonic() > end:
                raise NotReady(f"the gateway is not ready; it said:\n{self.said()[-3000:]}")
            time.sleep(0.02)
        self.slowest = max(self.slowest, time.monotonic() - self._begun)

    def start(self) -> None:
        """Start and wait until it serves."""
        self.spawn()
        self.ready()

    def is_ready(self) -> bool:
        """Does it serve now? A process without the intake role is ready when it says that its roles run."""
        if "intake" not in self._roles:
            return "gateway.started" in self.said()
        if not self.port and LISTENING in (said := self.said()):
            self.port = int(said.split(LISTENING)[1].split(",")[0])
        if not self.port:
            return False
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    # ------------------------------------------------------------ end

    def kill(self) -> None:
        """kill -9, of this process alone: its PostgreSQL lives on."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(120)
            self._process = None

    def kill_everything(self) -> None:
        """kill -9 of the process and of its PostgreSQL, as when the power fails for programs."""
        self.kill()
        for pid in leftovers(self.home):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM; the exit code."""
        self.terminate()
        return self.wait(timeout)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self._process is not None
        self._process.terminate()

    def wait(self, timeout: float) -> int:
        """The exit code of a process that was asked to end."""
        assert self._process is not None
        code = self._process.wait(timeout)
        self._process = None
        return code

    # ------------------------------------------------------------ looking at it

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        """The process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def operator_key(self) -> str:
        """The key of the operator's commands."""
        return keyfile.read(self.data / "operator.key")

    @property
    def database(self) -> str:
        """The address of the running embedded database."""
        found = running_dsn(self.data / "postgres")
        assert found is not None, "the embedded database does not run"
        return found

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    def memory(self) -> int:
        """Resident bytes of the process."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def said(self) -> str:
        """What the process that runs now wrote so far."""
        if not self.output.exists():
            return ""
        with self.output.open("rb") as file:
            file.seek(self._said_before)
            return file.read().decode("utf-8", "replace")

    def said_ever(self) -> str:
        """What all processes wrote, the database server's log with it."""
        logs = [self.output, *self.data.glob("postgres/server.log*")]
        return "\n".join(path.read_text("utf-8", "replace") for path in logs if path.exists())


def end_all(folder: Path, patience: float = 20.0) -> None:
    """End what works below `folder`, politely first. Raises AssertionError when something does not end."""
    postmasters = list(_postmasters(folder))
    for number, wait in ((signal.SIGINT, patience), (signal.SIGKILL, 10.0)):
        for pid in postmasters if number == signal.SIGINT else leftovers(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if eventually(lambda: not leftovers(folder), wait):
            return
    raise AssertionError(f"left behind: {leftovers(folder)}")


def eventually(holds: Callable[[], bool], seconds: float, pause: float = 0.02) -> bool:
    """True as soon as `holds`, False when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


def _postmasters(folder: Path) -> Iterator[int]:
    """Servers, not their children, which they end themselves; and every program that is no server."""
    found = set(leftovers(folder))
    for pid in found:
        with suppress(OSError, ValueError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if parent not in found:
                yield pid
