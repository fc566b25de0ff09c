"""Silence: an alarm when it is due, and the declaration once more by rule; a print never."""

from datetime import timedelta

import pytest
from hypothesis import given as drawn_from
from hypothesis import strategies as st

import schemas
from gateway.core.messages import CustomsDeclaration, Incoming, PrintOutcome, Reminder, TechnicalVerdict
from gateway.core.overdue import RulesRefused, load_rules
from gateway.core.state import Certificate
from gateway.runtime.catalog import load_overdue
from tests.core.life import (
    COPY,
    ORIGINAL,
    Life,
    approved,
    authorised,
    confirm,
    declared,
    due,
    given,
    in_review,
    printing,
    received,
    returned,
    technical,
)

SILENCE = due(Reminder.CUSTOMS_RECEIPT, resends=2)


def asked(life: Life) -> list[CustomsDeclaration]:
    """What customs was sent."""
    return [message for message in life.sent if isinstance(message, CustomsDeclaration)]


def test_silence_is_an_alarm_and_the_same_message_once_more_until_the_rule_is_used_up() -> None:
    life = given(declared()).when(SILENCE).then("overdue", "resent").status("declared")
    life.when(SILENCE).then("overdue", "resent")
    assert life.certificate.resends == 2
    assert life.reminders[2:] == ((Reminder.CUSTOMS_RECEIPT, 1), (Reminder.CUSTOMS_RECEIPT, 1))
    life.when(SILENCE).then("overdue").status("declared")
    assert len(life.reminders) == 4, "a person looks now"
    first, *again = asked(life)
    assert again == [first, first], "customs sees one declaration"


def test_a_rule_without_resends_only_alarms() -> None:
    life = given(declared()).when(due(Reminder.CUSTOMS_RECEIPT)).then("overdue")
    assert (len(asked(life)), life.certificate.resends) == (1, 0)


def test_what_is_overdue_is_shown_until_it_comes() -> None:
    life = given(declared()).when(due(Reminder.CUSTOMS_VERDICT)).when(SILENCE)
    assert life.certificate.overdue == (Reminder.CUSTOMS_RECEIPT, Reminder.CUSTOMS_VERDICT)
    life.when(technical())
    assert life.certificate.overdue == (Reminder.CUSTOMS_VERDICT,)
    life.when(approved())
    assert life.certificate.overdue == ()
    life.when(due(Reminder.LAYOUTS), ORIGINAL)
    assert life.certificate.overdue == (Reminder.LAYOUTS,)
    life.when(COPY)
    assert life.certificate.overdue == ()


@pytest.mark.parametrize("said", [technical(), received(), in_review(), approved(), returned()])
def test_what_customs_has_is_not_sent_again(said: Incoming) -> None:
    life = given(declared(), said)
    for about in (Reminder.CUSTOMS_RECEIPT, Reminder.CUSTOMS_VERDICT, Reminder.LAYOUTS):
        life.when(due(about, resends=9))
    assert len(asked(life)) == 1


def test_a_corrected_declaration_counts_anew_and_is_sent_again_under_its_own_id() -> None:
    life = given(declared()).when(SILENCE, SILENCE, technical(), returned(4), declared(2))
    assert (life.certificate.resends, life.certificate.overdue) == (0, ())
    life.when(SILENCE).then()
    life.when(due(Reminder.CUSTOMS_RECEIPT, 2, resends=1)).then("overdue", "resent")
    *_, corrected, again = asked(life)
    assert again == corrected
    assert corrected != asked(life)[0]


def test_a_draft_is_never_sent() -> None:
    life = given(declared(applies=False)).when(SILENCE).then()
    assert asked(life) == []


@pytest.mark.parametrize("outcome", [None, PrintOutcome.CLAIMED, PrintOutcome.IN_DOUBT, PrintOutcome.PRINTED])
def test_an_unknown_print_is_an_alarm_for_a_person_and_nothing_is_ever_sent_again(outcome: PrintOutcome | None) -> None:
    life = authorised()
    if outcome is not None:
        life.when(*(printing(job, outcome) for job in life.prints()))
    sent = life.sent
    for about in Reminder:
        for _ in range(3):
            life.when(due(about, resends=9))
    assert life.sent == sent
    life.when(confirm(True))
    assert life.sent == sent


def seen(state: Certificate) -> object:
    """What there is of a certificate, besides how often it was told, asked and named."""
    papers = {part: (paper.layout, bool(paper.file), paper.print) for part, paper in state.papers.items()}
    return state.status, state.revision, state.verdict_at, state.overdue, papers


ANSWERS: list[Incoming] = [
    technical(),
    technical(TechnicalVerdict.UNKNOWN),
    received(),
    in_review(),
    approved(5, 2),
    returned(4, 1),
    ORIGINAL,
    COPY,
]


@drawn_from(st.data())
def test_sent_again_and_answered_twice_it_ends_where_it_would_have_ended(data: st.DataObject) -> None:
    """Customs, which sees the same question, gives the same answers again, late and mixed with the first ones."""
    answers = data.draw(st.lists(st.sampled_from(ANSWERS), unique=True, min_size=1))
    late = data.draw(st.lists(st.sampled_from(answers), max_size=6))
    story: list[Incoming] = data.draw(st.permutations([*answers, *late]))
    for _ in range(data.draw(st.integers(1, 4))):
        story.insert(data.draw(st.integers(0, len(story))), SILENCE)
    life = given(declared(), *story)
    if life.certificate.status == "declared":
        life.when(technical())
        answers = [*answers, technical()]
    assert seen(life.certificate) == seen(given(declared(), *answers).certificate)
    assert len(set(asked(life))) == 1
    assert len(asked(life)) <= 3


# ---------------------------------------------------------------- the rules


def test_the_shipped_rules_say_when_each_thing_is_due_and_how_sure_that_is() -> None:
    rules = load_overdue()
    assert set(rules) == set(Reminder)
    assert {rule.about for rule in rules.values() if rule.resends} == {Reminder.CUSTOMS_RECEIPT}
    assert all(rule.source and rule.zh and rule.sure for rule in rules.values())
    receipt = rules[Reminder.CUSTOMS_RECEIPT]
    assert (receipt.wait(0), receipt.wait(1)) == (timedelta(minutes=15), timedelta(minutes=30))


SHIPPED = schemas.read_text("overdue.toml")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('after = "P2D"', 'after = "P2D"\nresends = 1', "only customs_receipt may be sent again"),
        ('after = "PT30M"', 'after = "PT30M"\nresends = 1', "only customs_receipt may be sent again"),
        ('after = "P2D"', 'after = "soon"', "after"),
        ('after = "P2D"', "after = 0", "after"),
        ('after = "P2D"', 'after = "P2D"\nwhim = 1', "whim"),
        ("resends = 2", "resends = 1000", "resends"),
        ('about = "layouts"', 'about = "customs_verdict"', "one rule about each"),
        ('about = "layouts"', 'about = "weather"', "about"),
        ("[[rule]]", "[[rule", "not TOML"),
    ],
)
def test_rules_that_can_not_be_used_are_told(old: str, new: str, sentence: str) -> None:
    assert old in SHIPPED
    with pytest.raises(RulesRefused, match=sentence):
        load_rules(SHIPPED.replace(old, new))


def test_times_may_be_seconds() -> None:
    rules = load_rules(SHIPPED.replace('after = "PT15M"', "after = 1.5").replace('again = "PT30M"\n', ""))
    assert rules[Reminder.CUSTOMS_RECEIPT].wait(1) == timedelta(seconds=1.5)
