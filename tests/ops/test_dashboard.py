"""The Grafana dashboard: every panel asks for metrics that exist, by labels they have."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.tree import ROOT
from tests.ops.known import names, registry, selectors

DASHBOARD: dict[str, Any] = json.loads((ROOT / "ops/grafana/origin.json").read_text("utf-8"))
ROWS = [
    "The door",
    "The log and the relay",
    "The turn",
    "Customs",
    "Render and print",
    "Neighbours",
    "Processes",
]
OF_A_SCRAPE = {"job", "instance", "role"}


def panels() -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def test_the_rows_follow_a_certificates_way() -> None:
    assert [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"] == ROWS


def test_every_panel_asks_for_metrics_that_exist() -> None:
    known = names(registry())
    for panel in panels():
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            found = selectors(target["expr"])
            assert found, f"{panel['title']}: no metric in {target['expr']}"
            for metric, labels in found:
                assert metric in known, f"{panel['title']}: {metric} does not exist"
                assert labels <= known[metric] | OF_A_SCRAPE, f"{panel['title']}: {metric} has no {labels}"


@pytest.mark.needs("promtool")
def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    # given each expression as a recording rule
    asked = [target["expr"].replace("$__rate_interval", "5m") for panel in panels() for target in panel["targets"]]
    asked += [note["expr"] for note in DASHBOARD["annotations"]["list"]]
    rules = [{"record": f"panel_{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    # then
    command = ["promtool", "check", "rules", "--lint=none", str(tmp_path / "panels.yml")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_legend_names_labels_that_are_left() -> None:
    known = names(registry())
    for panel in panels():
        for target in panel["targets"]:
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = re.search(r"\b(?:by)\s*\(([^)]*)\)", target["expr"])
            if kept:
                there = {label.strip() for label in kept[1].split(",")}
            else:
                there = set.union(*(known[metric] for metric, _ in selectors(target["expr"]))) | OF_A_SCRAPE
            assert wanted <= there, f"{panel['title']}: the legend names {wanted - there}"


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = {metric for panel in panels() for target in panel["targets"] for metric, _ in selectors(target["expr"])}
    ours = {
        re.sub(r"_(bucket|sum|count|created)$", "", name) for name in names(registry()) if name.startswith("origin_")
    }
    shown |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    counters = {f"{name}_total" for name in ours}
    assert {name for name in ours if name not in shown and f"{name}_total" not in shown} - counters - {
        "origin_build"
    } == set()


def test_panels_are_told_apart_explained_and_inside_the_page() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        squares = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not squares & taken, f"{panel['title']} covers another panel"
        taken |= squares
    assert not [panel["title"] for panel in panels() if not panel["description"]]


def test_the_data_source_is_chosen_where_it_is_installed() -> None:
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${datasource}"}
