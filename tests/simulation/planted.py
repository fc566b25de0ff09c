"""Faults planted into the simulation, one each: what a careless change would make of the gateway. Only tests use them.

Each takes one real part and gives it back with one guarantee gone. The invariant that must catch it stands beside it.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from adapters.bus.memory import Place
from adapters.store.memory import Draft, MemoryDeadLetters, MemoryDoor
from gateway.core.messages import Incoming, PrintJob
from gateway.core.numbers import Series
from gateway.ports import Bus, Fenced, Message, Positions, PrintUnknown, Record, Unavailable
from gateway.runtime.consume import consume, positions
from gateway.runtime.print_room import Claim, ClaimState, PrintRoom
from gateway.runtime.relay import Relay
from gateway.runtime.rounds import Place as InLine
from gateway.storage import Collision, DeadLetter, Fresh, Loaded, Timer
from simulators.simulation.bus import SimulatedConsumer, SimulatedLog
from simulators.simulation.roles import BuggyTurn, Kit, WatchedClaims
from simulators.simulation.store import SimulatedBlobs, SimulatedFiles, SimulatedStore
from simulators.simulation.world import World
from tests.simulation.planted_turns import (
    AsideOfEvents,
    ClockSequenceTurn,
    ForgetfulTurn,
    NoHeads,
    ParkingPassedTurn,
    with_turn,
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault in our code, and the invariant that must catch it."""

    invariant: str
    kit: Kit
    seeds: int = 60
    """It is caught within so many seeds."""


# ---------------------------------------------------------------- readers


async def acknowledge_first(
    bus: Bus,
    group: str,
    topics: Sequence[str],
    handle: Any,
    observer: Any,
    max_records: int = 200,
    *,
    ahead: Any = None,
) -> None:
    """Acknowledges what was read, then handles it."""
    while True:
        try:
            async with bus.consumer(group, topics) as consumer:
                while True:
                    if records := await consumer.poll(max_records, 1.0):
                        await consumer.commit(positions(records))
                        await handle(records)
        except (Unavailable, Collision, Fenced):
            await asyncio.sleep(0.5)


async def acknowledge_the_poll(
    bus: Bus,
    group: str,
    topics: Sequence[str],
    handle: Any,
    observer: Any,
    max_records: int = 200,
    *,
    ahead: Any = None,
) -> None:
    """Handles record by record, passes over the ones that fail, and acknowledges the whole poll."""
    while True:
        try:
            async with bus.consumer(group, topics) as consumer:
                while True:
                    records = await consumer.poll(max_records, 1.0)
                    for record in records:
                        try:
                            await handle([record])
                        except (Unavailable, Collision):
                            continue
                    await consumer.commit(positions(records))
        except (Unavailable, Fenced):
            await asyncio.sleep(0.5)


async def gives_up(
    bus: Bus,
    group: str,
    topics: Sequence[str],
    handle: Any,
    observer: Any,
    max_records: int = 200,
    *,
    ahead: Any = None,
) -> None:
    """Waits for a neighbour that is away, and never looks again."""

    async def work(records: Sequence[Record]) -> None:
        try:
            await handle(records)
        except Unavailable:
            await asyncio.Event().wait()

    await consume(bus, group, topics, work, observer, max_records=max_records)


class AnsweredLater(SimulatedConsumer):
    """Acknowledges what clients wrote when it reads it: before the answers are published."""

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        records = await super().poll(max_records, timeout)
        with contextlib.suppress(Fenced):
            await self.commit(positions(records))
        return records


class NoLease(SimulatedConsumer):
    """Every member reads everything."""

    def _read(self, max_records: int) -> list[Record]:
        for place in self._log.topics.places(self._topics):
            self._group.seats[place] = (self.member, 0)
        return super()._read(max_records)

    async def commit(self, positions: Positions) -> None:
        for place in positions:
            self._group.seats[place] = (self.member, 0)
        self._epochs = dict.fromkeys(positions, 0)
        await super().commit(positions)


class SequenceLog(SimulatedLog):
    """Offsets come from a sequence: taken when the row is written, seen when its transaction commits."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.serial: dict[Place, int] = {}

    def append(self, messages: Sequence[Message]) -> None:
        taken = []
        for message in messages:
            place = (message.topic, self.topics.place(message.topic, message.key))
            offset = self.serial[place] = self.serial.get(place, -1) + 1
            taken.append(Record(*place, offset, message.key, bytes(message.body), dict(message.headers)))
        self.world.loop.call_later(0.1 * self.world.dice.random(), self._seen, taken)

    def _seen(self, taken: list[Record]) -> None:
        for record in taken:
            self.records.setdefault(record.place, []).append(record)
        self.stir()


class HighWater(SimulatedConsumer):
    """Reads every record above the highest it has seen, as a poller of a sequence does."""

    def _read(self, max_records: int) -> list[Record]:
        if not isinstance(self._log, SequenceLog):
            return super()._read(max_records)
        mine = {place: epoch for place, (owner, epoch) in self._group.seats.items() if owner == self.member}
        self._epochs = mine
        found: list[Record] = []
        for place in sorted(mine):
            start = self._next.get((place, mine[place]), self._group.positions.get(place, 0))
            seen = sorted((r for r in self._log.records[place] if r.offset >= start), key=lambda r: r.offset)
            self._next[place, mine[place]] = seen[-1].offset + 1 if seen else start
            found += seen
        return found


# ---------------------------------------------------------------- the database


class OutsideDoor(MemoryDoor):
    """Draws numbers at once, whether or not the transaction ends well."""

    async def draw(self, wanted: Mapping[Series, int]) -> Mapping[Series, Sequence[int]]:
        drawn = await super().draw(wanted)
        self._tables.series.update(self._series)
        return drawn


class OutsideStore(SimulatedStore):
    """Numbers are drawn outside the transaction (and never on the short way, which draws and writes in one)."""

    async def open(self, fresh: Sequence[Fresh]) -> Sequence[str] | None:
        return None

    @asynccontextmanager
    async def door(self) -> AsyncIterator[MemoryDoor]:
        async with self.transaction() as draft:
            yield OutsideDoor(draft)


class NeverKept(MemoryDeadLetters):
    """What broke us at the door is told to the client, and thrown away."""

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        return None


class HastyBlobs(SimulatedBlobs):
    """What is too large for the broker is published, and stored when there is time: sometimes there is none."""

    async def put(self, content: bytes, *, kind: str, media_type: str) -> str:
        with contextlib.suppress(Unavailable):
            return await super().put(content, kind=kind, media_type=media_type)
        return hashlib.sha256(content).hexdigest()


class HastyTimers(SimulatedStore):
    """A due date is struck off the list when it is read, not when it was handled."""

    async def due(self, now: datetime, limit: int) -> Sequence[Timer]:
        due = await super().due(now, limit)
        for timer in due:
            self.tables.timers.pop((timer.subject_id, timer.about, timer.revision), None)
        return due


class TornStore(SimulatedStore):
    """The log is written in a transaction of its own, after the state's: a crash between the two tells nobody."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Draft]:
        log: list[Message] = []
        async with super().transaction() as draft:
            yield draft
            log += draft.log
            draft.log = []
        if log:
            await self.world.at(self.process, "store.commit")
            self.database.publish(log)


# ---------------------------------------------------------------- rooms


class SignsAgain(SimulatedFiles):
    """A job's file is signed and stored as often as the job is read."""

    def taken(self, job: UUID) -> bool:
        return False


class PrintsAgain(PrintRoom):
    """No answer from the printer? Try once more."""

    async def _print(self, job: PrintJob) -> Any:
        printer = self._printer
        try:
            await printer.submit(str(job.job), await self._blobs.get(job.file_sha256))
        except PrintUnknown:
            pass
        except Unavailable:
            raise
        except Exception:
            return await super()._print(job)
        else:
            return ClaimState.PRINTED, ""
        return await super()._print(job)


class NoClaims(WatchedClaims):
    """Nobody asks whose job it is."""

    async def claim(self, job: PrintJob, worker: str, report: Message) -> Claim:
        return replace(await super().claim(job, worker, report), worker=worker, state=ClaimState.CLAIMED, fresh=True)


class InheritedClaims(WatchedClaims):
    """A claim goes to whoever asks next."""

    async def claim(self, job: PrintJob, worker: str, report: Message) -> Claim:
        return replace(await super().claim(job, worker, report), worker=worker)


class LightHearted(Relay):
    """What the broker did not take is passed over."""

    async def handle(self, records: Sequence[Record]) -> None:
        with contextlib.suppress(Unavailable):
            await super().handle(records)


@dataclass(frozen=True, slots=True)
class Pushing:
    """A place in the line of somebody who waits for nobody."""

    place: InLine
    first = False

    def release(self) -> None:
        self.place.release()

    async def mine(self) -> None:
        self.place.release()


class WaitsForNobody(BuggyTurn):
    """A batch is written although the one before it was not."""

    async def ahead(self, records: Sequence[Record], place: InLine) -> None:
        await super().ahead(records, Pushing(place))


class LastVerdictCounts(BuggyTurn):
    """The verdict that came last counts, not the newest."""

    def _decide(self, item: Any, message: Incoming, subject: UUID | None, loaded: Loaded, *rest: Any) -> Any:
        states = {identity: state.model_copy(update={"verdict_at": ""}) for identity, state in loaded.states.items()}
        return super()._decide(item, message, subject, replace(loaded, states=states), *rest)


PLANTED: Mapping[str, Planted] = {
    "acknowledged before it was committed": Planted("I1", Kit(consume=acknowledge_first)),
    "the whole poll acknowledged although a part failed": Planted("I1", Kit(consume=acknowledge_the_poll)),
    "a client's records acknowledged before they are answered": Planted("I1 bus", Kit(intake_consumer=AnsweredLater)),
    "what broke the door is not kept": Planted("I1 bus", Kit(dead_letters=NeverKept), seeds=200),
    "a claim published whose bytes are not stored": Planted("I1 claims", Kit(blobs=HastyBlobs)),
    "log offsets from a sequence": Planted("I1", Kit(log=SequenceLog, consumer=HighWater)),
    "a due date settled before it was handled": Planted("I1 due dates", Kit(store=HastyTimers), seeds=300),
    "log written in another transaction than the state": Planted("I8", Kit(store=TornStore)),
    "numbers drawn outside the transaction": Planted("I2", Kit(store=OutsideStore), seeds=300),
    "no inbox": Planted("I6", Kit(store=with_turn(ForgetfulTurn))),
    "the last verdict counts, not the newest": Planted("I6 order", Kit(turn=LastVerdictCounts)),
    "the audit chain starts anew in every turn": Planted("I14", Kit(store=with_turn(NoHeads))),
    "a state is changed without an event": Planted("I14 fold", Kit(store=with_turn(AsideOfEvents))),
    "a reader gives up when a neighbour is away": Planted("I13", Kit(consume=gives_up)),
    "parking passed by": Planted("I8 keys", Kit(store=with_turn(ParkingPassedTurn)), seeds=200),
    "a batch written although the one before it was not": Planted("I8 keys", Kit(turn=WaitsForNobody), seeds=900),
    "event numbers from the clock": Planted("I8", Kit(store=with_turn(ClockSequenceTurn))),
    "the relay passes over what the broker did not take": Planted("I1", Kit(relay=LightHearted)),
    "signed twice": Planted("I10", Kit(files=SignsAgain)),
    "printed again after an unknown answer": Planted("I4", Kit(print_room=PrintsAgain, askable=False), seeds=200),
    "print claims ignored": Planted("I4", Kit(claims=NoClaims)),
    "print claims inherited": Planted("I4", Kit(claims=InheritedClaims, askable=True), seeds=200),
    "leases ignored": Planted("I5", Kit(consumer=NoLease)),
}
"""Name -> the fault."""
