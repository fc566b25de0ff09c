"""The simulated customs at work: takes declarations from the outbound topic and answers each in its own time.

What is due follows from the consumed record, so nothing needs to be remembered: a record is acknowledged once all its
answers went out, and after a crash it is read again and answered with the same bytes, which readers drop as doubles.
A message that is sent again (same id, same content) is the same question: it gets the same bytes once more, at once.
"""

import asyncio
import heapq
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from gateway.ports import Bus, Clock, Consumer, Fenced, Message, Record, Unavailable
from renderers.forms import FormError
from renderers.layout import RenderRefused
from simulators.customs.answers import Answers
from simulators.customs.examiner import findings
from simulators.customs.ledger import Entry, Inquiry, Ledger
from simulators.customs.marks import Marks
from simulators.customs.question import Question, question
from simulators.customs.scenarios import Scenario, Scenarios, Step, drawn, load

OUTBOUND = "origin.customs.outbound.v1"
GROUP = "customs-simulator"
BATCH = 100
IN_HAND = 5000
"""Most declarations with answers outstanding; more wait in the log."""
NAP = 0.25
"""Longest pause between two looks at what is due, seconds."""
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Before trying again when the bus is away, seconds; the last one repeats."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Case:
    """One declaration in hand."""

    record: Record
    question: Question
    entry: Entry
    scenario: Scenario


@dataclass(slots=True)
class Agenda:
    """What is due when, and how far each partition may be acknowledged."""

    due: list[tuple[datetime, int, Case, Step]] = field(default_factory=list)
    open: dict[tuple[str, int], dict[int, int]] = field(default_factory=dict)
    """Place -> offset -> answers outstanding, in order of reading."""
    serial: int = 0
    cases: int = 0

    def add(self, record: Record, answers: Sequence[tuple[datetime, Case, Step]]) -> None:
        """A record and its answers."""
        self.open.setdefault(record.place, {})[record.offset] = len(answers)
        self.cases += bool(answers)
        for at, case, step in answers:
            self.serial += 1
            heapq.heappush(self.due, (at, self.serial, case, step))

    def take(self, now: datetime, limit: int) -> list[tuple[datetime, int, Case, Step]]:
        """Up to `limit` answers whose time has come, earliest first."""
        taken: list[tuple[datetime, int, Case, Step]] = []
        while self.due and self.due[0][0] <= now and len(taken) < limit:
            taken.append(heapq.heappop(self.due))
        return taken

    def done(self, record: Record) -> None:
        """One answer of this record went out."""
        left = self.open[record.place]
        left[record.offset] -= 1
        self.cases -= left[record.offset] == 0

    def settled(self) -> dict[tuple[str, int], int]:
        """What may be acknowledged: everything before the first record with an answer outstanding."""
        positions = {}
        for place, left in self.open.items():
            while left and left[first := next(iter(left))] == 0:
                del left[first]
                positions[place] = first + 1
        return positions

    def wait(self, now: datetime) -> float:
        """Seconds until something is due, at most `NAP`."""
        return min(max((self.due[0][0] - now).total_seconds(), 0.0), NAP) if self.due else NAP


class CustomsSimulator:
    """Reads `OUTBOUND` as a member of `GROUP`, publishes answers keyed by certificate number."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        scenarios: Scenarios | None = None,
        seed: int = 1,
        marks: Marks | None = None,
        *,
        pace: float = 1.0,
        ledger: Ledger | None = None,
    ) -> None:
        """`pace` stretches every delay of the scenarios (0: at once); a `ledger` in memory forgets with the process."""
        self._bus = bus
        self._clock = clock
        self._scenarios = scenarios or load()
        self._seed = seed
        self._answers = Answers(self._scenarios, seed, marks or Marks(), pace)
        self._pace = pace
        self._ledger = ledger or Ledger()

    async def run(self) -> None:
        """Until cancelled. A bus that is away is waited for; what was not acknowledged is answered again."""
        failures = 0
        while True:
            try:
                async with self._bus.consumer(GROUP, [OUTBOUND]) as consumer:
                    agenda = Agenda()
                    while True:
                        await self._round(consumer, agenda)
                        failures = 0
            except (Unavailable, Fenced) as trouble:
                pause = PAUSES[min(failures, len(PAUSES) - 1)]
                if failures == 0:
                    log.warning("customs_simulator.waits", reason=str(trouble))
                failures += 1
                await asyncio.sleep(pause)

    async def _round(self, consumer: Consumer, agenda: Agenda) -> None:
        """Read what came, send what is due, acknowledge what is settled."""
        pause = agenda.wait(self._clock.now())
        if agenda.cases < IN_HAND:
            records = await consumer.poll(BATCH, pause)
            if records:
                cases = await asyncio.to_thread(self._accept, records)
                for record, case in zip(records, cases, strict=True):
                    agenda.add(record, self._plan(case) if case else [])
        else:
            await asyncio.sleep(pause)
        due = agenda.take(self._clock.now(), BATCH)
        if due:
            messages = await asyncio.to_thread(self._write, [(case, step) for _, _, case, step in due])
            await self._bus.publish(messages)
            for _, _, case, _ in due:
                agenda.done(case.record)
        if positions := agenda.settled():
            await consumer.commit(positions)

    def _accept(self, records: Sequence[Record]) -> list[Case | None]:
        """Judge what came and enter it in the register, durably; None for what nobody could be answered about."""
        now = self._clock.now()
        asked = [question(record, now) for record in records]
        chosen = [self._choose(one) if one else None for one in asked]
        known = [(one, scenario) for one, scenario in zip(asked, chosen, strict=True) if one and scenario]
        inquiries = [Inquiry(q.id, q.number, q.content, self._replies(s), q.at) for q, s in known]
        try:
            entries = iter(self._ledger.enter(inquiries))
        except sqlite3.Error as error:
            raise Unavailable(f"the register of the customs simulator can't be written: {error}") from None
        cases: list[Case | None] = []
        for record, one, scenario in zip(records, asked, chosen, strict=True):
            if one is None or scenario is None:
                log.warning("customs_simulator.no_number", topic=record.topic, offset=record.offset)
                cases.append(None)
                continue
            entry = next(entries)
            settled = self._settle(scenario, entry)
            if entry.at != one.at and settled.repeated:
                settled = self._scenarios.by_name[settled.repeated]
            else:
                one = replace(one, at=entry.at)
            cases.append(Case(record, one, entry, settled))
            log.info("customs_simulator.took", number=one.number, kind=settled.name)
        return cases

    def _choose(self, asked: Question) -> Scenario:
        if asked.declaration is None:
            return self._scenarios.by_name[self._scenarios.invalid]
        draw = drawn(self._seed, asked.number, asked.content)
        return self._scenarios.pick(asked.fields, findings(asked.fields), draw)

    def _settle(self, scenario: Scenario, entry: Entry) -> Scenario:
        """Corrected content may have a scenario of its own."""
        if entry.corrected and scenario.otherwise:
            return self._scenarios.by_name[scenario.otherwise]
        return scenario

    def _replies(self, scenario: Scenario) -> int:
        """The running numbers that a question may take, asked once or again."""
        again = self._scenarios.by_name[scenario.repeated].replies if scenario.repeated else ()
        return max(len(scenario.replies), len(again))

    def _plan(self, case: Case) -> list[tuple[datetime, Case, Step]]:
        at = case.question.at
        return [(at + timedelta(seconds=step.after * self._pace), case, step) for step in case.scenario.step]

    def _write(self, due: Sequence[tuple[Case, Step]]) -> list[Message]:
        return [message for case, step in due if (message := self._one(case, step))]

    def _one(self, case: Case, step: Step) -> Message | None:
        try:
            return self._answers.write(case.question, case.entry, case.scenario, step)
        except (RenderRefused, FormError) as refused:
            # The door refuses what no form can show. What came past it is sent back with the reason: an approval that
            # nobody can print would be the last word that is heard of it.
            code = refused.code if isinstance(refused, RenderRefused) else "FORM-UNKNOWN"
            log.error("customs_simulator.no_layout", number=case.question.number, code=code)
            return self._answers.withdrawal(case.question, step, code)
        except Exception:  # a bug of ours must not keep all the others waiting for their answers
            log.exception("customs_simulator.broke", number=case.question.number, kind=step.answer)
            return None
