"""The deterministic simulation: everything holds in every world, every trouble happens, one seed is one world."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.runtime import ownership
from simulators.simulation.faults import AT, Fault, Faults
from simulators.simulation.loop import SimulatedLoop, Stuck
from simulators.simulation.run import ENOUGH, Summary, outcomes, simulate

ROOT = Path(__file__).parents[2]
STEPS = 200_000
LONG = 2_000_000


def run(first: int, steps: int) -> Summary:
    summary = Summary(first)
    for outcome in outcomes(first, steps):
        summary.add(outcome)
    return summary


def told(summary: Summary) -> str:
    """What a person needs to see it again."""
    lines = [f"origin simulate --seed {o.seed} --trace   # {v}" for o in summary.failed for v in o.violations]
    return "\n".join([*lines, *(f"never met: {fault.value}" for fault in summary.never)])


@pytest.mark.timeout(400)
def test_everything_holds_in_two_hundred_thousand_steps_and_every_trouble_happens() -> None:
    summary = run(1, STEPS)

    assert summary.holds, told(summary)
    assert summary.steps >= STEPS > ENOUGH
    assert {"I1", "I1 bus", "I1 claims", "I2", "I4", "I5", "I6", "I8", "I10", "I13", "I14", "I14 fold"} == set(
        summary.checked
    )


def test_a_door_that_asks_for_no_leave_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "faults", lambda reading, client: [])

    summary = Summary(1)
    for seed in range(1, 9):
        summary.add(simulate(seed))

    found = " ".join(str(one) for outcome in summary.failed for one in outcome.violations)
    assert "of another enterprise was answered accepted" in found
    assert "numbers of 91320599MA9HTQ7K6J were drawn" in found


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_everything_holds_in_two_million_steps() -> None:
    summary = run(1_000_000, LONG)

    assert summary.holds, told(summary)
    assert min(summary.faults.values()) >= 10, summary.faults


def test_a_world_without_troubles_has_no_doubts_no_alarms_and_no_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faults, "has", lambda self, fault: False)
    monkeypatch.setattr(Faults, "draw", lambda self, point: None)

    summary = Summary(1)
    for seed in range(1, 9):
        summary.add(simulate(seed))

    assert not summary.failed, told(summary)
    good_days = {Fault.SAME_AGAIN, Fault.CORRECTED, Fault.CLAIMED, Fault.TRESPASS}
    assert set(summary.faults) <= good_days
    assert summary.checked["I4"] > 0
    assert summary.checked["I5"] == 0


def test_a_long_run_that_never_met_a_trouble_fails() -> None:
    summary = Summary(1, seeds=1, steps=ENOUGH)
    summary.faults.update(fault for fault in Fault if fault is not Fault.COMMIT_LATE)

    assert summary.never == [Fault.COMMIT_LATE]
    assert not summary.holds

    summary.faults[Fault.COMMIT_LATE] += 1
    assert summary.holds


def test_every_call_that_can_fail_can_also_be_the_place_of_a_crash() -> None:
    network = {"http.request", "http.answer", "erp.publish"}

    assert all(Fault.CRASH in faults for point, faults in AT.items() if point not in network)


@pytest.mark.timeout(120)
def test_the_same_seed_is_the_same_world_byte_for_byte_in_another_process() -> None:
    def trace(hash_seed: str, seed: str) -> bytes:
        command = [sys.executable, "-m", "gateway.cli", "simulate", "--seed", seed, "--trace"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout

    for seed in ("3", "4"):
        first = trace("1", seed)
        assert first.count(b"\n") > 300
        assert trace("2", seed) == first
    assert trace("1", "5") != first


def test_both_topologies_are_simulated() -> None:
    relayed = ["relay-1 bus.publish" in "\n".join(simulate(seed, traced=True).trace) for seed in range(1, 9)]

    assert 0 < sum(relayed) < len(relayed)


# ---------------------------------------------------------------- the loop


def test_time_jumps_and_the_order_is_the_order_of_due_times() -> None:
    loop, order = SimulatedLoop(), []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((name, loop.time()))

    async def all_of_them() -> None:
        await asyncio.gather(sleeper("late", 86_400), sleeper("soon", 1), sleeper("also soon", 1))

    loop.run_until_complete(all_of_them())

    assert order == [("soon", 1), ("also soon", 1), ("late", 86_400)]


def test_a_world_that_stands_still_or_never_ends_is_stuck() -> None:
    async def nobody_comes() -> None:
        await asyncio.Event().wait()

    async def for_ever() -> None:
        await asyncio.sleep(1)
        await for_ever()

    loop = SimulatedLoop(most_steps=500)
    with pytest.raises(Stuck, match="never comes"):
        loop.run_until_complete(nobody_comes())
    with pytest.raises(Stuck, match="500 steps"):
        loop.run_until_complete(for_ever())
    loop.wind_up()
    loop.close()
