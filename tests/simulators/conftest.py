"""A gateway's core and the simulated customs on one memory bus: no database, a clock that only moves when told."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import pytest

import schemas
from adapters.bus.memory import MemoryBus
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.gateway_xml import GatewayCodec
from gateway.core.certificate import LIFE
from gateway.core.decision import Event
from gateway.core.declaration import Declaration
from gateway.core.envelope import headers
from gateway.core.messages import DeclarationAccepted
from gateway.core.state import Certificate
from gateway.ports import Message, Record, Unreadable
from simulators.customs.simulator import GROUP, OUTBOUND, CustomsSimulator

INBOUND = "origin.customs.inbound.v1"
START = datetime(2026, 11, 22, 2, 0, 0, tzinfo=UTC)
ROUND = 6
"""Looks at the clock after which the simulator has gone once through all that is due, whatever it was at before. Time
is no measure of that: on a busy machine a question takes a second to read."""
IDS = UUID("b1d1a0c4-1c38-5b66-8f0e-0b9c1b2e7d10")


class HandClock:
    """Stands still until moved, and counts who looks."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at
        self.looks = 0

    def now(self) -> datetime:
        """See `gateway.ports.Clock`."""
        self.looks += 1
        return self.at


class Harness:
    """Declares to customs, lets time pass, and applies what comes back to the certificates' lives."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.clock = HandClock()
        self.states: dict[str, Certificate | None] = {}
        self.events: dict[str, list[Event]] = {}
        self.answers: list[Record] = []
        self.unreadable = 0
        self.revisions: dict[str, int] = {}

    async def declare(self, declaration: Declaration) -> None:
        """A declaration goes out, a corrected one as the next revision."""
        number = declaration.number or ""
        body = CustomsXml().write(declaration)
        digest = hashlib.sha256(body).hexdigest()
        revision = self.revisions[number] = self.revisions.get(number, 0) + 1
        certificate = uuid5(IDS, number)
        accepted = DeclarationAccepted(
            message_id=uuid5(certificate, f"accepted/{revision}"),
            certificate_id=certificate,
            number=number,
            revision=revision,
            certificate_type=declaration.certificate_type,
            applies=True,
            exporter=declaration.exporter_code,
            applicant=declaration.applicant_code,
            client="test",
            media_type="application/xml",
            raw_sha256=digest,
            content_sha256=digest,
            accepted_at=self.clock.now(),
        )
        self._apply(number, accepted)
        await self.send(body, str(certificate), uuid5(certificate, f"customs/{revision}"))

    async def send(self, body: bytes, subject: str, message_id: UUID) -> None:
        """Any bytes to customs."""
        attributes = headers("customs.outbound", message_id, subject, self.clock.now(), "application/xml")
        await self.bus.publish([Message(OUTBOUND, subject, body, attributes)])

    async def run(
        self,
        simulator: CustomsSimulator,
        seconds: float,
        step: float = 0.5,
        busy: Callable[[], bool] = lambda: False,
    ) -> list[Record]:
        """The simulator works while the clock moves; returns the answers that came, in order, and applies them. `busy`:
        it waits for something other than the clock, looks are no measure of that."""
        task = asyncio.create_task(simulator.run())
        fresh: list[Record] = []
        try:
            async with self.bus.consumer("harness", [INBOUND]) as consumer:
                end = self.clock.at + timedelta(seconds=seconds)
                while self.clock.at < end:
                    await asyncio.sleep(0.01)
                    self.clock.at += timedelta(seconds=step)
                seen = self.clock.looks
                while (self.clock.looks < seen + ROUND or busy()) and not task.done():
                    if records := await consumer.poll(100, 0.02):
                        seen = self.clock.looks
                        fresh += records
                        await consumer.commit({r.place: r.offset + 1 for r in records})
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for record in fresh:
            self._hear(record)
        self.answers += fresh
        return fresh

    async def outstanding(self) -> Sequence[Record]:
        """Questions that the simulator has not acknowledged."""
        async with self.bus.consumer(GROUP, [OUTBOUND]) as consumer:
            return await consumer.poll(100, 0.05)

    def kinds(self, number: str) -> list[str]:
        """What happened to a certificate."""
        return [event.kind.value for event in self.events[number]]

    def _hear(self, record: Record) -> None:
        try:
            message = GatewayCodec().decode(INBOUND, record.body)
        except Unreadable:
            self.unreadable += 1
            return
        self._apply(record.key, message)

    def _apply(self, number: str, message: object) -> None:
        state, decision = LIFE.apply(self.states.get(number), message, self.clock.now())  # type: ignore[arg-type]
        self.states[number] = state
        self.events.setdefault(number, []).extend(decision.events)


@pytest.fixture
def harness() -> Harness:
    """A fresh one."""
    return Harness()


@pytest.fixture
def example() -> Declaration:
    """A sound declaration of type C."""
    return CustomsXml().read(schemas.read_bytes("examples", "C-three-goods.xml")).declaration
