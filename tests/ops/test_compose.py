"""The compose files, read and compared with the gateway: nothing here can run containers."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from gateway.settings import PREFIX, Role, Settings
from tests.architecture.tree import PRODUCT, ROOT
from tests.ops.command_line import parse

HERE = ROOT / "ops/compose"
COMPOSE: dict[str, Any] = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "origin-gateway"}
WANTED = {
    *("postgres", "kafka", "topics", "intake-1", "intake-2", "turn-1", "turn-2", "relay", "render", "print"),
    *("customs-simulator", "prometheus", "alertmanager", "grafana"),
}
REFUSED = ["", "change-me", "postgres"]


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """(source, place in the container) of every volume."""
    return [(parts[0], parts[1]) for volume in service.get("volumes", []) for parts in [volume.split(":")]]


def test_the_topology_is_whole() -> None:
    assert set(SERVICES) == WANTED
    roles = [service["command"][2] for service in OURS.values() if service["command"][0] == "serve"]
    assert {Role(role) for role in roles} == set(Role) - {Role.CUSTOMS_LINK}, "the simulator stands for the link"
    assert roles.count("intake") == roles.count("turn") == 2


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_gateway_service_is_one_the_program_takes(name: str) -> None:
    service = OURS[name]
    # its command line
    parse(f"origin {' '.join(service['command'])}")
    # its settings, by name and by value
    given = {key: value for key, value in service["environment"].items() if key.startswith(PREFIX)}
    fields = {key.removeprefix(PREFIX).lower(): value for key, value in given.items()}
    assert set(fields) <= set(Settings.model_fields)
    settings = Settings.model_validate(fields)
    # and where it is watched
    assert settings.metrics_port == 9100
    assert not any(isinstance(value, float | int) for value in given.values()), "YAML numbers are not what one wrote"


def test_a_setting_that_does_not_exist_would_be_found() -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"kafka_bootstrop": "kafka:9092"})


def test_no_two_processes_have_one_name() -> None:
    instances = [
        service["environment"].get("ORIGIN_KAFKA_INSTANCE") for name, service in OURS.items() if name != "topics"
    ]
    assert None not in instances
    assert len(set(instances)) == len(instances)


def test_every_mounted_file_volume_and_secret_is_there() -> None:
    for name, service in SERVICES.items():
        for source, _ in mounts(service):
            if source.startswith("."):
                assert (HERE / source).exists(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        for other in service.get("depends_on", []):
            assert other in SERVICES, f"{name}: {other}"


def test_every_neighbour_a_process_is_told_of_is_a_service() -> None:
    for service in OURS.values():
        assert re.search(r"@([\w-]+):", service["environment"]["ORIGIN_DATABASE_URL"])[1] in SERVICES  # type: ignore[index]
        assert service["environment"]["ORIGIN_KAFKA_BOOTSTRAP"].split(":")[0] in SERVICES


def test_only_this_machine_gets_in() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)


def test_no_secret_stands_in_the_files() -> None:
    for path in HERE.rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            text = path.read_text("utf-8")
            assert not re.search(r"PASSWORD:\s*[^/\s$]", text), path
            assert not re.search(r"://\w+:[^@/\s]+@", text), path
    assert "secrets/" in (HERE / ".gitignore").read_text("utf-8").splitlines()
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())


def test_prometheus_asks_every_process_of_ours_with_its_role() -> None:
    config = yaml.safe_load((HERE / "prometheus.yml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "origin"
    asked = {target: group["labels"]["role"] for group in job["static_configs"] for target in group["targets"]}
    running = {name: service["command"][2] for name, service in OURS.items() if service["command"][0] == "serve"}
    assert asked == {f"{name}:9100": role for name, role in running.items()}
    places = [place for _, place in mounts(SERVICES["prometheus"])]
    assert all(f"/etc/prometheus/{file}" in places for file in config["rule_files"])
    told = [target for one in config["alerting"]["alertmanagers"][0]["static_configs"] for target in one["targets"]]
    assert [target.split(":")[0] in SERVICES for target in told] == [True]


def test_grafana_is_given_what_its_files_name() -> None:
    service = SERVICES["grafana"]
    places = dict(tuple(reversed(mount)) for mount in mounts(service))
    source = yaml.safe_load((HERE / "grafana/datasources.yml").read_text("utf-8"))["datasources"][0]
    assert re.match(r"http://([\w-]+):9090$", source["url"])[1] in SERVICES  # type: ignore[index]
    folder = yaml.safe_load((HERE / "grafana/dashboards.yml").read_text("utf-8"))["providers"][0]["options"]["path"]
    assert (HERE / places[folder] / "origin.json").is_file()
    home = Path(service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (HERE / places[str(home.parent)] / home.name).is_file()


def test_the_image_is_made_of_files_that_are_there() -> None:
    build = COMPOSE["x-gateway"]["build"]
    assert (HERE / build["context"]).resolve() == ROOT
    dockerfile = (ROOT / build["dockerfile"]).read_text("utf-8")
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE) for name in line.split()[:-1]
    ]
    let_in = {
        line.removeprefix("!")
        for line in (HERE / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    }
    assert all((ROOT / name).exists() for name in copied)
    assert set(copied) == let_in
    assert set(PRODUCT) <= set(copied)
    assert "USER origin" in dockerfile


def start(tmp_path: Path, secret: str | None) -> subprocess.CompletedProcess[str]:
    """The entry point with an `origin` that tells what it was given."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "origin").write_text('#!/bin/sh\necho "$@"; echo "$PGPASSFILE"\n')
    (programs / "origin").chmod(0o755)
    file = tmp_path / "database-password"
    if secret is not None:
        file.write_text(f"{secret}\n")
    return subprocess.run(
        ["sh", str(HERE / "entrypoint.sh"), "serve", "--roles", "turn"],
        capture_output=True,
        text=True,
        timeout=10,
        env={
            "PATH": f"{programs}:{os.defpath}",
            "DATABASE_PASSWORD_FILE": str(file),
            "PGPASSFILE": str(tmp_path / "pgpass"),
        },
    )


@pytest.mark.parametrize("secret", REFUSED)
def test_a_password_nobody_changed_is_refused(tmp_path: Path, secret: str) -> None:
    result = start(tmp_path, secret)
    assert result.returncode == 2
    assert "change it" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("secret", ["a:b", "a\\b", "two words"])
def test_a_password_that_a_password_file_can_t_carry_is_refused(tmp_path: Path, secret: str) -> None:
    result = start(tmp_path, secret)
    assert result.returncode == 2
    assert "letters, digits" in result.stderr
    assert secret not in result.stderr


def test_a_password_travels_by_file_and_nowhere_else(tmp_path: Path) -> None:
    result = start(tmp_path, "a-b_9")
    assert result.returncode == 0
    assert result.stdout.splitlines() == ["serve --roles turn", str(tmp_path / "pgpass")]
    assert (tmp_path / "pgpass").read_text() == "*:*:*:*:a-b_9\n"
    assert (tmp_path / "pgpass").stat().st_mode & 0o077 == 0
