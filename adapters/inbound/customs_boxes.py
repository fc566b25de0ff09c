"""The folders of the single-window import client (单一窗口导入客户端) (interface-client-folders). Blocking.

    <folder>/OutBox    we put whole files here; the client takes them
    <folder>/SentBox   where the client leaves what it sent     FailBox: what it refused
    <folder>/InBox     the client puts receipts and layouts here, as .tmp while it writes; we take them

Ours, beside them: OutWork and InWork for what is under way, InDone for what was read, InAside for what nobody can read
with the reason beside it. An operator may empty InDone, InAside and SentBox at any time.
"""

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from adapters.inbound.folder_files import DIRECTORY, ClientFolder

OUT, SENT, FAILED, IN = "OutBox", "SentBox", "FailBox", "InBox"
OUT_WORK: Final = "OutWork"
INBOX: Final[Mapping[str, str]] = MappingProxyType(
    {"in": IN, "work": "InWork", "accepted": "InDone", "rejected": "InAside"}
)
WHY: Final = ".why.json"
"""Beside a file in InAside: the reason."""
UNFINISHED: Final = (".tmp", ".part")
ROUNDING: Final = 2.0
"""Seconds by which a file's time may be off: FAT, on old shares, counts in twos."""
LEFTOVER_SECONDS: Final = 3600.0
"""Age at which a file in OutWork belongs to a process that died."""


class NoBox(OSError):
    """The client's folder is not as it should be; the text says what is missing, and what to do."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message for customs, as a file."""

    name: str
    body: bytes
    at: datetime
    """When the message was written. The file bears this time: it tells a message that is sent again by rule (same name,
    later) from one that is repeated after a crash (same name, same time)."""


def check(folder: Path) -> None:
    """Raises NoBox when the client's boxes are not there. They are not made: below a share that is not mounted, files
    would pile up where no client looks."""
    for box in (OUT, IN):
        if not (folder / box).is_dir():
            raise NoBox(f"{box} is missing in ORIGIN_CUSTOMS_FOLDER: mount the share, or make the folder")


def counts(folder: Path) -> tuple[int, int]:
    """(files that the client has not taken, files that nobody could read, and what is no file in InBox). Raises NoBox,
    OSError."""
    check(folder)
    aside = folder / INBOX["rejected"]
    names = set(os.listdir(aside)) if aside.is_dir() else set()
    unread = [name for name in names if not (name.endswith(WHY) and name.removesuffix(WHY) in names)]
    with os.scandir(folder / IN) as entries:
        odd = [entry.name for entry in entries if arrived(entry.name) and not entry.is_file(follow_symlinks=False)]
    return len(os.listdir(folder / OUT)), len(unread) + len(odd)


def put_out(folder: Path, letters: Sequence[Letter]) -> int:
    """Each letter whole into OutBox, unless it is there or was taken; returns how many were new. Durable on return.
    Raises OSError."""
    check(folder)
    written = 0
    with contextlib.suppress(FileExistsError):
        (folder / OUT_WORK).mkdir(mode=0o770)
    for letter in letters:
        if not _known(folder, letter):
            _put(folder, letter)
            written += 1
    for box in (OUT_WORK, OUT):
        _sync(folder / box)
    return written


def sweep(folder: Path) -> None:
    """Removes what a process that died left half written. Raises OSError."""
    if (folder / OUT_WORK).is_dir():
        for left in (folder / OUT_WORK).iterdir():
            with contextlib.suppress(FileNotFoundError):
                if left.is_file() and left.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
                    left.unlink()


def open_inbox(folder: Path) -> ClientFolder:
    """InBox and what belongs to it; close it after use. Raises OSError."""
    check(folder)
    root = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return ClientFolder(root, folder.name, INBOX, arrived)
    finally:
        os.close(root)


def arrived(name: str) -> bool:
    """A file that the client has written to its end. Any ending: what is no message goes aside, and is told."""
    return not name.startswith((".", "~")) and not name.lower().endswith(UNFINISHED)


def _known(folder: Path, letter: Letter) -> bool:
    """A file of this name and time, or a later one, is with the client already."""
    for box in (OUT, SENT, FAILED):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            facts = os.stat(folder / box / letter.name, follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode) and facts.st_mtime + ROUNDING >= letter.at.timestamp():
                return True
    return False


def _put(folder: Path, letter: Letter) -> None:
    """Written where no client looks, then moved: OutBox never holds half a file."""
    aside = folder / OUT_WORK / f"{letter.name}.{secrets.token_hex(6)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(aside, flags, 0o660)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(letter.body)
            out.flush()
            written = letter.at.timestamp()
            os.utime(descriptor, (written, written))
            os.fsync(descriptor)
        try:
            os.rename(aside, folder / OUT / letter.name)
        except IsADirectoryError:
            raise NoBox(f"a directory stands in OutBox where a message belongs: remove {letter.name}") from None
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
