"""A customs that says nothing, against the gateway's own turn: alarms, the same message again, and its late answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from adapters.bus.memory import MemoryBus
from gateway.core.messages import Reminder
from gateway.runtime.outgoing import OUTBOUND
from simulators.customs.simulator import CustomsSimulator
from tests.runtime.house import INBOUND, House


@asynccontextmanager
async def customs(house: House) -> AsyncIterator[None]:
    """The simulated customs reads and answers on the gateway's log meanwhile."""
    task = asyncio.create_task(CustomsSimulator(MemoryBus(house.log), house.clock).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(house: House, done: Callable[[], bool], **by: float) -> None:
    """Time passes, a little more at each look, and the turn works, until `done`."""
    async with asyncio.timeout(30):
        while not done():
            house.clock.move(**by)
            await house.turn.work_timers()
            await house.turns()
            await asyncio.sleep(0.02)


async def declared(house: House, scenario: str) -> UUID:
    identity, _ = await house.declare(application_note=f"SIM:{scenario}")
    await house.turns()
    return identity


async def test_customs_that_never_answers_is_asked_three_times_and_then_a_person_is() -> None:
    house = House()
    identity = await declared(house, "silence")
    async with customs(house):
        await until(house, lambda: len(house.on(OUTBOUND)) == 3, minutes=1)
        await until(house, lambda: house.kinds(identity)[-1] == "overdue", minutes=1)
        house.clock.move(hours=12)
        await house.turn.work_timers()
    assert house.kinds(identity) == ["declared", *["overdue", "resent"] * 2, "overdue"]
    assert len({record.body for record in house.on(OUTBOUND)}) == 1
    assert len({record.headers["ce_id"] for record in house.on(OUTBOUND)}) == 1
    assert house.store.tables.states[identity].overdue == (Reminder.CUSTOMS_RECEIPT,)
    assert house.on(INBOUND) == []


async def test_a_message_that_was_lost_is_sent_again_and_answered_once() -> None:
    house = House()
    identity = await declared(house, "lost-once")
    async with customs(house):
        await until(house, lambda: house.store.tables.states[identity].status == "ready_to_print", seconds=20)
    kinds = house.kinds(identity)
    assert kinds[:4] == ["declared", "overdue", "resent", "sent"]
    assert (kinds.count("approved"), kinds.count("overdue")) == (1, 1)
    state = house.store.tables.states[identity]
    assert (state.overdue, state.resends, state.revision) == ((), 1, 1)


async def test_answers_that_were_only_late_come_twice_and_count_once() -> None:
    """Customs heard both messages and answers both: the second answers are the first ones' bytes."""
    house = House()
    identity = await declared(house, "approve")
    house.clock.move(minutes=16)
    await house.turn.work_timers()
    assert len(house.on(OUTBOUND)) == 2
    async with customs(house):
        await until(house, lambda: len(house.on(INBOUND)) >= 12, seconds=1)
        await house.turns()
    kinds = house.kinds(identity)
    assert kinds == [
        "declared", "overdue", "resent", "sent", "received", "in_review", "approved",
        "layout_received", "layout_received", "ready_to_print",
    ]  # fmt: skip
    assert len({record.body for record in house.on(INBOUND)}) == 6
