"""What must hold at the end of every world, judged from the books outside: enterprises', customs', the printers'.

Names are those of the project's list (I1 lost nothing ... I14 audit chain). Each check counts what it looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from uuid import UUID

import orjson

from adapters.bus.kafka_claims import CLAIM
from gateway.core.admission import Verdict
from gateway.core.audit import GENESIS, event_hash
from gateway.core.certificate import LIFE, LOST_RACE
from gateway.core.decision import Event, EventKind
from gateway.core.envelope import timestamp
from gateway.core.messages import Part
from gateway.core.state import Certificate, Review
from gateway.ports import Record
from gateway.runtime.history import STATUS
from gateway.runtime.inputs import FROM_STRANGERS, timer_input
from gateway.runtime.turn import LISTENS
from gateway.storage import Stored, Timer
from simulators.simulation.bus import SimulatedLog
from simulators.simulation.bus_way import answered, answers, submitted
from simulators.simulation.customs import APPROVED, RETURNED
from simulators.simulation.people import CLIENTS, OTHER, Books
from simulators.simulation.roles import House, hash_of

PRINTED = {"confirmed", "misprinted"}
VERDICTS = {
    APPROVED: {Review.APPROVED},
    RETURNED: {Review.RETURNED},
    None: {Review.DRAFT, Review.DECLARED, Review.SENT, Review.RECEIVED, Review.IN_REVIEW},
}
"""The newest verdict of customs -> what the gateway must make of it."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that should never have been."""

    invariant: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


@dataclass(slots=True)
class Scene:
    """A world and the books around it."""

    house: House
    books: Books = field(default_factory=Books)
    unrest: str = ""
    """Why it did not come to rest."""
    checked: Counter[str] = field(default_factory=Counter)

    @property
    def states(self) -> Mapping[UUID, Certificate]:
        """What the gateway believes."""
        return self.house.database.tables.states

    def life(self, certificate_id: UUID) -> list[Stored]:
        """A certificate's events, in order."""
        events = self.house.database.tables.events
        return [events[key] for key in sorted(events) if key[0] == certificate_id]


def violations(scene: Scene) -> list[Violation]:
    """Everything that does not hold."""
    found = []
    for name, check in CHECKS.items():
        found += [Violation(name, text) for text in check(scene)]
    return found


def nothing_lost(scene: Scene) -> Iterator[str]:
    """I1: what a client saw accepted exists, reached customs, and is at its end or waits with a due date."""
    yield from scene.books.wrong
    for promise in scene.books.promises:
        scene.checked["I1"] += 1
        state = scene.states.get(promise.id)
        if state is None:
            yield f"{promise.number} was accepted, and nothing is known of it"
            continue
        if state.number != promise.number:
            yield f"{promise.number} is {state.number} inside"
        newest = max(promise.revisions)
        if state.revision < newest:
            yield f"revision {newest} of {promise.number} was accepted and not handled"
        yield from _reached(scene, promise.number, promise.revisions, state, applies=promise.applies)


def _reached(
    scene: Scene, number: str, revisions: Mapping[int, str], state: Certificate, *, applies: bool
) -> Iterator[str]:
    if not applies:
        if state.review is not Review.DRAFT:
            yield f"the draft {number} is {state.status}"
        return
    lost_race = (e.event.data["what"] == LOST_RACE for e in scene.life(state.id) if e.event.kind is EventKind.NOTED)
    if any(lost_race):
        return
    cases = scene.house.register.of(number)
    if not cases or cases[-1].invoice != revisions[max(revisions)]:
        yield f"the newest declaration of {number} never reached customs"
        return
    if cases[-1].verdict == APPROVED and state.status not in PRINTED:
        yield f"{number} was approved and is {state.status}"


def due_dates_kept(scene: Scene) -> Iterator[str]:
    """I1: who waits has a deadline: a due date stays on file until it was handled, or set anew."""
    tables = scene.house.database.tables
    newest: dict[tuple[UUID, str, int], Timer] = {}
    for work in scene.house.database.journal:
        newest |= {(timer.subject_id, timer.about, timer.revision): timer for timer in work.timers}
    for key, timer in newest.items():
        scene.checked["I1"] += 1
        if tables.timers.get(key) != timer and timer_input(timer).message_id not in tables.inbox:
            yield f"the due date {timer.about} of {key[0]} is gone and was never handled"


def answered_on_the_bus(scene: Scene) -> Iterator[str]:
    """I1: what a client wrote on its topic is answered, again with the same bytes, and in the order it was written.
    Where we broke it is told that, and gets its verdict when the operator has sent it again."""
    for client in CLIENTS:
        told: dict[tuple[int, int], set[bytes]] = defaultdict(set)
        judged: set[str] = set()
        last: dict[int, int] = {}
        for answer in answers(scene.house.broker, client):
            partition, offset = answered(answer)
            if (partition, offset) not in told and offset < last.get(partition, 0):
                yield f"{client.id}: record {offset} of partition {partition} was answered after {last[partition]}"
            last[partition] = max(offset, last.get(partition, 0))
            if answer.headers["origin_status"] == Verdict.INTERNAL:
                told[partition, offset]  # it was answered
            else:
                told[partition, offset].add(answer.body)
                judged.add(answer.headers["ce_causationid"])
        for record in submitted(scene.house.broker, client):
            scene.checked["I1 bus"] += 1
            bodies = told.get((record.partition, record.offset))
            if bodies is None or len(bodies) > 1:
                count = len(bodies or ())
                yield f"{client.id}: record {record.offset} of partition {record.partition} got {count} answers"
            if record.headers["ce_id"] not in judged:
                yield f"{client.id}: {record.headers['ce_id']} never got a verdict"


def claims_kept(scene: Scene) -> Iterator[str]:
    """I1: where the broker carries a body's hash, the body is stored."""
    blobs = scene.house.database.tables.blobs
    for record in claimed(scene.house.broker):
        scene.checked["I1 claims"] += 1
        sha256 = record.headers[CLAIM]
        if sha256 not in blobs or hash_of(blobs[sha256].content) != sha256:
            yield f"{record.topic}[{record.partition}] {record.offset}: nobody has its body"


def claimed(log: SimulatedLog) -> Iterator[Record]:
    """Records whose body stayed in the store."""
    for line in log.records.values():
        yield from (record for record in line if CLAIM in record.headers)


def one_number(scene: Scene) -> Iterator[str]:
    """I2: one number for each declaration, never two, never shared; what a counter gave away is in use."""
    numbers = Counter(promise.number for promise in scene.books.promises)
    for number, count in numbers.items():
        scene.checked["I2"] += 1
        if count > 1:
            yield f"{number} was given to {count} declarations"
    asked: dict[str, set[str]] = defaultdict(set)
    for case in scene.house.register.cases.values():
        asked[case.invoice].add(case.number)
    for invoice, known in asked.items():
        scene.checked["I2"] += 1
        if len(known) > 1:
            yield f"{invoice} reached customs under {len(known)} numbers"
    tables = scene.house.database.tables
    for series, last in tables.series.items():
        if series.organisation == OTHER[8:17]:
            yield f"numbers of {OTHER} were drawn, which declared nothing"
        for serial in range(1, last + 1):
            scene.checked["I2"] += 1
            if (LIFE.kind, series.number(serial)) not in tables.keys:
                yield f"{series.number(serial)} was drawn and belongs to nothing"


def printed_once(scene: Scene) -> Iterator[str]:
    """I4: of each paper one print, by the printers' own book; what the gateway believes printed is there."""
    sheets = Counter(sheet.words for sheet in scene.house.tray.sheets)
    for words, count in sheets.items():
        scene.checked["I4"] += 1
        if count > 1:
            yield f"{' '.join(words)} came out {count} times"
    for promise in scene.books.promises:
        state = scene.states.get(promise.id)
        if state is not None and state.status == "confirmed":
            for part in Part:
                if not sheets[promise.number, str(part)]:
                    yield f"{promise.number} {part} is confirmed and never came out"


def doubts_have_reasons(scene: Scene) -> Iterator[str]:
    """I5: a print is in doubt only when something went wrong at a print room while it held the job."""
    for stored in scene.house.database.tables.events.values():
        if stored.event.kind is EventKind.IN_DOUBT:
            scene.checked["I5"] += 1
            if stored.event.data["job"] not in scene.house.tray.unsure:
                yield f"job {stored.event.data['job']} is in doubt for no reason"


def newest_verdict(scene: Scene) -> Iterator[str]:
    """I6: whatever the order of arrival, what counts is the newest verdict in customs' own order."""
    for state in scene.states.values():
        cases = scene.house.register.of(state.number)
        if not cases or len(cases) < state.declared:
            continue
        scene.checked["I6"] += 1
        expected = VERDICTS[cases[-1].verdict]
        if state.review not in expected:
            yield f"{state.number} is {state.review}, and customs' last word makes it {' or '.join(sorted(expected))}"


def applied_once(scene: Scene) -> Iterator[str]:
    """I6: what a life is made of is each message once: told again without doubles it is the same life."""
    for promise in scene.books.promises:
        state: Certificate | None = None
        events: list[Event] = []
        life = scene.life(promise.id)
        for message_id in dict.fromkeys(stored.message_id for stored in life):
            scene.checked["I6"] += 1
            state, decision = LIFE.apply(state, scene.house.heard[message_id], life[0].at)
            events += decision.events
        told = [stored.event for stored in life]
        if [(e.kind, dict(e.data)) for e in events] != [(e.kind, dict(e.data)) for e in told]:
            yield f"the life of {promise.number} has {len(told)} events; each message once makes {len(events)}"


def in_order(scene: Scene) -> Iterator[str]:
    """I8: status events of a certificate come 1, 2, 3 ..., each once after doubles are dropped, each with its row."""
    rows = {stored.id: stored for stored in scene.house.database.tables.events.values()}
    seen: set[str] = set()
    last: Counter[str] = Counter()
    for place, line in sorted(scene.house.broker.records.items()):
        if place[0] != STATUS:
            continue
        for record in line:
            if record.headers["ce_id"] in seen:
                continue
            seen.add(record.headers["ce_id"])
            scene.checked["I8"] += 1
            sequence = int(record.headers["ce_sequence"])
            if sequence != last[record.key] + 1:
                yield f"{record.key} tells {sequence} after {last[record.key]}"
            last[record.key] = sequence
            row = rows.get(UUID(record.headers["ce_id"]))
            if row is None:
                yield f"event {sequence} of {record.key} was told and is not on file"
            elif (row.sequence, row.event.kind) != (sequence, orjson.loads(record.body)["kind"]):
                yield f"event {sequence} of {record.key} was told otherwise than it is on file"
    if missing := [stored for stored in rows.values() if str(stored.id) not in seen]:
        yield f"{len(missing)} events are on file and were never told, first {missing[0].event.kind}"


def keys_in_order(scene: Scene) -> Iterator[str]:
    """I8: our own messages about one certificate are handled in the order they were written, parked ones included."""
    when = {m: n for n, (m, _) in enumerate(h for work in scene.house.database.journal for h in work.handled)}
    ours = [topic for topic in LISTENS if topic not in FROM_STRANGERS]
    for place, line in scene.house.broker.records.items():
        if place[0] in ours:
            for key, records in groupby(sorted(line, key=lambda record: record.key), key=lambda record: record.key):
                ids = list(dict.fromkeys(UUID(record.headers["ce_id"]) for record in records))
                handled = [when[one] for one in ids if one in when]
                scene.checked["I8"] += len(handled)
                if handled != sorted(handled):
                    yield f"messages about {key} on {place[0]} were handled in another order than written"


def authorised_file(scene: Scene) -> Iterator[str]:
    """I10: what came out of a printer is what was signed for the job that was authorised; one file a render job."""
    files = Counter(job for job, _ in scene.house.database.files)
    for job, count in files.items():
        scene.checked["I10"] += 1
        if count > 1:
            yield f"render job {job} was signed {count} times"
    events = scene.house.database.tables.events.values()
    allowed = {e.event.data["job"]: e.event.data["file"] for e in events if e.event.kind is EventKind.PRINT_AUTHORISED}
    for sheet in scene.house.tray.sheets:
        scene.checked["I10"] += 1
        if allowed.get(sheet.job) != sheet.sha256:
            yield f"{' '.join(sheet.words)} came out with other bytes than were authorised"


def at_rest(scene: Scene) -> Iterator[str]:
    """I13: after the last fault everything comes to rest by itself, and no process ended by an error of its own."""
    scene.checked["I13"] += 1
    if scene.unrest:
        yield scene.unrest
    yield from scene.house.world.broken
    yield from scene.house.world.loop.troubles


def chain_holds(scene: Scene) -> Iterator[str]:
    """I14: each event follows the hash of the one before it."""
    head: dict[UUID, str] = {}
    for key in sorted(scene.house.database.tables.events):
        stored = scene.house.database.tables.events[key]
        scene.checked["I14"] += 1
        previous = head.get(stored.subject_id, GENESIS)
        head[stored.subject_id] = event_hash(
            LIFE.kind,
            stored.subject_id,
            stored.sequence,
            stored.id,
            stored.event.kind.value,
            dict(stored.event.data),
            stored.message_id,
            timestamp(stored.at),
            previous,
        )
        if (stored.previous, stored.hash) != (previous, head[stored.subject_id]):
            yield f"event {stored.sequence} of {stored.subject_id} breaks the chain"


def events_rebuild(scene: Scene) -> Iterator[str]:
    """I14: the events of a life alone make its state again."""
    lives: dict[UUID, list[Event]] = defaultdict(list)
    for key, stored in sorted(scene.house.database.tables.events.items()):
        lives[key[0]].append(stored.event)
    for certificate_id, state in scene.states.items():
        scene.checked["I14 fold"] += 1
        if LIFE.fold(lives[certificate_id]) != state:
            yield f"the events of {certificate_id} do not make its state"


CHECKS: Mapping[str, Callable[[Scene], Iterator[str]]] = {
    "I1": nothing_lost,
    "I1 due dates": due_dates_kept,
    "I1 bus": answered_on_the_bus,
    "I1 claims": claims_kept,
    "I2": one_number,
    "I4": printed_once,
    "I5": doubts_have_reasons,
    "I6": applied_once,
    "I6 order": newest_verdict,
    "I8": in_order,
    "I8 keys": keys_in_order,
    "I10": authorised_file,
    "I13": at_rest,
    "I14": chain_holds,
    "I14 fold": events_rebuild,
}
