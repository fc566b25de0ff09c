"""The gateway's processes, made of the real parts, on this world's bus, store, printers and clocks."""

import asyncio
import hashlib
import math
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from adapters.bus.kafka_claims import Claims
from adapters.codecs.dialects import dialects
from adapters.codecs.gateway_xml import GatewayCodec, certificate_of
from adapters.inbound.bus import BusIntake
from adapters.store.memory import MemoryBlobs, MemoryClaims, MemoryDeadLetters
from gateway.core.certificate import FROM_CUSTOMS
from gateway.core.decision import Event
from gateway.core.life import About
from gateway.core.messages import Incoming, PrintJob, RenderJob
from gateway.ports import Blob, Dialect, Message, Reading, Record, Unavailable
from gateway.runtime.catalog import ProfileChecks
from gateway.runtime.consume import consume
from gateway.runtime.door import Door, Submission
from gateway.runtime.examining import Examiner
from gateway.runtime.kept import Keeper
from gateway.runtime.outgoing import OUTBOUND
from gateway.runtime.print_room import JOBS as PRINT_JOBS
from gateway.runtime.print_room import Claim, ClaimState, PrintRoom
from gateway.runtime.relay import Relay
from gateway.runtime.rounds import Ahead, Handle
from gateway.runtime.turn import LISTENS, Turn
from gateway.storage import Collision
from renderers.layout import RenderRefused
from renderers.worker import JOBS as RENDER_JOBS
from renderers.worker import RenderRoom
from simulators.simulation.bus import SimulatedBus, SimulatedConsumer, SimulatedLog
from simulators.simulation.bus_way import BusClients, Producer, Unwatched, unlimited
from simulators.simulation.customs import Register, SimulatedCustoms
from simulators.simulation.faults import Bug, Fault
from simulators.simulation.people import CLIENTS
from simulators.simulation.printer import SimulatedPrinter, Tray
from simulators.simulation.store import Database, SimulatedBlobs, SimulatedFiles, SimulatedStore
from simulators.simulation.told import Told
from simulators.simulation.world import SESSION, Process, World

TICK = 1.0
"""Seconds between two looks at the due dates when none has come."""
SMALL = 3
"""Records in one poll of a turn: a backlog of so many already makes it begin a batch before the last one is done."""
MOST_BODY = 1150
"""Bytes that travel on the broker: here declarations for customs are too large for it, all else is not."""
LOOK = 20.0
"""Seconds between two looks for clients that come to the bus; here nobody does."""
INTAKES = ("intake-1", "intake-2")
SPOOL, OTHER = "print-1", "print-2"
PROCESSES = (*INTAKES, "turn-1", "turn-2", "render-1", "render-2", SPOOL, OTHER, "customs-1")
RELAYS = ("relay-1", "relay-2")


def hash_of(content: bytes) -> str:
    """SHA-256, lower-case hex."""
    return hashlib.sha256(content).hexdigest()


class Bugs:
    """Messages that break our code: always the same ones, until somebody mends it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._struck: dict[object, bool] = {}

    def strike(self, fault: Fault, key: object, share: float = 0.02) -> None:
        """Raises Bug for this share of the messages."""
        if self._world.faults.calm:
            return
        if (fault, key) not in self._struck:
            self._struck[fault, key] = self._world.faults.chance(fault, share)
        if self._struck[fault, key]:
            self._world.note(fault.name, key)
            raise Bug(fault)

    def mend(self) -> None:
        """A new version: what broke works now."""
        self._struck = dict.fromkeys(self._struck, False)


@dataclass(frozen=True, slots=True)
class BuggyInlet:
    """Reads with the real codec and keeps what customs sent, with our bugs. Layouts here bring no pictures."""

    codec: GatewayCodec
    bugs: Bugs

    def apart(self, record: Record) -> tuple[Sequence[Record], Sequence[Blob]]:
        """See `gateway.ports.Inlet`. The customs of this world writes one thing into one document."""
        return (record,), ()

    def about(self, record: Record) -> About:
        """See `gateway.ports.Inlet`."""
        return certificate_of(record)

    def read(self, record: Record) -> tuple[Incoming, Sequence[Blob]]:
        """See `gateway.ports.Inlet`."""
        message = self.codec.decode(record.topic, record.body)
        self.bugs.strike(Fault.BUG_READING, message.message_id)
        if isinstance(message, FROM_CUSTOMS):
            return message, [Blob(message.raw_sha256, "receipt", "application/xml", record.body)]
        return message, ()


@dataclass(frozen=True, slots=True)
class BuggyDialect:
    """A dialect, with our bugs: it breaks while the turn's work is made up for saving."""

    inner: Dialect
    bugs: Bugs

    @property
    def media_type(self) -> str:
        """See `gateway.ports.Dialect`."""
        return self.inner.media_type

    def read(self, raw: bytes) -> Reading:
        """See `gateway.ports.Dialect`."""
        self.bugs.strike(Fault.BUG_SAVING, hash_of(raw))
        return self.inner.read(raw)

    def read_plainly(self, raw: bytes) -> Reading | None:
        """See `gateway.ports.Dialect`."""
        return self.inner.read_plainly(raw)

    def write(self, declaration: Any) -> bytes:
        """See `gateway.ports.Dialect`."""
        return self.inner.write(declaration)


class BuggyExaminer(Examiner):
    """The examiner, with our bugs: some documents break it."""

    bugs: Bugs

    def examine(self, submission: Submission) -> Any:
        """See `gateway.runtime.examining.Examiner`."""
        self.bugs.strike(Fault.BUG_AT_DOOR, hash_of(submission.body), 0.06)
        return super().examine(submission)


class BuggyTurn(Turn):
    """The turn, with our bugs in what it decides."""

    bugs: Bugs

    heard: dict[UUID, Incoming]
    """Message id -> what was decided about, for the invariants."""

    def _decide(self, item: Any, message: Incoming, *rest: Any) -> Sequence[Event]:
        self.bugs.strike(Fault.BUG_DECIDING, item.message_id)
        self.heard[item.message_id] = message
        return super()._decide(item, message, *rest)


class QuickRoom(RenderRoom):
    """The render room with a renderer that draws nothing. Like a real signature, no two files are the same."""

    process: Process

    async def _made(self, job: RenderJob) -> tuple[Blob, Mapping[str, Any]]:
        world = self.process.world
        if await world.at(self.process, "render") is Fault.RENDER_REFUSED:
            raise RenderRefused("SEAL-MISSING", "no valid seal of the exporter is enrolled")
        content = f"{job.number} {job.part} {job.job} {world.new_uuid()}".encode()
        found = {"file_sha256": hash_of(content), "pages": 1, "seal": "s", "signature": "h", "key": "k"}
        return Blob(hash_of(content), "file", "application/pdf", content), found


class WatchedClaims(MemoryClaims):
    """Print claims; remembers which doubts had a reason."""

    def __init__(self, store: SimulatedStore, tray: Tray) -> None:
        super().__init__(store)
        self._world = store.world
        self._tray = tray

    async def claim(self, job: PrintJob, worker: str, report: Message) -> Claim:
        """Take the job, or tell who has it."""
        self._tray.since.setdefault(str(job.job), self._world.loop.time())
        return await super().claim(job, worker, report)

    async def end(self, job: UUID, state: ClaimState, report: Message) -> None:
        """Write what became of the job, once, and report."""
        handed_out = self._tray.since[str(job)] - 3 * SESSION  # at the earliest: a poll's records are worked one by one
        if self._world.troubled.get("print", -math.inf) >= handed_out:
            self._tray.unsure.add(str(job))
        await super().end(job, state, report)


@dataclass(slots=True)
class Kit:
    """What the processes are made of. A test plants a fault by putting another part in."""

    log: type[SimulatedLog] = SimulatedLog
    consumer: Any = SimulatedConsumer
    intake_consumer: Any = SimulatedConsumer
    """Of the bus as a way in."""
    store: type[SimulatedStore] = SimulatedStore
    files: type[SimulatedFiles] = SimulatedFiles
    claims: type[WatchedClaims] = WatchedClaims
    dead_letters: type[MemoryDeadLetters] = MemoryDeadLetters
    """Of the bus as a way in."""
    turn: type[BuggyTurn] = BuggyTurn
    blobs: type[SimulatedBlobs] = SimulatedBlobs
    """Of bodies too large for the broker."""
    print_room: type[PrintRoom] = PrintRoom
    relay: type[Relay] = Relay
    consume: Any = consume
    askable: bool | None = None
    """Printers that can be asked, or not; None: one of each."""


@dataclass(slots=True)
class House:
    """Everything durable, and the plan of every process."""

    world: World
    kit: Kit
    relayed: bool
    """A relay carries the log to a broker, which everybody reads; else they read the log."""
    log: SimulatedLog = field(init=False)
    broker: SimulatedLog = field(init=False)
    database: Database = field(init=False)
    producer: Producer = field(init=False)
    tray: Tray = field(default_factory=Tray)
    register: Register = field(default_factory=Register)
    bugs: Bugs = field(init=False)
    heard: dict[UUID, Incoming] = field(default_factory=dict)
    codec: GatewayCodec = field(default_factory=GatewayCodec)
    checks: ProfileChecks = field(default_factory=ProfileChecks)
    dialects: Mapping[str, Dialect] = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.kit.log(self.world)
        self.broker = SimulatedLog(self.world) if self.relayed else self.log
        self.database = Database(self.log.append)
        self.producer = Producer(self.world, self.broker, CLIENTS)
        self.bugs = Bugs(self.world)
        self.dialects = dialects()

    @property
    def logs(self) -> tuple[SimulatedLog, ...]:
        """The log, and the broker where there is one."""
        return (self.log, self.broker) if self.relayed else (self.log,)

    def open(self) -> None:
        """Start every process."""
        plans = {
            "intake": self._intake,
            "turn": self._turn,
            "render": self._render,
            "print": self._print,
            "customs": self._customs,
            "relay": self._relay,
        }
        for name in (*PROCESSES, *(RELAYS if self.relayed else ())):
            self.world.run(name, plans[name.split("-")[0]])

    def _bus(self, process: Process, consumer: Any = None) -> SimulatedBus:
        """What carries messages; to a broker, large bodies don't travel."""
        claims = None
        if self.relayed:
            blobs = self.kit.blobs(self.kit.store(self.database, process))
            claims = Claims(blobs, self.broker.topics, MOST_BODY)
        return SimulatedBus(self.broker, process, consumer or self.kit.consumer, claims)

    def _a_turn(self, process: Process) -> Turn:
        buggy: dict[str, Dialect] = {kind: BuggyDialect(one, self.bugs) for kind, one in self.dialects.items()}
        inlet = BuggyInlet(self.codec, self.bugs)
        store = self.kit.store(self.database, process)
        turn = self.kit.turn(store, inlet, self.codec, buggy, process, Told(self.world))
        turn.bugs, turn.heard = self.bugs, self.heard
        process.parts["turn"] = turn
        return turn

    def _intake(self, process: Process) -> Sequence[Coroutine[Any, Any, Any]]:
        store = self.kit.store(self.database, process)
        examiner = BuggyExaminer(self.dialects, self.checks, lambda text: frozenset())
        examiner.bugs = self.bugs
        keep = Keeper(self.kit.dead_letters(store), process, Told(self.world))
        door = Door(store, examiner, self.codec, process, keep)
        process.parts["door"] = door
        process.parts["bus"] = self._bus(process)
        self._a_turn(process)

        async def there() -> frozenset[str]:
            return frozenset(topic for topic, _ in self.broker.records)

        on_bus = BusIntake(
            self._bus(process, self.kit.intake_consumer),
            door,
            BusClients(store, CLIENTS),
            unlimited(process),
            self.kit.dead_letters(store),
            process,
            Unwatched(),
            Told(self.world),
            there,
            look=LOOK,
        )
        return [door.run(), on_bus.run()]

    def _turn(self, process: Process) -> Sequence[Coroutine[Any, Any, Any]]:
        turn = self._a_turn(process)
        return [self._consume(process, "turn", LISTENS, turn.handle, SMALL, turn.ahead), _timers(turn)]

    def _render(self, process: Process) -> Sequence[Coroutine[Any, Any, Any]]:
        store, nothing = self.kit.store(self.database, process), cast("Any", None)
        room = QuickRoom(
            renderer=nothing,
            marks=nothing,
            files=self.kit.files(store),
            blobs=MemoryBlobs(store),
            jobs=self.codec,
            codec=self.codec,
            dead=MemoryDeadLetters(store),
            clock=process,
            observer=Told(self.world),
        )
        room.process = process
        return [self._consume(process, "render", (RENDER_JOBS,), room.handle, 20)]

    def _print(self, process: Process) -> Sequence[Coroutine[Any, Any, Any]]:
        store = self.kit.store(self.database, process)
        askable = process.name == SPOOL if self.kit.askable is None else self.kit.askable
        room = self.kit.print_room(
            name=process.name,
            printer=SimulatedPrinter(process.name, self.tray, process, askable=askable),
            claims=self.kit.claims(store, self.tray),
            blobs=MemoryBlobs(store),
            jobs=self.codec,
            codec=self.codec,
            dead=MemoryDeadLetters(store),
            clock=process,
            observer=Told(self.world),
        )
        return [self._consume(process, "print", (PRINT_JOBS,), room.handle, 20)]

    def _relay(self, process: Process) -> Sequence[Coroutine[Any, Any, Any]]:
        async def topics() -> frozenset[str]:
            return frozenset(self.log.topics)

        log = SimulatedBus(self.log, process, self.kit.consumer)
        return [self.kit.relay(log, self._bus(process), topics, Told(self.world)).run()]

    def _customs(self, process: Process) -> Sequence[Coroutine[Any, Any, Any]]:
        bus = self._bus(process)
        customs = SimulatedCustoms(self.register, bus, process)
        return [consume(bus, "customs", (OUTBOUND,), customs.handle, Told(self.world)), customs.send()]

    def _consume(
        self,
        process: Process,
        group: str,
        topics: Sequence[str],
        handle: Handle,
        most: int,
        ahead: Ahead | None = None,
    ) -> Coroutine[Any, Any, None]:
        loop: Coroutine[Any, Any, None] = self.kit.consume(
            self._bus(process), group, topics, handle, Told(self.world), max_records=most, ahead=ahead
        )
        return loop


async def _timers(turn: Turn) -> None:
    """Work the due dates, again and again, as the turn role does."""
    while True:
        try:
            worked = await turn.work_timers()
        except (Unavailable, Collision):
            worked = 0
        if not worked:
            await asyncio.sleep(TICK)
