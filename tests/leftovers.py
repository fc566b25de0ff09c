"""Processes that outlive what started them, found by the test's or the run's folder. Standard library only.

PostgreSQL, Kafka and the gateway stand in their own directory; any other program has at least its log open there.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def leftovers(folder: Path) -> list[int]:
    """Processes that stand below `folder`; a zombie does not."""
    return [pid for pid, process in _others() if _within(folder, process / "cwd")]


def left_behind(folder: Path) -> list[str]:
    """Every process that stands below `folder` or has a file of it open, by its number and its words."""
    return [f"{pid} {_words(process)}" for pid, process in _others() if _works_in(folder, process)]


def _works_in(folder: Path, process: Path) -> bool:
    if _within(folder, process / "cwd"):
        return True
    with suppress(OSError):
        return any(_within(folder, descriptor) for descriptor in (process / "fd").iterdir())
    return False  # another user's, and we are not root


def _within(folder: Path, link: Path) -> bool:
    with suppress(OSError):
        place = link.readlink()
        return place == folder or folder in place.parents
    return False


def _words(process: Path) -> str:
    with suppress(OSError):
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")[:200].strip()
    return "ended meanwhile"


def _others() -> Iterator[tuple[int, Path]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            yield int(entry.name), entry
