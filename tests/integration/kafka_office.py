"""A gateway on a real Kafka and a PostgreSQL server, its roles in processes of their own, and what it did there."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
SESSION = "6"


@dataclass(frozen=True, slots=True)
class Office:
    """The gateway running, with its enterprises enrolled."""

    url: str
    """The database."""
    kafka: Kafka
    processes: Mapping[str, Serve]
    """Roles, comma-separated -> the process that has them. The first takes declarations over HTTP."""
    enrolled: Enrolled
    paper: audit.PrintServer

    @property
    def front(self) -> Serve:
        """The process with the door."""
        return next(iter(self.processes.values()))

    def sender(self, ledger: Ledger) -> Sender:
        """ERPs at its door."""
        return Sender(lambda: self.front.url, self.front.folders, ledger)

    def parcels(self, seed: int, count: int) -> list[Parcel]:
        """Declarations over HTTP, for the enterprises in turn."""
        accounts = [self.enrolled.accounts[enterprise.code] for enterprise in ENTERPRISES]
        sent = enumerate(declarations(seed, count, ENTERPRISES))
        return [Parcel(f"kafka-{seed}-{n:03d}", accounts[n % 2], kind, body, "http") for n, (kind, body) in sent]

    async def rested(self, ledger: Ledger, sent: Sequence[Parcel], before: int = 0) -> list[dict[str, Any]]:
        """The certificates of `sent`, at their end, with everything in order. `before`: so many had their clients
        before."""
        clients = {parcel.account.name for parcel in sent}
        wrong = await audit.rested(self.url, 60)
        async with audit.looking(self.url) as connection:
            rows = await connection.fetch(f"{audit.CERTIFICATES} ORDER BY id")
            wrong += await audit.certificates(connection) + await audit.prints(connection, self.paper)
        answered = {line["id"] for line in ledger.lines()}
        found = [dict(row) for row in rows if row["id"] in answered]
        strangers = [row for row in rows if row["client"] in clients and row["id"] not in answered]
        assert len(strangers) == before
        assert wrong + audit.answers(ledger.lines(), [parcel.key for parcel in sent], found) == []
        return found


@contextmanager
def office(folder: Path, processes: Sequence[str]) -> Iterator[Office]:
    """`processes`: the roles of each; they share keys and spool. At the end all of them leave when they are asked."""
    with (
        Server(install.binaries(), folder / "server") as server,
        Kafka(folder / "kafka", die_with_parent=True) as kafka,
        audit.PrintServer(folder / "spool", folder / "tray") as paper,
        ExitStack() as stack,
    ):
        asyncio.run(declare(kafka.bootstrap))
        environment = {
            "ORIGIN_DATABASE_URL": server.url,
            "ORIGIN_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "ORIGIN_KAFKA_SESSION_SECONDS": SESSION,
            "ORIGIN_METRICS_PORT": "0",
        }
        own = {"environment": environment, "data": folder / "data", "spool": folder / "spool"}
        running = {
            roles: stack.enter_context(Serve(folder / f"process-{n}", roles=roles, **own))  # type: ignore[arg-type]
            for n, roles in enumerate(processes)
        }
        for process in running.values():
            process.spawn()
        for process in running.values():
            process.ready()
        enrolled = asyncio.run(enrol(next(iter(running.values())), folder / "keys", ENTERPRISES))
        yield Office(server.url, kafka, running, enrolled, paper)
        for process in running.values():
            process.terminate()
        assert [process.wait(40) for process in running.values()] == [0] * len(running)


async def declare(bootstrap: str, clients: Sequence[str] = ()) -> None:
    """As `origin topics apply` does."""
    _, left = await kafka_topics.apply(Cluster(bootstrap), kafka_topics.declared(clients))
    assert not left


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
