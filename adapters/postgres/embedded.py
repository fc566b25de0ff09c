"""The embedded PostgreSQL server: one directory, one owner, one private socket, no network, no password.

    <directory>/lock        held (flock) by the process that owns the database
    <directory>/conf/       written by us at every start
    <directory>/data/       PostgreSQL's own; made whole, then renamed into place
    <directory>/run/        the socket, if the path is short enough for one
    <directory>/server.log

The directory and `conf` belong to whoever runs the gateway, `data` and `run` (mode 0700) to the server's
account. When the gateway is root these are two users: the account can change nothing root trusts, and the
kernel's word (`peer`) tells the server that its client is root. Such an account may be unable to reach the
directory by its path (a parent of mode 0700), so it is handed the opened directory: /proc/self/fd/N.

After a kill -9 of the gateway the server lives on; the next start attaches to it.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from adapters.postgres import config, install, postmaster
from adapters.postgres.install import Account, EmbeddedError

log = logging.getLogger(__name__)

SOCKET_PATH_MAX = 100
"""Bytes; the kernel allows 107, the lock file beside the socket takes 5 more."""
RECOVERS = "57P03"
"""What a server says that starts up, recovers or shuts down."""
LOG_MAX = 8 * 1024 * 1024
PASSING = ("pre-existing shared memory block", "lock file", "could not bind", "Address already in use")
"""Complaints that end by themselves, once the processes of a killed server are gone."""


class Embedded:
    """A PostgreSQL server under `directory`, started and stopped by the holder of its lock. Calls block."""

    def __init__(self, directory: Path, *, account: str | None = None) -> None:
        """`account`: the user that runs the server when we are root (default: postgres, else nobody)."""
        self.directory = Path(directory).absolute()
        self.data = self.directory / "data"
        self.logfile = self.directory / "server.log"
        self._wanted_account = account
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._who: Account | None = None

    @property
    def sockets(self) -> Path:
        """The directory of the server's socket."""
        return socket_directory(self.directory)

    @property
    def dsn(self) -> str:
        """Where to connect, for asyncpg and psql."""
        return _dsn(self.sockets)

    @property
    def pid(self) -> int | None:
        """The server's process id, None when it is not running."""
        return postmaster.pid_of(self.data, self._account().uid)

    def start(self, timeout: float = 60.0) -> None:
        """Answers on return: a new server, or the one that outlived its gateway. Raises EmbeddedError."""
        self._take_lock()
        try:
            self._start(time.monotonic() + timeout)
        except BaseException:
            self._drop_lock()
            raise

    def stop(self, timeout: float = 30.0) -> None:
        """Stops the server, found by its pid file, and gives the directory back. Nothing when not started."""
        if self._lock is None:
            return
        self._end(timeout)
        self._drop_lock()

    def release(self) -> None:
        """Gives the directory back and leaves the server running."""
        if self._child is not None and self._child.poll() is None:
            self._child.returncode = 0  # no longer our child to wait for: keeps Python from warning
        self._child = None
        self._drop_lock()

    def __enter__(self) -> Self:
        """Starts."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops."""
        self.stop()

    # ------------------------------------------------------------ the owner

    def _account(self) -> Account:
        if self._who is None:
            self._who = install.account(self._wanted_account)
        return self._who

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            seen = self.directory.lstat()
            if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
                raise EmbeddedError(
                    "embedded.owner",
                    f"{self.directory} is not a directory of the user that runs this program.",
                    "Start as its owner, or choose another data directory.",
                )
            self.directory.chmod(0o711 if self._account().switch else 0o700)
            lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedError(
                "embedded.directory",
                f"{self.directory} can't be used as a data directory: {error.strerror}.",
                "Choose another data directory with --data.",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            raise EmbeddedError(
                "embedded.locked",
                f"Another process{f' ({holder})' if holder else ''} owns the database in {self.directory}.",
                "Use its HTTP interface, stop it, or choose another data directory.",
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def _drop_lock(self) -> None:
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    # ------------------------------------------------------------ start

    def _start(self, deadline: float) -> None:
        who = self._account()
        version = self.data / "PG_VERSION"
        programs = install.binaries(int(version.read_text("ascii")) if version.exists() else None)
        programs = install.runnable(programs, who)
        changed = self._write_conf(programs)
        if not version.exists():
            self._initialise(programs, who)
        if not self.sockets.is_relative_to(self.directory) or not self.sockets.exists():
            _private(self.sockets, who)
        if (pid := self.pid) is not None:
            if not changed and self._ready(deadline):
                log.info("embedded.attached: server %d outlived its gateway", pid)
                return
            self._end(30.0)
        self._forget_stale()
        while True:
            if (trouble := self._launch(programs, who, deadline)) is None:
                log.info("embedded.started: server %s, log %s", self.pid, self.logfile)
                return
            if not any(word in trouble for word in PASSING) or time.monotonic() > deadline:
                raise EmbeddedError(
                    "embedded.start_failed",
                    f"PostgreSQL did not start: {trouble or 'no word in its log'}.",
                    f"See {self.logfile}; free space and permissions are the usual causes.",
                )
            time.sleep(0.2)

    def _write_conf(self, programs: Path) -> bool:
        """True when a server that runs already was told something else."""
        folder = self.directory / "conf"
        folder.mkdir(mode=0o755, exist_ok=True)
        folder.chmod(0o755)
        changed = False
        for name, text in config.files(str(programs), _own_name()).items():
            path = folder / name
            if path.exists() and path.read_text("utf-8") == text:
                continue
            changed = True
            fresh = folder / f"{name}.new"
            fresh.write_text(text, "utf-8")
            fresh.chmod(0o644)
            fresh.rename(path)
        return changed

    def _initialise(self, programs: Path, who: Account) -> None:
        """A whole cluster with our role and database, or none: made aside, then renamed."""
        work = self.directory / "data.new"
        shutil.rmtree(work, ignore_errors=True)
        _private(work, who)
        initdb = f"{programs}/initdb --encoding=UTF8 --locale=C --data-checksums --auth=peer --no-instructions"
        target = ["-D", f"{{here}}/{work.name}"]
        self._run(who, [*initdb.split(), f"--username={config.SUPERUSER}", *target], "")
        single = [str(programs / "postgres"), "--single", "-j", *target, "postgres"]
        self._run(who, single, "".join(f"{statement};\n\n" for statement in config.BOOTSTRAP))
        work.rename(self.data)
        folder = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _run(self, who: Account, command: list[str], text: str) -> None:
        with self._here(who) as (here, descriptors):
            words = [word.format(here=here) for word in command]
            try:
                done = subprocess.run(
                    words, input=text, capture_output=True, text=True, errors="replace", timeout=120, cwd="/",
                    check=False, pass_fds=descriptors, env=_environment(), **who.popen(),
                )  # fmt: skip
            except (OSError, subprocess.SubprocessError) as error:
                raise EmbeddedError(
                    "embedded.init_failed", f"{words[0]} can't be run: {error}.", "Is the installation whole?"
                ) from error
        # The single-user server reports a failed statement in its output only.
        if done.returncode or "ERROR:" in done.stderr or "FATAL:" in done.stderr:
            raise EmbeddedError(
                "embedded.init_failed",
                f"A new database could not be made: {done.stderr.strip()[-500:]}",
                "Free space and permissions of the data directory are the usual causes.",
            )

    @contextlib.contextmanager
    def _here(self, who: Account) -> Iterator[tuple[str, tuple[int, ...]]]:
        """How the server names our directory: its path, or a descriptor where the path may be closed."""
        if not who.switch or not sys.platform.startswith("linux"):
            yield str(self.directory), ()
            return
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)

    def _launch(self, programs: Path, who: Account, deadline: float) -> str | None:
        """None when the server answers, else what it complained about before it ended."""
        if self.logfile.exists() and self.logfile.stat().st_size > LOG_MAX:
            self.logfile.replace(self.logfile.with_suffix(".log.1"))
        with self._here(who) as (here, descriptors), self.logfile.open("ab") as out:
            self.logfile.chmod(0o600)
            begin = out.tell()
            sockets = f"{here}/run" if self.sockets.is_relative_to(self.directory) else str(self.sockets)
            command = [str(programs / "postgres"), "-D", f"{here}/data", "-k", sockets]
            for key, name in config.FILES:
                command += ["-c", f"{key}_file={here}/conf/{name}"]
            try:
                self._child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", env=_environment(),
                    pass_fds=descriptors, start_new_session=True, **who.popen(),
                )  # fmt: skip
            except OSError as error:
                return str(error)
        if self._ready(deadline):
            return None
        if self._child.poll() is None:
            self._end(10.0)
            return f"no answer in time; {postmaster.complaint(self.logfile, begin)}"
        return postmaster.complaint(self.logfile, begin)

    def _ready(self, deadline: float) -> bool:
        """Waits until the server lets us in; as long as it says that it recovers. False: it ended, or time is up."""
        while time.monotonic() < deadline:
            if self._child is not None and self._child.poll() is not None:
                return False
            answer = postmaster.answers(self.sockets, config.ROLE, config.DATABASE)
            if answer == "" and self.pid is not None:
                return True
            if answer not in ("", "absent", RECOVERS):
                raise EmbeddedError(
                    "embedded.refused",
                    f"The server in {self.directory} does not let this user in (SQLSTATE {answer}).",
                    "Start as the user that made the data directory.",
                )
            if self._child is None and self.pid is None:
                return False
            if answer == RECOVERS:
                deadline = max(deadline, time.monotonic() + 10.0)
            time.sleep(0.01)
        return False

    # ------------------------------------------------------------ end

    def _end(self, timeout: float) -> None:
        uid = self._account().uid
        if (pid := self.pid) is not None and not postmaster.end(pid, uid, timeout):
            raise EmbeddedError(
                "embedded.stop_failed", f"PostgreSQL (process {pid}) does not end.", f"See {self.logfile}."
            )
        if self._child is not None:
            self._child.wait(10.0)
            self._child = None

    def _forget_stale(self) -> None:
        """A pid file whose number another program has now (a container's small numbers) would stop a start.

        Only then it is removed; PostgreSQL still finds orphans of the old server by its shared memory.
        """
        if not sys.platform.startswith("linux") or self.pid is not None:
            return
        for path in (self.data / "postmaster.pid", self.sockets / f".s.PGSQL.{postmaster.PORT}.lock"):
            try:
                number = path.read_text("ascii").split("\n", 1)[0].strip().lstrip("-")
            except (OSError, ValueError):
                continue
            if number.isdecimal() and Path("/proc", number).exists():
                log.warning("embedded.stale_pid: process %s is not a PostgreSQL server; %s removed", number, path)
                path.unlink()


def socket_directory(directory: Path) -> Path:
    """`run` in the data directory if a socket's path fits, else a private directory named by a hash."""
    inside = directory.absolute() / "run"
    if len(os.fsencode(inside / f".s.PGSQL.{postmaster.PORT}.lock")) < SOCKET_PATH_MAX:
        return inside
    name = f"origin-{os.geteuid()}-{hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()[:16]}"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # As root the server is another user, who can't enter root's own runtime directory.
    if os.geteuid() != 0 and runtime and len(os.fsencode(runtime)) < 60 and os.access(runtime, os.W_OK):
        return Path(runtime) / name
    return Path(tempfile.gettempdir()) / name  # _private checks whose it is


def running_dsn(directory: Path) -> str | None:
    """Where the embedded server of another process listens, or None when it does not run."""
    sockets = socket_directory(directory)
    return None if postmaster.answers(sockets, config.ROLE, config.DATABASE) else _dsn(sockets)


def _dsn(sockets: Path) -> str:
    host = quote(str(sockets), safe="/")
    return f"postgresql://{config.ROLE}@/{config.DATABASE}?host={host}&port={postmaster.PORT}"


def _private(folder: Path, who: Account) -> None:
    """Makes `folder` the account's own, mode 0700; refuses somebody else's directory or link of that name."""
    try:
        folder.mkdir(mode=0o700)
        if who.switch:
            os.chown(folder, who.uid, who.gid, follow_symlinks=False)
    except FileExistsError:
        seen = folder.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != who.uid or stat.S_IMODE(seen.st_mode) & 0o077:
            raise EmbeddedError(
                "embedded.not_private", f"{folder} exists and is not private to {who.name}.", "Remove it."
            ) from None
    except OSError as error:
        raise EmbeddedError(
            "embedded.directory", f"{folder} can't be made: {error.strerror}.", "Choose another directory."
        ) from error


def _own_name() -> str:
    return "root" if os.geteuid() == 0 else install.account().name


def _environment() -> dict[str, str]:
    """Nothing of the caller's PG* settings reaches the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
