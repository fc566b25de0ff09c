"""Those around the gateway: enterprises that insist on an answer, and an operator who replays and looks at paper.

Each keeps a book of its own of what it was promised; the invariants are read from those books.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar
from uuid import UUID, uuid5

import orjson

import schemas
from gateway.core.admission import Verdict
from gateway.core.messages import ConfirmPrint, Incoming, Part, RequestPrint
from gateway.core.state import Certificate, PrintState, Review
from gateway.ports import Unavailable
from gateway.runtime import dead_letters
from gateway.runtime.answers import ON_FILE, Answer
from gateway.runtime.door import Client, Submission
from gateway.runtime.kept import by_the_door, client_of, submission
from gateway.runtime.turn import NotHandled
from gateway.storage import Collision, DeadLetter
from simulators.simulation.bus_way import Producer
from simulators.simulation.faults import Bug, Fault
from simulators.simulation.printer import Tray
from simulators.simulation.store import Database
from simulators.simulation.world import Lost, Process, World

T = TypeVar("T")
ENTERPRISE = "91330299MA9XYD0C2A"
OTHER = "91320599MA9HTQ7K6J"
"""An enterprise that has no client here; nobody has leave to declare for it."""
CLIENTS = (Client("erp-1", ENTERPRISE), Client("erp-2", ENTERPRISE, prefix="A", prints_itself=False))
DRAFTS, TWICE, AT_ONCE, OWN_NUMBERS, FOLDERS, ON_BUS = 0.15, 0.2, 0.2, 0.15, 0.3, 0.3
"""Shares of declarations that start as a draft, are sent again later, are sent twice at once, bring a number, come
without a key; and of all that is sent, what comes by the bus."""
MOST_CORRECTIONS = 2
OURS = "GATEWAY-BROKE"
"""The code of a dead letter that our own door broke on."""


@cache
def _example() -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(schemas.read_bytes("examples", "C-no-number.json"))
    return content


@dataclass(slots=True)
class Promise:
    """One declaration in an enterprise's book."""

    serial: int
    client: Client
    id: UUID
    number: str
    revisions: dict[int, str]
    """Accepted revision -> its invoice number."""
    applies: bool
    own: bool
    """The number is the enterprise's own."""


@dataclass(slots=True)
class Books:
    """What people know from outside."""

    promises: list[Promise] = field(default_factory=list)
    commands: dict[UUID, Incoming] = field(default_factory=dict)
    busy: int = 0
    """Enterprises in the middle of something."""
    decided: set[UUID] = field(default_factory=set)
    """Dead letters that were sent again or discarded."""
    wrong: list[str] = field(default_factory=list)
    """Answers nobody should have been given."""


class People:
    """Enterprises and the operator; they never crash, they only wait."""

    def __init__(
        self, world: World, database: Database, tray: Tray, doors: tuple[str, ...], producer: Producer
    ) -> None:
        self.books = Books()
        self._producer = producer
        self._world = world
        self._database = database
        self._tray = tray
        self._doors = doors

    async def insist(self, work: Callable[[Process], Awaitable[T]], others: tuple[str, ...] = ()) -> T:
        """Ask one process, then another, until somebody answers."""
        while True:
            try:
                return await self._world.request(self._world.dice.choice(others or self._doors), work)
            except (Lost, Unavailable, Collision, NotHandled, Bug):  # a 500 too: it asks again
                await asyncio.sleep(0.2 + self._world.dice.random())

    # ------------------------------------------------------------ an enterprise

    async def declare(self, serial: int) -> None:
        """One declaration, from its first submission to its end."""
        self.books.busy += 1
        dice = self._world.dice
        client = dice.choice(CLIENTS)
        applies = dice.random() >= DRAFTS
        own = f"C26MA9XYD0C2Z{serial:03d}" if dice.random() < OWN_NUMBERS else None
        key = None if dice.random() < FOLDERS else f"key-{serial}"
        body = self._body(serial, 1, applies=applies, number=own)
        hands = 2 if dice.random() < AT_ONCE else 1
        answers = await asyncio.gather(*(self._submit(serial, client, body, key) for _ in range(hands)))
        if dice.random() < TWICE:
            answers.append(await self._submit(serial, client, body, dice.choice((key, f"other-{serial}"))))
        if len(answers) > 1:
            self._world.faults.count(Fault.SAME_AGAIN)
        content = answers[0].content
        if any(answer.verdict not in (Verdict.ACCEPTED, Verdict.DUPLICATE) for answer in answers):
            self.books.wrong.append(f"declaration {serial} was answered {[str(a.verdict) for a in answers]}")
            return
        if len({(a.content["id"], a.content["number"]) for a in answers}) > 1:
            self.books.wrong.append(f"declaration {serial} was given two certificates")
        revisions = {1: self._invoice(serial, 1)}
        promise = Promise(
            serial, client, UUID(content["id"]), content["number"], revisions, applies, own=own is not None
        )
        self.books.promises.append(promise)
        self.books.busy -= 1
        await self._follow(promise)

    async def trespass(self, serial: int) -> None:
        """A client tries for another enterprise, or under its number: refused, whatever happens meanwhile."""
        self.books.busy += 1
        dice = self._world.dice
        changes = dice.choice(({"exporter_code": OTHER}, {"number": f"C26{OTHER[8:17]}{serial:04d}"}))
        body = orjson.dumps(_example() | {"reference": f"SO-{serial}"} | changes)
        answer = await self._submit(serial, dice.choice(CLIENTS), body, f"trespass-{serial}")
        self._world.faults.count(Fault.TRESPASS)
        if answer.verdict is not Verdict.REFUSED:
            self.books.wrong.append(f"{changes} of another enterprise was answered {answer.verdict}")
        self.books.busy -= 1

    async def _submit(self, serial: int, client: Client, body: bytes, key: str | None) -> Answer:
        """By HTTP, or by the bus: the door is the same."""
        if self._world.dice.random() < ON_BUS:
            return await self._producer.submit(client, body, f"SO-{serial}", key)

        async def work(process: Process) -> Answer:
            answer: Answer = await process.parts["door"].submit(
                Submission(client, "application/json", body, "http", key)
            )
            if answer.verdict is Verdict.INTERNAL:  # the ERP's people hear when it is mended, and send it again
                raise Unavailable("it broke the door")
            return answer

        return await self.insist(work)

    def _invoice(self, serial: int, revision: int) -> str:
        return f"INV-{serial}-{revision}"

    def _body(self, serial: int, revision: int, *, applies: bool, number: str | None) -> bytes:
        changes: dict[str, Any] = {"reference": f"SO-{serial}", "invoice_no": self._invoice(serial, revision)}
        changes["apply_type"] = "1" if applies else "0"
        if number:
            changes["number"] = number
        return orjson.dumps(_example() | changes)

    async def _follow(self, promise: Promise) -> None:
        """Look again and again, and do what is asked: declare the draft, correct, print, confirm."""
        asked = 0
        while True:
            await asyncio.sleep(1 + self._world.dice.random())
            state = self._database.tables.states.get(promise.id)
            if state is None:
                continue
            self.books.busy += 1
            match wish(promise, state):
                case "correct":
                    await self._correct(promise, max(promise.revisions) + 1)
                case "print":
                    asked += 1
                    identity = uuid5(promise.id, f"asked/{asked}")
                    await self._command(
                        RequestPrint(message_id=identity, certificate_id=promise.id, parts=unprinted(state), by="erp")
                    )
                case "confirm":
                    asked += 1
                    identity = uuid5(promise.id, f"asked/{asked}")
                    await self._command(
                        ConfirmPrint(message_id=identity, certificate_id=promise.id, printed=True, by="erp")
                    )
            self.books.busy -= 1

    async def _correct(self, promise: Promise, revision: int) -> None:
        body = self._body(promise.serial, revision, applies=True, number=promise.number)
        answer = await self._submit(promise.serial, promise.client, body, f"correction-{promise.serial}-{revision}")
        if answer.verdict is Verdict.ACCEPTED:
            self._world.faults.count(Fault.CORRECTED)
            promise.revisions[revision] = self._invoice(promise.serial, revision)
            promise.applies = True
            if answer.content["number"] != promise.number:
                self.books.wrong.append(f"the correction of {promise.number} was given another number")

    async def _command(self, message: Incoming) -> None:
        self.books.commands[message.message_id] = message
        await self.insist(lambda process: process.parts["turn"].command(message))

    # ------------------------------------------------------------ the operator

    def waiting(self) -> list[DeadLetter]:
        """Dead letters nobody has decided about."""
        return [one for one in self._database.tables.dead.values() if one.id not in self.books.decided]

    async def _decide(self) -> None:
        """What our own code could not read, or died once, is sent again; the rest is discarded. Published first, then
        written down: asked again after a lost answer, it is published twice."""
        for letter in self.waiting():
            if letter.attempts > 1:
                self._world.faults.count(Fault.DEAD_AGAIN)
            if letter.code == OURS or letter.attempts == 1:
                self._world.faults.count(Fault.DEAD_REPLAYED)
                self._world.note("operator sends again", letter.id)
                await self._again(letter)
            self.books.decided.add(letter.id)

    async def _again(self, letter: DeadLetter) -> None:
        """As `origin dlt replay` does: by the door where it came by the door, else by the bus."""
        if not by_the_door(letter):
            again = dead_letters.again(letter)
            await self.insist(lambda process: process.parts["bus"].publish([again]))
            return
        owner = client_of(letter.topic)
        sent = submission(letter, next(client for client in CLIENTS if client.id == owner))
        answer = await self.insist(lambda process: process.parts["door"].submit(sent))
        if answer.verdict not in ((Verdict.REFUSED,) if OTHER[8:17].encode() in sent.body else ON_FILE):
            self.books.wrong.append(f"dead letter {letter.id} was answered {answer.verdict} by the mended door")

    async def mend(self) -> None:
        """Our bugs are mended; what was parked is handled again, and dead letters are decided about."""
        await self._decide()
        for row in list(self._database.tables.parked.values()):
            self._world.faults.count(Fault.REPLAYED)
            self._world.note("operator replays", row.message_id)
        hands = [
            self.insist(lambda process: process.parts["turn"].replay()) for _ in range(self._world.dice.choice((1, 2)))
        ]
        await asyncio.gather(*hands)

    async def look(self) -> None:
        """Every print in doubt: look at the paper, and say yes or no."""
        for state in list(self._database.tables.states.values()):
            for part, paper in state.papers.items():
                if paper.print is PrintState.IN_DOUBT:
                    yes = self._tray.printed(str(paper.print_job))
                    self._world.note("operator looks", state.number, part, yes)
                    nonce = uuid5(state.id, f"looked/{part}/{state.sequence}")
                    await self._command(
                        ConfirmPrint(
                            message_id=nonce, certificate_id=state.id, printed=yes, parts=(part,), by="operator"
                        )
                    )


def wish(promise: Promise, state: Certificate) -> str | None:
    """What the enterprise does next: correct what was returned, declare the draft, print, confirm; or nothing."""
    newest = max(promise.revisions)
    if state.revision == newest and state.review is Review.DRAFT:
        return "correct"
    if state.revision == newest and state.review is Review.RETURNED and newest <= MOST_CORRECTIONS:
        return "correct"
    if unprinted(state):
        return "print"
    return "confirm" if state.status == "printed" else None


def unprinted(state: Certificate) -> tuple[Part, ...]:
    """Papers that could be asked for now: approved, nothing under way, and no print or file."""
    if state.review is not Review.APPROVED or not all(paper.layout for paper in state.papers.values()):
        return ()
    if any(paper.render_job and not paper.file for paper in state.papers.values()):
        return ()
    return tuple(part for part, paper in state.papers.items() if paper.print is PrintState.NONE)
