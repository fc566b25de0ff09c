"""A gateway without database, network or threads: real dialects and codec, the store and log in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import orjson

import schemas
from adapters.bus.memory import MemoryLog
from adapters.codecs.dialects import dialects
from adapters.codecs.gateway_xml import GatewayCodec
from adapters.codecs.receipts import write_fileret, write_receipt
from adapters.store.memory import MemoryStore
from gateway.core.declaration import Declaration
from gateway.core.messages import CustomsReply, Incoming
from gateway.inlet import GatewayInlet
from gateway.ports import Message, Record
from gateway.runtime.answers import Answer
from gateway.runtime.catalog import ProfileChecks
from gateway.runtime.door import Client, Door, Submission
from gateway.runtime.examining import Examiner
from gateway.runtime.turn import LISTENS, STATUS, Turn
from gateway.storage import DeadLetter, Stored

INBOUND = "origin.customs.inbound.v1"
XML, JSON = "application/xml", "application/json"
ENTERPRISE = "91330299MA9XYD0C2A"
ERP = Client("erp", ENTERPRISE)
DIALECTS = dialects()
EXAMINER = Examiner(DIALECTS, ProfileChecks(), lambda text: frozenset())


@cache
def example() -> Declaration:
    """A type C declaration without a number."""
    return DIALECTS[JSON].read(schemas.read_bytes("examples", "C-no-number.json")).declaration


def document(media_type: str = JSON, **changes: object) -> bytes:
    """The example with `changes`."""
    return DIALECTS[media_type].write(example().model_copy(update=changes))


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += timedelta(**by)


async def others_go_on(work: Awaitable[object]) -> int:
    """How often somebody else had a turn while `work` was done."""
    turns = 0

    async def somebody() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(somebody())
    try:
        await work
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return turns


class Told:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def turned(self, messages: int, events: Sequence[Stored]) -> None:
        self.words.append("turned")

    def repeated(self, message: Incoming | None) -> None:
        self.words.append("repeated")

    def stray(self, message: Incoming) -> None:
        self.words.append("stray")

    def parked(self, record: Record, reason: str) -> None:
        self.words.append(f"parked: {reason}")

    def broke(self, message: Incoming | None, error: Exception) -> None:
        self.words.append(f"broke: {type(error).__name__}")

    def buried(self, letter: DeadLetter) -> None:
        self.words.append(f"buried: {letter.code}")

    def away(self, who: str, neighbour: str, why: str) -> None:
        self.words.append(f"away: {neighbour}")

    def back(self, who: str, neighbour: str) -> None:
        self.words.append(f"back: {neighbour}")

    def worked(self, stage: str, seconds: float) -> None:
        self.words.append(stage)


async def break_off(submission: Submission, error: Exception) -> UUID:
    """For doors that nothing may break."""
    raise error


class House:
    """Everything in one hand."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.told = Told()
        self.log = MemoryLog()
        self.store = MemoryStore(self.log.append)
        self.codec = GatewayCodec()
        self.checks = ProfileChecks()
        self.kept: list[tuple[Submission, Exception]] = []
        self.door = self.another_door()
        self.turn = Turn(self.store, GatewayInlet(self.codec), self.codec, DIALECTS, self.clock, self.told)
        self.read: dict[tuple[str, int], int] = {}

    def another_door(self) -> Door:
        """A door of another process on the same database."""
        return self.door_of(Examiner(DIALECTS, self.checks, lambda text: frozenset()))

    def door_of(self, examiner: Examiner, **more: Any) -> Door:
        """A door with another examiner, or with `beside` or `failed`."""
        return Door(self.store, examiner, self.codec, self.clock, self.keep, **more)

    async def keep(self, submission: Submission, error: Exception) -> UUID:
        """What broke the door is kept."""
        self.kept.append((submission, error))
        return uuid5(NAMESPACE_OID, f"kept {len(self.kept)}")

    @asynccontextmanager
    async def open(self, door: Door | None = None) -> AsyncIterator["House"]:
        """The door's task runs meanwhile."""
        task = asyncio.create_task((door or self.door).run())
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def submit(
        self,
        body: bytes,
        media_type: str = JSON,
        *,
        key: str | None = None,
        channel: str = "http",
        client: Client = ERP,
        door: Door | None = None,
    ) -> Answer:
        """One document at the door."""
        return await (door or self.door).submit(Submission(client, media_type, body, channel, key))

    async def declare(self, **changes: object) -> tuple[UUID, str]:
        """(id, number) of a certificate just accepted; the turn has not seen it yet."""
        async with self.open():
            answer = (await self.submit(document(**changes))).content
        assert answer["status"] == "accepted", answer
        return UUID(answer["id"]), answer["number"]

    async def turns(self) -> int:
        """Run turns until the log is read; returns how many records there were."""
        count = 0
        while records := self.unread():
            await self.turn.handle(records)
            count += len(records)
        return count

    def unread(self) -> list[Record]:
        """What the turn has not read yet; read now."""
        found: list[Record] = []
        for place, line in self.log.records.items():
            if place[0] in LISTENS:
                found += line[self.read.get(place, 0) :]
                self.read[place] = len(line)
        return found

    def customs(self, *bodies: bytes, key: str = "customs") -> None:
        """Customs sends documents."""
        self.log.append([Message(INBOUND, key, body, {}) for body in bodies])

    def on(self, topic: str) -> list[Record]:
        """Everything on a topic."""
        return [record for place, line in self.log.records.items() if place[0] == topic for record in line]

    def told_of(self, certificate_id: UUID) -> list[dict[str, object]]:
        """The status events of a certificate, in order."""
        return [orjson.loads(record.body) for record in self.on(STATUS) if record.key == str(certificate_id)]

    def kinds(self, certificate_id: UUID) -> list[object]:
        """Their kinds."""
        return [event["kind"] for event in self.told_of(certificate_id)]


def taken(number: str) -> bytes:
    """技术回执: taken."""
    return write_fileret(number, "1", sent_at="2026-11-22 16:00:01")


def reply(number: str, code: str, minute: int = 5) -> bytes:
    """业务回执 with a reply of customs: 5 approved, 3 returned, 2 in review."""
    at = f"2026-11-22 16:{minute:02d}:00"
    answer = CustomsReply(running_no=minute, code=code, generated_at=at, signed_on="2026-11-22")
    return write_receipt(number, "6", sent_at=at, reply=answer)


def copy_of(record: Record) -> Record:
    """The same message, delivered again."""
    return Record(record.topic, record.partition, record.offset, record.key, record.body, dict(record.headers))
