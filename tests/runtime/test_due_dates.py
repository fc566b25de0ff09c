"""Due dates as the turn works them: told once, asked again by rule, never in each other's way."""

from typing import Any

import pytest

from gateway.core.life import Life
from gateway.core.messages import Incoming, Reminder
from gateway.runtime.outgoing import OUTBOUND
from tests.runtime.house import House, reply, taken
from tests.runtime.test_turn import breaking, declared


async def test_silence_of_customs_is_told_when_it_is_due_and_once() -> None:
    house = House()
    identity, number = await declared(house)
    assert await house.turn.work_timers() == 0
    house.clock.move(minutes=16)
    assert await house.turn.work_timers() == 1
    assert await house.turn.work_timers() == 0
    assert house.kinds(identity) == ["declared", "overdue", "resent"]
    house.customs(taken(number), reply(number, "3"))
    await house.turns()
    house.clock.move(days=3)
    assert await house.turn.work_timers() == 2
    assert house.kinds(identity) == ["declared", "overdue", "resent", "sent", "returned"]


async def test_customs_is_asked_again_by_rule_and_then_a_person_is() -> None:
    house = House()
    identity, number = await declared(house)
    for minutes in (16, 31, 31, 31, 60 * 12):
        house.clock.move(minutes=minutes)
        await house.turn.work_timers()
    told = house.told_of(identity)
    assert house.kinds(identity) == ["declared", "overdue", "resent", "overdue", "resent", "overdue"]
    assert [event["data"] for event in told if event["kind"] == "resent"] == [
        {"about": "customs_receipt", "resend": 1, "of": 2},
        {"about": "customs_receipt", "resend": 2, "of": 2},
    ]
    first, *again = house.on(OUTBOUND)
    assert len(again) == 2
    for record in again:
        assert (record.key, record.body, record.headers["ce_id"]) == (first.key, first.body, first.headers["ce_id"])
    state = house.store.tables.states[identity]
    assert (state.resends, state.overdue) == (2, (Reminder.CUSTOMS_RECEIPT,))
    house.customs(taken(number))
    await house.turns()
    assert house.store.tables.states[identity].overdue == ()


async def test_nothing_is_sent_again_while_a_message_of_the_certificate_is_parked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    identity, number = await declared(house)
    breaking(monkeypatch, number)
    house.customs(taken(number))
    await house.turns()
    house.clock.move(minutes=16)
    await house.turn.work_timers()
    assert house.kinds(identity) == ["declared", "overdue"]
    assert len(house.on(OUTBOUND)) == 1


async def test_a_due_date_that_breaks_our_code_is_not_in_the_way_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    (bad, _), (good, _) = await declared(house), await declared(house, invoice_no="2")

    whole = Life.apply

    def broken(life: Life[Any], state: object, message: Incoming, now: object) -> object:
        if getattr(message, "subject_id", None) == bad:
            raise ZeroDivisionError
        return whole(life, state, message, now)  # type: ignore[arg-type]

    monkeypatch.setattr(Life, "apply", broken)
    house.clock.move(minutes=16)
    assert await house.turn.work_timers() == 2
    assert await house.turn.work_timers() == 0
    assert (house.kinds(good), house.kinds(bad)) == (["declared", "overdue", "resent"], ["declared"])
    assert house.told.words.count("broke: ZeroDivisionError") == 1
