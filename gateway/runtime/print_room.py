"""The print worker: claim a job (one row, never transferred), hand the stored file to the printer, report.

After a crash the job comes again. Its claim then says how far it got: a printer that can be asked (the spool) is asked;
with one that can't, a job that may have reached it is IN DOUBT and a person decides (ops/decisions/0035).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Protocol
from uuid import UUID, uuid5

from gateway.core.envelope import headers
from gateway.core.messages import PrintJob, PrintOutcome, PrintResult
from gateway.ports import Blobs, Clock, Message, MessageCodec, Printer, PrintRefused, PrintUnknown, Record, Unavailable
from gateway.runtime.dead_letters import DeadLetters, Opener
from gateway.runtime.observer import Observer
from gateway.runtime.patience import Away

GROUP = "print"
JOBS = "origin.print.job.v1"
RESULTS = "origin.print.result.v1"


class ClaimState(StrEnum):
    """How far a claimed job got."""

    CLAIMED = "claimed"
    PRINTED = "printed"
    REFUSED = "refused"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who took a job, and what became of it."""

    worker: str
    state: ClaimState
    fresh: bool
    """True when this call made it: nobody can have touched the printer."""


class Claims(Protocol):
    """The claims in the database; each step and its message on the log are one transaction."""

    async def claim(self, job: PrintJob, worker: str, report: Message) -> Claim:
        """Take the job, or tell who has it. `report` is logged only when it is taken now."""
        ...

    async def end(self, job: UUID, state: ClaimState, report: Message) -> None:
        """Write what became of it, and report; nothing when that is written already. A printed job in doubt is
        printed after all."""
        ...


class Jobs(Protocol):
    """Reads print jobs."""

    def print_job(self, body: bytes) -> PrintJob:
        """Raises Unreadable."""
        ...


class PrintRoom:
    """One print worker at one printer. `name` is stable: it is the worker, whatever process runs it."""

    def __init__(
        self,
        name: str,
        printer: Printer,
        claims: Claims,
        blobs: Blobs,
        jobs: Jobs,
        codec: MessageCodec,
        clock: Clock,
        observer: Observer,
        dead: DeadLetters,
    ) -> None:
        self._name = name
        self._printer = printer
        self._claims = claims
        self._blobs = blobs
        self._jobs = jobs
        self._codec = codec
        self._clock = clock
        self._observer = observer
        self._opener = Opener(GROUP, dead, clock, observer)

    async def handle(self, records: Sequence[Record]) -> None:
        """Work the jobs one after the other: paper has an order too. Raises Unavailable.

        A job that can't be read goes to the dead letters; its certificate's print falls overdue.
        """
        for record in records:
            started = perf_counter()
            job = await self._opener.open(record, self._jobs.print_job)
            if job is None:
                continue
            await self._work(job)
            self._observer.worked("print", perf_counter() - started)

    async def _work(self, job: PrintJob) -> None:
        claim = await self._claims.claim(job, self._name, self._report(job, PrintOutcome.CLAIMED))
        if claim.state is not ClaimState.CLAIMED:
            return
        if claim.worker != self._name:
            outcome, detail = PrintOutcome.IN_DOUBT, "another worker claimed the job and has not said how it ended"
        elif claim.fresh:
            outcome, detail = await self._print(job)
        else:
            outcome, detail = await self._ask(job)
        await self._claims.end(job.job, ClaimState(outcome), self._report(job, outcome, detail))

    async def _print(self, job: PrintJob) -> tuple[PrintOutcome, str]:
        try:
            pdf = await self._blobs.get(job.file_sha256)
        except (KeyError, ValueError):
            return PrintOutcome.REFUSED, "the signed file is not in the store, or damaged"
        try:
            await self._printer.submit(str(job.job), pdf)
        except Unavailable as trouble:
            raise Away("printer", str(trouble)) from trouble
        except PrintRefused as refusal:
            return PrintOutcome.REFUSED, str(refusal)
        except PrintUnknown as doubt:
            return PrintOutcome.IN_DOUBT, str(doubt)
        return PrintOutcome.PRINTED, ""

    async def _ask(self, job: PrintJob) -> tuple[PrintOutcome, str]:
        """The claim is older than this call: whoever made it may have printed."""
        try:
            printed = await self._printer.was_printed(str(job.job))
        except Unavailable as trouble:
            raise Away("printer", str(trouble)) from trouble
        match printed:
            case True:
                return PrintOutcome.PRINTED, ""
            case False:
                return await self._print(job)
            case None:
                return PrintOutcome.IN_DOUBT, "the worker stopped between claim and answer"

    def _report(self, job: PrintJob, outcome: PrintOutcome, detail: str = "") -> Message:
        message_id = uuid5(job.job, outcome.value)
        result = PrintResult(
            message_id=message_id,
            job=job.job,
            certificate_id=job.certificate_id,
            part=job.part,
            outcome=outcome,
            confirmed=outcome is PrintOutcome.PRINTED and self._printer.confirms,
            printer=self._name,
            detail=detail,
        )
        subject = str(job.certificate_id)
        attributes = headers("print.result", message_id, subject, self._clock.now(), "application/xml")
        return Message(RESULTS, subject, self._codec.encode(result), attributes)
