"""The alert rules: tested by promtool, every one with its page, every metric known to the gateway."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.health import LITTLE_ROOM
from tests.architecture.tree import ROOT
from tests.ops.known import names, registry, selectors

ALERTS = ROOT / "ops/alerts"
RUNBOOKS = ROOT / "ops/runbooks"


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    groups = yaml.safe_load((ALERTS / "origin.rules.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def page_of(alert: str) -> str:
    """DatabaseAway -> database-away."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()


@pytest.mark.needs("promtool", "amtool")
@pytest.mark.parametrize(
    "command",
    [
        ["promtool", "check", "rules", "ops/alerts/origin.rules.yml"],
        ["promtool", "test", "rules", "ops/alerts/origin.rules.test.yml"],
        ["promtool", "check", "config", "--syntax-only", "ops/compose/prometheus.yml"],
        ["amtool", "check-config", "ops/alerts/alertmanager.yml"],
    ],
)
def test_their_own_tools_agree(command: list[str]) -> None:
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.needs("promtool")
def test_a_rule_that_never_fires_fails_its_test(tmp_path: Path) -> None:
    # given a threshold that nobody reaches
    text = (ALERTS / "origin.rules.yml").read_text("utf-8")
    broken = text.replace("max(origin_parked_messages) > 0", "max(origin_parked_messages) > 100")
    assert broken != text
    (tmp_path / "origin.rules.yml").write_text(broken, "utf-8")
    (tmp_path / "origin.rules.test.yml").write_text((ALERTS / "origin.rules.test.yml").read_text("utf-8"), "utf-8")
    # then
    command = ["promtool", "test", "rules", "origin.rules.test.yml"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert "MessagesParked" in result.stdout + result.stderr


def test_every_alert_is_played_in_the_rules_test() -> None:
    played = (ALERTS / "origin.rules.test.yml").read_text("utf-8")
    assert not [rule["alert"] for rule in rules() if rule["alert"] not in played]


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"ops/runbooks/{page_of(rule['alert'])}.md"
    assert {page_of(rule["alert"]) for rule in rules()} == {path.stem for path in RUNBOOKS.glob("[a-z]*.md")}


def test_every_alert_says_how_urgent_it_is_and_what_is_wrong() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]


def test_every_metric_of_the_rules_exists_with_its_labels() -> None:
    known = names(registry())
    for rule in rules():
        found = selectors(rule["expr"])
        assert found, rule["alert"]
        for metric, labels in found:
            assert metric in known, f"{rule['alert']}: {metric} does not exist"
            assert labels <= known[metric] | {"job", "instance", "role"}, f"{rule['alert']}: {metric} has no {labels}"


def test_every_series_the_rules_test_plays_exists() -> None:
    known = names(registry())
    for test in yaml.safe_load((ALERTS / "origin.rules.test.yml").read_text("utf-8"))["tests"]:
        for series in test["input_series"]:
            ((metric, labels),) = selectors(series["series"])
            assert metric in known, f"{test['name']}: {metric}"
            assert labels <= known[metric] | {"job", "instance", "role", "le"}, f"{test['name']}: {series['series']}"


def test_what_a_cause_mutes_are_alerts_and_no_cause_mutes_itself() -> None:
    known = {rule["alert"] for rule in rules()}
    config = yaml.safe_load((ALERTS / "alertmanager.yml").read_text("utf-8"))
    for rule in config["inhibit_rules"]:
        (source,), (target,) = (
            re.findall(r'alertname=~?"([^"]+)"', matcher)
            for matcher in rule["source_matchers"] + rule["target_matchers"]
        )
        assert {source, *target.split("|")} <= known
        assert source not in target.split("|")


def test_the_disk_is_low_where_the_doctor_says_so() -> None:
    (rule,) = (rule for rule in rules() if rule["alert"] == "DiskLow")
    assert rule["expr"].endswith(f"< {LITTLE_ROOM}")


def test_a_metric_that_does_not_exist_is_found() -> None:
    assert selectors(
        'sum by (le) (rate(origin_nothing_total{stage="turn", le=~"1|2"}[5m])) > 3 and on () x_y == 1'
    ) == [
        ("origin_nothing_total", {"stage", "le"}),
        ("x_y", set()),
    ]
    assert "origin_nothing_total" not in names(registry())
