"""The gateway on a real Kafka and a PostgreSQL server: roles in processes of their own, a foreign reader beside them.

The broker is this module's own: topics and groups have the gateway's names.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from adapters.bus import kafka_topics
from adapters.bus.kafka_client import Cluster
from adapters.bus.topics import declared
from adapters.postgres import install
from gateway.dev_kafka.cluster import Kafka
from simulators.erp.enterprises import many
from simulators.erp.generator import declarations
from tests.integration import audit
from tests.integration.erps import Enrolled, Ledger, Parcel, Sender, enrol
from tests.integration.process import Serve
from tests.integration.servers import Server

STATUS = "origin.status.changed.v1"
ENTERPRISES = tuple(many(2))
FRONT, MIDDLE, BACK = "intake,turn", "relay,customs-simulator", "render,print"
TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")
AWAY = 14.0
"""Seconds without a broker: long enough for the relay to give up waiting."""


@contextmanager
def house(folder: Path, database: str, kafka: Kafka) -> Iterator[Sequence[Serve]]:
    """Three processes of one gateway, not started; they share keys and spool."""
    asyncio.run(_declare(kafka.bootstrap))
    environment = {
        "ORIGIN_DATABASE_URL": database,
        "ORIGIN_KAFKA_BOOTSTRAP": kafka.bootstrap,
        "ORIGIN_KAFKA_SESSION_SECONDS": "6",
    }
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                Serve(
                    folder / name,
                    roles=roles,
                    environment=environment,
                    data=folder / "data",
                    spool=folder / "spool",
                )
            )
            for name, roles in (("front", FRONT), ("middle", MIDDLE), ("back", BACK))
        ]


async def _declare(bootstrap: str) -> None:
    _, left = await kafka_topics.apply(Cluster(bootstrap), kafka_topics.declared())
    assert not left


def parcels(enrolled: Enrolled, seed: int, count: int) -> list[Parcel]:
    """Declarations over HTTP, for the enterprises in turn."""
    accounts = [enrolled.accounts[enterprise.code] for enterprise in ENTERPRISES]
    sent = enumerate(declarations(seed, count, ENTERPRISES))
    return [Parcel(f"kafka-{n:03d}", accounts[n % 2], kind, body, "http") for n, (kind, body) in sent]


async def read_all(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """A foreign client: everything that stands on `topic` now, in order of partition and offset."""
    client = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await client.start()
    try:
        places = [TopicPartition(topic, number) for number in range(declared().partitions(topic))]
        client.assign(places)
        await client.seek_to_beginning(*places)
        ends = await client.end_offsets(places)
        records: list[ConsumerRecord] = []
        while len(records) < sum(ends.values()):
            found = await client.getmany(timeout_ms=2000)
            assert found, f"{len(records)} of {sum(ends.values())} records"
            records += [record for line in found.values() for record in line]
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        await client.stop()


def told(records: Sequence[ConsumerRecord]) -> dict[str, list[int]]:
    """Certificate -> sequence numbers, in the order of the topic; of doubles, which carry one ce_id, the first."""
    found: dict[str, list[int]] = defaultdict(list)
    seen: set[bytes] = set()
    for record in records:
        headers = dict(record.headers)
        if headers["ce_id"] not in seen:
            seen.add(headers["ce_id"])
            found[record.key.decode()].append(orjson.loads(record.value)["sequence"])
    return found


def test_printed_by_way_of_kafka_and_a_foreign_client_reads_along(tmp_path: Path) -> None:
    with (
        Server(install.binaries(), tmp_path / "server") as server,
        Kafka(tmp_path / "kafka", die_with_parent=True) as kafka,
        house(tmp_path, server.url, kafka) as processes,
        audit.PrintServer(tmp_path / "spool", tmp_path / "tray") as paper,
    ):
        asyncio.run(_printed(tmp_path, server.url, kafka, processes, paper))


async def _printed(folder: Path, url: str, kafka: Kafka, processes: Sequence[Serve], paper: audit.PrintServer) -> None:
    ledger = Ledger(folder / "ledger.jsonl")
    front = processes[0]
    await asyncio.gather(*(asyncio.to_thread(process.start) for process in processes))
    enrolled = await enrol(front, folder / "keys", ENTERPRISES)
    sender = Sender(lambda: front.url, front.folders, ledger)
    sent = parcels(enrolled, 41, 8)
    await asyncio.gather(*(sender.deliver(parcel) for parcel in sent))
    wrong = await audit.rested(url, 60)
    async with audit.looking(url) as connection:
        found = [dict(row) for row in await connection.fetch(audit.CERTIFICATES)]
        groups = {
            row["group"] for row in await connection.fetch('SELECT DISTINCT "group" FROM origin.consumer_position')
        }
        wrong += await audit.certificates(connection) + await audit.prints(connection, paper)
    assert wrong + audit.answers(ledger.lines(), [parcel.key for parcel in sent], found) == []
    assert groups == {"relay"}, "somebody reads the log though there is a Kafka"

    records = await read_all(kafka.bootstrap, STATUS)
    assert told(records) == {row["id"]: list(range(1, row["sequence"] + 1)) for row in found}
    for record in records:
        headers = {name: value.decode() for name, value in record.headers}
        body = orjson.loads(record.value)
        assert headers["ce_specversion"] == "1.0"
        assert headers["ce_id"] == body["id"]
        assert headers["ce_source"] == "/origin-gateway"
        assert headers["ce_type"] == f"cn.origin.certificate.{body['kind']}.v1"
        assert headers["ce_subject"] == record.key.decode() == body["certificate"]
        assert headers["content-type"] == "application/json"
        assert TRACE.fullmatch(headers["traceparent"])
        assert record.partition == declared().place(STATUS, record.key.decode())
    traces: dict[str, set[str]] = defaultdict(set)
    for topic in ("origin.declaration.accepted.v1", "origin.render.job.v1", "origin.print.result.v1", STATUS):
        for record in await read_all(kafka.bootstrap, topic):
            traces[record.key.decode()].add(dict(record.headers)["traceparent"].decode().split("-")[1])
    assert all(len(ids) == 1 for ids in traces.values()), "one declaration, one trace"
    assert len(traces) == len(found)
    for process in processes:
        assert await asyncio.to_thread(process.stop) == 0
    ledger.close()


def test_a_broker_that_is_away_holds_up_nobody_s_declaration(tmp_path: Path) -> None:
    with (
        Server(install.binaries(), tmp_path / "server") as server,
        Kafka(tmp_path / "kafka", die_with_parent=True) as kafka,
        house(tmp_path, server.url, kafka) as processes,
        audit.PrintServer(tmp_path / "spool", tmp_path / "tray") as paper,
    ):
        asyncio.run(_held_up(tmp_path, server.url, kafka, processes, paper))


async def _held_up(folder: Path, url: str, kafka: Kafka, processes: Sequence[Serve], paper: audit.PrintServer) -> None:
    ledger = Ledger(folder / "ledger.jsonl")
    front, middle, _ = processes
    await asyncio.gather(*(asyncio.to_thread(process.start) for process in processes))
    enrolled = await enrol(front, folder / "keys", ENTERPRISES)
    sender = Sender(lambda: front.url, front.folders, ledger)
    sent = parcels(enrolled, 42, 24)
    await asyncio.gather(*(sender.deliver(parcel) for parcel in sent[:8]))
    await asyncio.to_thread(kafka.kill)
    async with asyncio.timeout(AWAY):
        await asyncio.gather(*(sender.deliver(parcel) for parcel in sent[8:16]))
    await asyncio.sleep(AWAY)
    await asyncio.to_thread(kafka.start)
    await asyncio.gather(*(sender.deliver(parcel) for parcel in sent[16:]))
    wrong = await audit.rested(url, 60)
    async with audit.looking(url) as connection:
        found = [dict(row) for row in await connection.fetch(audit.CERTIFICATES)]
        wrong += await audit.certificates(connection) + await audit.prints(connection, paper)
    assert wrong + audit.answers(ledger.lines(), [parcel.key for parcel in sent], found) == []
    records = await read_all(kafka.bootstrap, STATUS)
    assert told(records) == {row["id"]: list(range(1, row["sequence"] + 1)) for row in found}
    lines = [orjson.loads(line) for line in middle.said().splitlines() if line.startswith("{")]
    alerts = [line["event"] for line in lines if line.get("group") == "relay"]
    assert alerts == ["neighbour.away", "neighbour.back"], "one alert at the start, one at the end"
    for process in processes:
        assert await asyncio.to_thread(process.stop) == 0
    ledger.close()
