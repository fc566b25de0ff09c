"""CloudEvents attributes in binary mode: what a message carries beside its body (CloudEvents 1.0)."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID, uuid5

SOURCE = "/origin-gateway"
EVENTS = UUID("6e1f5b0c-5d0a-5f0e-9c39-2a1d3c6f8e10")
"""Namespace of event ids: uuid5(EVENTS, "certificate/sequence")."""
_CERTIFICATE = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""How a certificate's id is written as a subject."""


def event_id(certificate_id: UUID, sequence: int) -> UUID:
    """The id of the event with this gapless sequence number: the same event has the same id, however often sent."""
    return uuid5(EVENTS, f"{certificate_id}/{sequence}")


@lru_cache(maxsize=256)
def timestamp(at: datetime) -> str:
    """RFC 3339, UTC, milliseconds: 2026-11-22T08:00:00.000Z. Remembered: a batch has one time."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def headers(kind: str, message_id: UUID, subject: str, at: datetime, content_type: str) -> dict[str, str]:
    """Headers of one message. `kind` is the last part of the type, e.g. ``render.job``."""
    identity = str(message_id)
    return {
        "ce_specversion": "1.0",
        "ce_id": identity,
        "ce_source": SOURCE,
        "ce_type": f"cn.origin.{kind}.v1",
        "ce_subject": subject,
        "ce_time": timestamp(at),
        "content-type": content_type,
        "traceparent": traceparent(subject, identity),
    }


def traceparent(subject: str, message_id: str) -> str:
    """W3C Trace Context: every message about a certificate is in one trace, whose id is the certificate's own, so a
    trace is found by certificate and survives customs, who carries none. Another subject's messages have one each."""
    span = message_id.replace("-", "")
    trace = subject.replace("-", "") if _CERTIFICATE.fullmatch(subject) else span
    return f"00-{trace}-{span[:16]}-01"
