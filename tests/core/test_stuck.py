"""A paper that stands still says why, and what leads on; missing files become overdue; an odd message is told."""

import pytest

import schemas
from gateway.core.messages import LetterMended, Part, PrintOutcome, Reminder, UnreadableArrived
from gateway.core.overdue import RulesRefused, load_rules
from gateway.runtime.catalog import load_overdue
from tests.core.life import (
    CERTIFICATE,
    COPY,
    NUMBER,
    ORIGINAL,
    Life,
    approved,
    declared,
    due,
    given,
    layout,
    name,
    not_rendered,
    printing,
    ready,
    rendered,
    request,
    returned,
    sha,
    technical,
)

UNREADABLE = UnreadableArrived(
    message_id=name("told"), certificate_id=CERTIFICATE, letter=name("letter"), code="XML-SYNTAX", detail="line 3"
)
MENDED = LetterMended(
    message_id=name("mended"),
    certificate_id=CERTIFICATE,
    letter=name("letter"),
    was_sha256=sha("torn"),
    mended_sha256=sha("whole"),
    by="li",
    reason="so says customs",
)


def troubles(life: Life) -> tuple[str, str]:
    papers = life.certificate.papers
    return papers[Part.ORIGINAL].trouble, papers[Part.COPY].trouble


def test_a_file_that_can_not_be_made_is_told_with_the_way_on_until_it_is_asked_for_again() -> None:
    life = ready()
    first, second = life.renders()
    life.when(not_rendered(first)).then("render_refused").status("ready_to_print")
    assert life.last[0].data["remedy"] == f"Mend what the reason names, then: origin print {NUMBER}."
    assert troubles(life) == ("SEAL-MISSING", "")
    life.when(rendered(second))
    assert troubles(life) == ("SEAL-MISSING", "")
    life.when(request()).then("ready_to_print")
    assert troubles(life) == ("", "")
    life.when(rendered(life.renders()[-1]))
    assert len(life.prints()) == 2


def test_another_layout_of_customs_ends_the_trouble() -> None:
    life = ready()
    life.when(*(not_rendered(job) for job in life.renders()))
    life.when(layout(Part.ORIGINAL, "mended")).then("layout_received", "ready_to_print")
    assert troubles(life) == ("", "")


def test_so_does_a_withdrawn_approval() -> None:
    life = ready()
    life.when(*(not_rendered(job) for job in life.renders()), returned(50)).status("returned")
    assert troubles(life) == ("", "")


def test_a_printer_that_takes_nothing_is_told_until_the_print_is_asked_for_again() -> None:
    life = ready()
    life.when(*(rendered(job) for job in life.renders()))
    life.when(printing(life.prints()[0], PrintOutcome.REFUSED)).then("print_refused")
    assert f"origin print {NUMBER}" in str(life.last[0].data["remedy"])
    assert troubles(life) == ("PRINT-REFUSED", "")
    life.when(request()).then("print_authorised")
    assert troubles(life) == ("", "")


def test_files_that_do_not_come_are_overdue_until_they_come() -> None:
    life = ready()
    assert (Reminder.FILES, 1) in life.reminders
    life.when(due(Reminder.FILES)).then("overdue")
    assert life.certificate.overdue == (Reminder.FILES,)
    first, second = life.renders()
    life.when(rendered(first))
    assert life.certificate.overdue == (Reminder.FILES,)
    life.when(rendered(second))
    assert life.certificate.overdue == ()
    life.when(due(Reminder.FILES)).then()


def test_files_are_waited_for_when_the_layouts_came_before_the_approval_too() -> None:
    life = given(declared(), technical(), ORIGINAL, COPY, approved())
    assert (Reminder.FILES, 1) in life.reminders
    assert Reminder.LAYOUTS not in {about for about, _ in life.reminders}


def test_what_nobody_can_read_is_told_and_changes_nothing() -> None:
    life = given(declared(), technical())
    before = life.certificate
    life.when(UNREADABLE).then("noted:customs_unreadable").status("sent")
    data = life.last[0].data
    assert (data["code"], data["letter"]) == ("XML-SYNTAX", str(UNREADABLE.letter))
    assert f"origin dlt replay {UNREADABLE.letter} --body FILE" in str(data["remedy"])
    life.when(MENDED).then("noted:letter_mended")
    assert (life.last[0].data["by"], life.last[0].data["mended"]) == ("li", sha("whole"))
    assert life.certificate == before.model_copy(update={"sequence": before.sequence + 2})


def test_what_was_odd_is_told_with_what_followed() -> None:
    odd = {"noticed": "It declares GBK and was read as UTF-8."}
    for message in (technical(), approved(), ORIGINAL):
        life = given(declared()).when(message.model_copy(update=odd))
        assert life.last[0].data["noticed"] == odd["noticed"]
        assert "noticed" not in given(declared()).when(message).last[0].data


def test_an_operators_older_file_of_rules_goes_on() -> None:
    """It does not know of a reminder that came later: the shipped rule counts."""
    text = schemas.read_text("overdue.toml")
    own = "[[rule]]" + text.split("[[rule]]")[1].replace("PT15M", "PT7M")
    rules = load_rules(own, load_overdue())
    assert rules[Reminder.CUSTOMS_RECEIPT].after.total_seconds() == 420
    assert rules[Reminder.FILES] == load_overdue()[Reminder.FILES]
    with pytest.raises(RulesRefused):
        load_rules(own)
