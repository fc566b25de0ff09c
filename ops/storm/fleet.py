"""The gateway's processes, several of each role, and a supervisor that starts again what ended, as systemd would."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from gateway.dev_kafka.config import free_port
from gateway.dev_kafka.node import DIE_WITH_PARENT
from ops.storm.plan import role_of

ROOT = Path(__file__).parents[2]
ROLES: Mapping[str, str] = {"customs": "customs-simulator"}
"""Where a process's name is not the role's own."""
AGAIN = 0.5
"""Seconds before a process that ended by itself is started again."""
STOP = 30.0


class Slot:
    """One place in the fleet: its name and port stay, processes come and go."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str], *, piped: bool = False) -> None:
        """`piped`: its output goes through a pipe, so that a limit on its files' sizes is none on its log."""
        self.name = name
        self.role = role_of(name)
        self.port = free_port()
        self.ended_by_itself = 0
        self.stopping = False
        self._folder = folder
        self._piped = piped
        roles = ROLES.get(self.role, self.role)
        door = self.role == "intake"
        self._settings = {"ORIGIN_ROLES": roles, **({} if door else {"ORIGIN_METRICS_PORT": str(self.port)})}
        self._settings |= environment
        self._options = ["--port", str(self.port)] if door else []
        self._process: subprocess.Popen[bytes] | None = None
        self._tee: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that runs now. Raises RuntimeError when none does."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.pid

    @property
    def log(self) -> Path:
        """What its processes said."""
        return self._folder / f"{self.name}.log"

    def spawn(self) -> None:
        """A process; the kernel kills it when this program ends. Call it in the main thread, which lasts."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORIGIN_")}
        serve = [sys.executable, "-m", "gateway.cli", "serve", *self._options]
        command = [sys.executable, "-ISc", DIE_WITH_PARENT, str(os.getpid()), *serve]
        with self.log.open("ab") as out:
            tee = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=out) if self._piped else None
            said = out if tee is None else tee.stdin
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self._folder,
                env={**kept, "PYTHONPATH": str(ROOT), **self._settings},
            )
        if tee is not None and tee.stdin is not None:
            tee.stdin.close()
        self._tee = tee

    def send(self, number: signal.Signals) -> None:
        """A signal, if a process is there to get it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and gone on return."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self, timeout: float = 10.0) -> int | None:
        """Its exit code; None: there was none. Raises subprocess.TimeoutExpired."""
        if self._process is None:
            return None
        code = self._process.wait(timeout)
        self._process = None
        if self._tee is not None:
            self._tee.wait(timeout)
            self._tee = None
        return code

    @property
    def ended(self) -> bool:
        """Its process ended and nobody asked for it."""
        return self._process is not None and self._process.poll() is not None


class Fleet:
    """All processes."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = {slot.name: slot for slot in slots}
        self._http = httpx.AsyncClient(trust_env=False, timeout=2.0)

    def of(self, role: str) -> list[Slot]:
        """The processes of a role."""
        return [slot for slot in self.slots.values() if slot.role == role]

    def start(self) -> None:
        """All at once."""
        for slot in self.slots.values():
            slot.spawn()

    async def supervise(self) -> None:
        """Until cancelled: what ended by itself is started again."""
        while True:
            for slot in self.slots.values():
                if slot.ended and not slot.stopping:
                    slot.wait()
                    slot.ended_by_itself += 1
                    await asyncio.sleep(AGAIN)
                    slot.spawn()
            await asyncio.sleep(0.05)

    async def is_ready(self, slot: Slot) -> bool:
        """Does its /readyz say yes now?"""
        try:
            return (await self._http.get(f"{slot.url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def ready(self, names: Sequence[str] | None = None, patience: float = 120.0) -> float:
        """Seconds until all (or these) are ready. Raises TimeoutError with those that are not."""
        began = time.monotonic()
        waiting = [self.slots[name] for name in (names or self.slots)]
        while True:
            said = await asyncio.gather(*(self.is_ready(slot) for slot in waiting))
            waiting = [slot for slot, yes in zip(waiting, said, strict=True) if not yes]
            took = time.monotonic() - began
            if not waiting:
                return took
            if took > patience:
                raise TimeoutError(f"not ready after {patience:g} s: {', '.join(slot.name for slot in waiting)}")
            await asyncio.sleep(0.02)

    async def stop(self) -> dict[str, int | None]:
        """SIGTERM to all; their exit codes. What is not gone in time is killed (and its code says so)."""
        for slot in self.slots.values():
            slot.stopping = True
            slot.send(signal.SIGCONT)
            slot.send(signal.SIGTERM)
        return {slot.name: await asyncio.to_thread(_end, slot) for slot in self.slots.values()}

    async def close(self) -> None:
        """Nothing is left."""
        for slot in self.slots.values():
            slot.stopping = True
            slot.kill()
        await self._http.aclose()


def _end(slot: Slot) -> int | None:
    try:
        return slot.wait(STOP)
    except subprocess.TimeoutExpired:
        slot.kill()
        return -signal.SIGKILL
