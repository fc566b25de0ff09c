"""Lines that take turns, and what a client may take of the event loop."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.allowance import DEAREST, GROWS, MOST, QUICK, Allowance
from gateway.runtime.fair import FairQueue

STEPS = st.lists(st.one_of(st.sampled_from("abc"), st.integers(1, 5)), max_size=60)


@given(STEPS)
def test_a_line_keeps_its_order_and_nothing_is_lost_or_doubled(steps: list[str | int]) -> None:
    queue, sent, got = FairQueue[tuple[str, int]](), defaultdict[str, int](int), []
    for step in steps:
        if isinstance(step, int):
            got += queue.take(step)
        else:
            sent[step] += 1
            queue.add(step, (step, sent[step]))
    got += queue.take(1000)
    assert list(queue) == []
    for name, count in sent.items():
        assert [item for item in got if item[0] == name] == [(name, n + 1) for n in range(count)]
    assert len(got) == sum(sent.values())


def test_who_sends_much_waits_for_himself() -> None:
    queue = FairQueue[str]()
    for number in range(100):
        queue.add("flood", f"flood {number}")
    queue.add("honest", "honest 0")
    assert "honest 0" in queue.take(2)
    assert queue.take(3) == ["flood 1", "flood 2", "flood 3"]


def test_turns_go_on_where_they_stopped() -> None:
    queue = FairQueue[str]()
    for name in "abc":
        for _ in range(9):
            queue.add(name, name)
    assert sorted(one for _ in range(6) for one in queue.take(1)) == sorted("aabbcc")


def test_a_line_whose_first_is_not_ready_waits_and_no_other() -> None:
    queue = FairQueue[str]()
    for name, item in (("a", "slow"), ("a", "quick"), ("b", "quick")):
        queue.add(name, item)
    assert queue.take(9, lambda item: item == "quick") == ["quick"]
    assert queue.take(9) == ["slow", "quick"]


class Machine:
    """Its two clocks, and documents that take as long as they say: on the processor, or waiting for it."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0
        self.asked = 0
        self.allowance = Allowance(lambda: self.wall, self._processor)

    def _processor(self) -> float:
        self.asked += 1
        return self.processor

    def examine(self, client: str, now: float, seconds: float, waits: float = 0.0) -> None:
        self.allowance.measured(client, now, self._work, (seconds, waits))

    def _work(self, document: tuple[float, float]) -> None:
        self.wall += sum(document)
        self.processor += document[0]


def test_good_documents_cost_nothing() -> None:
    machine = Machine()
    for number in range(10_000):
        machine.examine("a", number * QUICK, QUICK / 2)
    assert machine.allowance.left("a", 10.0)
    assert machine.asked < 10_000 / 2, "the processor's clock is dear"


def test_slow_ones_are_used_up_and_grow_again_for_their_client_alone() -> None:
    machine = Machine()
    left = machine.allowance.left
    for seconds in (MOST, 10 * MOST):
        assert left("a", 10.0)
        machine.examine("a", 10.0, seconds)
    assert (left("a", 10.0), left("b", 10.0)) == (False, True)
    used = 2 * DEAREST
    assert not left("a", 10.0 + (used - MOST) / GROWS - 0.01)
    assert left("a", 10.0 + (used - MOST) / GROWS + 0.01)
    assert left("a", 10.0 + 3 * MOST / GROWS)
    assert not machine.allowance._used, "who has used nothing lately takes no room"


def test_a_client_does_not_answer_for_what_else_the_machine_does() -> None:
    machine = Machine()
    for number in range(1000):
        machine.examine("a", 10.0 + number * 0.001, QUICK / 2, waits=1.0)
        assert machine.allowance.left("a", 10.0 + number * 0.001)


def test_what_the_loop_did_before_is_not_the_slow_documents() -> None:
    machine = Machine()
    for _ in range(1000):
        machine.examine("a", 10.0, QUICK / 3)
        machine.wall += QUICK
        machine.processor += QUICK  # answers are written, batches made ready
        machine.examine("b", 10.0, QUICK / 3, waits=1.0)
    assert not machine.allowance._used


def test_what_broke_is_counted_too() -> None:
    machine = Machine()

    def breaks(_: object) -> None:
        machine.wall += MOST
        machine.processor += MOST
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            machine.allowance.measured("a", 10.0, breaks, None)
    assert not machine.allowance.left("a", 10.0)
