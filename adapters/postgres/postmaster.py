"""A PostgreSQL server seen from outside: does it live, does it answer, what did it complain about."""

import contextlib
import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path

PORT = 5432
PROTOCOL = 196608  # 3.0


def pid_of(data: Path, uid: int) -> int | None:
    """The server's process by its pid file; None without one, or when that process is not the server."""
    try:
        pid = int((data / "postmaster.pid").read_text("ascii").split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if pid > 1 and alive(pid, uid) else None


def alive(pid: int, uid: int) -> bool:
    """Does a PostgreSQL process of user `uid` live under `pid`? A zombie does not."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except OSError:
        return False
    if not sys.platform.startswith("linux"):
        return True
    try:
        if os.stat(f"/proc/{pid}").st_uid != uid:
            return False
        line = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    name, _, rest = line.partition("(")[2].rpartition(")")
    return name == "postgres" and rest.split()[0] != "Z"


def answers(sockets: Path, role: str, database: str) -> str:
    """Knocks as `role`: "" when it lets us in, an SQLSTATE when it says no, "absent" when nobody opens."""
    pairs = f"user\0{role}\0database\0{database}\0application_name\0origin-ping\0\0".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(5.0)
        try:
            knock.connect(str(sockets / f".s.PGSQL.{PORT}"))
            knock.sendall(struct.pack("!ii", 8 + len(pairs), PROTOCOL) + pairs)
            reply = knock.recv(4096)
        except OSError:
            return "absent"
    if reply[:1] == b"R" and reply[5:9] == b"\0\0\0\0":
        return ""
    fields = {part[:1]: part[1:] for part in reply[5:].split(b"\0") if part}
    return fields.get(b"C", b"absent").decode("ascii", "replace") if reply[:1] == b"E" else "absent"


def end(pid: int, uid: int, timeout: float) -> bool:
    """Fast shutdown (clients cut off, everything flushed); after `timeout` seconds an immediate one."""
    for number, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while alive(pid, uid):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        else:
            return True
    return False


def complaint(logfile: Path, start: int) -> str:
    """What the server wrote to its log after byte `start`: the lines that say why it would not run."""
    try:
        with logfile.open("rb") as file:
            file.seek(start)
            text = file.read(65536).decode("utf-8", "replace")
    except OSError:
        return ""
    grave = ("FATAL", "PANIC", "ERROR", "error:", "unrecognized", "invalid")
    lines = [line for line in text.splitlines() if any(word in line for word in grave)]
    return " | ".join(lines[-3:] or text.splitlines()[-3:])
