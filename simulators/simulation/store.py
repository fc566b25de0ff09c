"""The database of the world: the store in memory, with connections that break before, during and after COMMIT."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from adapters.store.memory import Draft, MemoryBlobs, MemoryStore, MemoryTurn, Tables
from gateway.core.life import About
from gateway.core.messages import RenderJob
from gateway.ports import Blob, Message, Unavailable
from gateway.storage import Collision, Loaded, Parked, Timer, TurnWork
from simulators.simulation.faults import Fault
from simulators.simulation.world import SESSION, Process, World

LOCK_TIMEOUT = 3.0
"""Seconds a statement waits for somebody else's lock."""


@dataclass(slots=True)
class Database:
    """What outlives every process. `journal`: the turns as they were committed, for the invariants."""

    publish: Callable[[Sequence[Message]], None]
    tables: Tables = field(default_factory=Tables)
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    away: bool = False
    journal: list[TurnWork] = field(default_factory=list)
    files: list[tuple[UUID, str]] = field(default_factory=list)
    """(render job, SHA-256 of its file), as they were stored."""
    reported: set[UUID] = field(default_factory=set)
    """Render jobs that were answered."""

    def commit(self, draft: Draft) -> None:
        """Everything in the draft becomes true at once."""
        self.publish(draft.log)
        for change in draft.changes:
            change()


class SimulatedStore(MemoryStore):
    """One process's connections to the database."""

    def __init__(self, database: Database, process: Process) -> None:
        super().__init__(database.publish)
        self.tables = database.tables
        self.database = database
        self.process = process

    @property
    def world(self) -> World:
        """Where this happens."""
        return self.process.world

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Draft]:
        """Everything noted in the draft becomes true when the block ends well, or the answer is lost."""
        database = self.database
        fault = await self.world.at(self.process, "store.begin")
        if database.away or fault is Fault.DATABASE_REFUSED:
            raise Unavailable("the database is away")
        try:
            async with asyncio.timeout(LOCK_TIMEOUT):
                await database.alone.acquire()
        except TimeoutError:
            raise Collision("a lock was not given in time") from None
        held = True
        try:
            draft = Draft(self.tables)
            yield draft
            fault = await self.world.at(self.process, "store.commit")
            match fault:
                case Fault.COMMIT_REFUSED:
                    raise Unavailable("the database went away")
                case Fault.COMMIT_LOST:
                    raise Collision("the outcome of the commit is unknown")
                case Fault.SESSION_ENDED:
                    held = False
                    database.alone.release()
                    await asyncio.sleep(SESSION * (0.5 + 2 * self.world.dice.random()))
                    raise Unavailable("the database ended the session")
                case Fault.COMMIT_LATE:
                    held = False
                    self.world.loop.call_later(self.world.dice.random(), self._late, draft)
                    raise Collision("the outcome of the commit is unknown")
            if database.away:
                raise Unavailable("the database went away")
            database.commit(draft)
            if fault is Fault.CRASH_AFTER:
                await self.world.die(self.process)
            if fault is Fault.COMMIT_MADE:
                raise Collision("the outcome of the commit is unknown")
        finally:
            if held:
                database.alone.release()

    def _late(self, draft: Draft) -> None:
        """The server makes the COMMIT whose sender is gone; until now it held its locks."""
        self.database.commit(draft)
        self.database.alone.release()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["SimulatedTurn"]:
        """One micro-batch of the turn."""
        async with self.transaction() as draft:
            yield SimulatedTurn(self, draft)

    async def read(self) -> None:
        """A statement inside a transaction."""
        match await self.world.at(self.process, "store.read"):
            case Fault.READ_CUT:
                raise Unavailable("the database went away")
            case Fault.DEADLOCK:
                raise Collision("deadlock")
        if self.database.away:
            raise Unavailable("the database went away")

    async def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        """Timers whose time has come, oldest first."""
        await self.read()
        return await super().due(now, limit)

    async def parked(self, subject_id: UUID | None = None) -> Sequence[Parked]:
        """What is parked, in order of arrival."""
        await self.read()
        return await super().parked(subject_id)


class SimulatedTurn(MemoryTurn):
    """A turn's transaction whose statements can fail."""

    def __init__(self, store: SimulatedStore, draft: Draft) -> None:
        super().__init__(draft)
        self._store = store

    async def load(self, message_ids: Sequence[UUID], subjects: Sequence[About]) -> Loaded:
        """What is known of these messages and subjects."""
        await self._store.read()
        return await super().load(message_ids, subjects)

    async def blobs(self, sha256s: Sequence[str]) -> Mapping[str, bytes]:
        """Stored bytes by hash."""
        if sha256s:
            await self._store.read()
        return await super().blobs(sha256s)

    async def save(self, work: TurnWork) -> None:
        """Write all of it."""
        await self._store.read()
        await super().save(work)
        self._draft.changes.append(lambda: self._store.database.journal.append(work))


class SimulatedBlobs(MemoryBlobs):
    """Bytes by hash, as PostgreSQL keeps them: an unknown outcome is one more reason to try again."""

    async def put(self, content: bytes, *, kind: str, media_type: str) -> str:
        """Store once."""
        try:
            return await super().put(content, kind=kind, media_type=media_type)
        except Collision as collision:
            raise Unavailable("the bytes could not be stored") from collision

    async def get(self, sha256: str) -> bytes:
        """The bytes."""
        try:
            return await super().get(sha256)
        except Collision as collision:
            raise Unavailable("the bytes could not be read") from collision


class SimulatedFiles:
    """See `renderers.worker.Files`: signed files, one a job."""

    def __init__(self, store: SimulatedStore) -> None:
        self._store = store

    async def done(self, job: UUID) -> bool:
        """True when the job's file is stored, and so reported."""
        async with self._store.transaction():
            return self.taken(job)

    async def store(self, job: RenderJob, file: Blob | None, report: Message) -> None:
        """Keep the file and report. A second file of a job is dropped."""
        try:
            async with self._store.transaction() as draft:
                if file is not None:
                    if self.taken(job.job):
                        return
                    draft.keep([file])
                    entry = (job.job, file.sha256)
                    draft.changes.append(lambda: self._store.database.files.append(entry))
                    draft.changes.append(lambda: self._store.database.reported.add(job.job))
                draft.log.append(report)
        except Collision as collision:
            if not await self.done(job.job):
                raise Unavailable("the file could not be stored") from collision

    def taken(self, job: UUID) -> bool:
        """Is there a file of this job?"""
        return job in self._store.database.reported
