"""The turn without a database and without XML: microseconds a message in the core and the loop around it.

Certificates live their whole life, eleven messages each; bodies are not written, so codecs are not measured.
"""

import gc
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
from typing import Any, TypeVar
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from adapters.codecs.customs_xml import CustomsXml
from adapters.store.memory import MemoryStore
from gateway.app import SystemClock
from gateway.core import messages as m
from gateway.core.admission import Known
from gateway.core.certificate import KIND
from gateway.metrics import Metrics
from gateway.ports import Blob, Encodable, Reading, Record
from gateway.runtime.turn import Turn
from ops.bench.documents import templates
from ops.bench.figures import Figure, Progress, duration
from ops.bench.ground import Ground

LIMIT = 100.0
BATCH = 200
SHA = hashlib.sha256(b"").hexdigest()
Kind = TypeVar("Kind")


class Unwritten:
    """Codec, dialect and inlet in one that hand objects through; remembers the jobs that were asked for."""

    media_type = "application/xml"

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self.jobs: list[Any] = []
        self.waiting: dict[int, m.Incoming] = {}

    def encode(self, message: Encodable) -> bytes:
        """No bytes."""
        self.jobs.append(message)
        return b""

    def write(self, _: Any) -> bytes:
        """No bytes."""
        return b""

    def read(self, given: Any) -> Any:
        """The message of a record, or the one declaration."""
        return (self.waiting[given.offset], ()) if isinstance(given, Record) else self._reading

    def apart(self, record: Record) -> tuple[Sequence[Record], Sequence[Blob]]:
        """One message a record."""
        return (record,), ()

    def taken(self, kind: type[Kind]) -> list[Kind]:
        """The jobs of a kind since the last time."""
        found = [job for job in self.jobs if isinstance(job, kind)]
        self.jobs = [job for job in self.jobs if not isinstance(job, kind)]
        return found


async def measure(_: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """One figure: the median of some runs."""
    found = []
    for number in range(3 if quick else 9):
        found.append(await lives(BATCH if quick else 3 * BATCH))
        progress.say(f"turn, memory store {number + 1}: {found[-1]:.0f} us a message")
    return [duration("turn, memory store", median(found), "us/message", "asked for", LIMIT)]


async def lives(count: int) -> float:
    """Microseconds a message, of `count` certificates from acceptance to confirmation."""
    raw = templates()[0].document(1)
    hands: Any = Unwritten(CustomsXml().read(raw))
    store = MemoryStore(lambda _: None)
    turn = Turn(store, hands, hands, {"application/xml": hands}, SystemClock(), Metrics(CollectorRegistry()))
    numbers = {uuid4(): f"C26BENCH0000{n:05d}" for n in range(count)}
    store.tables.blobs[SHA] = Blob(SHA, "declaration", "application/xml", raw)
    for identity, number in numbers.items():
        store.tables.certificates[identity] = Known(identity, number, "A" * 18, 1, "accepted", SHA)
        store.tables.subjects[identity] = (KIND, number)
        store.tables.keys[KIND, number] = identity
    handled, seconds = 0, 0.0

    async def all_of(made: Sequence[m.Incoming]) -> None:
        nonlocal handled, seconds
        for at in range(0, len(made), BATCH):
            batch = made[at : at + BATCH]
            hands.waiting = dict(enumerate(batch))
            records = [Record("topic", 0, offset, "key", b"", {}) for offset in range(len(batch))]
            start = perf_counter()
            await turn.handle(records)
            seconds += perf_counter() - start
            handled += len(batch)

    gc.collect()
    await all_of([accepted(identity, number) for identity, number in numbers.items()])
    for of_customs in _from_customs():
        await all_of([of_customs(number) for number in numbers.values()])
    await all_of([_rendered(job) for job in hands.taken(m.RenderJob)])
    jobs = hands.taken(m.PrintJob)
    await all_of([_printed(job, m.PrintOutcome.CLAIMED) for job in jobs])
    await all_of([_printed(job, m.PrintOutcome.PRINTED) for job in jobs])
    ended = {state.status for state in store.tables.states.values()}
    if ended != {"confirmed"} or store.tables.parked:
        raise RuntimeError(f"lives ended as {sorted(ended)}, {len(store.tables.parked)} messages parked")
    return seconds / handled * 1e6


def accepted(identity: UUID, number: str) -> m.DeclarationAccepted:
    """As the door sends one for each declaration."""
    return m.DeclarationAccepted(
        message_id=uuid4(),
        certificate_id=identity,
        number=number,
        revision=1,
        certificate_type="C",
        applies=True,
        exporter="A" * 18,
        applicant="A" * 18,
        client="bench",
        reference=None,
        media_type="application/xml",
        raw_sha256=SHA,
        content_sha256=SHA,
        prints_itself=True,
        accepted_at=datetime.now(UTC),
    )


def _from_customs() -> list[Callable[[str], m.Incoming]]:
    def taken(number: str) -> m.Incoming:
        told = m.TechnicalVerdict.TAKEN
        return m.TechnicalReceipt(message_id=uuid4(), raw_sha256=SHA, number=number, code="1", verdict=told)

    def says(meaning: m.ReceiptMeaning, serial: int) -> Callable[[str], m.Incoming]:
        reply = m.CustomsReply(running_no=serial, code="5", signed_on="2026-11-20")
        return lambda number: m.BusinessReceipt(
            message_id=uuid4(), raw_sha256=SHA, number=number, channel="6", meaning=meaning, reply=reply
        )

    def layout(part: m.Part) -> Callable[[str], m.Incoming]:
        return lambda number: m.LayoutArrived(message_id=uuid4(), raw_sha256=SHA, number=number, part=part, pages=1)

    meanings = m.ReceiptMeaning
    return [
        taken,
        says(meanings.RECEIVED, 1),
        says(meanings.IN_REVIEW, 2),
        says(meanings.APPROVED, 3),
        layout(m.Part.ORIGINAL),
        layout(m.Part.COPY),
    ]


def _rendered(job: m.RenderJob) -> m.Incoming:
    subject = job.certificate_id
    return m.RenderResult(
        message_id=uuid4(), job=job.job, certificate_id=subject, part=job.part, file_sha256=SHA, pages=1
    )


def _printed(job: m.PrintJob, outcome: m.PrintOutcome) -> m.Incoming:
    subject = job.certificate_id
    return m.PrintResult(
        message_id=uuid4(), job=job.job, certificate_id=subject, part=job.part, outcome=outcome, confirmed=True
    )
