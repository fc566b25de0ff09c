"""New, repeated, corrected or in conflict: every case of ops/decisions/0040."""

from uuid import UUID

import pytest

from gateway.core.admission import Clash, Correction, Known, New, Prior, Repeated, Replay, admit

CERTIFICATE = UUID("01900000-0000-7000-8000-000000000001")
STATUSES = (
    "accepted",
    "draft",
    "declared",
    "sent",
    "received",
    "in_review",
    "returned",
    "approved",
    "layout_arriving",
    "ready_to_print",
    "rendered",
    "printing",
    "printed",
    "in_doubt",
    "confirmed",
    "misprinted",
)


def known(status: str = "declared", *, applicant: str = "me", content: str = "content") -> Known:
    return Known(CERTIFICATE, "C26MA9XYD0C20001", applicant, 1, status, content)


def test_nothing_on_file_is_new() -> None:
    assert admit("raw", "content", "me", None, None) == New()


def test_the_same_key_and_bytes_get_the_same_answer_whatever_became_of_the_certificate() -> None:
    prior = Prior("raw", CERTIFICATE, b"{}")
    for status in STATUSES:
        assert admit("raw", "other", "me", prior, known(status)) == Replay(prior)


def test_other_bytes_under_the_same_key_are_a_conflict() -> None:
    assert admit("raw 2", "content", "me", Prior("raw", CERTIFICATE, b"{}"), known()) == Clash("KEY-REUSED")


@pytest.mark.parametrize("status", STATUSES)
def test_the_same_content_is_repeated_in_any_status(status: str) -> None:
    assert admit("raw 2", "content", "me", None, known(status)) == Repeated(known(status))


@pytest.mark.parametrize("status", STATUSES)
def test_other_content_corrects_a_draft_or_a_returned_one_only(status: str) -> None:
    on_file = known(status)
    expected = Correction(on_file) if status in ("draft", "returned") else Clash("NUMBER-IN-USE", on_file)
    assert admit("raw 2", "new content", "me", None, on_file) == expected


@pytest.mark.parametrize("status", STATUSES)
def test_anothers_number_is_not_free_and_nothing_is_told_about_it(status: str) -> None:
    for content in ("content", "new content"):
        clash = admit("raw 2", content, "me", None, known(status, applicant="somebody else"))
        assert clash == Clash("NUMBER-TAKEN", None)
