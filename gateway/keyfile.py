"""Secrets that live in files: made at the first start, mode 0600, never on a command line."""

import contextlib
import os
import secrets
import stat
from pathlib import Path


class KeyFileRefused(Exception):
    """A key file that can't be used; the text says why and what to do, never what is in it."""


def read(path: Path) -> str:
    """The secret in `path`. Raises KeyFileRefused when it is missing, empty, or open to other users."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileRefused(f"{path} can't be read: {error.strerror}.") from error
    with os.fdopen(descriptor, "r", encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) or mode & 0o077:
            raise KeyFileRefused(f"{path} must be a plain file that only its owner can read: chmod 600 {path}")
        text = file.read(4096).strip()
    if not text:
        raise KeyFileRefused(f"{path} is empty. Restore it; a new one opens nothing that the old one closed.")
    return text


def read_or_make(path: Path, *, random_bytes: int = 32) -> str:
    """The secret in `path`; a new one (URL-safe text of `random_bytes`) when there is no such file yet.

    Two processes that start together agree on one: the file is written aside and linked into place.
    """
    with contextlib.suppress(FileNotFoundError):
        path.lstat()
        return read(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(random_bytes) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # what it closes is durable, so it must be
    finally:
        os.close(folder)
    return read(path)
