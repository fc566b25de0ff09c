"""What stands at the door: who sends, what was sent, and what is known of it before the database is asked."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from gateway.core.faults import Fault, Refused
from gateway.core.numbers import well_formed
from gateway.core.quotas import NO_LIMITS, Limits
from gateway.ports import Record

RESERVED: Final = re.compile(r"(?:content|sha256):[0-9a-f]{64}")
"""What the gateway remembers a document under that came without a key (`Examined.of`)."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who is at the door: one client of one enterprise (ops/decisions/0039)."""

    id: str
    enterprise: str
    """18-character credit code (统一社会信用代码)."""
    prefix: str = ""
    """Serial prefix of the numbers it is given, 0 to 3 letters or digits."""
    prints_itself: bool = True
    exporters: frozenset[str] = frozenset()
    """Credit codes of the other enterprises it has leave to declare for."""
    proposed: frozenset[str] = frozenset()
    """Those it declared for before leave was needed; the operator has not answered yet."""
    limits: Limits = NO_LIMITS
    """Its quotas."""
    open_drafts: int = 0
    """Drafts (暂存) of it that are on file, a moment ago."""


class Submission(NamedTuple):
    """One document as it came in."""

    client: Client
    media_type: str
    body: bytes
    channel: str
    """http, folder or bus."""
    key: str | None = None
    """Idempotency key; where the way in has none, a hash serves."""
    reference: str | None = None
    """The ERP's own reference; the document's own, where it has one, goes first."""
    record: Record | None = None
    """What it came in, by the bus: kept whole should it break us."""

    def has_reserved_key(self) -> bool:
        """Is its key one that another document of this client has without asking? The hash of its own bytes is not."""
        if self.key is None or RESERVED.fullmatch(self.key) is None:
            return False
        return self.key != _by_bytes(hashlib.sha256(self.body).hexdigest())


class Rejected(Refused):
    """A document that could be read, with faults of business; `reference` is the ERP's own, to be echoed."""

    def __init__(self, faults: Iterable[Fault], reference: str | None) -> None:
        self.reference = reference
        super().__init__(faults)


class Examined(NamedTuple):
    """A submission without faults, ready to be judged against what is on file.

    It keeps what is asked of the document later, and lets go of the rest: batches of whole documents as data are more
    than a processor's near memory holds, and made examining slower by a fifth.
    """

    submission: Submission
    certificate_type: str
    exporter: str
    """Credit code of the exporter."""
    applicant: str
    """Credit code of the enterprise that declares."""
    applies: bool
    invoice_no: str | None
    destination: str | None
    """Country code."""
    raw_sha256: str
    content_sha256: str
    """Of the canonical content: equal for XML and JSON of the same declaration."""
    number: str | None
    """The ERP's own number, where it is well-formed; else the gateway gives one (ops/decisions/0040)."""
    reference: str | None
    warnings: tuple[Fault, ...]
    key: tuple[str, str]
    """(client, key) under which the answer is remembered."""
    content_key: tuple[str, str]
    """(client, content): without a number only the content tells that two documents are the same declaration."""

    @classmethod
    def of(
        cls,
        submission: Submission,
        fields: Mapping[str, Any],
        packed: bytes,
        reference: str | None,
        warnings: tuple[Fault, ...],
    ) -> "Examined":
        """From the declaration as canonical data (`gateway.core.declaration.canonical`) and its `content`."""
        kind, exporter, number = fields["certificate_type"], fields["exporter_code"], fields.get("number")
        if number and not well_formed(number, kind, exporter):
            number = None
        client, key = submission.client.id, submission.key
        raw_sha256, content_sha256 = hashlib.sha256(submission.body).hexdigest(), hashlib.sha256(packed).hexdigest()
        by_content = client, f"content:{content_sha256}"
        by_itself = by_content if not number else (client, _by_bytes(raw_sha256))
        return cls(
            submission=submission,
            certificate_type=kind,
            exporter=exporter,
            applicant=fields["applicant_code"],
            applies=fields["apply_type"] == "1",
            invoice_no=fields.get("invoice_no"),
            destination=fields.get("destination_code"),
            raw_sha256=raw_sha256,
            content_sha256=content_sha256,
            number=number or None,
            reference=reference,
            warnings=warnings,
            key=(client, key) if key else by_itself,
            content_key=by_content,
        )


def _by_bytes(raw_sha256: str) -> str:
    return f"sha256:{raw_sha256}"


def content(fields: Mapping[str, Any]) -> bytes:
    """Canonical content without the number, which the gateway may give: the same goods stay the same content."""
    kept = dict(fields)
    kept.pop("number", None)
    if invoices := kept.get("invoices"):
        kept["invoices"] = [{n: v for n, v in invoice.items() if n != "certificate_number"} for invoice in invoices]
    return orjson.dumps(kept)
