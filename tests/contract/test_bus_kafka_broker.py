"""The Kafka bus and a broker that dies, stands still, or asks who we are."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from adapters.bus.kafka import KafkaBus
from adapters.bus.kafka_client import Cluster
from gateway.dev_kafka import config
from gateway.dev_kafka.cluster import Kafka
from gateway.ports import Fenced, Record, Unavailable
from tests.contract.bus_suite import bodies, ends, numbered, take
from tests.contract.kafka_harness import KafkaHarness
from tests.fixtures_kafka import BROKER_GOES_AWAY

pytestmark = BROKER_GOES_AWAY

WAIT = 2.0
"""Seconds until a call gives up, here."""
SLACK = 2.0


@pytest.fixture
async def harness(kafka_server: Kafka) -> KafkaHarness:
    harness = KafkaHarness(kafka_server.bootstrap)
    await harness.prepare()
    return harness


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is done here ends in time."""
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


def back(server: Kafka, killed: bool) -> None:
    """From this thread, whose end is the broker's; our own handles stand still meanwhile, as they may."""
    if killed:
        server.start()
    else:
        server.resume()


async def others() -> set[asyncio.Task[object]]:
    """Tasks that somebody left running."""
    await asyncio.sleep(0.1)
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.mark.parametrize("fate", ["killed", pytest.param("paused", marks=pytest.mark.long)])
async def test_the_same_handles_go_on_when_the_broker_is_back(
    harness: KafkaHarness, kafka_server: Kafka, fate: str
) -> None:
    killed = fate == "killed"
    bus = KafkaBus(harness.cluster, harness.blobs, harness.topics, wait=WAIT)
    records: list[Record] = []
    async with bus, bus.consumer(harness.group, [harness.one]) as consumer:
        await bus.publish(numbered(harness.one, 4, 20))
        records += await take(consumer, 20, harness.settle)
        (kafka_server.kill if killed else kafka_server.pause)()
        try:
            for _ in range(3):
                with within(WAIT + SLACK), pytest.raises(Unavailable):
                    await bus.publish(numbered(harness.one, 4, 20, start=20))
                with within(WAIT + SLACK), pytest.raises((Unavailable, Fenced)):
                    await consumer.commit(ends(records))
                with within(0.3 + SLACK):
                    assert await consumer.poll(10, 0.3) == []
        finally:
            back(kafka_server, killed)
        end = time.monotonic() + 30
        written = False
        while not written or set(bodies(records)) != set(range(60)):
            assert time.monotonic() < end, f"{len(set(bodies(records)))} of 60"
            try:
                if not written:
                    await bus.publish(numbered(harness.one, 4, 40, start=20))
                    written = True
                found = await consumer.poll(100, 0.5)
                records += found
                await consumer.commit(ends(found))
            except (Unavailable, Fenced):
                await consumer.rewind()
    copies = Counter(body for _, _, body in {(r.place, r.offset, int(r.body)) for r in records})
    assert max(copies.values()) <= 2, "a broker that is away for long finds what was sent to it many times"
    first = list(dict.fromkeys(int(record.body) for record in records))
    for key in range(4):
        assert [n for n in first if n % 4 == key] == list(range(key, 60, 4)), "out of order"
    assert not await others()


async def test_entering_and_leaving_while_the_broker_is_away(harness: KafkaHarness, kafka_server: Kafka) -> None:
    bus = KafkaBus(harness.cluster, harness.blobs, harness.topics, wait=WAIT)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(bus)
        consumer = await stack.enter_async_context(bus.consumer(harness.group, [harness.one]))
        await bus.publish(numbered(harness.one, 4, 20))
        await take(consumer, 20, harness.settle)
        kafka_server.kill()
        try:
            with pytest.raises(Unavailable):
                await bus.publish(numbered(harness.one, 4, 20))
            with within(WAIT + SLACK), pytest.raises(Unavailable):
                async with bus.consumer(harness.group, [harness.two]):
                    pytest.fail("a member of nothing")
            fresh = KafkaBus(harness.cluster, harness.blobs, harness.topics, wait=WAIT)
            async with fresh:
                with within(WAIT + SLACK), pytest.raises(Unavailable):
                    await fresh.publish(numbered(harness.one, 1, 1))
            with within(25):
                await stack.aclose()
            assert not await others()
        finally:
            back(kafka_server, killed=True)


# ---------------------------------------------------------------- who we are


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker that asks for a password over TLS, and for a certificate."""
    folder = tmp_path_factory.mktemp("guarded")
    certificate(folder, "gateway")
    asks = {
        "client.auth": "required",
        "truststore.type": "PEM",
        "truststore.location": str(folder / "gateway.pem"),
    }
    secure = config._secure
    with pytest.MonkeyPatch.context() as patch:
        more = {f"listener.name.sasl.ssl.{name}": value for name, value in asks.items()}
        patch.setattr(config, "_secure", lambda password: secure(password) | more)
        with Kafka(folder / "kafka", sasl=True, die_with_parent=True) as server:
            yield server


@pytest.fixture
def way_in(guarded: Kafka) -> Cluster:
    """The right one."""
    return Cluster(
        guarded.sasl_bootstrap or "",
        protocol="SASL_SSL",
        mechanism="SCRAM-SHA-512",
        username=guarded.username,
        password=guarded.password_file.read_text().strip(),
        ca_file=guarded.ca_file,
        certificate_file=guarded.directory.parent / "gateway.pem",
        key_file=guarded.directory.parent / "gateway.key",
        session=6.0,
    )


async def there_and_back(cluster: Cluster, plain: str) -> None:
    """One message, written and read by way of `cluster`."""
    harness = KafkaHarness(plain)
    harness.cluster = cluster
    await harness.prepare()
    async with KafkaBus(cluster, harness.blobs, harness.topics, wait=WAIT) as bus:
        await bus.publish(numbered(harness.one, 1, 1))
        async with bus.consumer(harness.group, [harness.one]) as consumer:
            records = await take(consumer, 1, 10)
            await consumer.commit(ends(records))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_with_a_password_and_a_certificate_over_tls(guarded: Kafka, way_in: Cluster, mechanism: str) -> None:
    await there_and_back(replace(way_in, mechanism=mechanism), guarded.bootstrap)


async def test_who_is_refused_is_told_so_without_a_secret(
    guarded: Kafka, way_in: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    stranger, key = tmp_path / "stranger.pem", tmp_path / "stranger.key"
    certificate(tmp_path, "stranger")
    wrong = "wrong-and-secret"
    for cluster in (
        replace(way_in, password=wrong),
        replace(way_in, ca_file=stranger),
        replace(way_in, ca_file=None),
        replace(way_in, certificate_file=None, key_file=None),
        replace(way_in, certificate_file=stranger, key_file=key),
    ):
        with pytest.raises(Unavailable) as refusal:
            await there_and_back(cluster, guarded.bootstrap)
        assert str(cluster.password) not in f"{refusal.value} {refusal.value.__cause__!r}"
    assert wrong not in caplog.text
    assert str(way_in.password) not in caplog.text


def certificate(folder: Path, name: str) -> None:
    """A certificate that vouches for itself, and its key: <name>.pem and <name>.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.key").write_bytes(secret)


def test_a_certificate_file_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(OSError):
            KafkaBus(Cluster("127.0.0.1:1", protocol="SSL", ca_file=path), KafkaHarness("").blobs)
