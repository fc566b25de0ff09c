"""The files of a folder that is watched: what may be taken, and how it moves. Blocking; directories are held open by
descriptor, so that swapping one for a link between two calls changes nothing. The hot folders look like this:

    <root>/<client>/in         the ERP puts files here, whole or not
    <root>/<client>/work/<n>/  one claimed file each, under its own name
    <root>/<client>/accepted   the file and <name>.result.json
    <root>/<client>/rejected   the file and <name>.result.json with every fault

A document never stands under a name that an answer may have: what is sent as `a.json.result.json` is put away as
`a.json.result-1.json`. So no answer is taken for another's, whatever the files are called that come.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, Final

SUFFIXES: Final = (".xml", ".json", ".ndjson")
HOT: Final[Mapping[str, str]] = MappingProxyType(
    {"in": "in", "work": "work", "accepted": "accepted", "rejected": "rejected"}
)
"""What a directory is for -> its name."""
ANSWERS: Final = (".result.json", ".result.ndjson")
"""How the names of answers end."""
DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LONGEST_TICKET: Final = 64
LONGEST_NAME: Final = 200
"""Bytes of a name that is kept as it is; beyond it there would be no room for `.result.json`."""
LONGEST_ENDING: Final = 20
"""Bytes of what counts as a name's ending, `.xml` or so."""
MOST_WATCHED: Final = 1000
"""Files looked at in one pass, so that a folder of 100,000 costs no more than a listing."""
EMPTY_SECONDS: Final = 10.0
"""An empty file is most likely about to be filled."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A file as seen in one pass."""

    inode: int
    size: int
    written: int
    changed: int
    since: float
    """First seen like this, monotonic seconds."""

    def same(self, other: "Sight") -> bool:
        """Nothing was written, and it is the same file."""
        return (self.inode, self.size, self.written) == (other.inode, other.size, other.written)


class NotPlain(Exception):
    """No regular file, or not readable: it is left alone."""


class Stays(OSError):
    """It can't be moved, e.g. because it belongs to somebody else."""


class TooLarge(Exception):
    """Over the limit: refused unread."""


class Changed(Exception):
    """It was written to while it was read: not whole yet."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A file in `work`, ours alone."""

    ticket: str
    name: str


class ClientFolder:
    """One client's folder. Close it after use."""

    def __init__(
        self, root: int, client: str, names: Mapping[str, str] = HOT, takes: Callable[[str], bool] | None = None
    ) -> None:
        """Opens it below the open directory `root`, making what is missing. `takes`: which names are ours to take.
        Raises OSError."""
        self._takes = takes or eligible
        self._naming = threading.Lock()
        """Between finding a name free and taking it, nobody else of ours may."""
        self.strange = 0
        """Places in `work` that `claimed` passed over: nothing of ours looks like that."""
        self._fds: dict[str, int] = {}
        self._base = os.open(client, DIRECTORY, dir_fd=root)
        try:
            for purpose, name in names.items():
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o770, dir_fd=self._base)
                self._fds[purpose] = os.open(name, DIRECTORY, dir_fd=self._base)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Gives the descriptors back."""
        for descriptor in (*self._fds.values(), self._base):
            os.close(descriptor)
        self._fds.clear()

    # ------------------------------------------------------------ what is there

    def whole(self, before: dict[str, Sight], now: float, settle: float) -> tuple[list[str], dict[str, Sight]]:
        """Names of files that are whole, and what was seen, for the next pass.

        Whole: not written for `settle` seconds; or, seen twice, last touched by something other than a write, which
        is what a rename into the folder leaves behind.
        """
        ready: list[str] = []
        seen: dict[str, Sight] = {}
        with os.scandir(self._fds["in"]) as entries:
            for entry in entries:
                if not self._takes(entry.name) or not entry.is_file(follow_symlinks=False):
                    continue
                try:
                    facts = os.stat(entry.name, dir_fd=self._fds["in"], follow_symlinks=False)
                except FileNotFoundError:
                    continue
                sight = Sight(facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, now)
                known = before.get(entry.name)
                if known is not None and known.same(sight):
                    sight = known
                    renamed = sight.changed > sight.written
                    wait = max(settle, EMPTY_SECONDS) if sight.size == 0 else settle
                    if now - known.since >= wait or (renamed and sight.size > 0):
                        ready.append(entry.name)
                seen[entry.name] = sight
                if len(seen) >= MOST_WATCHED:
                    break
        return ready, seen

    def claimed(self) -> Iterator[Claimed]:
        """What stands in `work`: left by a crash, or waiting for the database."""
        self.strange = 0
        for ticket in sorted(os.listdir(self._fds["work"])):
            try:
                with self._ticket(ticket) as folder:
                    names = os.listdir(folder)
            except OSError as error:
                self.strange += error.errno != errno.ENOENT
                continue
            if len(os.fsencode(ticket)) > LONGEST_TICKET or not all(map(self._takes, names)):
                self.strange += 1  # somebody else's, who may write here
                continue
            yield from (Claimed(ticket, name) for name in names)
            if not names:
                self._end(ticket)

    # ------------------------------------------------------------ how it moves

    def claim(self, name: str) -> Claimed | None:
        """Moves a file from `in` to `work`; None when somebody was faster. Raises Stays; OSError where there is no room
        for any."""
        ticket = secrets.token_hex(12)
        os.mkdir(ticket, 0o700, dir_fd=self._fds["work"])
        with self._ticket(ticket) as folder:
            try:
                os.rename(name, name, src_dir_fd=self._fds["in"], dst_dir_fd=folder)
            except OSError as error:
                self._end(ticket)
                if error.errno == errno.ENOENT:
                    return None
                raise Stays(error.errno, error.strerror) from error
        return Claimed(ticket, name)

    def read(self, file: Claimed, limit: int) -> bytes:
        """Its bytes. Raises NotPlain, TooLarge, Changed."""
        with self._ticket(file.ticket) as folder, _plain(file.name, folder) as (opened, facts):
            if facts.st_size > limit:
                raise TooLarge
            content = opened.read(limit + 1)
            after = os.fstat(opened.fileno())
        if (after.st_size, after.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns) or len(content) != facts.st_size:
            raise Changed
        return content

    def give_back(self, file: Claimed) -> bool:
        """Back to `in`, unless another file of its name came meanwhile (then it stays in `work`)."""
        with self._ticket(file.ticket) as folder:
            try:
                os.link(file.name, file.name, src_dir_fd=folder, dst_dir_fd=self._fds["in"], follow_symlinks=False)
            except FileExistsError:
                return False
            os.unlink(file.name, dir_fd=folder)
        self._end(file.ticket)
        return True

    def finish(self, file: Claimed, folder: str, result: bytes, suffix: str) -> None:
        """The answer, durable, beside the file. Run again after a crash it ends in the same two files."""
        target = self._fds[folder]
        aside = f".{file.ticket}.{hashlib.sha256(os.fsencode(file.name)).hexdigest()[:16]}.tmp"
        with contextlib.suppress(FileNotFoundError):  # left by a crash
            os.unlink(aside, dir_fd=target)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660, dir_fd=target)
        with os.fdopen(descriptor, "wb") as out:
            out.write(result)
            out.flush()
            os.fsync(descriptor)
        with self._naming:
            base = self._free(file.name, target, result, suffix)
            os.rename(aside, base + suffix, src_dir_fd=target, dst_dir_fd=target)
            self._move(file, base, target)
        os.fsync(target)
        self._end(file.ticket)

    def put_away(self, file: Claimed, folder: str) -> None:
        """The file, under a name that is free there: another of its name stays what it is."""
        target = self._fds[folder]
        with self._naming:
            self._move(file, self._free(file.name, target, b"", ""), target)
        os.fsync(target)
        self._end(file.ticket)

    def _move(self, file: Claimed, name: str, target: int) -> None:
        """From `work` to its end; one that somebody took away meanwhile has none."""
        with contextlib.suppress(FileNotFoundError), self._ticket(file.ticket) as ticket:
            os.rename(file.name, name, src_dir_fd=ticket, dst_dir_fd=target)

    def _free(self, name: str, target: int, result: bytes, suffix: str) -> str:
        """A name under which neither file nor answer is there; or only our own answer, written before a crash."""
        stem, ending = os.path.splitext(short(name))
        number = 1 if suffix and name.lower().endswith((*ANSWERS, suffix)) else 0
        base = f"{stem}-{number}{ending}" if number else f"{stem}{ending}"
        while _exists(base, target) or (
            suffix and _exists(base + suffix, target) and _content(base + suffix, target, len(result)) != result
        ):
            number = max(number + 1, 2)
            base = f"{stem}-{number}{ending}"
        return base

    def _end(self, ticket: str) -> None:
        """The place in `work`, when nothing is there any more."""
        with contextlib.suppress(OSError):
            os.rmdir(ticket, dir_fd=self._fds["work"])

    @contextlib.contextmanager
    def _ticket(self, ticket: str) -> Iterator[int]:
        descriptor = os.open(ticket, DIRECTORY, dir_fd=self._fds["work"])
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def eligible(name: str) -> bool:
    """A name the gateway takes: .xml, .json or .ndjson, no dot file (.tmp and .part are still being written)."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def short(name: str) -> str:
    """The name, or one that leaves room for a suffix and is still one of a kind."""
    raw = os.fsencode(name)
    if len(raw) <= LONGEST_NAME:
        return name
    ending = os.path.splitext(name)[1]
    ending = ending if len(os.fsencode(ending)) <= LONGEST_ENDING else ""
    head = raw[: LONGEST_NAME - 40].decode("utf-8", "ignore")
    return f"{head}-{hashlib.sha256(raw).hexdigest()[:16]}{ending}"


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def _content(name: str, folder: int, length: int) -> bytes | None:
    try:
        with _plain(name, folder) as (opened, _):
            return opened.read(length + 1)
    except NotPlain:
        return None


@contextlib.contextmanager
def _plain(name: str, folder: int) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """A regular file, open for reading, and what it was when it was opened. Raises NotPlain."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise NotPlain from error
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)  # a directory opens too, and Python would not close what it refuses to read
        raise NotPlain
    with os.fdopen(descriptor, "rb") as opened:
        yield opened, facts
