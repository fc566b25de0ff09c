"""A record on a client's topic, understood: which client, dialect and key; or what is wrong with it."""

from typing import Final
from uuid import UUID

from adapters.inbound.media_types import DOCUMENTS, dialect
from gateway.core.faults import Fault, Refused
from gateway.ports import Record
from gateway.runtime.door import Client, Submission
from gateway.runtime.ids import id_of
from gateway.runtime.sources import source

ANSWERED: Final = "origin.intake.answered.v1"
"""One pair of topics a client, by its id: `<topic>.<client>`."""

MAX_TEXT: Final = 255
REPLACED: Final = "\ufffd"
"""What the bus reads header bytes as that are not UTF-8."""


class Heads:
    """A record's headers, by their names in lower case."""

    def __init__(self, record: Record) -> None:
        self._headers = {name.lower(): value for name, value in record.headers.items()}

    def get(self, name: str) -> str | None:
        """The value as sent; None: not there."""
        return self._headers.get(name)

    def echo(self, name: str) -> str | None:
        """The value if it is fit to be sent back: 1 to 255 printable characters."""
        value = self._headers.get(name)
        if value is None:
            return None
        value = value.strip()
        return value if 0 < len(value) <= MAX_TEXT and value.isprintable() and REPLACED not in value else None


def answer_id(record: Record, body: bytes, *, accepted: bool) -> UUID:
    """Names the answer `body` to a record. The record's bytes are part of it, because another bus counts its offsets
    from 0 again, and two documents may be wrong alike; what is accepted has an answer that no other bytes ever get."""
    given = b"" if accepted else record.body
    return id_of(f"{record.topic}/{record.partition}/{record.offset}/{len(given)}/".encode(), given, body)


def submission(record: Record, heads: Heads, client: Client | None) -> Submission:
    """What the door is asked. Raises Refused with everything that is wrong with the record's envelope."""
    if client is None:
        raise Refused([unknown_client()])
    faults: list[Fault] = []
    media_type = ""
    try:
        media_type = dialect(heads.get("content-type") or "", DOCUMENTS)
    except Refused as refused:
        faults += refused.faults
    faults += [
        bad_header(name)
        for name in ("idempotency-key", "origin-reference", "ce_id", "ce_source")
        if heads.get(name) is not None and heads.echo(name) is None
    ]
    if faults:
        raise Refused(faults)
    return Submission(client, media_type, record.body, "bus", _key(heads), heads.echo("origin-reference"), record)


def _key(heads: Heads) -> str | None:
    """The idempotency key; else the CloudEvent's name, which is its source and id together."""
    if key := heads.echo("idempotency-key"):
        return key
    identity = heads.echo("ce_id")
    return None if identity is None else f"ce:{heads.echo('ce_source') or ''} {identity}"


def unknown_client() -> Fault:
    """The topic's client was revoked, or never was."""
    return Fault(
        code="CLIENT-UNKNOWN",
        message="The client that this topic belongs to is unknown or revoked: nothing is accepted from it.",
        remedy="Ask the operator of the gateway (origin client list).",
        source=source("decision-0039"),
    )


def bad_header(name: str) -> Fault:
    """A header that can't be kept or sent back."""
    return Fault(
        code="HEADER-TEXT",
        path=name,
        message=f"The header must be 1 to {MAX_TEXT} printable characters in UTF-8.",
        remedy="Shorten it, or leave it out.",
        source=source("decision-0012"),
    )
