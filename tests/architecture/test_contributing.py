"""Who wants to change something is sent to a place that exists (CONTRIBUTING.md)."""

import re

from tests.architecture.tree import ROOT

TEN = (
    "a certificate type",
    "an IPP printer",
    "a webhook",
    "a receipt code",
    "an amendment rule",
    "an authorisation",
    "form stock",
    "a filtered list with Excel",
    "a metric with an alert",
    "a larger document limit",
)
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([^|]+) \| (`[^|`]+`) \| ([^|]+) \|$", re.MULTILINE)
PATH = re.compile(
    r"`((?:gateway|schemas|adapters|renderers|simulators|ops|tests)/[\w./-]*|[A-Z]+\.md|pyproject\.toml)`"
)


def test_each_of_a_newcomers_changes_has_one_home() -> None:
    homes = {wish: home for wish, home, _ in ROW.findall(TEXT)}
    for wish in TEN:
        assert [home for name, home in homes.items() if name.startswith(wish)], wish
    assert len(homes) == len(TEN)


def test_every_home_and_file_that_is_named_exists() -> None:
    named = PATH.findall(TEXT)
    assert len(named) > 25
    assert not [name for name in named if not (ROOT / name).exists()]


def test_every_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)", TEXT))
    assert {"setup", "test", "check", "bench"} <= named <= targets
