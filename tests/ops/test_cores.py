"""Processes that take turns while the bench measures, and go on when it has."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.bench.cores import halves
from tests.integration.process import eventually


def state(process: subprocess.Popen[bytes]) -> str:
    """S: sleeps; T: stands still."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def pair() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes that wait."""
    started = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_each_of_two_runs_and_stands_still_in_turn(pair: list[subprocess.Popen[bytes]]) -> None:
    seen: set[tuple[int, str]] = set()

    def both_in_both_states() -> bool:
        seen.update((number, state(process)) for number, process in enumerate(pair))
        return seen >= {(0, "S"), (0, "T"), (1, "S"), (1, "T")}

    with halves([process.pid for process in pair]):
        assert eventually(both_in_both_states, 10)
    assert eventually(lambda: [state(one) for one in pair] == ["S", "S"], 10)


def test_they_go_on_when_what_was_measured_breaks(pair: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(RuntimeError), halves([process.pid for process in pair]):
        raise RuntimeError
    assert eventually(lambda: [state(one) for one in pair] == ["S", "S"], 10)
