"""The brokers that tests and the storm run on: what they survive, whom they let in, and that they end."""

import asyncio
import logging
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from gateway.dev_kafka import parts, wire
from gateway.dev_kafka.cluster import Kafka
from gateway.dev_kafka.config import Plan, free_ports
from gateway.dev_kafka.node import Node
from tests.architecture.tree import ROOT

PARENT = """
import sys, time
from pathlib import Path
from gateway.dev_kafka.node import Node
from tests.fixtures_kafka import BROKER_GOES_AWAY

pytestmark = BROKER_GOES_AWAY
node = Node(1, Path(sys.argv[1]))
node.launch(["sleep", "60"], die_with_parent=True)
print(node.pid, flush=True)
time.sleep(60)
"""


def state(pid: int) -> str:
    """R, S, T and so on; X for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def alive(pid: int) -> bool:
    return state(pid) not in "ZX"


def runs_sleep(pid: int | None) -> bool:
    """Whether the launcher has become the program."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep")


def wait_for(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---------------------------------------------------------------- one process


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Killed at the end."""
    made = Node(1, tmp_path)
    yield made
    made.kill()


def test_a_process_is_paused_resumed_and_killed(node: Node) -> None:
    node.launch(["sleep", "60"], die_with_parent=True)
    pid = node.pid
    assert pid is not None
    other = Node(1, node.directory)
    assert other.pid == pid, "another program finds it by the file"
    other.pause()
    assert state(pid) == "T"
    node.resume()
    node.kill()
    assert not alive(pid)
    assert [node.pid, other.pid, node.memory] == [None] * 3


def test_a_paused_process_hears_terminate(node: Node) -> None:
    node.launch(["sleep", "60"], die_with_parent=True)
    node.pause()
    node.terminate()
    assert node.wait_gone(5.0)


def test_a_number_that_the_system_gave_to_another_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()} 1\n")
    node = Node(1, tmp_path)
    assert node.pid is None
    node.kill()


def test_it_lives_on_after_the_thread_that_started_it(node: Node) -> None:
    def start() -> None:
        node.launch(["sleep", "60"], die_with_parent=True)
        wait_for(lambda: runs_sleep(node.pid))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert node.pid is not None


def test_no_broker_outlives_a_killed_test_run(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for(lambda: runs_sleep(pid))
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not alive(pid))


# ---------------------------------------------------------------- jars, ports, the question


def test_only_the_jars_that_were_tried_are_used(tmp_path: Path) -> None:
    good = parts.jars()
    parts.compare(good, parts.checksums())
    for jar in good.iterdir():
        (tmp_path / jar.name).symlink_to(jar)
    clients = tmp_path / f"kafka-clients-{parts.VERSION}.jar"
    clients.unlink()
    with pytest.raises(parts.BrokerError, match=f"1 of .* {clients.name}"):
        parts.compare(tmp_path, parts.checksums())
    clients.write_bytes(b"another")
    with pytest.raises(parts.BrokerError, match=clients.name):
        parts.compare(tmp_path, parts.checksums())
    clients.unlink()
    clients.symlink_to(good / clients.name)
    (tmp_path / "extra.jar").touch()
    with pytest.raises(parts.BrokerError, match=r"extra\.jar"):
        parts.compare(tmp_path, parts.checksums())


def test_no_port_that_the_system_may_give_to_a_client() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert max(ports) < lowest or lowest <= 12000


def test_a_plan_is_kept(tmp_path: Path) -> None:
    plan = Plan.new(3).changed(port=20000, sasl=True)
    assert [place.client for place in plan.places] == [20000, 20001, 20002]
    plan.write(tmp_path / "plan")
    assert Plan.read(tmp_path / "plan") == plan
    assert plan.changed(port=None, sasl=False) == plan


@pytest.mark.parametrize(
    "noise", [b"", b"\0\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", struct.pack(">iii", 8, 1, 1), struct.pack(">i", -1)]
)
def test_what_is_no_broker_does_not_answer(noise: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(noise)

        thread = threading.Thread(target=serve)
        thread.start()
        assert wire.brokers(server.getsockname()[1]) == {}
        thread.join()


# ---------------------------------------------------------------- the broker


async def topic(kafka: Kafka, name: str, copies: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=copies)])
    finally:
        await admin.close()


def port_of(kafka: Kafka) -> int:
    return int(kafka.bootstrap.rpartition(":")[2])


def test_a_paused_broker_answers_nobody(kafka_server: Kafka) -> None:
    assert kafka_server.answers()
    kafka_server.pause()
    try:
        assert kafka_server.running, "its process is there"
        assert wire.brokers(port_of(kafka_server), timeout=0.3) == {}
    finally:
        kafka_server.resume()
    wait_for(kafka_server.answers)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_the_right_password_over_tls_opens(kafka_server: Kafka, mechanism: str) -> None:
    name = f"secured-{mechanism.lower()}"
    await topic(kafka_server, name)
    async with secured(kafka_server, mechanism, kafka_server.password_file.read_text(), trusted=True) as producer:
        assert (await producer.send_and_wait(name, b"x")).offset == 0


@pytest.mark.parametrize(
    ("mechanism", "password", "trusted", "why"),
    [
        ("PLAIN", "wrong", True, "Invalid username or password"),
        ("SCRAM-SHA-512", "wrong", True, "invalid credentials"),
        ("PLAIN", None, False, "CERTIFICATE_VERIFY_FAILED"),
    ],
)
async def test_a_wrong_password_and_a_stranger_s_certificate_are_refused(
    kafka_server: Kafka,
    mechanism: str,
    password: str | None,
    trusted: bool,
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    producer = secured(kafka_server, mechanism, password or kafka_server.password_file.read_text(), trusted=trusted)
    with caplog.at_level(logging.ERROR, "aiokafka"), pytest.raises(KafkaConnectionError):
        await producer.start()
    await producer.stop()
    assert why in caplog.text


async def test_a_client_s_certificate_opens_and_without_one_nothing_does(kafka_server: Kafka) -> None:
    context = ssl.create_default_context(cafile=str(kafka_server.ca_file))
    stranger = by_certificate(kafka_server, context)
    with pytest.raises(KafkaConnectionError):
        await stranger.start()
    await stranger.stop()
    context.load_cert_chain(kafka_server.client_file)
    await topic(kafka_server, "by-certificate")
    async with by_certificate(kafka_server, context) as producer:
        assert (await producer.send_and_wait("by-certificate", b"x")).offset == 0


def test_keys_are_the_owner_s_only(kafka_server: Kafka) -> None:
    for path in (kafka_server.client_file, kafka_server.password_file, kafka_server.ca_file.with_name("server.pem")):
        assert path.stat().st_mode & 0o077 == 0


def by_certificate(kafka: Kafka, context: ssl.SSLContext) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=kafka.tls_bootstrap, security_protocol="SSL", ssl_context=context)


def secured(kafka: Kafka, mechanism: str, password: str, *, trusted: bool) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=kafka.sasl_bootstrap,
        security_protocol="SASL_SSL",
        sasl_mechanism=mechanism,
        sasl_plain_username=kafka.username,
        sasl_plain_password=password,
        ssl_context=ssl.create_default_context(cafile=str(kafka.ca_file) if trusted else None),
    )


@pytest.mark.long
@pytest.mark.timeout(400)
def test_two_of_three_brokers_go_on_without_the_third(tmp_path: Path) -> None:
    with Kafka(tmp_path, nodes=3, die_with_parent=True) as kafka:
        assert len(kafka.bootstrap.split(",")) == 3
        asyncio.run(lose_one(kafka))
    assert [node.pid for node in kafka.nodes] == [None, None, None]


async def lose_one(kafka: Kafka) -> None:
    await topic(kafka, "shared", copies=3)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all") as producer:
        await producer.send_and_wait("shared", b"by three")
        kafka.kill(1)
        assert kafka.nodes[0].pid is None
        assert (await producer.send_and_wait("shared", b"by two")).offset == 1
        assert await asyncio.to_thread(kafka.start)
        assert kafka.answers()
        assert (await producer.send_and_wait("shared", b"by three again")).offset == 2
