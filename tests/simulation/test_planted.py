"""The proof that the checks bite: each planted fault is caught by its invariant, where the real code passes."""

from functools import cache

import pytest

from simulators.simulation.invariants import Violation
from simulators.simulation.run import simulate
from tests.simulation.planted import PLANTED


@cache
def really(seed: int) -> tuple[Violation, ...]:
    """What the real code violates there."""
    return simulate(seed).violations


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_caught_by_its_invariant(name: str) -> None:
    planted = PLANTED[name]

    for seed in range(1, planted.seeds + 1):
        found = {violation.invariant for violation in simulate(seed, planted.kit).violations}
        if planted.invariant in found:
            assert not really(seed), f"the real code fails on seed {seed} too"
            return
    pytest.fail(f"{planted.invariant} held in {planted.seeds} worlds")


def test_there_are_enough_of_them_and_no_real_process_can_reach_one() -> None:
    assert len(PLANTED) >= 10
    assert all(planted.kit.consume.__module__ for planted in PLANTED.values())
    assert {planted.invariant.split()[0] for planted in PLANTED.values()} >= {"I1", "I2", "I4", "I6", "I8", "I10"}
