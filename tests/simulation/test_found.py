"""What the simulation found, each as one plain case."""

from typing import Any

import pytest

from gateway.core.life import Life, TimerDue
from gateway.core.messages import Incoming
from gateway.runtime import turn as turn_module
from tests.runtime.house import House


async def test_a_due_date_that_broke_our_code_comes_again_and_is_told_once_it_is_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Worlds 2040, 2139 and 2173 of the first version: it was settled with the rest, and nobody was ever reminded."""
    house = House()
    identity, _ = await house.declare()
    await house.turns()

    whole = Life.apply

    def broken(life: Life[Any], state: object, message: Incoming, now: object) -> object:
        if isinstance(message, TimerDue):
            raise ZeroDivisionError
        return whole(life, state, message, now)  # type: ignore[arg-type]

    monkeypatch.setattr(Life, "apply", broken)
    house.clock.move(minutes=16)
    assert await house.turn.work_timers() == 1
    assert await house.turn.work_timers() == 0, "it would be in the way of the others"
    assert house.kinds(identity) == ["declared"]

    monkeypatch.undo()
    house.clock.move(seconds=turn_module.BROKEN_AGAIN.total_seconds())
    assert await house.turn.work_timers() == 1
    assert house.kinds(identity) == ["declared", "overdue", "resent"]
