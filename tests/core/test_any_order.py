"""Receipts in any order and any number of times end in the same state (reliability.md 2.3, I6), and nothing that can
happen prints a paper twice (ops/decisions/0035). The sequences are generated."""

import random
from collections.abc import Sequence
from itertools import permutations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from gateway.core.decision import EventKind
from gateway.core.messages import (
    BusinessReceipt,
    Incoming,
    Part,
    PrintJob,
    PrintOutcome,
    ReceiptMeaning,
    Reminder,
    RenderJob,
    TechnicalVerdict,
)
from gateway.core.state import Certificate, PrintState, Review
from tests.core.life import (
    COPY,
    ORIGINAL,
    Life,
    approved,
    attachment,
    business,
    confirm,
    declared,
    due,
    in_review,
    layout,
    not_rendered,
    printing,
    received,
    rendered,
    request,
    returned,
    technical,
)
from tests.core.life import given as after

VERDICTS = (ReceiptMeaning.APPROVED, ReceiptMeaning.RETURNED, ReceiptMeaning.FAILED)


def seen(state: Certificate) -> object:
    """What anybody can see of a certificate: everything but how often it was told and how its jobs are called."""
    papers = {part: (paper.layout, bool(paper.file), paper.print) for part, paper in state.papers.items()}
    return state.status, state.review, state.revision, state.verdict_at, papers


def end(*messages: Incoming) -> object:
    return seen(after(*messages).certificate)


def verdicts(first: int, last: int) -> st.SearchStrategy[list[BusinessReceipt]]:
    """Verdicts of one round, some in the same second, some in the same second under the same number."""
    one = st.builds(business, st.sampled_from(VERDICTS), st.integers(first, last), st.integers(1, 3))
    return st.lists(one, max_size=4)


def others(first: int, last: int) -> st.SearchStrategy[list[Incoming]]:
    """Receipts of one round that are no verdicts."""
    minute = st.integers(first, last)
    one = st.one_of(
        st.builds(technical, st.sampled_from([TechnicalVerdict.TAKEN, TechnicalVerdict.UNKNOWN]), minute),
        st.builds(received, minute),
        st.builds(in_review, minute),
        st.builds(business, st.just(ReceiptMeaning.UNKNOWN), minute, st.just(1)),
        st.just(attachment()),
    )
    return st.lists(one, max_size=4)


@given(st.data())
def test_one_round_in_any_order_and_any_number_of_times(data: st.DataObject) -> None:
    history = [
        *data.draw(others(1, 5)),
        *data.draw(verdicts(1, 5)),
        *data.draw(st.sampled_from([[], [ORIGINAL, COPY]])),
    ]
    again = data.draw(st.lists(st.sampled_from(history), max_size=6)) if history else []
    shuffled = data.draw(st.permutations([*history, *again]))
    assert end(declared(), *shuffled) == end(declared(), *history)


@given(st.data())
def test_late_receipts_of_the_first_round_change_nothing_in_the_second(data: st.DataObject) -> None:
    back = returned(6, 3)
    first = [*data.draw(others(1, 6)), *data.draw(verdicts(1, 5))]
    second: list[Incoming] = [*data.draw(others(10, 15)), *data.draw(verdicts(10, 15))]
    cut = data.draw(st.integers(0, len(first)))
    early = data.draw(st.permutations([*first[:cut], back]))
    late = data.draw(st.permutations([*first[cut:], back, *first[:cut], *second]))
    assert end(declared(), *early, declared(2), *late) == end(declared(), *first, back, declared(2), *second)


def test_every_order_of_a_whole_life() -> None:
    history: Sequence[Incoming] = (technical(), received(), in_review(), returned(4, 1), approved(5, 2), ORIGINAL, COPY)
    ends = {str(end(declared(), *order)) for order in permutations(history)}
    assert len(ends) == 1
    assert "ready_to_print" in ends.pop()


class Rooms(RuleBasedStateMachine):
    """Customs, renderers, printers and people, each saying whatever they might, whenever they like."""

    renders: Bundle[RenderJob] = Bundle("renders")
    prints: Bundle[PrintJob] = Bundle("prints")

    @initialize(prints_itself=st.booleans(), approved_first=st.booleans())
    def opens(self, prints_itself: bool, approved_first: bool) -> None:
        self.life = Life()
        self.minute = 0
        self.clock = 100
        self._hear(declared(prints_itself=prints_itself))
        if approved_first:
            self._hear(approved(50, 1))

    def _hear(self, message: Incoming) -> list[RenderJob | PrintJob]:
        count, had = len(self.life.sent), len(self.life.events)
        before = self.life.state
        self.life.when(message)
        jobs = [job for job in self.life.sent[count:] if isinstance(job, RenderJob | PrintJob)]
        for job in jobs:
            if isinstance(job, PrintJob):
                assert self.life.certificate.review is Review.APPROVED
                assert job.file_sha256 == self.life.certificate.papers[job.part].file != ""
        if before is not None:
            assert self.life.certificate.sequence == before.sequence + len(self.life.events) - had
        return jobs

    def _files(self, message: Incoming) -> MultipleResults[RenderJob]:
        return multiple(*(job for job in self._hear(message) if isinstance(job, RenderJob)))

    @rule(target=renders, meaning=st.sampled_from(VERDICTS), back=st.integers(0, 3), running=st.integers(1, 2))
    def verdict(self, meaning: ReceiptMeaning, back: int, running: int) -> MultipleResults[RenderJob]:
        self.clock += 1
        return self._files(business(meaning, self.clock - back, running))

    @rule(target=renders, part=st.sampled_from(Part), version=st.sampled_from(["", "", "2"]))
    def layout(self, part: Part, version: str) -> MultipleResults[RenderJob]:
        return self._files(layout(part, version))

    @rule(target=renders, ahead=st.integers(0, 1), applies=st.booleans())
    def correction(self, ahead: int, applies: bool) -> MultipleResults[RenderJob]:
        return self._files(declared(self.life.certificate.revision + ahead, applies=applies))

    @rule(target=prints, job=renders, good=st.sampled_from([True, True, True, False]))
    def render(self, job: RenderJob, good: bool) -> MultipleResults[PrintJob]:
        jobs = self._hear(rendered(job) if good else not_rendered(job))
        return multiple(*(one for one in jobs if isinstance(one, PrintJob)))

    @rule(target=prints, parts=st.sampled_from([(), (Part.ORIGINAL,), (Part.COPY,)]))
    def ask(self, parts: tuple[Part, ...]) -> MultipleResults[PrintJob]:
        jobs = self._hear(request(*parts))
        for job in jobs:
            if isinstance(job, RenderJob):
                jobs = [*jobs, *self._hear(rendered(job))]
        return multiple(*(one for one in jobs if isinstance(one, PrintJob)))

    @rule(job=prints, outcome=st.sampled_from(PrintOutcome), confirmed=st.booleans())
    def tell(self, job: PrintJob, outcome: PrintOutcome, confirmed: bool) -> None:
        self._hear(printing(job, outcome, confirmed=confirmed))

    @rule(yes=st.booleans())
    def look(self, yes: bool) -> None:
        self._hear(confirm(yes))

    @rule(about=st.sampled_from(Reminder), revision=st.integers(1, 3))
    def wait(self, about: Reminder, revision: int) -> None:
        self._hear(due(about, revision))

    @invariant()
    def each_paper_at_most_once(self) -> None:
        assert_at_most_once(self.life)


def assert_at_most_once(life: Life) -> None:
    """Between two authorisations, and between two prints, of one paper the printer refused it."""
    for part in Part:
        open_job: object = None
        printed = False
        for event in life.events:
            if event.data.get("part") != part:
                continue
            match event.kind:
                case EventKind.PRINT_AUTHORISED:
                    assert open_job is None
                    open_job = event.data["job"]
                case EventKind.PRINT_REFUSED:
                    assert event.data["job"] == open_job
                    assert not printed
                    open_job = None
                case EventKind.PRINTED:
                    assert event.data["job"] == open_job
                    assert not printed
                    printed = True
    jobs = [job.job for job in life.prints()]
    assert len(jobs) == len(set(jobs))
    assert len(jobs) == sum(event.kind is EventKind.PRINT_AUTHORISED for event in life.events)


TestRooms = Rooms.TestCase
TestRooms.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_ten_thousand_random_steps_print_nothing_twice_and_reach_every_print_state() -> None:
    reached: set[PrintState] = set()
    for seed in range(250):
        reached |= _walk(random.Random(seed), 40)
    assert reached == set(PrintState), "a walk that never gets there proves nothing"


def _walk(dice: random.Random, steps: int) -> set[PrintState]:
    life = after(declared(prints_itself=dice.random() < 0.7))
    reached: set[PrintState] = set()
    for minute in range(100, 100 + steps):
        choices: list[Incoming] = [
            approved(minute),
            approved(minute),
            dice.choice([returned(minute), returned(minute - 3), in_review(minute)]),
            confirm(dice.random() < 0.5),
            layout(dice.choice(list(Part))),
            declared(life.certificate.revision + dice.randrange(2)),
            request(*dice.sample(list(Part), dice.randrange(3))),
            *(rendered(job) for job in life.renders()[-3:]),
            *(
                printing(job, dice.choice(list(PrintOutcome)), confirmed=dice.random() < 0.5)
                for job in life.prints()[-3:]
            ),
        ]
        life.when(dice.choice(choices))
        reached |= {paper.print for paper in life.certificate.papers.values()}
    assert_at_most_once(life)
    return reached
