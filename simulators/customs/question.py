"""What customs was asked: one outbound record, read and judged by the schema."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from lxml import etree

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.xml import parse
from gateway.core.declaration import Declaration
from gateway.core.faults import Fault, Refused
from gateway.ports import Record

_NUMBER = etree.XPath("string((//*[local-name()='CertNo'])[1])")


@dataclass(frozen=True, slots=True)
class Question:
    """A declaration as it reached customs. All answers follow from it, the seed and the register alone."""

    id: str
    """The same record, however often delivered, has the same id."""
    number: str
    content: str
    """SHA-256 of the document."""
    at: datetime
    """When the sender wrote the message; aware."""
    declaration: Declaration | None
    """None: the document is not valid; `faults` say why."""
    fields: Mapping[str, Any]
    faults: tuple[Fault, ...] = ()


def question(record: Record, otherwise: datetime) -> Question | None:
    """Read a record; None when it names no certificate, so that nobody could be answered.

    `otherwise` is the question's time when the record bears none.
    """
    content = hashlib.sha256(record.body).hexdigest()
    sent = record.headers.get("ce_id", "")
    key = hashlib.sha256(f"{sent}\0{content}".encode()).hexdigest()
    at = _time(record.headers.get("ce_time", "")) or otherwise
    try:
        reading = _dialect().read(record.body)
    except Refused as refused:
        number = _number(record.body)
        return Question(key, number, content, at, None, {}, refused.faults) if number else None
    number = reading.declaration.number or ""
    return Question(key, number, content, at, reading.declaration, reading.fields) if number else None


@cache
def _dialect() -> CustomsXml:
    return CustomsXml()


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _number(raw: bytes) -> str:
    """The certificate number of a document that is not valid, where it has one."""
    try:
        return str(_NUMBER(parse(raw))).strip()[:20]
    except Refused:
        return ""
