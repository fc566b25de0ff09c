"""Read-only questions of clients. Every statement here is filtered by the caller's enterprise, $1.

One module on purpose: a test reads it and finds the filter in each statement.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from adapters.postgres.errors import unavailable
from gateway.core.messages import Part
from gateway.reading import (
    CertificateFilter,
    CertificatePage,
    CertificateView,
    PaperView,
    ReceiptEntry,
    TimelineEntry,
)

_PARTS: Final = frozenset(Part)

BY_ID: Final = """
SELECT id, number, certificate_type, status, revision, sequence, overdue, reference, invoice_no, destination,
       exporter, applicant, signed_on, accepted_at, updated_at, (state->'papers')::text AS papers
FROM origin.certificate c
WHERE (c.applicant = $1 OR c.exporter = $1) AND id = $2
"""

BY_NUMBER: Final = """
SELECT id, number, certificate_type, status, revision, sequence, overdue, reference, invoice_no, destination,
       exporter, applicant, signed_on, accepted_at, updated_at, (state->'papers')::text AS papers
FROM origin.certificate c
WHERE (c.applicant = $1 OR c.exporter = $1) AND number = $2
"""

# Ids sort by the time of acceptance, so the id is the key of the page.
PAGE: Final = """
SELECT id, number, certificate_type, status, revision, sequence, overdue, reference, invoice_no, destination,
       exporter, applicant, signed_on, accepted_at, updated_at, (state->'papers')::text AS papers
FROM origin.certificate c
WHERE (c.applicant = $1 OR c.exporter = $1)
  AND ($2::uuid IS NULL OR id < $2)
  AND ($3::text IS NULL OR certificate_type = $3)
  AND ($4::text IS NULL OR status = $4)
  AND ($5::text IS NULL OR number = $5)
  AND ($6::text IS NULL OR invoice_no = $6)
  AND ($7::text IS NULL OR reference = $7)
  AND ($8::timestamptz IS NULL OR accepted_at >= $8)
  AND ($9::timestamptz IS NULL OR accepted_at < $9)
ORDER BY id DESC LIMIT $10
"""

TIMELINE: Final = """
SELECT e.sequence, e.id, e.kind, e.at, e.data::text AS data
FROM origin.certificate c JOIN origin.event e ON e.subject_id = c.id
WHERE (c.applicant = $1 OR c.exporter = $1) AND c.id = $2
ORDER BY e.sequence
"""

RECEIPTS: Final = """
SELECT r.message_id, r.kind, r.at, encode(r.raw_sha256, 'hex') AS raw_sha256, r.fields::text AS fields
FROM origin.certificate c JOIN origin.receipt r ON r.subject_id = c.id
WHERE (c.applicant = $1 OR c.exporter = $1) AND c.id = $2
ORDER BY r.at, r.message_id
"""

# A layout is all it takes to paint an original, so its bytes stay here.
RECEIPT_BYTES: Final = """
SELECT b.content
FROM origin.certificate c JOIN origin.receipt r ON r.subject_id = c.id JOIN origin.blob b ON b.sha256 = r.raw_sha256
WHERE (c.applicant = $1 OR c.exporter = $1) AND c.id = $2 AND r.message_id = $3 AND r.kind <> 'LayoutArrived'
"""

# Only what a render job stored as the copy: a wrong hash in the state could not give the original away.
COPY_FILE: Final = """
SELECT b.content
FROM origin.certificate c
JOIN origin.rendering f ON f.certificate_id = c.id AND f.part = 'copy'
     AND encode(f.file_sha256, 'hex') = c.state->'papers'->'copy'->>'file'
JOIN origin.blob b ON b.sha256 = f.file_sha256
WHERE (c.applicant = $1 OR c.exporter = $1) AND c.id = $2
  AND NOT EXISTS (SELECT 1 FROM origin.rendering o WHERE o.file_sha256 = f.file_sha256 AND o.part <> 'copy')
LIMIT 1
"""


class Views:
    """Implements `gateway.reading.Reader` on PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def certificate(self, enterprise: str, name: str) -> CertificateView | None:
        """By our id or by certificate number."""
        identity = as_uuid(name)
        async with self._connection() as connection:
            if identity is not None:
                row = await connection.fetchrow(BY_ID, enterprise, identity)
            else:
                row = await connection.fetchrow(BY_NUMBER, enterprise, name)
        return None if row is None else _certificate(row)

    async def certificates(
        self, enterprise: str, wanted: CertificateFilter, *, after: UUID | None, limit: int
    ) -> CertificatePage:
        """Newest first, `limit` to a page."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                PAGE,
                enterprise,
                after,
                wanted.type,
                wanted.status,
                wanted.number,
                wanted.invoice,
                wanted.reference,
                wanted.accepted_from,
                wanted.accepted_before,
                limit + 1,
            )
        found = [_certificate(row) for row in rows[:limit]]
        return CertificatePage(certificates=found, next=found[-1].id if len(rows) > limit else None)

    async def timeline(self, enterprise: str, certificate_id: UUID) -> Sequence[TimelineEntry]:
        """What happened, in order."""
        async with self._connection() as connection:
            rows = await connection.fetch(TIMELINE, enterprise, certificate_id)
        return [
            TimelineEntry(
                sequence=row["sequence"],
                id=row["id"],
                kind=row["kind"],
                at=row["at"],
                data=orjson.loads(row["data"]),
            )
            for row in rows
        ]

    async def receipts(self, enterprise: str, certificate_id: UUID) -> Sequence[ReceiptEntry]:
        """What customs sent, in order of arrival."""
        async with self._connection() as connection:
            rows = await connection.fetch(RECEIPTS, enterprise, certificate_id)
        return [
            ReceiptEntry(
                id=row["message_id"],
                kind=row["kind"],
                at=row["at"],
                raw_sha256=row["raw_sha256"],
                fields=orjson.loads(row["fields"]),
            )
            for row in rows
        ]

    async def receipt_bytes(self, enterprise: str, certificate_id: UUID, receipt: UUID) -> bytes | None:
        """The bytes of one receipt as they came; never a layout's."""
        async with self._connection() as connection:
            found: bytes | None = await connection.fetchval(RECEIPT_BYTES, enterprise, certificate_id, receipt)
        return found

    async def copy_file(self, enterprise: str, certificate_id: UUID) -> bytes | None:
        """The signed PDF of the copy, never of the original."""
        async with self._connection() as connection:
            found: bytes | None = await connection.fetchval(COPY_FILE, enterprise, certificate_id)
        return found

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with unavailable("read"):
            async with self._pool.acquire(timeout=5) as connection:
                yield connection


def as_uuid(name: str) -> UUID | None:
    """The UUID that `name` writes, else None."""
    with contextlib.suppress(ValueError):
        return UUID(name)
    return None


def _certificate(row: asyncpg.Record) -> CertificateView:
    return CertificateView(
        id=row["id"],
        number=row["number"],
        type=row["certificate_type"],
        status=row["status"],
        revision=row["revision"],
        sequence=row["sequence"],
        overdue=row["overdue"].split(),
        reference=row["reference"],
        invoice=row["invoice_no"],
        destination=row["destination"],
        exporter=row["exporter"],
        applicant=row["applicant"],
        signed_on=row["signed_on"],
        accepted_at=row["accepted_at"],
        updated_at=row["updated_at"],
        papers=_papers(row["papers"]),
    )


def _papers(text: str | None) -> Mapping[Part, PaperView]:
    papers: Mapping[str, Mapping[str, Any]] = orjson.loads(text) if text else {}
    return {
        Part(part): PaperView(
            file_sha256=paper.get("file") or None,
            pages=paper.get("pages", 0),
            print=paper.get("print", "none"),
            trouble=paper.get("trouble") or None,
        )
        for part, paper in papers.items()
        if part in _PARTS  # a newer version may know another
    }
