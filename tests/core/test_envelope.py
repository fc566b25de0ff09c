"""The trace of a message: one for everything about a certificate, whoever wrote it and however often."""

import re
from datetime import UTC, datetime
from uuid import UUID, uuid4

from gateway.core.envelope import headers

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01")
AT = datetime(2026, 11, 22, tzinfo=UTC)


def trace(subject: str, message_id: UUID) -> str:
    return headers("render.job", message_id, subject, AT, "application/xml")["traceparent"]


def test_everything_about_a_certificate_is_in_one_trace() -> None:
    certificate, first, second = uuid4(), uuid4(), uuid4()
    one, two = trace(str(certificate), first), trace(str(certificate), second)
    assert all(TRACEPARENT.fullmatch(found) for found in (one, two))
    assert one.split("-")[1] == two.split("-")[1] == certificate.hex
    assert one.split("-")[2] != two.split("-")[2]
    assert trace(str(certificate), first) == one, "sent again it is the same message"


def test_a_subject_that_is_no_certificate_of_ours_has_a_trace_too() -> None:
    message_id = uuid4()
    assert TRACEPARENT.fullmatch(trace("C26MA9XYD0C20002", message_id))
    assert trace("C26MA9XYD0C20002", message_id).split("-")[1] == message_id.hex
