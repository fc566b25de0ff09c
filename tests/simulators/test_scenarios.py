"""Scenario files: which scenario a declaration gets, and what a broken file says."""

from pathlib import Path

import pytest

from simulators.customs.examiner import EXAMINATIONS, findings, ports
from simulators.customs.scenarios import ScenarioError, drawn, load

FRAME = """
marker = "SIM:"
default = "yes"
invalid = "no"
[[scenario]]
name = "yes"
about = ""
step = [{ answer = "reply", after = 1, code = "5" }]
[[scenario]]
name = "no"
about = ""
step = []
"""


def written(tmp_path: Path, text: str) -> Path:
    """A scenario file."""
    path = tmp_path / "scenarios.toml"
    path.write_text(FRAME + text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("choice", "fields", "expected"),
    [
        ('field = "certificate_type"\nequals = "rc"', {"certificate_type": "RC"}, "no"),
        ('field = "certificate_type"\nequals = "rc"', {"certificate_type": "C"}, "yes"),
        ('field = "goods.name"\ncontains = "garlic"', {"goods": ({"name": "LAMPS"}, {"name": "FRESH GARLIC"})}, "no"),
        ('field = "goods.name"\ncontains = "garlic"', {"goods": ({"name": "LAMPS"},)}, "yes"),
        ("share = 1.0", {}, "no"),
        ("share = 0.0", {}, "yes"),
        ("share = 0.0", {"application_note": "please SIM:no"}, "no"),
    ],
)
def test_the_first_choice_that_holds(tmp_path: Path, choice: str, fields: dict[str, object], expected: str) -> None:
    scenarios = load(written(tmp_path, f'[[choose]]\nscenario = "no"\n{choice}\n'))
    assert scenarios.pick(fields, (), 0.5).name == expected


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ('[[choose]]\nscenario = "maybe"\n', "no scenario is called maybe"),
        ('[[choose]]\nscenario = "no"\nfinding = "mood"\n', "no finding is called mood"),
        ('[[choose]]\nscenario = "no"\nfield = "marks"\n', "field goes with contains or equals"),
        ('[[choose]]\nscenario = "no"\nwhim = 1\n', "whim"),
        ('[[scenario]]\nname = "no"\nabout = ""\nstep = []\n', "stands twice"),
        ('[[scenario]]\nname = "x"\nabout = ""\nstep = []\nrepeated = "maybe"\n', "no scenario is called maybe"),
        ('[[scenario]]\nname = "x"\nabout = ""\nstep = [{ answer = "reply", after = 1 }]\n', "needs a code"),
        ('[[scenario]]\nname = "x"\nabout = ""\nstep = [{ answer = "layout", after = 1 }]\n', "needs a part"),
        ("[[choose", "scenarios.toml"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, broken: str, sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        load(written(tmp_path, broken))


def test_the_shipped_findings_are_those_the_examiner_looks_for() -> None:
    assert set(load().reasons) == set(EXAMINATIONS)


@pytest.mark.parametrize(
    ("port", "destination", "wrong"),
    [
        ("BUSAN, KOREA", "410", False),
        ("Busan Port", "392", True),
        ("PORT OF HAMBURG", "410", True),
        ("ROTTERDAM", "756", False),  # landlocked
        ("NOWHERE BAY", "410", False),
        ("SYDNEY", "36", False),
        (None, "410", False),
        ("BUSAN", None, False),
    ],
)
def test_discharge_port_against_destination(port: str | None, destination: str | None, wrong: bool) -> None:
    fields = {"discharge_port": port, "destination_code": destination}
    assert ("discharge-port" in findings(fields)) is wrong


@pytest.mark.parametrize(
    ("marks", "wrong"),
    [("MADE IN CHINA", False), ("MADE IN P.R.CHINA", False), ("Made in Vietnam", True), ("N/M", False)],
)
def test_foreign_origin_in_the_marks(marks: str, wrong: bool) -> None:
    assert ("foreign-marks" in findings({"marks": marks})) is wrong


def test_ports_have_iso_numeric_countries() -> None:
    assert all(country.isdigit() and len(country) == 3 for country in ports().values())


def test_draws_are_spread_and_fixed() -> None:
    draws = [drawn(1, str(number)) for number in range(2000)]
    assert draws == [drawn(1, str(number)) for number in range(2000)]
    assert 0.45 < sum(draws) / len(draws) < 0.55
    assert all(0 <= draw < 1 for draw in draws)
