"""PostgreSQL servers that are not the gateway's own, of several versions, for one test each."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from adapters.postgres import install
from gateway.dev_kafka.config import free_port
from tests.integration.process import end_all, eventually

DEBIAN = Path("/usr/lib/postgresql")
ROLE = "origin"
HERE = "/proc/self/fd/{}/data"
READY = "database system is ready to accept connections"
"""The server's own word, in its log."""


def debian() -> Path:
    """The programs of the newest server that Debian's packages brought."""
    return max(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[4])).parent


class Server:
    """A cluster below `folder` on a loopback port, without a password. As root it runs as another user."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._who = install.account()
        self._programs = install.runnable(programs, self._who)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def version(self) -> int:
        """Its major version."""
        return install.major_version(self._programs / "postgres")

    def __enter__(self) -> "Server":
        self._folder.mkdir()
        data = self._folder / "data"
        data.mkdir(mode=0o700)
        if self._who.switch:
            shutil.chown(data, self._who.uid, self._who.gid)
        port = free_port()
        self.url = f"postgresql://{ROLE}@127.0.0.1:{port}/postgres"
        with self._opened() as asked:
            where = ["-D", HERE.format(asked["pass_fds"][0])]
            command = [str(self._programs / "initdb"), *where, "-U", ROLE, "-A", "trust", "-E", "UTF8", "--locale=C"]
            subprocess.run(command, check=True, timeout=60, capture_output=True, **asked)
        self.start()
        return self

    def start(self) -> None:
        """Run it, until it takes connections: after a kill -9 it recovers first."""
        settings = ("listen_addresses=127.0.0.1", f"port={urlsplit(self.url).port}", "unix_socket_directories=")
        options = [word for setting in settings for word in ("-c", setting)]
        log_file = self._folder / "server.log"
        before = log_file.read_text("utf-8").count(READY) if log_file.exists() else 0
        with self._opened() as asked, log_file.open("ab") as log:
            command = [str(self._programs / "postgres"), "-D", HERE.format(asked["pass_fds"][0]), *options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **asked)
        # One that listens may still refuse: "the database system is starting up".
        ready = eventually(lambda: log_file.read_text("utf-8").count(READY) > before, 30)
        assert ready, log_file.read_text("utf-8")

    def kill(self) -> None:
        """kill -9 of the server; the processes it started notice, and go."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(120)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[dict[str, Any]]:
        """How its programs are run. The test's folder is closed to others: they are handed the open directory instead
        of a path."""
        directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            environment = {"PATH": os.defpath, "LC_ALL": "C"}
            yield {"pass_fds": (directory,), "cwd": "/", "env": environment, **self._who.popen()}
        finally:
            os.close(directory)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(120)
        end_all(self._folder)


def listens(port: int) -> bool:
    """Somebody answers there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
