"""The workers' rows: stored files of the render room, claims of the print room. Each step is one transaction."""

from uuid import UUID

import asyncpg

from adapters.store.postgres import Wake, put_blobs, transaction, writing
from gateway.core.messages import PrintJob, RenderJob
from gateway.ports import Blob, Message, Unavailable
from gateway.runtime.print_room import Claim, ClaimState
from gateway.storage import Collision

FIND_FILE = "SELECT file_sha256 FROM origin.rendering WHERE job = $1"
STORE_FILE = "INSERT INTO origin.rendering (job, certificate_id, part, file_sha256) VALUES ($1, $2, $3, $4)"
CLAIM = """
INSERT INTO origin.print_claim (job, certificate_id, part, worker, state) VALUES ($1, $2, $3, $4, 'claimed')
ON CONFLICT (job) DO NOTHING RETURNING job
"""
CLAIMED = "SELECT worker, state FROM origin.print_claim WHERE job = $1"
END = """
UPDATE origin.print_claim SET state = $2, ended_at = now()
WHERE job = $1 AND (state = 'claimed' OR state = 'in_doubt' AND $2 = 'printed') RETURNING job
"""


class Files:
    """Signed files, one a job: signing again would make a second original."""

    def __init__(self, pool: asyncpg.Pool, wake: Wake) -> None:
        self._pool = pool
        self._wake = wake

    async def done(self, job: UUID) -> bool:
        """True when the job's file is stored, and so reported."""
        async with transaction(self._pool) as connection:
            return await connection.fetchval(FIND_FILE, job) is not None

    async def store(self, job: RenderJob, file: Blob | None, report: Message) -> None:
        """Keep the file (None: there is none, only the report) and report. A second file of a job is dropped."""
        try:
            async with writing(self._pool, self._wake) as writer:
                if file is not None:
                    await put_blobs(writer.connection, [file])
                    columns = (job.job, job.certificate_id, job.part.value, bytes.fromhex(file.sha256))
                    await writer.connection.execute(STORE_FILE, *columns)
                await writer.append([report])
        except Collision as collision:
            if not await self.done(job.job):
                raise Unavailable("the file could not be stored") from collision


class PrintClaims:
    """See `gateway.runtime.print_room.Claims`."""

    def __init__(self, pool: asyncpg.Pool, wake: Wake) -> None:
        self._pool = pool
        self._wake = wake

    async def claim(self, job: PrintJob, worker: str, report: Message) -> Claim:
        """Take the job, or tell who has it."""
        try:
            async with writing(self._pool, self._wake) as writer:
                if await writer.connection.fetchval(CLAIM, job.job, job.certificate_id, job.part.value, worker):
                    await writer.append([report])
                    return Claim(worker, ClaimState.CLAIMED, fresh=True)
                row = await writer.connection.fetchrow(CLAIMED, job.job)
        except Collision as collision:
            raise Unavailable("the claim could not be written") from collision
        if row is None:
            raise Unavailable("the claim is being written by somebody else")
        return Claim(row["worker"], ClaimState(row["state"]), fresh=False)

    async def end(self, job: UUID, state: ClaimState, report: Message) -> None:
        """Write what became of the job, once, and report."""
        try:
            async with writing(self._pool, self._wake) as writer:
                if await writer.connection.fetchval(END, job, state.value):
                    await writer.append([report])
        except Collision as collision:
            raise Unavailable("the end of the print could not be written") from collision
