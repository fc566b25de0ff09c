"""The bus as a way in: each client on the bus has a pair of topics, submitted and answered; the door is the same.

What is polled is submitted together and in order, so that the door commits it together and a correction does not
overtake what it corrects: the door takes what stands before it first. Under load the next records are examined while
the door commits the last ones and the broker takes the answers of those before. The answers are published in order,
then the records acknowledged: after a crash in between they are answered again, with the same bytes. Nothing that a
client writes stops its partition: what is wrong is answered with faults, and what can't be answered goes to the dead
letters.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol, TypeAlias

import structlog

from adapters.inbound.bus_reading import ANSWERED, Heads, answer_id, submission
from adapters.inbound.lines import DoorLike
from gateway.core.admission import Verdict
from gateway.core.envelope import headers
from gateway.core.faults import Refused
from gateway.ports import Bus, Clock, Message, Record, Unavailable, UnknownTopic, Unreadable
from gateway.reading import IntakeObserver
from gateway.runtime.answers import Answer
from gateway.runtime.consume import consume
from gateway.runtime.dead_letters import DeadLetters, letter, storable_text
from gateway.runtime.door import Client
from gateway.runtime.following import follow
from gateway.runtime.kept import GROUP, SUBMITTED, broken_door, client_of
from gateway.runtime.observer import Observer
from gateway.runtime.patience import Away
from gateway.runtime.pauses import Pauses
from gateway.runtime.quotas import Quotas
from gateway.runtime.rounds import ALONE, Place
from gateway.storage import DeadLetter

BATCH: Final = 200
"""Records submitted together: as many as the door commits at once."""
DEPTH: Final = 2
"""Batches under way beside the one that is being examined and the one whose answers the broker takes: at the database,
and waiting for it."""
LOOK: Final = 2.0
"""Seconds between two looks for clients that came to the bus or left it."""
ECHOED: Final = (
    ("ce_causationid", "ce_id"),
    ("origin-reference", "origin-reference"),
    ("traceparent", "traceparent"),
)
"""Headers of an answer, and those of the record that they repeat."""

Entered: TypeAlias = asyncio.Future[Answer] | Answer | Exception
"""Submitted; or the answer already, or our bug."""

log = structlog.get_logger("adapters.inbound.bus")


class BusClients(Protocol):
    """Knows which clients are on the bus."""

    async def on_bus(self) -> Sequence[str]:
        """Ids of clients whose topics are to be read, revoked ones too. Raises Unavailable."""
        ...

    async def by_id(self, name: str) -> Client | None:
        """The client, if it may speak. Raises Unavailable."""
        ...


class Reply(NamedTuple):
    """What becomes of one record: its answer, and a dead letter where there is one."""

    record: Record
    message: Message
    dead: DeadLetter | None = None
    verdict: Verdict | None = None
    """None: it broke us."""


class BusIntake:
    """Reads all clients' topics; any number of processes side by side."""

    def __init__(
        self,
        bus: Bus,
        door: DoorLike,
        clients: BusClients,
        quotas: Quotas,
        dead: DeadLetters,
        clock: Clock,
        intake: IntakeObserver,
        observer: Observer,
        there: Callable[[], Awaitable[Collection[str]]],
        *,
        look: float = LOOK,
    ) -> None:
        """`there`: the topics that exist on `bus` now; raises Unavailable. A client is read once its two are there:
        a pair that nobody has made yet must not keep the others waiting."""
        self._bus = bus
        self._door = door
        self._clients = clients
        self._quotas = quotas
        self._dead = dead
        self._clock = clock
        self._intake = intake
        self._observer = observer
        self._there = there
        self._look = look
        self._entered: list[asyncio.Future[Answer]] = []
        """Of all that is under way."""

    # ------------------------------------------------------------ whose topics

    async def run(self) -> None:
        """Work until cancelled. Clients that come or go are noticed within seconds."""
        await follow(self._wanted, self._read, self._look)

    async def _read(self, clients: frozenset[str]) -> None:
        topics = sorted(f"{SUBMITTED}.{client}" for client in clients)
        await consume(self._bus, GROUP, topics, self.handle, self._observer, BATCH, ahead=self.handle, depth=DEPTH)

    async def _wanted(self, reading: frozenset[str]) -> frozenset[str]:
        """The clients to be read."""
        wanted = frozenset(await self._clients.on_bus())
        if fresh := wanted - reading:
            there = await self._there()
            ready = {c for c in fresh if f"{SUBMITTED}.{c}" in there and f"{ANSWERED}.{c}" in there}
            wanted = wanted & reading | ready
        if wanted != reading:
            log.info("bus.reading", clients=len(wanted))
        return wanted

    # ------------------------------------------------------------ what they send

    async def handle(self, records: Sequence[Record], place: Place = ALONE) -> None:
        """Answer all of `records`; then they may be acknowledged. Raises Unavailable: all of them come again."""
        topics = sorted({record.topic for record in records})
        clients = {topic: await self._clients.by_id(client_of(topic)) for topic in topics}
        self._entered = [] if place.first else self._open()
        started = time.perf_counter()
        heads = [Heads(record) for record in records]
        with contextlib.ExitStack() as come_again:
            entered, pauses = [], Pauses()
            for record, named in zip(records, heads, strict=True):
                entered.append(self._enter(record, named, clients[record.topic], come_again))
                await pauses.between()
            mine = [one for one in entered if isinstance(one, asyncio.Future)]
            self._entered += mine
            place.release()
            await _ended(mine)
            now = self._clock.now()
            replies = [self._reply(r, h, one, now) for r, h, one in zip(records, heads, entered, strict=True)]
            took = time.perf_counter() - started
            for reply in replies:
                if reply.verdict is not None:
                    self._intake.received("bus", reply.verdict, took)
            await place.mine()
            place.leaving()
            await self._send(replies)
            come_again.pop_all()

    def _open(self) -> list[asyncio.Future[Answer]]:
        """What is under way and has no answer. Raises Unavailable when something will have none: nothing is submitted
        after that, or a correction would overtake what it corrects."""
        for one in self._entered:
            if one.done() and isinstance(trouble := one.exception(), Unavailable):
                raise trouble
        return [one for one in self._entered if not one.done()]

    def _enter(self, record: Record, heads: Heads, client: Client | None, come_again: contextlib.ExitStack) -> Entered:
        """`come_again`: what is undone when the records are not acknowledged: they are counted when they come again."""
        if client is not None:
            if over := self._quotas.enter(client, len(record.body)):
                return Answer.later(over, heads.echo("origin-reference"))
            come_again.callback(self._quotas.uncount, client, len(record.body))
        try:
            return self._door.enter(submission(record, heads, client))
        except Refused as refusal:
            return Answer.refused(refusal.faults, heads.echo("origin-reference"))
        except Exception as error:  # one that the database's absence breaks, too: raised when all have ended
            return error

    def _reply(self, record: Record, heads: Heads, entered: Entered, now: datetime) -> Reply:
        try:
            if isinstance(entered, Exception):
                raise entered
            answer = entered if isinstance(entered, Answer) else entered.result()
        except Unavailable:
            raise
        except Exception as error:  # the envelope broke us: the door never saw the document
            return self._broke(record, heads, error, now)
        message = _message(record, heads, answer.verdict.value, answer.body, now)
        return Reply(record, message, verdict=answer.verdict)

    def _broke(self, record: Record, heads: Heads, error: Exception, now: datetime) -> Reply:
        """Our bug: the client is told, and the record kept, so that it can be sent again when that is mended."""
        log.error("bus.broke", client=client_of(record.topic), exc_info=error)
        kept = self._letter(record, broken_door(error))
        answer = Answer.internal(kept.id, heads.echo("origin-reference"))
        return Reply(record, _message(record, heads, answer.verdict.value, answer.body, now), kept)

    # ------------------------------------------------------------ out

    async def _send(self, replies: Sequence[Reply]) -> None:
        await self._bury([reply.dead for reply in replies if reply.dead is not None])
        try:
            await self._publish(replies)
        except UnknownTopic:
            await self._send_apart(replies)

    async def _send_apart(self, replies: Sequence[Reply]) -> None:
        """Somebody's topic of answers is gone: his records go to the dead letters, the others get their answers."""
        for topic in sorted({reply.message.topic for reply in replies}):
            mine = [reply for reply in replies if reply.message.topic == topic]
            try:
                await self._publish(mine)
            except UnknownTopic:
                trouble = Unreadable("ANSWER-TOPIC", f"the answer can't be sent: there is no topic {topic}")
                await self._bury([self._letter(reply.record, trouble) for reply in mine if reply.dead is None])

    async def _publish(self, replies: Sequence[Reply]) -> None:
        try:
            await self._bus.publish([reply.message for reply in replies])
        except Away:
            raise
        except Unavailable as trouble:
            raise Away("bus", str(trouble)) from trouble

    async def _bury(self, letters: Sequence[DeadLetter]) -> None:
        if letters:
            await self._dead.bury(letters)
            for buried in letters:
                self._observer.buried(buried)

    def _letter(self, record: Record, trouble: Unreadable) -> DeadLetter:
        return letter(record, trouble, GROUP, self._clock.now())


def _message(record: Record, heads: Heads, status: str, body: bytes, now: datetime) -> Message:
    """The answer: under the same key, naming the message it answers. The same answer has the same id."""
    identity = answer_id(record, body, accepted=status == Verdict.ACCEPTED)
    client = client_of(record.topic)
    told = headers("intake.answered", identity, client, now, "application/json")
    told["origin_status"] = status
    told["origin_submitted_partition"] = str(record.partition)
    told["origin_submitted_offset"] = str(record.offset)
    for name, given in ECHOED:
        if (value := heads.echo(given)) is not None:
            told[name] = value
    return Message(f"{ANSWERED}.{client}", storable_text(record.key) or str(identity), body, told)


async def _ended(answers: Sequence[asyncio.Future[Answer]]) -> None:
    """Once all have ended: what comes again must not meet itself. The door answers in order, many at once: who waits
    for the last finds the others there. The first that fails speaks for all: nobody else need look at the others."""
    try:
        for one in reversed(answers):
            if not one.done():
                await asyncio.wait((one,))
    finally:
        for one in answers:
            if one.done():
                _looked_at(one)
            else:
                one.add_done_callback(_looked_at)


def _looked_at(answer: asyncio.Future[Answer]) -> None:
    if not answer.cancelled():
        answer.exception()
