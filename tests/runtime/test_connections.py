"""Who has to go when there are too many connections: never one whose request showed a key, never the newcomer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.connections import YOUNG, Connections, network


class Moment:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_oldest_stranger_of_a_crowded_address_goes() -> None:
    clock = Moment()
    connections: Connections[str] = Connections(100, 3, clock)
    for name in ("a", "b", "c"):
        assert connections.enter(name, "192.0.2.1") == []
    clock.now += 2 * YOUNG
    assert connections.enter("other", "192.0.2.2") == []
    assert connections.enter("d", "192.0.2.1") == ["a"]
    connections.known("b")
    assert connections.enter("e", "192.0.2.1") == []
    assert connections.enter("f", "192.0.2.1") == ["c"]
    connections.answered("b")
    assert connections.enter("g", "192.0.2.1") == ["b"], "it had its answer; the others have asked for nothing yet"


def test_a_burst_of_honest_senders_is_no_crowd_and_melts_later() -> None:
    clock = Moment()
    connections: Connections[int] = Connections(1000, 10, clock)
    for number in range(200):
        assert connections.enter(number, "192.0.2.1") == []
    clock.now += 2 * YOUNG
    gone = [one for number in range(200, 500) for one in connections.enter(number, "192.0.2.1")]
    assert gone[:3] == [0, 1, 2], "two go for one that comes"
    assert set(gone) >= set(range(190))


def test_a_full_listener_lets_the_newcomer_in() -> None:
    clock = Moment()
    connections: Connections[str] = Connections(4, 100, clock)
    for name in ("a", "b", "c"):
        connections.enter(name, "192.0.2.1")
    assert connections.enter("d", "192.0.2.2") == []
    connections.answered("c")
    assert connections.enter("e", "192.0.2.2") == ["c"], "of the address that has the most"
    for name in ("a", "b", "d", "e"):
        connections.known(name)
    assert connections.enter("f", "192.0.2.3") == ["f"], "whoever showed a key stays"
    assert len(connections) == 4


@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "known", "answered", "leave", "wait"]), st.integers(0, 15)), max_size=200
    )
)
def test_it_never_holds_more_and_never_ends_a_known_one(steps: list[tuple[str, int]]) -> None:
    clock = Moment()
    connections: Connections[int] = Connections(8, 3, clock)
    here: set[int] = set()
    known: set[int] = set()
    for step, number in steps:
        if step == "enter" and number not in here:
            here.add(number)
            gone = connections.enter(number, f"192.0.2.{number % 3}")
            assert not known & set(gone)
            here -= set(gone)
        elif step == "known" and number in here:
            connections.known(number)
            known.add(number)
        elif step == "answered" and number in here:
            connections.answered(number)
            known.discard(number)
        elif step == "leave":
            connections.leave(number)
            here.discard(number)
            known.discard(number)
        elif step == "wait":
            clock.now += 2 * YOUNG
        assert len(connections) == len(here) <= 8


def test_who_is_gone_is_forgotten() -> None:
    connections: Connections[int] = Connections(10, 3, Moment())
    for number in range(1000):
        connections.enter(number, f"192.0.2.{number % 200}")
        connections.leave(number)
        connections.answered(number)
        connections.known(number)
    assert len(connections) == 0
    assert not connections._strangers


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, counted_as: str) -> None:
    assert network(address) == counted_as
