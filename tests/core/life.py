"""Given / when / then for one certificate's life: short names for messages, and what followed in one line."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

from gateway.core.certificate import LIFE
from gateway.core.decision import Event
from gateway.core.life import TimerDue
from gateway.core.messages import (
    AttachmentReceipt,
    BusinessReceipt,
    ConfirmPrint,
    CustomsReply,
    DeclarationAccepted,
    Incoming,
    LayoutArrived,
    Outgoing,
    Part,
    PrintJob,
    PrintOutcome,
    PrintResult,
    ReceiptMeaning,
    Reminder,
    RenderJob,
    RenderResult,
    RequestPrint,
    TechnicalReceipt,
    TechnicalVerdict,
)
from gateway.core.state import Certificate

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
CERTIFICATE = UUID("01900000-0000-7000-8000-000000000001")
NUMBER = "C26MA9XYD0C20001"
EXPORTER = "91330299MA9XYD0C2A"


def sha(text: str) -> str:
    """A hash, by name."""
    return hashlib.sha256(text.encode()).hexdigest()


def name(text: str) -> UUID:
    """A message id, by name."""
    return uuid5(CERTIFICATE, text)


def at(minute: int) -> str:
    """The customs' own time text, `minute` minutes into a day."""
    return f"2026-11-22 {minute // 60:02d}:{minute % 60:02d}:00" if minute >= 0 else ""


def declared(
    revision: int = 1, *, applies: bool = True, prints_itself: bool = True, exporter: str = EXPORTER
) -> DeclarationAccepted:
    """The declaration, or a correction of it."""
    return DeclarationAccepted(
        message_id=name(f"declared {revision} {applies}"),
        certificate_id=CERTIFICATE,
        number=NUMBER,
        revision=revision,
        certificate_type="C",
        applies=applies,
        exporter=exporter,
        applicant=EXPORTER,
        client="erp",
        reference=f"SO-{revision}",
        media_type="application/xml",
        raw_sha256=sha(f"raw {revision}"),
        content_sha256=sha(f"content {revision}"),
        prints_itself=prints_itself,
        accepted_at=NOW,
    )


def technical(verdict: TechnicalVerdict = TechnicalVerdict.TAKEN, minute: int = 1) -> TechnicalReceipt:
    """技术回执."""
    return TechnicalReceipt(
        message_id=name(f"technical {verdict} {minute}"),
        raw_sha256=sha(f"technical {verdict} {minute}"),
        number=NUMBER,
        code={"taken": "1", "refused": "2", "unknown": "77"}[verdict],
        verdict=verdict,
        note="line 3: not in the list",
        sent_at=at(minute),
    )


def attachment() -> AttachmentReceipt:
    """随附单据回执."""
    return AttachmentReceipt(
        message_id=name("attachment"),
        raw_sha256=sha("attachment"),
        number=NUMBER,
        code="1",
        verdict=TechnicalVerdict.TAKEN,
        file_type="0001",
        file_name="a.pdf",
    )


def business(meaning: ReceiptMeaning, minute: int, running: int | None = None) -> BusinessReceipt:
    """业务回执."""
    identity = f"business {meaning} {minute} {running}"
    return BusinessReceipt(
        message_id=name(identity),
        raw_sha256=sha(identity),
        number=NUMBER,
        channel="1" if meaning is ReceiptMeaning.RECEIVED else "6",
        meaning=meaning,
        sent_at=at(minute),
        reply=None
        if meaning is ReceiptMeaning.RECEIVED
        else CustomsReply(
            running_no=running, code="5", statement="as examined", signed_on="2026-11-22", generated_at=at(minute)
        ),
    )


def received(minute: int = 2) -> BusinessReceipt:
    """系统接收."""
    return business(ReceiptMeaning.RECEIVED, minute)


def in_review(minute: int = 3) -> BusinessReceipt:
    """转人工审核."""
    return business(ReceiptMeaning.IN_REVIEW, minute, 1)


def approved(minute: int = 5, running: int = 2) -> BusinessReceipt:
    """审批通过."""
    return business(ReceiptMeaning.APPROVED, minute, running)


def returned(minute: int = 4, running: int = 2) -> BusinessReceipt:
    """退证."""
    return business(ReceiptMeaning.RETURNED, minute, running)


def layout(part: Part, version: str = "") -> LayoutArrived:
    """版式文件."""
    content = sha(f"layout {part} {version}")
    return LayoutArrived(message_id=name(content), raw_sha256=content, number=NUMBER, part=part, pages=1)


ORIGINAL, COPY = layout(Part.ORIGINAL), layout(Part.COPY)


def rendered(job: RenderJob) -> RenderResult:
    """The signed file of `job`."""
    return RenderResult(
        message_id=name(f"rendered {job.job}"),
        job=job.job,
        certificate_id=CERTIFICATE,
        part=job.part,
        file_sha256=sha(f"file {job.job}"),
        pages=1,
        seal="s",
        signature="h",
        key="k",
    )


def not_rendered(job: RenderJob) -> RenderResult:
    """No file could be made."""
    return RenderResult(
        message_id=name(f"not rendered {job.job}"),
        job=job.job,
        certificate_id=CERTIFICATE,
        part=job.part,
        reason="SEAL-MISSING",
    )


def printing(job: PrintJob, outcome: PrintOutcome, *, confirmed: bool = False) -> PrintResult:
    """What the printer said about `job`."""
    return PrintResult(
        message_id=name(f"{job.job} {outcome}"),
        job=job.job,
        certificate_id=CERTIFICATE,
        part=job.part,
        outcome=outcome,
        confirmed=confirmed,
        printer="tray 1",
    )


def request(*parts: Part, nonce: str = "") -> RequestPrint:
    """A person asks for a print; no part named: both."""
    return RequestPrint(
        message_id=name(f"request {parts} {nonce}"), certificate_id=CERTIFICATE, parts=parts or tuple(Part), by="desk"
    )


def confirm(printed: bool, *parts: Part) -> ConfirmPrint:
    """A person says whether it was printed; no part named: both."""
    return ConfirmPrint(
        message_id=name(f"confirm {printed} {parts}"),
        certificate_id=CERTIFICATE,
        printed=printed,
        parts=parts or tuple(Part),
        by="desk",
    )


def due(about: Reminder, revision: int = 1, resends: int = 0) -> TimerDue:
    """A due date; `resends`: what the rule allows."""
    return TimerDue(
        message_id=name(f"due {about} {revision}"),
        kind=LIFE.kind,
        subject_id=CERTIFICATE,
        about=about,
        revision=revision,
        resends=resends,
    )


@dataclass(slots=True)
class Life:
    """A certificate and everything that happened to it."""

    state: Certificate | None = None
    last: Sequence[Event] = ()
    events: tuple[Event, ...] = ()
    sent: tuple[Outgoing, ...] = ()
    reminders: tuple[tuple[Reminder, int], ...] = ()

    def when(self, *messages: Incoming) -> "Life":
        """Go on with `messages`."""
        for message in messages:
            self.state, decision = LIFE.apply(self.state, message, NOW)
            self.last = decision.events
            self.events += decision.events
            self.sent += decision.send
            assert LIFE.fold(self.events) == self.state, "the events alone rebuild the state"
            self.reminders += tuple((remind.about, remind.revision) for remind in decision.remind)
        return self

    def then(self, *kinds: str) -> "Life":
        """The last message caused exactly these kinds of events; a note is ``noted:what``."""
        told = [f"noted:{event.data['what']}" if event.kind == "noted" else str(event.kind) for event in self.last]
        assert told == list(kinds)
        return self

    def status(self, status: str) -> "Life":
        """It is in this status now."""
        assert self.certificate.status == status
        return self

    @property
    def certificate(self) -> Certificate:
        """The state; there is one."""
        assert self.state is not None
        return self.state

    def renders(self) -> list[RenderJob]:
        """The render jobs so far."""
        return [job for job in self.sent if isinstance(job, RenderJob)]

    def prints(self) -> list[PrintJob]:
        """The print jobs so far."""
        return [job for job in self.sent if isinstance(job, PrintJob)]


def given(*messages: Incoming) -> Life:
    """A life that went through `messages`."""
    return Life().when(*messages)


def ready(*, prints_itself: bool = True) -> Life:
    """Approved, both layouts here, files asked for."""
    return given(declared(prints_itself=prints_itself), technical(), approved(), ORIGINAL, COPY)


def authorised() -> Life:
    """Both papers rendered and authorised."""
    life = ready()
    return life.when(*(rendered(job) for job in life.renders()))
