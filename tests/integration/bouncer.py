"""pgbouncer in front of a PostgreSQL server, as strict as it comes: transaction mode, few connections."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from adapters.postgres import install
from gateway.dev_kafka.config import free_port
from tests.integration.process import eventually
from tests.integration.servers import listens
from tests.parts import found

SETTINGS = """\
[databases]
* = host=127.0.0.1 port={server} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
server_idle_timeout = 5
"""


class Bouncer:
    """Listens on a loopback port while the context lasts. `url`: the server's databases, through it."""

    def __init__(self, server_url: str, folder: Path, *, size: int = 3) -> None:
        """`size`: connections to the server for each database; more clients than that take turns."""
        self._server = urlsplit(server_url)
        self._folder = folder
        self._size = size
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> "Bouncer":
        self._folder.mkdir()
        port = free_port()
        settings = SETTINGS.format(server=self._server.port, user=self._server.username, port=port, size=self._size)
        (self._folder / "pgbouncer.ini").write_text(settings, "utf-8")
        self.url = self._server._replace(netloc=f"{self._server.username}@127.0.0.1:{port}").geturl()
        who = install.account()  # as root it does not run
        if who.switch:
            shutil.chown(self._folder / "pgbouncer.ini", who.uid, who.gid)
        program = found("pgbouncer")
        assert program is not None
        directory = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        asked: dict[str, Any] = {"pass_fds": (directory,), "cwd": "/", **who.popen()}
        try:
            with (self._folder / "pgbouncer.log").open("ab") as log:
                command = [program, f"/proc/self/fd/{directory}/pgbouncer.ini"]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **asked)
        finally:
            os.close(directory)
        assert eventually(lambda: listens(port), 20), self.said()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)  # at once: SIGINT waits for clients
        self._process.wait(120)

    def said(self) -> str:
        """Its log."""
        return (self._folder / "pgbouncer.log").read_text("utf-8", "replace")

    def database(self, name: str) -> str:
        """Another database of the server, through it."""
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()
