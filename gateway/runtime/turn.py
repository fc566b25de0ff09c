"""The turn: a micro-batch of messages in, one transaction, then acknowledge exactly what was committed.

Read what is known, `decide` and `evolve` in order, write inbox, states, events, receipts, due dates and log together.
A message that breaks our own code is parked with its bytes and its certificate waits behind it; all others flow.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from gateway.core.audit import GENESIS
from gateway.core.decision import Decision, Event
from gateway.core.life import About, Letter, Opening, Register, State, TimerDue
from gateway.core.lives import LIVES
from gateway.core.overdue import Rules
from gateway.core.value import Value
from gateway.ports import Blob, Clock, Dialect, Inlet, Message, MessageCodec, Record, Unavailable, Unreadable
from gateway.runtime import dead_letters
from gateway.runtime.catalog import load_overdue
from gateway.runtime.history import STATUS as STATUS
from gateway.runtime.history import chained, status_message
from gateway.runtime.inputs import LARGE, Input, breathe, read_all
from gateway.runtime.inputs import timer_input as timer_input
from gateway.runtime.observer import Observer
from gateway.runtime.outgoing import OutgoingMessages
from gateway.runtime.rounds import ALONE, Place
from gateway.storage import (
    Collision,
    DeadLetter,
    Loaded,
    Parked,
    ReceiptRow,
    Store,
    Stored,
    Taken,
    Timer,
    TurnTransaction,
    TurnWork,
)

LISTENS = (
    "origin.declaration.accepted.v1",
    "origin.customs.inbound.v1",
    "origin.render.result.v1",
    "origin.print.result.v1",
)
GROUP = "turn"
"""The consumer group of all turns."""
TRIES = 8
BROKEN_AGAIN = timedelta(minutes=5)
"""When a due date that broke our code comes again."""
Caused = dict[UUID, Sequence[Event]]
"""Message id -> what it caused; absent: it waits, or (a command) could not be handled."""


class NotHandled(Exception):
    """A command that could not be handled now: its certificate waits behind a parked message, or our code broke."""


@dataclass(slots=True)
class _Draft:
    """What this turn will write, as it grows."""

    handled: list[tuple[UUID, UUID | None]] = field(default_factory=list)
    opened: dict[UUID, Opening] = field(default_factory=dict)
    states: dict[UUID, State] = field(default_factory=dict)
    heads: dict[UUID, str] = field(default_factory=dict)
    events: list[Stored] = field(default_factory=list)
    receipts: list[ReceiptRow] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    settled: list[Timer] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)
    unparked: list[UUID] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    sends: list[tuple[UUID, Value]] = field(default_factory=list)
    status: list[Message] = field(default_factory=list)


class Turn:
    """Runs batches; any number of processes may run turns side by side."""

    def __init__(
        self,
        store: Store,
        inlet: Inlet,
        codec: MessageCodec,
        dialects: Mapping[str, Dialect],
        clock: Clock,
        observer: Observer,
        overdue: Rules | None = None,
        lives: Register = LIVES,
    ) -> None:
        """`overdue`: rules about what is overdue when; None: the shipped ones."""
        self._overdue = load_overdue() if overdue is None else overdue
        self._lives = lives
        self._store = store
        self._inlet = inlet
        self._outgoing = OutgoingMessages(codec, dialects)
        self._clock = clock
        self._observer = observer

    async def handle(self, records: Sequence[Record]) -> None:
        """All records handled, committed: the caller may acknowledge them. Raises Unavailable: acknowledge nothing."""
        await self._run_split(await read_all(records, self._inlet))

    async def ahead(self, records: Sequence[Record], place: Place) -> None:
        """The same in one try, begun before the batches before it are committed: certificates are locked in the order
        of the batches, and nothing is written before those before are done."""
        inputs = await read_all(records, self._inlet)
        async with self._store.turn() as transaction:
            await self._transact(transaction, inputs, "", {}, place)

    async def command(self, message: Any) -> Sequence[Event]:
        """A person's command, answered with what it caused. Raises Unavailable, or NotHandled."""
        caused = await self._run([Input(message.message_id, message)])
        if message.message_id not in caused:
            raise NotHandled("the certificate waits behind a parked message; see origin parked list")
        return caused[message.message_id]

    async def work_timers(self, limit: int = 200) -> int:
        """Handle the due dates that have come; returns how many."""
        due = await self._store.due(self._clock.now(), limit)
        if due:
            await self._run_split([timer_input(timer, self._overdue[timer.about].resends) for timer in due])
        return len(due)

    async def replay(self, subject_id: UUID | None = None) -> int:
        """Handle parked messages again, oldest first, subject by subject; returns how many went through.

        Messages that are parked behind them meanwhile are handled too. Raises Unavailable.
        """
        done = 0
        tried: set[UUID] = set()
        held: set[UUID | None] = set()
        while waiting := [p for p in await self._store.parked(subject_id) if p.message_id not in tried]:
            for parked in waiting:
                tried.add(parked.message_id)
                if parked.subject_id in held:
                    continue
                record = Record(parked.topic, -1, -1, parked.key, parked.body, parked.headers)
                first, *more = await read_all([record], self._inlet)
                item = replace(first, parked_as=parked.message_id)
                if item.message_id in await self._run_split([item, *more]):
                    done += 1
                elif parked.subject_id is not None:
                    held.add(parked.subject_id)
        return done

    async def _run_split(self, inputs: list[Input]) -> Caused:
        """A batch whose transaction breaks for a reason of ours is halved until the bad message stands alone."""
        try:
            return await self._run(inputs)
        except Unavailable:
            raise
        except Exception as error:
            if isinstance(error, Collision) and not isinstance(error, Taken):
                raise
            if len(inputs) > 1:
                middle = len(inputs) // 2
                return await self._run_split(inputs[:middle]) | await self._run_split(inputs[middle:])
            self._observer.broke(inputs[0].message, error)
            return await self._run(inputs, bad=f"{type(error).__name__} while saving")

    async def _run(self, inputs: list[Input], *, bad: str = "") -> Caused:
        """One transaction; again on a collision."""
        caused: Caused = {}
        last = Collision("not tried")
        for attempt in range(TRIES):
            try:
                async with self._store.turn() as transaction:
                    caused = await self._transact(transaction, inputs, bad, caused)
            except Collision as collision:
                last = collision
                await asyncio.sleep(0.01 * attempt)
            else:
                return caused
        raise type(last)("the turn kept colliding")

    async def _transact(
        self, transaction: TurnTransaction, inputs: list[Input], bad: str, before: Caused, place: Place = ALONE
    ) -> Caused:
        """`before`: what a try with an unknown outcome caused, which is the truth for messages seen by now."""
        about = [item.subject(self._lives) for item in inputs]
        loaded = await transaction.load([item.message_id for item in inputs], about)
        place.release()
        now = self._clock.now()
        draft = _Draft()
        caused: Caused = {}
        waiting = set(loaded.parked)
        seen = set(loaded.seen)
        for number, (item, named) in enumerate(zip(inputs, about, strict=True), 1):
            await breathe(number)
            if item.timer is not None:
                draft.settled.append(item.timer)
            if item.message_id in seen:
                caused.setdefault(item.message_id, before.get(item.message_id, ()))
                draft.unparked += [item.parked_as] if item.parked_as else []
                self._observer.repeated(item.message)
                continue
            seen.add(item.message_id)
            reason = bad or item.unreadable
            subject = self._subject(item, named, loaded, draft)
            if not reason and subject in waiting and not item.timer and not item.parked_as:
                reason = f"waits behind a parked message of the same {named.kind}"
            if not reason and item.poison is not None:
                if subject is None:
                    self._bury(item, item.poison, loaded, draft, now)
                    continue
                reason = str(item.poison)  # on a topic of our own, about a certificate that is here: it waits for it
            if not reason and subject in loaded.unreadable:
                reason = f"the stored state of its {named.kind} can't be read"
            if not reason and item.message is not None:
                try:
                    message = _heard(item.message, subject in waiting)
                    caused[item.message_id] = self._decide(item, message, subject, loaded, draft, now)
                except Exception as error:  # our bug, whatever it is: this certificate waits, the others flow
                    reason = f"{type(error).__name__} while deciding"
                    self._observer.broke(item.message, error)
            if reason:
                self._park(item, subject, reason, draft, now)
                if item.timer is not None:  # can't be parked: it comes again, or nobody would ever be reminded
                    draft.timers.append(replace(item.timer, due=now + BROKEN_AGAIN))
                if subject is not None:
                    waiting.add(subject)
            elif item.parked_as:
                draft.unparked.append(item.parked_as)
        work = await self._work(transaction, draft)
        await place.mine()
        await transaction.save(work)
        self._observer.turned(len(inputs), draft.events)
        return caused

    def _subject(self, item: Input, named: About, loaded: Loaded, draft: _Draft) -> UUID | None:
        """The subject that a message is about. None: it is not one of ours."""
        if named.id is None:
            return loaded.keys.get((named.kind, named.key)) if item.message is not None else None
        if named.id in draft.opened:
            return named.id
        if named.id in loaded.kinds:
            return named.id if loaded.kinds[named.id] == named.kind else None
        opening = None if item.message is None else self._lives.of(item.message).opens(item.message)
        if opening is None:
            return None
        draft.opened[opening.id] = opening
        return opening.id

    def _decide(
        self, item: Input, message: Any, subject: UUID | None, loaded: Loaded, draft: _Draft, now: datetime
    ) -> Sequence[Event]:
        life = self._lives.of(message)
        before = draft.states.get(subject) or loaded.states.get(subject) if subject else None
        after, decision = life.apply(before, message, now) if subject else (None, Decision())
        if (receipt := life.kept(message)) is not None:
            draft.receipts.append(
                ReceiptRow(
                    message_id=message.message_id,
                    subject_id=subject,
                    number=receipt.key,
                    kind=type(message).__name__,
                    raw_sha256=receipt.raw_sha256,
                    fields=message.model_dump_json(exclude={"message_id", "raw_sha256"}, exclude_defaults=True),
                    at=now,
                )
            )
            if subject is None:
                self._observer.stray(message)
        draft.blobs += item.blobs
        if after is not None and subject is not None:
            draft.states[subject] = after
            first = after.sequence - len(decision.events) + 1
            head = draft.heads.get(subject) or loaded.heads.get(subject, GENESIS)
            for stored in chained(life.kind, subject, first, decision.events, item.message_id, now, head):
                draft.heads[subject] = stored.hash
                draft.events.append(stored)
                draft.status.append(status_message(life, stored, after))
            draft.timers += [
                Timer(life.kind, after.id, r.about, r.revision, now + self._overdue[r.about].wait(r.resends))
                for r in decision.remind
            ]
            draft.sends += [(after.id, outgoing) for outgoing in decision.send]
        draft.handled.append((item.message_id, subject))
        return decision.events

    def _park(self, item: Input, subject: UUID | None, reason: str, draft: _Draft, now: datetime) -> None:
        if item.record is None or item.parked_as:
            return
        record = dead_letters.storable(item.record)
        draft.parked.append(
            Parked(item.message_id, subject, record.topic, record.key, record.headers, record.body, reason, now)
        )
        self._observer.parked(record, reason)

    def _bury(self, item: Input, poison: Unreadable, loaded: Loaded, draft: _Draft, now: datetime) -> None:
        """Nobody can read it, and it is nobody's: handled, and kept with the dead letters. The subject that it names,
        if it names one, is told."""
        if item.record is None:
            return
        letter = dead_letters.letter(item.record, poison, GROUP, now)
        draft.dead.append(letter)
        draft.handled.append((item.message_id, None))
        draft.unparked += [item.parked_as] if item.parked_as else []
        self._observer.buried(letter)
        subject = loaded.keys.get((item.about.kind, item.about.key))
        if subject is None or subject in loaded.unreadable:
            return
        tells = self._lives[item.about.kind].unreadable
        if tells is not None:
            told: Any = tells(subject, Letter(letter.id, letter.code, letter.detail))
            self._decide(Input(told.message_id, told), told, subject, loaded, draft, now)

    async def _work(self, transaction: TurnTransaction, draft: _Draft) -> TurnWork:
        """The draft as rows; what is sent may be made from stored bytes here."""
        wanted = [self._outgoing.wants(send) for _, send in draft.sends]
        raws = await transaction.blobs([sha256 for sha256 in wanted if sha256])
        now = self._clock.now()
        sends = []
        for number, ((subject, send), sha256) in enumerate(zip(draft.sends, wanted, strict=True), 1):
            raw = raws[sha256] if sha256 else b""
            made = asyncio.to_thread(self._outgoing.message, subject, send, raw, now) if len(raw) > LARGE else None
            sends.append(await made if made else self._outgoing.message(subject, send, raw, now))
            await breathe(number)
        return TurnWork(
            handled=draft.handled,
            opened=[one for one in draft.opened.values() if one.id in draft.states],
            states=list(draft.states.values()),
            events=draft.events,
            receipts=draft.receipts,
            blobs=draft.blobs,
            timers=draft.timers,
            settled=draft.settled,
            parked=draft.parked,
            unparked=draft.unparked,
            dead=draft.dead,
            log=list(chain(sends, draft.status, map(dead_letters.message, draft.dead))),
        )


def _heard(message: Any, waiting: bool) -> Any:
    """What customs said may be among the parked messages: then a due date is an alarm, and nothing is sent again."""
    if waiting and isinstance(message, TimerDue):
        return message.model_copy(update={"resends": 0})
    return message
