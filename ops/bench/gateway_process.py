"""Gateway processes for the bench: `origin serve`, on a shared port; settings come from the environment, as always."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

QUOTAS = Path(__file__).with_name("quotas.toml").absolute()
"""They count and compare as for real clients, and no bench reaches them."""


def start(port: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process; `environment` holds its settings."""
    command = [sys.executable, "-m", "gateway.cli", "serve", "--port", str(port), "--share-port"]
    return subprocess.Popen(
        command, env={**_clean(), "ORIGIN_QUOTAS": str(QUOTAS), **environment}, stdin=subprocess.DEVNULL
    )


@contextlib.contextmanager
def gateways(
    count: int, port: int, dsn: str, data: Path, roles: str, more: Mapping[str, str] | None = None
) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
    """`count` processes with the same roles, all ready; ended on leaving. `more`: other settings.

    Without intake nobody listens on `port`: each process then answers probes on one of those that follow it.
    """
    environment = {"ORIGIN_DATABASE_URL": dsn, "ORIGIN_DATA": str(data), "ORIGIN_ROLES": roles, **(more or {})}
    probed = "intake" not in roles.split(",")
    started: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            asked = port + number if probed else port
            own = {"ORIGIN_METRICS_PORT": str(asked)} if probed else {}
            started.append(start(port, {**environment, **own}))
            wait_ready(asked, started[-1])
        time.sleep(0.5 * count)
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_ready(port: int, process: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    """Until /readyz says yes. Raises RuntimeError when the process ends first, TimeoutError."""
    deadline, url = time.monotonic() + patience, f"http://127.0.0.1:{port}/readyz"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended with {process.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.01)
    raise TimeoutError("the gateway did not get ready")


def _clean() -> dict[str, str]:
    """Our environment without the caller's settings of a gateway."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ORIGIN_")}
