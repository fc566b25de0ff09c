"""The gateway on a real Kafka and a PostgreSQL server: roles in processes of their own, a foreign reader beside them.

The broker is this module's own: topics and groups have the gateway's names.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

import schemas
from adapters.bus import kafka_topics
from adapters.bus.kafka_client import Cluster
from adapters.bus.topics import declared
from adapters.postgres import install
from gateway.dev_kafka.cluster import Kafka
from simulators.erp.enterprises import many
from simulators.erp.generator import declarations
from tests.integration import audit, kcat
from tests.integration.erps import Account, Enrolled, Ledger, Parcel, Sender, enrol
from tests.integration.process import Serve
from tests.integration.servers import Server

STATUS = "origin.status.changed.v1"
SUBMITTED, ANSWERED = "origin.intake.submitted.v1", "origin.intake.answered.v1"
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


async def _declare(bootstrap: str, clients: Sequence[str] = ()) -> None:
    """As `origin topics apply` does."""
    _, left = await kafka_topics.apply(Cluster(bootstrap), kafka_topics.declared(clients))
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


@dataclass(frozen=True, slots=True)
class Office:
    """The gateway in its three processes, running, with its enterprises enrolled."""

    folder: Path
    url: str
    """The database."""
    kafka: Kafka
    processes: Sequence[Serve]
    enrolled: Enrolled
    paper: audit.PrintServer

    async def rested(self, ledger: Ledger, sent: Sequence[Parcel]) -> list[dict[str, Any]]:
        """The certificates of `sent`, at their end, everything in order; others may be there too."""
        accounts = {parcel.account.name for parcel in sent}
        wrong = await audit.rested(self.url, 60)
        async with audit.looking(self.url) as connection:
            found = [dict(row) for row in await connection.fetch(audit.CERTIFICATES) if row["client"] in accounts]
            wrong += await audit.certificates(connection) + await audit.prints(connection, self.paper)
        assert wrong + audit.answers(ledger.lines(), [parcel.key for parcel in sent], found) == []
        return found


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Several tests share it; at its end all its processes leave when they are asked."""
    folder = tmp_path_factory.mktemp("office")
    with (
        Server(install.binaries(), folder / "server") as server,
        Kafka(folder / "kafka", die_with_parent=True) as kafka,
        house(folder, server.url, kafka) as processes,
        audit.PrintServer(folder / "spool", folder / "tray") as paper,
    ):
        for process in processes:
            process.spawn()
        for process in processes:
            process.ready()
        enrolled = asyncio.run(enrol(processes[0], folder / "keys", ENTERPRISES))
        yield Office(folder, server.url, kafka, processes, enrolled, paper)
        assert [process.stop() for process in processes] == [0, 0, 0]


async def test_printed_by_way_of_kafka_and_a_foreign_client_reads_along(office: Office, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    front = office.processes[0]
    sender = Sender(lambda: front.url, front.folders, ledger)
    sent = parcels(office.enrolled, 41, 8)
    await asyncio.gather(*(sender.deliver(parcel) for parcel in sent))
    found = await office.rested(ledger, sent)
    ledger.close()
    async with audit.looking(office.url) as connection:
        readers = await connection.fetch('SELECT DISTINCT "group" FROM origin.consumer_position')
        sequences = {row["id"]: row["sequence"] for row in await connection.fetch(audit.CERTIFICATES)}
    assert [row["group"] for row in readers] == ["relay"], "somebody reads the log though there is a Kafka"

    records = await read_all(office.kafka.bootstrap, STATUS)
    assert told(records) == {name: list(range(1, last + 1)) for name, last in sequences.items()}
    for record in records:
        assert record.partition == declared().place(STATUS, record.key.decode())
    traces: dict[str, set[str]] = defaultdict(set)
    for topic in ("origin.declaration.accepted.v1", "origin.render.job.v1", "origin.print.result.v1", STATUS):
        for record in await read_all(office.kafka.bootstrap, topic):
            traces[record.key.decode()].add(dict(record.headers)["traceparent"].decode().split("-")[1])
    assert all(len(ids) == 1 for ids in traces.values()), "one declaration, one trace"
    assert {row["id"] for row in found} <= set(traces)


async def on_the_bus(office: Office, name: str) -> Account:
    """A new client of the first enterprise with a pair of topics of its own."""
    code = ENTERPRISES[0].code
    front = office.processes[0]
    head = {"authorization": f"Bearer {front.operator_key}"}
    async with httpx.AsyncClient(base_url=front.url, headers=head, trust_env=False) as operator:
        wish = {"name": name, "enterprise": code, "bus": True}
        key = (await operator.post("/v1/admin/clients", json=wish)).raise_for_status().json()["key"]
    await _declare(office.kafka.bootstrap, [name])
    return Account(ENTERPRISES[0], name, key)


@pytest.mark.needs("kcat")
async def test_what_a_foreign_producer_declares_comes_out_printed(office: Office, tmp_path: Path) -> None:
    # given an ERP that knows Kafka, the two dialects and nothing else of us
    bootstrap = office.kafka.bootstrap
    erp = await on_the_bus(office, "foreign-erp")
    example = Path(str(schemas.path("examples", "C-no-number.xml")))
    ((kind, other),) = declarations(43, 1, ENTERPRISES[:1])
    own = tmp_path / "other"
    own.write_bytes(other)
    sent = [
        Parcel("po-1", erp, "application/xml", schemas.read_bytes("examples", example.name), "bus"),
        Parcel("po-2", erp, kind, other, "bus"),
    ]
    # when it writes a declaration of each kind, with headers as CloudEvents has them and as HTTP has them
    heads = [{"ce_id": "po-1", "ce_source": "/erp"}, {"idempotency-key": "po-2", "origin-reference": "SO-2"}]
    for parcel, file, more in zip(sent, (example, own), heads, strict=True):
        head = {"content-type": parcel.media_type, **more}
        await asyncio.to_thread(kcat.write, bootstrap, f"{SUBMITTED}.{erp.name}", parcel.key, file, head)
    # then each is answered under its key, and says what it answers
    answers = await asyncio.to_thread(kcat.read, bootstrap, f"{ANSWERED}.{erp.name}", 2)
    by_key = {answer.key: answer for answer in answers}
    assert {answer.headers["origin_status"] for answer in answers} == {"accepted"}
    assert by_key["po-1"].headers["ce_causationid"] == "po-1"
    assert by_key["po-2"].headers["origin-reference"] == "SO-2"
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for parcel in sent:
        ledger.write(parcel, orjson.loads(by_key[parcel.key].body))
    # and everything of it comes out of the printer, once
    found = await office.rested(ledger, sent)
    ledger.close()
    async with audit.looking(office.url) as connection:
        claims = await connection.fetch(audit.CLAIMS)
    jobs = {row["job"] for row in claims if row["certificate"] in {one["id"] for one in found}}
    files = [path for job, path in office.paper.printed() if job in jobs]
    assert len(files) == 4, "an original and a copy of each"
    assert await asyncio.to_thread(audit.signatures, files, office.enrolled.wallet.authority) == []
    # and the status topic tells its life, as CloudEvents in binary mode, without a gap
    numbers: dict[str, list[int]] = defaultdict(list)
    for record in await asyncio.to_thread(kcat.read_all, bootstrap, STATUS):
        body = orjson.loads(record.body)
        assert record.headers["ce_specversion"] == "1.0"
        assert record.headers["ce_id"] == body["id"]
        assert record.headers["ce_source"] == "/origin-gateway"
        assert record.headers["ce_type"] == f"cn.origin.certificate.{body['kind']}.v1"
        assert record.headers["ce_subject"] == record.key == body["certificate"]
        assert datetime.fromisoformat(record.headers["ce_time"]).tzinfo is not None
        assert record.headers["content-type"] == "application/json"
        assert TRACE.fullmatch(record.headers["traceparent"])
        numbers[record.key].append(body["sequence"])
    for one in found:
        assert numbers[one["id"]] == list(range(1, one["sequence"] + 1)), "nobody was killed: no doubles"


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
