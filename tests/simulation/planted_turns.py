"""Turns with one guarantee gone: see `tests.simulation.planted`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from gateway.core.life import About
from gateway.core.state import Certificate
from gateway.storage import Loaded, TurnWork
from simulators.simulation.store import SimulatedStore, SimulatedTurn


class ForgetfulTurn(SimulatedTurn):
    """No inbox: nothing was ever seen before."""

    async def load(self, message_ids: Sequence[UUID], subjects: Sequence[About]) -> Loaded:
        return replace(await super().load(message_ids, subjects), seen=frozenset())

    async def save(self, work: TurnWork) -> None:
        known = self._tables.inbox, self._tables.receipts
        self._tables.inbox, self._tables.receipts = set(), {}
        try:
            await super().save(work)
        finally:
            self._tables.inbox, self._tables.receipts = known


class ParkingPassedTurn(SimulatedTurn):
    """Nobody waits behind a parked message."""

    async def load(self, message_ids: Sequence[UUID], subjects: Sequence[About]) -> Loaded:
        return replace(await super().load(message_ids, subjects), parked=frozenset())


class ClockSequenceTurn(SimulatedTurn):
    """The number of a status event is the millisecond it was told in."""

    async def save(self, work: TurnWork) -> None:
        at = int(self._store.process.now().timestamp() * 1000)
        log = [
            message._replace(headers={**message.headers, "ce_sequence": str(at)})
            if "ce_sequence" in message.headers
            else message
            for message in work.log
        ]
        await super().save(replace(work, log=log))


def with_turn(kind: type[SimulatedTurn]) -> type[SimulatedStore]:
    """A database whose turns are of this kind."""

    class Store(SimulatedStore):
        @asynccontextmanager
        async def turn(self) -> AsyncIterator[SimulatedTurn]:
            async with self.transaction() as draft:
                yield kind(self, draft)

    return Store


class NoHeads(SimulatedTurn):
    """Every turn starts the audit chain anew."""

    async def load(self, message_ids: Sequence[UUID], subjects: Sequence[About]) -> Loaded:
        return replace(await super().load(message_ids, subjects), heads={})


class AsideOfEvents(SimulatedTurn):
    """Counts what was sent again in the state, and no event says so."""

    async def save(self, work: TurnWork) -> None:
        states = [one.model_copy(update={"resends": 7}) for one in work.states if isinstance(one, Certificate)]
        await super().save(replace(work, states=states))
