"""What an accepted declaration leaves behind: its row, and the small message that starts or corrects a life."""

from datetime import datetime
from uuid import UUID

from gateway.core.admission import Known
from gateway.core.envelope import headers
from gateway.core.messages import DeclarationAccepted
from gateway.core.numbers import Series, series
from gateway.ports import Message, MessageCodec
from gateway.runtime.answers import Answer
from gateway.runtime.submission import Examined
from gateway.storage import Admitted

ACCEPTED = "origin.declaration.accepted.v1"


def wish(item: Examined, now: datetime) -> Series:
    """The series that its number comes from."""
    return series(item.certificate_type, item.exporter, item.submission.client.prefix, now)


def answer(item: Examined, known: Known) -> Answer:
    """The sender's answer: accepted, under this number."""
    return Answer.accepted(
        known.certificate_id, known.number, known.revision, item.certificate_type, item.reference, item.warnings
    )


def row(item: Examined, known: Known, given: Answer, now: datetime) -> Admitted:
    """What is written of it."""
    submission = item.submission
    return Admitted(
        client=submission.client.id,
        key=item.key[1],
        channel=submission.channel,
        certificate_id=known.certificate_id,
        number=known.number,
        revision=known.revision,
        certificate_type=item.certificate_type,
        exporter=item.exporter,
        applicant=item.applicant,
        reference=item.reference,
        invoice_no=item.invoice_no,
        destination=item.destination,
        raw=submission.body,
        raw_sha256=item.raw_sha256,
        media_type=submission.media_type,
        content_sha256=item.content_sha256,
        answer=given.body,
        at=now,
    )


def envelope(codec: MessageCodec, item: Examined, known: Known, message_id: UUID, now: datetime) -> Message:
    """The small message that starts, or corrects, a certificate's life."""
    submission = item.submission
    accepted = DeclarationAccepted(
        message_id=message_id,
        certificate_id=known.certificate_id,
        number=known.number,
        revision=known.revision,
        certificate_type=item.certificate_type,
        applies=item.applies,
        exporter=item.exporter,
        applicant=item.applicant,
        client=submission.client.id,
        reference=item.reference,
        media_type=submission.media_type,
        raw_sha256=item.raw_sha256,
        content_sha256=item.content_sha256,
        prints_itself=submission.client.prints_itself,
        accepted_at=now,
    )
    subject = str(known.certificate_id)
    attributes = headers("declaration.accepted", message_id, subject, now, "application/xml")
    return Message(ACCEPTED, subject, codec.encode(accepted), attributes)
