"""Two versions side by side: what a newer one wrote into a state, this one keeps, or leaves to it."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.certificate import LIFE
from gateway.core.life import NewerState
from gateway.core.messages import Reminder
from gateway.core.state import VERSION, Certificate
from tests.core.life import NOW, approved, declared, due, given, ready


def stored(**more: Any) -> dict[str, Any]:
    """A state as the database has it, with `more` in it."""
    return {**json.loads(given(declared()).certificate.model_dump_json()), **more}


def carried_on(state: dict[str, Any]) -> dict[str, Any]:
    """Read, approved by customs, and written again."""
    after, decision = LIFE.apply(Certificate.read(json.dumps(state)), approved(), NOW)
    assert after is not None
    assert [event.kind for event in decision.events] == ["approved"]
    found: dict[str, Any] = json.loads(after.model_dump_json())
    return found


def test_a_field_that_only_a_newer_version_knows_is_kept() -> None:
    state = stored(voided_by="C26MA9XYD0C20009", version=VERSION + 1)
    state["papers"]["copy"]["offset_mm"] = {"x": 1}
    after = carried_on(state)
    assert (after["voided_by"], after["version"]) == ("C26MA9XYD0C20009", VERSION + 1)
    assert after["papers"]["copy"]["offset_mm"] == {"x": 1}


def test_a_reminder_and_a_paper_that_only_a_newer_version_knows_are_kept() -> None:
    state = stored(overdue=["form_stock", "customs_receipt"])
    state["papers"]["overlay"] = {"layout": "", "printer": "tray 2"}
    after = carried_on(state)
    assert after["overdue"] == ["form_stock"], "the receipt has come"
    assert after["papers"]["overlay"] == {"layout": "", "printer": "tray 2"}
    assert list(after["papers"]) == ["original", "copy", "overlay"]


def test_one_more_overdue_stands_in_the_order_of_the_life() -> None:
    life = given(declared())
    state = life.certificate.model_copy(update={"overdue": ("form_stock", Reminder.CUSTOMS_VERDICT)})
    after, _ = LIFE.apply(state, due(Reminder.CUSTOMS_RECEIPT), NOW)
    assert after is not None
    assert after.overdue == ("customs_receipt", "customs_verdict", "form_stock")


def test_a_state_that_this_version_can_not_carry_on_is_left_to_the_newer_one() -> None:
    with pytest.raises(NewerState):
        Certificate.read(json.dumps(stored(review="suspended", version=VERSION + 1)))


def test_what_no_version_wrote_is_our_mistake() -> None:
    with pytest.raises(ValidationError):
        Certificate.read(json.dumps(stored(review="suspended")))


def test_a_state_comes_back_as_it_was_written() -> None:
    for life in (given(declared()), ready()):
        assert Certificate.read(life.certificate.model_dump_json()) == life.certificate
