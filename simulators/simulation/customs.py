"""A small customs with a register of its own: every declaration gets one plan, drawn from the seed, and its answers in
any order, late, twice, or never. What it verdicted is the truth that the gateway's end state is compared with."""

import asyncio
import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from adapters.codecs.receipts import message_id, write_fileret, write_receipt
from gateway.core.envelope import headers
from gateway.core.messages import CustomsReply, Part
from gateway.ports import Bus, Message, Record, Unavailable
from simulators.simulation.faults import Fault
from simulators.simulation.world import Process, World

INBOUND = "origin.customs.inbound.v1"
APPROVED, RETURNED, IN_REVIEW, UNKNOWN = "5", "3", "2", "8"
_NUMBER = re.compile(rb"<CertNo>([^<]*)</CertNo>")
_INVOICE = re.compile(rb"<InvNo>([^<]*)</InvNo>")
_LAYOUT = (
    '<LayoutDocument xmlns="urn:origin-gateway:layout:v1" number="{number}" part="{part}" pages="1" form="C"'
    ' version="1" formSha256="{sha256}" issued="2026-11-22"><Page template="first"/></LayoutDocument>'
)
_DAY = datetime(2026, 11, 22, 16, 0)  # noqa: DTZ001 - the customs' own text has no zone


@dataclass(slots=True)
class Case:
    """One declaration as customs knows it."""

    number: str
    invoice: str
    """The invoice number tells one content from another."""
    verdict: str | None = None
    """The code of its newest verdict; None: it said nothing that decides."""
    silent: bool = False
    """Nothing was answered yet."""


@dataclass(slots=True)
class Register:
    """Customs' own books: they outlive its crashes."""

    cases: dict[str, Case] = field(default_factory=dict)
    """By the message id of the declaration: the same question again is answered once."""
    agenda: list[tuple[float, int, str, bytes]] = field(default_factory=list)
    """(when, order, number, document) still to be sent."""
    serial: int = 0
    papers: int = 0

    def of(self, number: str) -> list[Case]:
        """What came under a number, in order."""
        return [case for case in self.cases.values() if case.number == number]

    def time(self) -> str:
        """The customs' own clock: each paper a second later."""
        self.papers += 1
        return f"{_DAY + timedelta(seconds=self.papers)}"


class SimulatedCustoms:
    """One process of customs."""

    def __init__(self, register: Register, bus: Bus, process: Process) -> None:
        self._register = register
        self._bus = bus
        self._process = process
        self._stirred = asyncio.Event()

    @property
    def _world(self) -> World:
        return self._process.world

    async def handle(self, records: Sequence[Record]) -> None:
        """Take declarations in; what follows is planned in the register."""
        for record in records:
            asked = record.headers["ce_id"]
            number, invoice = (found.search(record.body) for found in (_NUMBER, _INVOICE))
            if number is None or invoice is None:
                continue
            known = self._register.cases.get(asked)
            if known is None:
                case = Case(number[1].decode(), invoice[1].decode())
                again = bool(self._register.of(case.number))
                self._register.cases[asked] = case
                self._plan(case, again=again)
            elif known.silent and self._world.dice.random() < 0.5:  # asked again, it may answer after all
                self._plan(known, again=True)
        self._stirred.set()

    def _plan(self, case: Case, *, again: bool) -> None:
        """Draw what becomes of it."""
        dice, faults, books = self._world.dice, self._world.faults, self._register
        case.silent = faults.chance(Fault.SILENCE, 0.2)
        if case.silent:
            return
        self._send(case, write_fileret(case.number, "1", sent_at=books.time()))
        if dice.random() < 0.05:
            case.verdict = RETURNED
            self._send(case, write_fileret(case.number, "2", note="not in the list", sent_at=books.time()))
            return
        self._send(case, write_receipt(case.number, "1", sent_at=books.time()))
        if dice.random() < 0.4:
            self._send(case, self._reply(case, IN_REVIEW, 1))
        if faults.chance(Fault.CODE_UNKNOWN, 0.1):
            self._send(case, self._reply(case, UNKNOWN, 1))
        if faults.chance(Fault.GARBAGE, 0.05):
            self._send(case, b"<Receipt><CertNo>" + books.time().encode())
        if faults.chance(Fault.STRAY, 0.1):
            self._send(case, write_fileret("C26000000000Q001", "1", sent_at=books.time()))
        if dice.random() < (0.1 if again else 0.3):
            case.verdict = RETURNED
            self._send(case, self._reply(case, RETURNED, 2))
            return
        if faults.chance(Fault.WITHDRAWN, 0.1):
            self._send(case, self._reply(case, APPROVED, 2))
            case.verdict = RETURNED
            self._send(case, self._reply(case, RETURNED, 3))
            return
        case.verdict = APPROVED
        self._approve(case)

    def _approve(self, case: Case) -> None:
        dice = self._world.dice
        wait = 0.5 + 3 * dice.random()
        first = self._world.faults.chance(Fault.LAYOUT_FIRST, 0.3)
        self._send(case, self._reply(case, APPROVED, 2), after=wait)
        for part in Part:
            layout = _LAYOUT.format(number=case.number, part=part, sha256=f"{dice.getrandbits(256):064x}").encode()
            self._send(case, layout, after=wait * dice.random() if first else wait + dice.random())

    def _reply(self, case: Case, code: str, running: int) -> bytes:
        at = self._register.time()
        running += 10 * (len(self._register.of(case.number)) - 1)
        reply = CustomsReply(running_no=running, code=code, generated_at=at, signed_on="2026-11-22")
        return write_receipt(case.number, "6", sent_at=at, reply=reply)

    def _send(self, case: Case, body: bytes, after: float | None = None) -> None:
        world = self._world
        wait = world.dice.random() * 2 if after is None else after
        if world.faults.chance(Fault.RECEIPT_LATE, 0.2):
            wait += 6 * world.dice.random()
        self._enter(wait, case, body)
        if world.faults.chance(Fault.RECEIPT_TWICE, 0.2):
            self._enter(wait + 4 * world.dice.random(), case, body)

    def _enter(self, wait: float, case: Case, body: bytes) -> None:
        books = self._register
        books.serial += 1
        heapq.heappush(books.agenda, (self._world.loop.time() + wait, books.serial, case.number, body))

    async def send(self) -> None:
        """Send what is due, for ever; what may not have arrived is sent again."""
        agenda = self._register.agenda
        while True:
            now = self._world.loop.time()
            due = [entry for entry in sorted(agenda[:20]) if entry[0] <= now]
            if due:
                try:
                    await self._bus.publish([self._message(number, body) for _, _, number, body in due])
                except Unavailable:
                    await asyncio.sleep(0.5)
                    continue
                for entry in due:
                    agenda.remove(entry)
                heapq.heapify(agenda)
                continue
            self._stirred.clear()
            try:
                async with asyncio.timeout(agenda[0][0] - now if agenda else None):
                    await self._stirred.wait()
            except TimeoutError:
                continue

    def _message(self, number: str, body: bytes) -> Message:
        attributes = headers("customs.inbound", message_id(body), number, self._process.now(), "application/xml")
        return Message(INBOUND, number, body, attributes)
