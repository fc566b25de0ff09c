"""The whole way, one process each for intake, turn, renderer, print room and simulated customs, all on this machine.

Customs answers at once (pace 0): its own delays are no part of the figures. A declaration has arrived when the signed
original stands in the spool: the file's change time is the moment of the rename. Once with the log as the bus, once
with a Kafka broker, to which a relay process carries the log.
"""

import asyncio
import contextlib
import math
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from uuid import UUID

import httpx

from adapters.bus.kafka_client import Cluster
from adapters.bus.kafka_lag import Lags
from adapters.bus.kafka_topics import apply, declared
from gateway import keyfile
from gateway.dev_kafka.config import free_port
from gateway.metrics import GROUPS
from gateway.ports import Unavailable
from ops.bench import kafka, load
from ops.bench.documents import Template, templates
from ops.bench.figures import Figure, Progress, duration, told
from ops.bench.gateway_process import start, wait_ready
from ops.bench.ground import FOLDER, Ground
from simulators.erp.client import Operator
from simulators.erp.enterprises import Enterprise
from simulators.erp.onboarding import onboard, wallet

ROLES = ("intake", "turn", "render", "print")
ENTERPRISES = 8
RATE = 20
AIM = 1.5
"""Seconds, p99."""
SHARE = 0.8
"""Of the sustained rate: so many declarations a second for the latency under load. At the rate itself queues grow."""
DATA = FOLDER / "journey"
CLAIMS = "SELECT job, certificate_id FROM origin.print_claim WHERE part = 'original'"
BACKLOG = """
SELECT c."group" || ': ' || c.topic AS stage, sum(p.next_offset - c.position)::int AS waiting
FROM origin.consumer_position c JOIN origin.log_partition p USING (topic, partition) GROUP BY 1
"""


Look = Callable[[Counter[str]], Awaitable[None]]
"""Notes for each stage the most messages that ever waited for it."""


async def measure(ground: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """Latency at a steady rate, then the rate under a flood, and the stage that limits it."""
    return await _travelled(ground, progress, quick, "", None, partial(_look_at_log, ground))


async def over_kafka(ground: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """The same on a broker. Nothing where the development extra is not installed."""
    if not kafka.installed():
        progress.say("Kafka: not measured, the development extra (.[dev]) is not installed")
        return []
    async with kafka.broker() as cluster:
        await apply(cluster, declared(), 1)
        lags = Lags(cluster, [group for group in GROUPS if group not in ("relay", "intake")])
        try:
            look = partial(_look_at_both, ground, lags)
            return await _travelled(ground, progress, quick, ", over Kafka", cluster, look)
        finally:
            await lags.close()


async def _travelled(
    ground: Ground, progress: Progress, quick: bool, suffix: str, cluster: Cluster | None, look: Look
) -> list[Figure]:
    keys = await ground.emptied()
    shutil.rmtree(DATA, ignore_errors=True)
    port = free_port()
    given = templates()[:ENTERPRISES]
    async with parts(ground, port, cluster) as processes:
        await _enrolled(port, [template.enterprise for template in given])
        await _steady(ground, port, given, keys, 2, 0)
        seconds = 5 if quick else 20
        p50, p99 = await _latency(ground, progress, port, given, keys, seconds, 1_000_000)
        flood, speed = await _flood(ground, progress, port, given, keys, 60 if quick else 400, processes, look, suffix)
        pace = max(1, int(SHARE * speed))
        busy50, busy99 = await _latency(ground, progress, port, given, keys, seconds, 900_000_000, pace)
    name = f"declaration -> signed file in the spool{suffix}"
    return [
        told(f"{name}, {RATE}/s: p50", p50, "s"),
        duration(f"{name}, {RATE}/s: p99", p99, "s", "asked for", AIM),
        *flood,
        told(f"{name}, {pace}/s: p50", busy50, "s", f"{SHARE} of the sustained rate"),
        told(f"{name}, {pace}/s: p99", busy99, "s", f"{SHARE} of the sustained rate"),
    ]


@contextlib.asynccontextmanager
async def parts(ground: Ground, port: int, cluster: Cluster | None = None) -> AsyncIterator[Mapping[str, int]]:
    """Every role in a process of its own, and the simulated customs; role -> process id. Ended on leaving."""
    base = {"ORIGIN_DATABASE_URL": ground.dsn, "ORIGIN_DATA": str(DATA)}
    roles: tuple[str, ...] = ROLES
    if cluster is not None:
        base["ORIGIN_KAFKA_BOOTSTRAP"] = cluster.bootstrap
        roles = (*ROLES, "relay")
    started: list[subprocess.Popen[bytes]] = []
    try:
        for role in roles:
            started.append(start(port, {**base, "ORIGIN_ROLES": role}))
            if role == "intake":
                await asyncio.to_thread(wait_ready, port, started[-1])
        started.append(_customs(ground.dsn, cluster))
        await asyncio.sleep(3)
        yield {role: process.pid for role, process in zip((*roles, "customs"), started, strict=True)}
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                await asyncio.to_thread(process.wait, 30)
            except subprocess.TimeoutExpired:
                process.kill()


def _customs(dsn: str, cluster: Cluster | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "simulators.customs", "--database-url", dsn, "--pace", "0"]
    if cluster is not None:
        command = [sys.executable, "-m", "ops.bench.kafka_customs", cluster.bootstrap, dsn]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _enrolled(port: int, enterprises: list[Enterprise]) -> None:
    """Seal, handwriting and key of each."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        operator = Operator(client, keyfile.read(DATA / "operator.key"))
        now = datetime.now(UTC)
        await onboard(operator, client, DATA, enterprises, wallet(DATA / "wallet", enterprises, now))


async def _latency(
    ground: Ground,
    progress: Progress,
    port: int,
    given: tuple[Template, ...],
    keys: Mapping[str, str],
    seconds: int,
    first: int,
    pace: int = RATE,
) -> tuple[float, float]:
    """Seconds, p50 and p99, at `pace` declarations a second. Raises RuntimeError when some did not arrive."""
    sent = await _steady(ground, port, given, keys, seconds, first, pace)
    arrived = await _arrivals(ground)
    took = sorted(arrived[identity] - at for identity, at in sent.items() if identity in arrived)
    if len(took) < len(sent):
        raise RuntimeError(f"{len(sent) - len(took)} of {len(sent)} declarations did not arrive")
    progress.say(f"{len(took)} arrived at {pace}/s, slowest {took[-1]:.2f} s")
    return median(took), took[len(took) * 99 // 100]


async def _steady(
    ground: Ground,
    port: int,
    given: tuple[Template, ...],
    keys: Mapping[str, str],
    seconds: int,
    first: int,
    pace: int = RATE,
) -> dict[UUID, float]:
    """Certificate -> when it was sent; returns once all have arrived, or 30 seconds after the last was sent."""
    sent: dict[UUID, float] = {}

    async def declare(client: httpx.AsyncClient, serial: int) -> None:
        template = given[serial % len(given)]
        key = keys[template.enterprise.code]
        headers = {"authorization": f"Bearer {key}", "content-type": template.media_type}
        at = time.time()
        answer = await client.post("/v1/declarations", content=template.document(serial), headers=headers)
        answer.raise_for_status()
        sent[UUID(answer.json()["id"])] = at

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        begin = time.monotonic()
        running = []
        for number in range(seconds * pace):
            await asyncio.sleep(max(0.0, begin + number / pace - time.monotonic()))
            running.append(asyncio.create_task(declare(client, first + number)))
        await asyncio.gather(*running)
    await _until(ground, set(sent), 30)
    return sent


async def _flood(
    ground: Ground,
    progress: Progress,
    port: int,
    given: tuple[Template, ...],
    keys: Mapping[str, str],
    count: int,
    processes: Mapping[str, int],
    look: Look,
    suffix: str,
) -> tuple[list[Figure], float]:
    """At least `count` declarations as fast as they are taken; how fast files come out, and where messages wait."""
    taken: list[UUID] = []
    worst: Counter[str] = Counter()
    serial = 10_000_000
    before = {role: _cpu(pid) for role, pid in processes.items()}
    begin = time.time()
    while len(taken) < count:
        result = await asyncio.to_thread(load.run, port, given, keys, 0.3, 16, serial)
        serial += 1_000_000
        taken += [UUID(body["id"]) for status, body in result.answers if status == 202]
        await look(worst)
    intake = len(taken) / (time.time() - begin)
    await _until(ground, set(taken), 90, partial(look, worst))
    arrived = await _arrivals(ground)
    files = sorted(arrived[identity] for identity in taken if identity in arrived)
    speed = len(files) / (files[-1] - begin)
    (stage, waiting), *_ = worst.most_common(1)
    progress.say(f"{len(taken)} taken at {intake:,.0f}/s, {len(files)} files out; longest queue {stage}: {waiting}")
    figures = [
        told(
            f"sustained: declarations -> signed originals in the spool{suffix}", speed, "files/s", f"limited by {stage}"
        ),
        told(f"longest queue of that run{suffix}: {stage}", waiting, "messages"),
        *(
            told(f"CPU a certificate{suffix}: {role}", (_cpu(pid) - before[role]) / len(files) * 1e3, "ms")
            for role, pid in processes.items()
        ),
    ]
    return figures, speed


def _cpu(pid: int) -> float:
    """Seconds on the CPU so far; nan where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _until(
    ground: Ground, wanted: set[UUID], patience: float, meanwhile: Callable[[], Awaitable[None]] | None = None
) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and wanted - (await _arrivals(ground)).keys():
        if meanwhile is not None:
            await meanwhile()
        await asyncio.sleep(0.5)


async def _look_at_log(ground: Ground, worst: Counter[str]) -> None:
    for row in await ground.fetch(BACKLOG):
        worst[row["stage"]] = max(worst[row["stage"]], row["waiting"])


async def _look_at_both(ground: Ground, lags: Lags, worst: Counter[str]) -> None:
    """The relay reads the log; everybody else reads Kafka."""
    await _look_at_log(ground, worst)
    with contextlib.suppress(Unavailable):  # a group that has not begun to read has no coordinator yet
        for one in await lags.look():
            stage = f"{one.group}: {one.topic}"
            worst[stage] = max(worst[stage], one.records)


async def _arrivals(ground: Ground) -> dict[UUID, float]:
    """Certificate -> when its original came into the spool."""
    found = {}
    for row in await ground.fetch(CLAIMS):
        with contextlib.suppress(FileNotFoundError):
            found[row["certificate_id"]] = os.stat(_file(row["job"])).st_ctime
    return found


def _file(job: UUID) -> Path:
    return DATA / "spool" / f"{job}.pdf"
