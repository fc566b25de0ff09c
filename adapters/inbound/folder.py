"""The hot folder: a way in for programs that can only write files. See `folder_files` for the folders.

Whatever happens in between, a file ends in `accepted` or `rejected` with its answer beside it: what stands in `work`
is submitted again, and the door answers the same bytes of the same client the same way.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeVar

import structlog

from adapters.inbound.folder_files import (
    Changed,
    Claimed,
    ClientFolder,
    NotPlain,
    Sight,
    Stays,
    TooLarge,
)
from adapters.inbound.lines import MAX_BYTES as MAX_BATCH_BYTES
from adapters.inbound.lines import (
    DoorLike,
    LineBatch,
    Sender,
    Splitter,
    Trouble,
    lines_in,
    not_read_line,
    verdict_line,
)
from gateway.ports import Unavailable
from gateway.reading import IntakeObserver
from gateway.runtime.answers import ON_FILE, Answer
from gateway.runtime.door import Client, Submission
from gateway.runtime.door_faults import not_plain, too_large
from gateway.runtime.pauses import Pauses
from gateway.runtime.quotas import Quotas

POLL: Final = 0.2
"""Seconds between two looks."""
AT_ONCE: Final = 200
"""Files submitted together, so that the door commits them together."""
OPEN_FOLDERS: Final = 64
"""Clients' folders worked at a time: each holds five descriptors."""
BATCHES_AT_ONCE: Final = 16
"""Batches in hand at a time, of all clients; each may have 64 MiB."""
BATCHES_OF_ONE: Final = 4
"""Of one client in a pass: the next pass takes the next."""
PILOT: Final = ""
"""No client's name: the pass that finds out whether the database is back."""
PAUSES: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between pilots while the database is away."""
REST: Final = 5.0
"""Seconds until a client's folder that could not be worked is looked at again."""
STUCK_SECONDS: Final = 60.0
"""When a file that broke us is tried again."""
MEDIA_TYPES: Final = {".xml": "application/xml", ".json": "application/json"}
CLIENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""What a client's id looks like; a folder of any other name is nobody's."""

log = structlog.get_logger("adapters.inbound.folder")


T = TypeVar("T")
FindClient = Callable[[str], Awaitable[Client | None]]
"""The client a folder belongs to, by its id; None: nobody, or revoked. Raises Unavailable."""


class HotFolders:
    """All clients' folders below one root. One process at a time works them (a lock in the root)."""

    def __init__(
        self,
        root: Path,
        door: DoorLike,
        find_client: FindClient,
        quotas: Quotas,
        observer: IntakeObserver,
        *,
        max_bytes: int,
        settle: float = 0.5,
        poll: float = POLL,
    ) -> None:
        """`settle`: seconds without a write after which a file is whole; `max_bytes`: of one declaration."""
        self._root = root
        self._door = door
        self._find_client = find_client
        self._quotas = quotas
        self._observer = observer
        self._max_bytes = max_bytes
        self._settle = settle
        self._poll = poll
        self._seen: dict[str, dict[str, Sight]] = {}
        self._failures = 0
        self._stuck: dict[str, float] = {}
        self._staying: dict[str, dict[str, float]] = {}
        self._resting: dict[str, float] = {}
        self._working: dict[str, asyncio.Task[bool]] = {}
        self._open = asyncio.Semaphore(OPEN_FOLDERS)
        self._batches = asyncio.Semaphore(BATCHES_AT_ONCE)
        self._told: set[str] = set()
        """Clients of which it was said that somebody else's files stand in their `work`."""
        self._ending = asyncio.Event()

    def stop(self) -> None:
        """Take no more files; `run` returns when those in hand have their answers."""
        self._ending.set()

    async def run(self) -> None:
        """Work until `stop`, or until cancelled."""
        self._root.mkdir(parents=True, exist_ok=True)
        with self._open_root() as root:
            while not self._ending.is_set() and not _locked(root):
                await self._pause(2)
            log.info("folder.watching")
            try:
                while not self._ending.is_set():
                    await self._look(root)
                while self._working:
                    with contextlib.suppress(Unavailable):
                        await self._collect(asyncio.ALL_COMPLETED)
            finally:
                for task in self._working.values():
                    task.cancel()
                await asyncio.gather(*self._working.values(), return_exceptions=True)

    async def _look(self, root: int) -> None:
        try:
            await self._start(root)
            busy = await self._collect(asyncio.FIRST_COMPLETED)
        except Unavailable as trouble:
            await self._away(trouble)
        except OSError as error:
            log.error("folder.trouble", reason=os.strerror(error.errno or 0))
            await self._pause(5)
        else:
            if not busy:
                await self._pause(self._poll)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless the end is asked for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def work_once(self, root: int) -> bool:
        """One pass over all clients; True when there was something to do. Raises Unavailable."""
        await self._start(root)
        return await self._collect(asyncio.ALL_COMPLETED)

    async def _start(self, root: int) -> None:
        """A pass for each client that has none under way: one client's many files hold up no other's. While the
        database is away there is one pass at a time, of whoever has a file."""
        names = await asyncio.to_thread(_clients, root)
        if self._ending.is_set():
            return
        if self._failures:
            if not self._working:
                self._working[PILOT] = asyncio.create_task(self._pilot(root, names))
            return
        for name in names:
            if name not in self._working and not self._rests(name):
                self._working[name] = asyncio.create_task(self._pass(root, name))

    async def _pilot(self, root: int, names: Sequence[str]) -> bool:
        """One client after the other, until one had something to do. Raises Unavailable."""
        for name in names:
            if not self._ending.is_set() and not self._rests(name) and await self._pass(root, name):
                return True
        return False

    def _rests(self, name: str) -> bool:
        return self._resting.get(name, 0) > time.monotonic()

    async def _collect(self, when: str) -> bool:
        """Waits for passes; True when one of those that ended had something to do. Raises Unavailable, when all that
        ended are taken note of."""
        if self._working:
            patience = self._poll if when == asyncio.FIRST_COMPLETED else None
            await asyncio.wait(self._working.values(), timeout=patience, return_when=when)
        ended = [name for name, task in self._working.items() if task.done()]
        outcomes = await asyncio.gather(*(self._working.pop(name) for name in ended), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return any(outcomes)

    async def _pass(self, root: int, name: str) -> bool:
        """One client's folder once. Raises Unavailable."""
        try:
            client = await self._find_client(name)
            if client is None or self._waits(client):
                return False
            async with self._open:
                if self._ending.is_set():
                    return False
                with contextlib.closing(await asyncio.to_thread(ClientFolder, root, name)) as folder:
                    return await self._work(client, folder)
        except Unavailable:
            raise
        except OSError as error:  # one client's full disk or closed folder is no other's trouble
            log.error("folder.trouble", client=name, reason=os.strerror(error.errno or 0))
        except Exception as error:  # nor is our bug
            log.error("folder.broke", client=name, exc_info=error)
        self._resting[name] = time.monotonic() + REST
        return False

    def _waits(self, client: Client) -> bool:
        """The client has its quota: its files stay where they are, and are answered when there is room again."""
        over = self._quotas.room(client)
        if over is not None:
            self._quotas.refused(client, over, waits=True)
        return over is not None

    async def _work(self, client: Client, folder: ClientFolder) -> bool:
        """One client: first what stands in `work`, then what is whole in `in`. Raises Unavailable."""
        waiting = [c for c in await asyncio.to_thread(lambda: list(folder.claimed())) if not self._is_stuck(c)]
        self._tell_strange(client, folder.strange)
        if not waiting:
            now = time.monotonic()
            before = self._seen.get(client.id, {})
            ready, seen = await asyncio.to_thread(folder.whole, before, now, self._settle)
            staying = self._staying.get(client.id, {})
            staying = self._staying[client.id] = {n: t for n, t in staying.items() if n in seen and t > now}
            movable = [name for name in ready if name not in staying]
            waiting = [c for name in self._share(movable, str) if (c := await self._claim(client, folder, name))]
            self._seen[client.id] = {n: s for n, s in seen.items() if n not in {c.name for c in waiting}}
        chosen = self._share(waiting, attrgetter("name"))
        outcomes = await asyncio.gather(*(self._file(client, folder, c) for c in chosen), return_exceptions=True)
        for file, outcome in zip(chosen, outcomes, strict=True):
            if isinstance(outcome, Unavailable) or not isinstance(outcome, Exception | None):
                raise outcome
            if outcome is not None:  # our bug, or the disk's: this file waits, the others flow
                self._stuck[file.ticket] = time.monotonic() + STUCK_SECONDS
                log.error("folder.broke", client=client.id, exc_info=outcome)
        if chosen and self._failures:
            self._failures = 0
            log.info("folder.back")
        return bool(chosen)

    async def _claim(self, client: Client, folder: ClientFolder, name: str) -> Claimed | None:
        """None: somebody was faster, or it can't be moved; that is said once in a while, and the others flow."""
        try:
            return await asyncio.to_thread(folder.claim, name)
        except Stays as stays:
            self._staying[client.id][name] = time.monotonic() + STUCK_SECONDS
            log.warning("folder.file_stays", client=client.id, reason=os.strerror(stays.errno or 0))
            return None

    def _is_stuck(self, file: Claimed) -> bool:
        return self._stuck.get(file.ticket, 0) > time.monotonic()

    def _tell_strange(self, client: Client, strange: int) -> None:
        """Somebody else's files in `work` are left alone, which is said once until they are gone."""
        if strange and client.id not in self._told:
            self._told.add(client.id)
            log.warning("folder.strange_files", client=client.id, places=strange)
        if not strange:
            self._told.discard(client.id)

    def _share(self, files: Sequence[T], name: Callable[[T], str]) -> list[T]:
        """Those that are worked at once, few of them batches; while the database is away a single one goes first."""
        chosen: list[T] = []
        batches = 0
        for file in files:
            if len(chosen) == (1 if self._failures else AT_ONCE):
                break
            batches += _is_batch(name(file))
            if batches <= BATCHES_OF_ONE or not _is_batch(name(file)):
                chosen.append(file)
        return chosen

    async def _file(self, client: Client, folder: ClientFolder, file: Claimed) -> None:
        """One file to its end. It stays in `work` and is submitted again when its client has its quota, or when this
        raises Unavailable."""
        if not _is_batch(file.name):
            await self._in_hand(client, folder, file, batch=False)
            return
        async with self._batches:
            if not self._ending.is_set():
                await self._in_hand(client, folder, file, batch=True)

    async def _in_hand(self, client: Client, folder: ClientFolder, file: Claimed, *, batch: bool) -> None:
        """The same, with its place."""
        limit = MAX_BATCH_BYTES if batch else self._max_bytes
        try:
            content = await asyncio.to_thread(folder.read, file, limit)
        except Changed:
            await asyncio.to_thread(folder.give_back, file)
            return
        except NotPlain:
            await self._end(client, folder, file, Answer.refused([not_plain()], None))
            return
        except TooLarge:
            await self._end(client, folder, file, Answer.refused([too_large(limit)], None))
            return
        if self._waits(client):
            return
        declarations = lines_in(content) if batch else 1
        self._quotas.count(client, len(content), declarations)
        try:
            await (self._batch if batch else self._one)(client, folder, file, content)
        except BaseException:
            self._quotas.uncount(client, len(content), declarations)  # it is submitted again, and counted then
            raise

    async def _one(self, client: Client, folder: ClientFolder, file: Claimed, content: bytes) -> None:
        """A file with one declaration."""
        started = time.perf_counter()
        media_type = MEDIA_TYPES[os.path.splitext(file.name)[1].lower()]
        answer = await self._door.submit(Submission(client, media_type, content, "folder"))
        self._observer.received("folder", answer.verdict, time.perf_counter() - started)
        await self._end(client, folder, file, answer)

    async def _end(self, client: Client, folder: ClientFolder, file: Claimed, answer: Answer) -> None:
        target = "accepted" if answer.verdict in ON_FILE else "rejected"
        await asyncio.to_thread(folder.finish, file, target, answer.body + b"\n", ".result.json")
        log.info("folder.answered", client=client.id, verdict=answer.verdict.value)

    async def _batch(self, client: Client, folder: ClientFolder, file: Claimed, content: bytes) -> None:
        """A file of many: one verdict a line; `accepted` only when every line was."""
        started = time.perf_counter()
        batch = LineBatch(self._door, Sender(client, "folder"), self._max_bytes)
        splitter = Splitter(self._max_bytes)
        ended_at = None
        pauses = Pauses()
        for line in chain(splitter.feed(content), splitter.end()):
            if batch.full:
                ended_at = line.number
                break
            batch.add(line)
            await pauses.between()
        verdicts: list[bytes] = []
        good = ended_at is None
        async for number, answer in batch.answers():
            if answer is Trouble.UNAVAILABLE:
                raise Unavailable("the database went away during a batch")
            if isinstance(answer, Trouble):
                raise RuntimeError("a line of a batch broke us")
            good = good and answer.verdict in ON_FILE
            self._observer.received("folder", answer.verdict, time.perf_counter() - started)
            verdicts.append(verdict_line(number, answer))
        if ended_at is not None:
            verdicts.append(not_read_line(ended_at))
        target = "accepted" if good else "rejected"
        await asyncio.to_thread(folder.finish, file, target, b"".join(verdicts), ".result.ndjson")
        log.info("folder.answered", client=client.id, lines=len(verdicts), verdict=target)

    async def _away(self, trouble: Unavailable) -> None:
        """Wait, longer each time; said once."""
        if not self._failures:
            log.warning("folder.waiting", reason=str(trouble))
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        await self._pause(pause)

    @contextlib.contextmanager
    def _open_root(self) -> Iterator[int]:
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield root
        finally:
            os.close(root)


def _is_batch(name: str) -> bool:
    return name.lower().endswith(".ndjson")


def _locked(root: int) -> bool:
    try:
        fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clients(root: int) -> list[str]:
    """Names of the folders below the root that a client may have; links are not followed."""
    with os.scandir(root) as entries:
        return sorted(e.name for e in entries if CLIENT.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
