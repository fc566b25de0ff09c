"""PostgreSQL servers that are not the gateway's own, of several versions, for one test each."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from adapters.postgres import install
from gateway.dev_kafka.config import free_ports
from tests.integration.process import end_all, eventually

DEBIAN = Path("/usr/lib/postgresql")
ROLE = "origin"
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
        # The test's folder is closed to others: the server is handed the open directory instead of a path.
        directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        here = f"/proc/self/fd/{directory}/data"
        asked: dict[str, Any] = {
            "pass_fds": (directory,),
            "cwd": "/",
            "env": {"PATH": os.defpath, "LC_ALL": "C"},
            **self._who.popen(),
        }
        try:
            command = [
                str(self._programs / "initdb"),
                "-D",
                here,
                "-U",
                ROLE,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
            ]
            subprocess.run(command, check=True, timeout=60, capture_output=True, **asked)
            settings = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=")
            options = [word for setting in settings for word in ("-c", setting)]
            with (self._folder / "server.log").open("ab") as log:
                command = [str(self._programs / "postgres"), "-D", here, *options]
                self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **asked)
        finally:
            os.close(directory)
        log_file = self._folder / "server.log"
        # One that listens may still refuse: "the database system is starting up".
        assert eventually(lambda: READY in log_file.read_text("utf-8"), 30), log_file.read_text("utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)
        end_all(self._folder)


def free_port() -> int:
    """A loopback port that nobody has now, and that no connection is given while its server is away."""
    (port,) = free_ports(1)
    return port


def listens(port: int) -> bool:
    """Somebody answers there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
