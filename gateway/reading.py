"""What a client may see of its certificates: values, and the protocols that find them.

Implemented by `adapters.store.views`, `adapters.store.clients` and `adapters.feeds.sse`; used by the ways in.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.admission import Verdict
from gateway.core.messages import Part
from gateway.core.state import PrintState
from gateway.runtime.door import Client

PAGE = 50
"""Certificates on a page, unless asked for more."""
MAX_PAGE = 500


class BadCursor(ValueError):
    """A place to go on from that nobody gave out."""


class TooManyReaders(Exception):
    """No room for another stream of events."""


class View(BaseModel):
    """Something to look at: frozen."""

    model_config = ConfigDict(frozen=True)


class PaperView(View):
    """One of the two papers (正本, 副本)."""

    file_sha256: Annotated[str | None, Field(description="SHA-256 of the signed file, once it is rendered")] = None
    pages: int = 0
    print: Annotated[PrintState, Field(description="how far it got in the print room")] = PrintState.NONE
    trouble: Annotated[
        str | None,
        Field(description="why it stands still until somebody mends that and asks for a print", examples=[None]),
    ] = None


class CertificateView(View):
    """Where a certificate is now."""

    id: UUID
    number: Annotated[str, Field(description="certificate number (证书编号)", examples=["C26ABCDEFGHI0001"])]
    type: Annotated[str, Field(description="certificate type (证书类型)", examples=["RC"])]
    status: Annotated[str, Field(examples=["in_review"])]
    revision: Annotated[int, Field(description="1, and one more with each correction under the same number")]
    sequence: Annotated[int, Field(description="events so far; the last one has this number")]
    overdue: Annotated[
        Sequence[str],
        Field(description="what was due and is still missing; empty: nothing", examples=[[], ["customs_receipt"]]),
    ] = ()
    reference: Annotated[str | None, Field(description="the ERP's own reference")] = None
    invoice: str | None = None
    destination: Annotated[str | None, Field(description="country code of the destination")] = None
    exporter: Annotated[str, Field(description="credit code (统一社会信用代码) of the exporter")]
    applicant: Annotated[str, Field(description="credit code of the enterprise that declares")]
    signed_on: Annotated[str | None, Field(description="date of issue, in the customs' own words")] = None
    accepted_at: datetime
    updated_at: datetime
    papers: Annotated[
        Mapping[Part, PaperView], Field(description="original and copy; empty before the first turn")
    ] = {}


class CertificatePage(View):
    """Some certificates, newest first."""

    certificates: Sequence[CertificateView]
    next: Annotated[UUID | None, Field(description="pass it as `after` to get the next page; null: that was all")]


class TimelineEntry(View):
    """One thing that happened."""

    sequence: Annotated[int, Field(description="from 1, gapless per certificate")]
    id: Annotated[UUID, Field(description="event id, the same on the status topic and in the event stream")]
    kind: Annotated[str, Field(examples=["approved"])]
    at: datetime
    data: Mapping[str, Any]


class Timeline(View):
    """The life of one certificate, oldest first."""

    id: UUID
    number: str
    status: str
    events: Sequence[TimelineEntry]


class ReceiptEntry(View):
    """One thing customs sent about a certificate (回执); its bytes are at `/receipts/{id}`."""

    id: UUID
    kind: Annotated[str, Field(examples=["BusinessReceipt"])]
    at: datetime
    raw_sha256: str
    fields: Annotated[Mapping[str, Any], Field(description="as read, by our names")]


class Receipts(View):
    """Everything customs sent about one certificate, oldest first."""

    id: UUID
    number: str
    receipts: Sequence[ReceiptEntry]


class CertificateFilter(View):
    """Which certificates to list; None: any."""

    type: str | None = None
    status: str | None = None
    number: str | None = None
    invoice: str | None = None
    reference: str | None = None
    accepted_from: datetime | None = None
    accepted_before: datetime | None = None


class Reader(Protocol):
    """Read-only questions. Every one takes the caller's enterprise (18-character credit code) and answers as if
    other enterprises' certificates did not exist. Each raises Unavailable."""

    async def certificate(self, enterprise: str, name: str) -> CertificateView | None:
        """By our id or by certificate number."""
        ...

    async def certificates(
        self, enterprise: str, wanted: CertificateFilter, *, after: UUID | None, limit: int
    ) -> CertificatePage:
        """Newest first, `limit` to a page, going on below `after`."""
        ...

    async def timeline(self, enterprise: str, certificate_id: UUID) -> Sequence[TimelineEntry]:
        """What happened, in order."""
        ...

    async def receipts(self, enterprise: str, certificate_id: UUID) -> Sequence[ReceiptEntry]:
        """What customs sent, in order of arrival."""
        ...

    async def receipt_bytes(self, enterprise: str, certificate_id: UUID, receipt: UUID) -> bytes | None:
        """The bytes of one receipt as they came. None also for a layout: it is not offered for download."""
        ...

    async def copy_file(self, enterprise: str, certificate_id: UUID) -> bytes | None:
        """The signed PDF of the copy (副本). There is no such question for the original."""
        ...


class Authenticator(Protocol):
    """Knows clients by their keys."""

    async def authenticate(self, key: str) -> Client | None:
        """The client this key belongs to; None when nobody, or when it was revoked. Raises Unavailable."""
        ...


class IntakeObserver(Protocol):
    """Told what came in."""

    def received(self, channel: str, verdict: Verdict, seconds: float) -> None:
        """One declaration was answered `seconds` after it had arrived whole."""
        ...


class StatusFeed(Protocol):
    """Status changes as they happen, as text/event-stream."""

    def subscribe(self, enterprise: str, cursor: str | None) -> AsyncIterator[bytes]:
        """Events of this enterprise after `cursor`; None: from now on; "0": from the first that is kept.

        Raises BadCursor or TooManyReaders at once."""
        ...

    def close(self) -> None:
        """End every stream; readers come back with the id of the last event they saw."""
        ...
