"""A certificate's life, message by message."""

import pytest

from gateway.core.certificate import decide, evolve
from gateway.core.decision import Event, EventKind
from gateway.core.messages import (
    CustomsDeclaration,
    Part,
    PrintOutcome,
    ReceiptMeaning,
    Reminder,
    TechnicalVerdict,
)
from gateway.core.state import Certificate, Paper, PrintState, Review
from tests.core.life import (
    CERTIFICATE,
    COPY,
    NOW,
    ORIGINAL,
    approved,
    attachment,
    authorised,
    business,
    confirm,
    declared,
    due,
    given,
    in_review,
    layout,
    not_rendered,
    printing,
    ready,
    received,
    rendered,
    request,
    returned,
    technical,
)


def test_a_declaration_goes_to_customs_and_sets_two_due_dates() -> None:
    life = given(declared()).then("declared").status("declared")
    assert [type(message) for message in life.sent] == [CustomsDeclaration]
    assert life.reminders == ((Reminder.CUSTOMS_RECEIPT, 1), (Reminder.CUSTOMS_VERDICT, 1))


def test_a_draft_stays_at_home() -> None:
    life = given(declared(applies=False)).then("drafted").status("draft")
    assert (life.sent, life.reminders) == ((), ())


def test_receipts_carry_it_forward() -> None:
    life = given(declared())
    life.when(technical()).then("sent").status("sent")
    life.when(received()).then("received").status("received")
    life.when(in_review()).then("in_review").status("in_review")
    life.when(approved()).then("approved").status("approved")


def test_progress_never_goes_back() -> None:
    given(declared(), in_review()).when(technical()).then("noted:repeated").status("in_review")


def test_layouts_may_come_before_the_approval() -> None:
    life = given(declared(), technical()).when(ORIGINAL).then("layout_received").status("sent")
    life.when(COPY).then("layout_received").status("sent")
    assert life.renders() == []
    life.when(approved()).then("approved", "ready_to_print").status("ready_to_print")
    assert [job.part for job in life.renders()] == [Part.ORIGINAL, Part.COPY]
    assert Reminder.LAYOUTS not in dict(life.reminders)


def test_layouts_after_the_approval_and_the_reminder_when_they_stay_away() -> None:
    life = given(declared(), approved()).status("approved")
    assert (Reminder.LAYOUTS, 1) in life.reminders
    life.when(ORIGINAL).then("layout_received").status("layout_arriving")
    life.when(due(Reminder.LAYOUTS)).then("overdue")
    life.when(COPY).then("layout_received", "ready_to_print")
    life.when(due(Reminder.LAYOUTS)).then()


def test_returned_corrected_approved() -> None:
    life = given(declared(), returned(4)).then("returned").status("returned")
    life.when(declared(2)).then("declared").status("declared")
    assert len({message.message_id for message in life.sent}) == 2
    life.when(approved(9, 3)).then("approved").status("approved")
    assert life.certificate.revision == 2


def test_a_correction_takes_over_whose_seal_is_used() -> None:
    life = given(declared(), returned(4), declared(2, exporter="91320599MA9HTQ7K6J"), approved(9), ORIGINAL, COPY)
    assert {job.exporter for job in life.renders()} == {"91320599MA9HTQ7K6J"}
    assert life.certificate.reference == "SO-2"


def test_a_draft_is_corrected_and_then_declared() -> None:
    given(declared(applies=False), declared(2, applies=False)).then("drafted").when(declared(3)).then("declared")


def test_a_technical_refusal_returns_it() -> None:
    given(declared()).when(technical(TechnicalVerdict.REFUSED)).then("returned").status("returned")


def test_receipts_of_the_first_round_do_not_touch_the_second() -> None:
    life = given(declared(), technical(), returned(4), declared(2))
    life.when(received(2)).then("noted:out_of_order").status("declared")
    life.when(returned(4)).then("noted:repeated").status("declared")
    life.when(approved(3, 1)).then("noted:out_of_date").status("declared")
    life.when(in_review(4)).then("noted:out_of_order").status("declared")


def test_the_newest_verdict_wins() -> None:
    given(declared(), approved(5), returned(7)).then("returned").when(approved(6)).then("noted:out_of_date")


def test_running_numbers_order_replies_of_one_second() -> None:
    for small, large in ((1, 2), (9, 10), (99, 100), (9999, 10000)):
        given(declared(), approved(5, large)).when(returned(5, small)).then("noted:out_of_date").status("approved")


def test_two_verdicts_that_nothing_orders_end_on_the_careful_side() -> None:
    given(declared(), approved(5, 1), returned(5, 1)).status("returned")
    given(declared(), returned(5, 1), approved(5, 1)).status("returned")


def test_verdicts_without_any_time_count_once_a_round() -> None:
    life = given(declared(), returned(-1)).then("returned").when(declared(2)).then("declared")
    life.when(approved(-1)).then("approved").status("approved")
    given(declared(), returned(4), declared(2), approved(-1)).status("approved").when(returned(4)).then(
        "noted:repeated"
    )


def test_a_correction_overtaken_by_the_approval() -> None:
    life = given(declared(), returned(4), approved(5))
    life.when(declared(2)).then("noted:correction_overtaken").status("approved")
    assert life.certificate.revision == 2, "the row's revision and the state's agree again"
    assert (Reminder.LAYOUTS, 2) in life.reminders, "what is waited for is due under the new revision"
    assert [type(m) for m in life.sent] == [CustomsDeclaration], "the overtaken content never goes to customs"
    life.when(due(Reminder.LAYOUTS, 1)).then().when(due(Reminder.LAYOUTS, 2)).then("overdue")


def test_an_old_revision_is_only_noted() -> None:
    given(declared(), returned(4), declared(2)).when(declared(1)).then("noted:revision_out_of_order")


def test_unknown_codes_and_attachments_are_noted_never_failures() -> None:
    life = given(declared())
    life.when(business(ReceiptMeaning.UNKNOWN, 3, 1)).then("noted:unknown_code").status("declared")
    life.when(technical(TechnicalVerdict.UNKNOWN)).then("noted:unknown_code").status("declared")
    life.when(attachment()).then("noted:attachment_receipt").status("declared")


def test_a_verdict_on_a_draft_is_noted() -> None:
    given(declared(applies=False)).when(approved()).then("noted:never_declared").status("draft")
    given(declared(applies=False)).when(received()).then("noted:never_declared").status("draft")


def test_before_the_first_declaration_nothing_follows() -> None:
    for message in (technical(), approved(), ORIGINAL, request(), confirm(True), due(Reminder.LAYOUTS)):
        assert decide(None, message, NOW).events == ()
    with pytest.raises(ValueError):
        evolve(None, Event(EventKind.SENT, {}))


def test_silence_is_told_once_and_only_while_it_lasts() -> None:
    life = given(declared()).when(due(Reminder.CUSTOMS_RECEIPT)).then("overdue")
    life.when(technical()).when(due(Reminder.CUSTOMS_RECEIPT)).then()
    life.when(due(Reminder.CUSTOMS_VERDICT)).then("overdue")
    given(declared(), returned(4), declared(2)).when(due(Reminder.CUSTOMS_RECEIPT, 1)).then()


# ---------------------------------------------------------------- the print room


def test_both_files_are_authorised_together() -> None:
    life = ready()
    first, second = life.renders()
    life.when(rendered(first)).then("rendered").status("ready_to_print")
    life.when(rendered(second)).then("rendered", "print_authorised", "print_authorised").status("printing")
    assert [job.part for job in life.prints()] == [Part.ORIGINAL, Part.COPY]
    assert {job.file_sha256 for job in life.prints()} == {p.file for p in life.certificate.papers.values()}


def test_the_order_of_the_papers_survives_a_database() -> None:
    state = ready(prints_itself=False).certificate
    turned = Certificate.model_validate({**state.model_dump(), "papers": dict(reversed(state.papers.items()))})
    assert list(turned.papers) == list(Part)
    copy_only = turned.model_copy(
        update={
            "papers": {
                Part.COPY: Paper(layout="l", file="f", print=PrintState.CONFIRMED),
                Part.ORIGINAL: Paper(layout="l", file="f"),
            }
        }
    )
    assert copy_only.status == "rendered", "the original tells"


def test_printed_and_confirmed_by_the_printer() -> None:
    life = authorised()
    for job in life.prints():
        life.when(printing(job, PrintOutcome.CLAIMED)).then("printing").status("printing")
        life.when(printing(job, PrintOutcome.PRINTED, confirmed=True)).then("printed", "confirmed")
    life.status("confirmed")


def test_printed_and_confirmed_by_a_person() -> None:
    life = authorised()
    life.when(*(printing(job, PrintOutcome.PRINTED) for job in life.prints())).status("printed")
    life.when(confirm(True)).then("confirmed", "confirmed").status("confirmed")
    life.when(confirm(True)).then("noted:nothing_to_confirm")


def test_a_yes_is_about_the_paper_that_was_looked_at() -> None:
    """Found by the simulation: the original came to be in doubt after the copy was looked at, and before the yes."""
    life = authorised()
    for job in life.prints():
        life.when(printing(job, PrintOutcome.IN_DOUBT))
    life.when(confirm(True, Part.COPY)).then("confirmed").status("in_doubt")
    life.when(confirm(False, Part.ORIGINAL)).then("misprinted").status("misprinted")


def test_in_doubt_waits_for_a_person_who_says_no() -> None:
    life = authorised()
    life.when(printing(life.prints()[0], PrintOutcome.IN_DOUBT)).then("in_doubt").status("in_doubt")
    life.when(request()).then("noted:print_already_used")
    life.when(confirm(False)).then("misprinted").status("misprinted")
    life.when(request()).then("noted:print_already_used")


def test_a_doubt_ends_when_the_printer_answers_after_all() -> None:
    life = authorised()
    job = life.prints()[0]
    life.when(printing(job, PrintOutcome.IN_DOUBT), printing(job, PrintOutcome.PRINTED)).then("printed")


def test_a_refused_print_may_be_asked_for_again_under_a_new_job() -> None:
    life = authorised()
    job = life.prints()[0]
    life.when(printing(job, PrintOutcome.REFUSED)).then("print_refused").status("printing")
    life.when(printing(job, PrintOutcome.PRINTED)).then("noted:print_out_of_date")
    life.when(request(Part.ORIGINAL)).then("print_authorised")
    assert life.prints()[-1].job != job.job


def test_no_print_job_is_named_twice_even_over_a_correction() -> None:
    life = authorised()
    life.when(*(printing(job, PrintOutcome.REFUSED) for job in life.prints()))
    life.when(returned(6)).then("returned").when(declared(2), approved(9), ORIGINAL, COPY)
    life.when(*(rendered(job) for job in life.renders()[-2:])).then("rendered", *["print_authorised"] * 2)
    assert len({job.job for job in life.prints()}) == 4
    assert len({job.job for job in life.renders()}) == 4


def test_customs_cannot_take_back_what_is_at_the_printer() -> None:
    authorised().when(returned(6)).then("noted:returned_after_print").status("printing")


def test_approved_again_after_a_return_renders_anew_and_prints() -> None:
    life = ready()
    late = life.renders()
    life.when(returned(6)).status("returned").when(rendered(late[0])).then("noted:render_out_of_date")
    life.when(approved(8)).then("approved", "ready_to_print")
    life.when(*(rendered(job) for job in life.renders()[2:])).then("rendered", *["print_authorised"] * 2)
    assert {job.job for job in late}.isdisjoint(job.job for job in life.renders()[2:])


def test_a_file_that_is_done_authorises_nothing_unless_approved() -> None:
    """A state that no sequence reaches: the rule stands by itself."""
    life = ready()
    first, second = life.renders()
    life.when(rendered(first))
    assert life.state is not None
    state = life.state.model_copy(update={"review": Review.RETURNED})
    assert [event.kind for event in decide(state, rendered(second), NOW).events] == ["rendered"]


def test_files_of_a_withdrawn_approval_are_gone() -> None:
    life = ready(prints_itself=False)
    life.when(*(rendered(job) for job in life.renders())).status("rendered").when(returned(6))
    assert [paper.file for paper in life.certificate.papers.values()] == ["", ""]
    life.when(request()).then("noted:print_not_approved")


def test_on_request_only() -> None:
    life = ready(prints_itself=False)
    life.when(request()).then("noted:print_rendering")
    life.when(*(rendered(job) for job in life.renders())).then("rendered").status("rendered")
    life.when(request(Part.COPY)).then("print_authorised").status("printing")
    life.when(printing(life.prints()[0], PrintOutcome.PRINTED, confirmed=True)).status("rendered")
    life.when(request()).then("print_authorised")
    assert [job.part for job in life.prints()] == [Part.COPY, Part.ORIGINAL]


def test_a_refused_rendering_is_tried_again_on_request_only() -> None:
    life = ready()
    first, second = life.renders()
    life.when(not_rendered(first)).then("render_refused").when(rendered(second)).then("rendered")
    life.when(request()).then("ready_to_print")
    assert [job.part for job in life.renders()] == [Part.ORIGINAL, Part.COPY, Part.ORIGINAL]
    life.when(not_rendered(first)).then("noted:render_out_of_date")
    life.when(rendered(life.renders()[-1])).then("rendered", "print_authorised", "print_authorised")


def test_another_layout_before_the_print_is_rendered_instead() -> None:
    life = ready(prints_itself=False)
    life.when(*(rendered(job) for job in life.renders()))
    life.when(layout(Part.ORIGINAL, "2")).then("layout_received", "ready_to_print").status("ready_to_print")
    life.when(ORIGINAL).then("layout_received", "ready_to_print")


def test_another_layout_after_the_print_was_authorised_is_noted() -> None:
    authorised().when(layout(Part.ORIGINAL, "2")).then("noted:layout_after_print")


def test_a_print_without_layout_or_approval_is_noted() -> None:
    given(declared()).when(request()).then("noted:print_not_approved")
    given(declared(), approved()).when(request()).then("noted:print_no_layout")


def test_a_print_that_stays_away_is_overdue() -> None:
    life = authorised().when(due(Reminder.PRINT_RESULT)).then("overdue")
    life.when(*(printing(job, PrintOutcome.PRINTED) for job in life.prints()))
    life.when(due(Reminder.PRINT_RESULT)).then()


def test_events_and_states_hold_what_was_said() -> None:
    state = given(declared()).certificate
    assert (state.id, state.sequence, state.review) == (CERTIFICATE, 1, Review.DECLARED)
