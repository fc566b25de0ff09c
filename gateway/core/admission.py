"""Whether a well-formed declaration is new, a repetition, a correction or a conflict. Pure (ops/decisions/0040)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from gateway.core.certificate import REVISABLE


class Verdict(StrEnum):
    """What the door answers."""

    ACCEPTED = "accepted"
    """New, or a correction of a draft or returned certificate."""
    DUPLICATE = "duplicate"
    """The same content under the same number is already here."""
    REFUSED = "refused"
    """Faults; nothing was kept."""
    CONFLICT = "conflict"
    """Other bytes under the same idempotency key, or other content under a number that can't be corrected now."""
    INTERNAL = "internal"
    """It broke us: nothing was accepted, and the document is kept for the operator."""
    LATER = "later"
    """The client has its quota: nothing was looked at or kept, the same may be sent again in a while."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What an earlier submission under the same client and key left behind."""

    raw_sha256: str
    certificate_id: UUID
    answer: bytes
    """The answer given then, as JSON."""


class Known(NamedTuple):
    """What is on file about a certificate number."""

    certificate_id: UUID
    number: str
    applicant: str
    revision: int
    status: str
    content_sha256: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The same key and bytes again: the same answer again."""

    prior: Prior


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same content is on file."""

    known: Known


@dataclass(frozen=True, slots=True)
class Correction:
    """New content for a draft or returned certificate."""

    known: Known


@dataclass(frozen=True, slots=True)
class Clash:
    """No: `code` says which conflict, `known` is None where the sender may not see the certificate."""

    code: str
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class New:
    """Nothing on file."""


Admission = Replay | Repeated | Correction | Clash | New


def admit(raw_sha256: str, content_sha256: str, applicant: str, prior: Prior | None, known: Known | None) -> Admission:
    """Judge one declaration against what is on file under its key (`prior`) and its number (`known`)."""
    if prior is not None:
        return Replay(prior) if prior.raw_sha256 == raw_sha256 else Clash("KEY-REUSED")
    if known is None:
        return New()
    if known.applicant != applicant:
        return Clash("NUMBER-TAKEN")
    if known.content_sha256 == content_sha256:
        return Repeated(known)
    if known.status in REVISABLE:
        return Correction(known)
    return Clash("NUMBER-IN-USE", known)
