"""The render worker: takes jobs, makes each file once, stores it by its hash and reports.

Seals, handwriting and keys are looked up for every job, so that a stopped one is never used again; what was opened
stays warm under its id. What takes long (a picture or key seen for the first time, many pages) is done beside the
event loop, one job at a time.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol
from uuid import UUID, uuid5

import orjson

from gateway.core.envelope import headers
from gateway.core.messages import RenderJob, RenderResult
from gateway.operations import Refusal
from gateway.ports import Blob, Blobs, Clock, Message, MessageCodec, Record, Unavailable
from gateway.runtime.dead_letters import DeadLetters, Opener
from gateway.runtime.inputs import LARGE
from gateway.runtime.observer import Observer
from gateway.storage import Collision
from renderers import layout_xml
from renderers.layout import RenderRefused
from renderers.render import Renderer
from renderers.sign import Signer
from renderers.stamp import Handwriting, Seal, Shape, enrol_handwriting, enrol_seal

GROUP = "render"
JOBS = "origin.render.job.v1"
RESULTS = "origin.render.result.v1"
KEPT = 512
"""Opened marks kept warm; some 0.2 MB each."""
MISSING = {
    "seal": ("SEAL-MISSING", "no valid seal of the exporter is enrolled (origin seal add)"),
    "signature": (
        "SIGNATURE-MISSING",
        "no valid handwriting of the exporter is enrolled (origin seal add --kind signature)",
    ),
    "key": ("KEY-MISSING", "no valid signing key of the exporter is enrolled (origin key add)"),
}


class Opened(Protocol):
    """An opened mark."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What was said of it when it was enrolled: shape, size in mm."""
        ...

    @property
    def content(self) -> bytes:
        """The PNG, or JSON with the PKCS#12 file and its password."""
        ...


class Marks(Protocol):
    """Where seals and keys are kept."""

    async def may_use(self, certificate_id: UUID, enterprise: str) -> bool:
        """May this certificate carry the enterprise's marks? Until there are authorisations: its own only."""
        ...

    async def defaults(self, enterprise: str, at: Any) -> Mapping[str, UUID]:
        """Kind -> id of what may be used now."""
        ...

    async def open(self, mark: UUID) -> Opened:
        """Its content."""
        ...


class Files(Protocol):
    """Stored files, one a job."""

    async def done(self, job: UUID) -> bool:
        """True when the job's file is stored and reported."""
        ...

    async def store(self, job: RenderJob, file: Blob | None, report: Message) -> None:
        """Keep and report in one transaction; a second file of a job is dropped."""
        ...


class Jobs(Protocol):
    """Reads render jobs."""

    def render_job(self, body: bytes) -> RenderJob:
        """Raises Unreadable."""
        ...


@dataclass(frozen=True, slots=True)
class Stamps:
    """What the exporter adds to the customs' layout, and which marks that was."""

    ids: Mapping[str, UUID]
    seal: Seal
    handwriting: Handwriting
    signer: Signer


class RenderRoom:
    """One render worker."""

    def __init__(
        self,
        renderer: Renderer,
        marks: Marks,
        files: Files,
        blobs: Blobs,
        jobs: Jobs,
        codec: MessageCodec,
        clock: Clock,
        observer: Observer,
        dead: DeadLetters,
    ) -> None:
        self._renderer = renderer
        self._marks = marks
        self._files = files
        self._blobs = blobs
        self._jobs = jobs
        self._codec = codec
        self._clock = clock
        self._observer = observer
        self._opener = Opener(GROUP, dead, clock, observer)
        self._opened: OrderedDict[UUID, Seal | Handwriting | Signer] = OrderedDict()

    async def handle(self, records: Sequence[Record]) -> None:
        """Make the files of these jobs. Raises Unavailable.

        A job that can't be read goes to the dead letters; one that breaks us is answered as refused. No job is in
        the way of the others.
        """
        for record in records:
            started = perf_counter()
            job = await self._opener.open(record, self._jobs.render_job)
            if job is None:
                continue
            if await self._files.done(job.job):
                continue
            await self._work(job)
            self._observer.worked("render", perf_counter() - started)

    async def _work(self, job: RenderJob) -> None:
        try:
            blob, found = await self._made(job)
        except (RenderRefused, Refusal) as refusal:
            await self._refuse(job, refusal.code, refusal.detail if isinstance(refusal, RenderRefused) else "")
        except (Unavailable, Collision):
            raise
        except Exception as error:  # our bug, or a damaged store: asked for again, it is a new job
            self._observer.broke(None, error)
            await self._refuse(job, "RENDER-BROKE", "our mistake; it is in our log")
        else:
            await self._files.store(job, blob, self._report(job, found))

    async def _made(self, job: RenderJob) -> tuple[Blob, Mapping[str, Any]]:
        stamps = await self._stamps(job)
        raw = await self._stored(job.layout_sha256)
        heavy = len(raw) > LARGE
        layout = await asyncio.to_thread(layout_xml.read, raw) if heavy else layout_xml.read(raw)
        if layout.number != job.number or layout.part != job.part:
            raise RenderRefused("LAYOUT-OTHER", "the layout is of another certificate or part than the job")
        pictures = {sha256: await self._stored(sha256) for sha256 in layout.images()}
        given = (layout, pictures, stamps.seal, stamps.handwriting, stamps.signer, job.at)
        quick = not heavy and self._renderer.is_quick(layout, stamps.seal, stamps.handwriting)
        file = self._renderer.render(*given) if quick else await asyncio.to_thread(self._renderer.render, *given)
        ids = {kind: str(mark) for kind, mark in stamps.ids.items()}
        found = {"file_sha256": file.sha256, "pages": file.pages, **ids}
        return Blob(file.sha256, "file", "application/pdf", file.pdf), found

    async def _stored(self, sha256: str) -> bytes:
        try:
            return await self._blobs.get(sha256)
        except (KeyError, ValueError):
            raise RenderRefused("LAYOUT-MISSING", "the layout, or a picture of it, is not stored or damaged") from None

    async def _refuse(self, job: RenderJob, code: str, detail: str) -> None:
        await self._files.store(job, None, self._report(job, {"reason": code, "detail": detail}))

    async def _stamps(self, job: RenderJob) -> Stamps:
        if not await self._marks.may_use(job.certificate_id, job.exporter):
            raise RenderRefused(
                "SEAL-NOT-AUTHORISED", "the exporter did not authorise the enterprise that declared to use its seal"
            )
        ids = await self._marks.defaults(job.exporter, job.at)
        for kind, (code, detail) in MISSING.items():
            if kind not in ids:
                raise RenderRefused(code, detail)
        seal, handwriting, signer = [await self._open(kind, ids[kind]) for kind in MISSING]
        if not (isinstance(seal, Seal) and isinstance(handwriting, Handwriting) and isinstance(signer, Signer)):
            raise RenderRefused("MARK-KIND", "a stored mark is not of the kind it is listed as")
        return Stamps(ids, seal, handwriting, signer)

    async def _open(self, kind: str, mark: UUID) -> Seal | Handwriting | Signer:
        known = self._opened.get(mark)
        if known is None:
            known = self._opened[mark] = await asyncio.to_thread(ready, kind, await self._marks.open(mark))
            if len(self._opened) > KEPT:
                self._opened.popitem(last=False)
        else:
            self._opened.move_to_end(mark)
        return known

    def _report(self, job: RenderJob, found: Mapping[str, Any]) -> Message:
        outcome = found.get("file_sha256") or found["reason"]
        message_id = uuid5(job.job, hashlib.sha256(str(outcome).encode()).hexdigest())
        result = RenderResult(
            message_id=message_id, job=job.job, certificate_id=job.certificate_id, part=job.part, **found
        )
        subject = str(job.certificate_id)
        attributes = headers("render.result", message_id, subject, self._clock.now(), "application/xml")
        return Message(RESULTS, subject, self._codec.encode(result), attributes)


def ready(kind: str, mark: Opened) -> Seal | Handwriting | Signer:
    """An opened mark, decoded and checked, ready for use. Raises RenderRefused."""
    facts = mark.facts
    if kind == "key":
        secret = orjson.loads(mark.content)
        return Signer(bytes.fromhex(secret["p12"]), secret["password"], enrolled=True)
    if kind == "seal":
        return enrol_seal(mark.content, Shape(facts["shape"]), facts["width_mm"], facts["height_mm"])
    return enrol_handwriting(mark.content, facts["width_mm"], facts["height_mm"])
