"""What every Store promises about a life between two turns: the hash its next event follows, and its due dates."""

from datetime import timedelta

from gateway.core.certificate import KIND
from gateway.core.decision import EventKind
from gateway.core.messages import Reminder
from gateway.storage import Timer, TurnWork
from tests.contract.store_harness import NOW, SERIES, Harness, about, admit, admitted, event_of, save, state_of


class LifeSuite:
    """Hashes and timers."""

    async def test_the_last_hash_of_a_life_is_there_for_the_next_event_under_its_lock(self, harness: Harness) -> None:
        store = await harness.open()
        row, other = admitted(SERIES.number(1)), admitted(SERIES.number(2))
        await admit(store, row, other)
        state = state_of(row)
        first = event_of(state)
        await save(store, TurnWork(states=[state], events=[first]))
        await save(store, TurnWork(states=[state_of(other)]))
        async with (await harness.open()).turn() as turn:
            loaded = await turn.load([], about(row.certificate_id, other.number))
            assert loaded.heads == {row.certificate_id: first.hash}, "no event yet: no hash"
            two = event_of(state.model_copy(update={"sequence": 2}), previous=first.hash)
            last = state.model_copy(update={"sequence": 3})
            three = event_of(last, EventKind.SENT, two.hash, code="1")
            await turn.save(TurnWork(states=[last], events=[two, three]))
        await save(store, TurnWork(states=[last]))
        async with store.turn() as turn:
            assert (await turn.load([], about(row.certificate_id))).heads == {row.certificate_id: three.hash}
        assert await harness.events() == {
            (row.certificate_id, at): stored.hash for at, stored in enumerate((first, two, three), 1)
        }

    async def test_timers_come_due_oldest_first_and_stay_until_settled(self, harness: Harness) -> None:
        store = await harness.open()
        row = admitted(SERIES.number(1))
        await admit(store, row)
        identity = row.certificate_id

        def timer(reminder: Reminder, revision: int, minutes: int) -> Timer:
            return Timer(KIND, identity, reminder, revision, NOW + timedelta(minutes=minutes))

        late, early = timer(Reminder.LAYOUTS, 1, 5), timer(Reminder.CUSTOMS_RECEIPT, 1, 1)
        far, moved = timer(Reminder.CUSTOMS_VERDICT, 1, 60), timer(Reminder.LAYOUTS, 1, 7)
        await save(store, TurnWork(timers=[late, early, far]))
        at = NOW + timedelta(minutes=10)
        assert list(await store.due(at, 10)) == [early, late]
        assert list(await store.due(at, 1)) == [early]
        await save(store, TurnWork(timers=[moved]))
        assert list(await store.due(at, 10)) == [early, moved], "set anew: the later word counts"
        await save(store, TurnWork(settled=[early, late]))  # late was looked up before it was set anew
        assert list(await store.due(at, 10)) == [moved]
        anew = timer(Reminder.LAYOUTS, 1, 9)
        await save(store, TurnWork(settled=[moved], timers=[far, anew]))
        assert list(await store.due(at, 10)) == [anew], "settled and set anew by one turn: the new date counts"
        await save(store, TurnWork(settled=[anew]))
        assert list(await store.due(at, 10)) == []
