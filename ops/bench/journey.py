"""The whole way, one process each for intake, turn, renderer, print room and simulated customs, all on this machine.

Customs answers at once (pace 0): its own delays are no part of the figures. A declaration has arrived when the signed
original stands in the spool: the file's change time is the moment of the rename.
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
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import UUID

import httpx

from gateway import keyfile
from ops.bench import load
from ops.bench.documents import Template, templates
from ops.bench.figures import Figure, Progress, duration, told
from ops.bench.gateway_process import start, wait_ready
from ops.bench.ground import FOLDER, Ground
from ops.bench.intake import free_port
from simulators.erp.client import Operator
from simulators.erp.enterprises import Enterprise
from simulators.erp.onboarding import onboard, wallet

ROLES = ("intake", "turn", "render", "print")
ENTERPRISES = 8
RATE = 20
AIM = 1.5
"""Seconds, p99."""
DATA = FOLDER / "journey"
CLAIMS = "SELECT job, certificate_id FROM origin.print_claim WHERE part = 'original'"
BACKLOG = """
SELECT c."group" || ': ' || c.topic AS stage, sum(p.next_offset - c.position)::int AS waiting
FROM origin.consumer_position c JOIN origin.log_partition p USING (topic, partition) GROUP BY 1
"""


async def measure(ground: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """Latency at a steady rate, then the rate under a flood, and the stage that limits it."""
    keys = await ground.emptied()
    shutil.rmtree(DATA, ignore_errors=True)
    port = free_port()
    given = templates()[:ENTERPRISES]
    async with parts(ground, port) as processes:
        await _enrolled(port, [template.enterprise for template in given])
        await _steady(ground, port, given, keys, 2, 0)
        figures = await _latency(ground, progress, port, given, keys, 5 if quick else 20)
        return figures + await _flood(ground, progress, port, given, keys, 60 if quick else 400, processes)


@contextlib.asynccontextmanager
async def parts(ground: Ground, port: int) -> AsyncIterator[Mapping[str, int]]:
    """Every role in a process of its own, and the simulated customs; role -> process id. Ended on leaving."""
    base = {"ORIGIN_DATABASE_URL": ground.dsn, "ORIGIN_DATA": str(DATA)}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for role in ROLES:
            started.append(start(port, {**base, "ORIGIN_ROLES": role}))
            if role == "intake":
                await asyncio.to_thread(wait_ready, port, started[-1])
        started.append(_customs(ground.dsn))
        await asyncio.sleep(3)
        yield {role: process.pid for role, process in zip((*ROLES, "customs"), started, strict=True)}
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                await asyncio.to_thread(process.wait, 30)
            except subprocess.TimeoutExpired:
                process.kill()


def _customs(dsn: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "simulators.customs", "--database-url", dsn, "--pace", "0"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _enrolled(port: int, enterprises: list[Enterprise]) -> None:
    """Seal, handwriting and key of each."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        operator = Operator(client, keyfile.read(DATA / "operator.key"))
        now = datetime.now(UTC)
        await onboard(operator, client, DATA, enterprises, wallet(DATA / "wallet", enterprises, now))


async def _latency(
    ground: Ground, progress: Progress, port: int, given: tuple[Template, ...], keys: Mapping[str, str], seconds: int
) -> list[Figure]:
    sent = await _steady(ground, port, given, keys, seconds, 1_000_000)
    arrived = await _arrivals(ground)
    took = sorted(arrived[identity] - at for identity, at in sent.items() if identity in arrived)
    progress.say(f"{len(took)} of {len(sent)} arrived, slowest {took[-1]:.2f} s")
    if len(took) < len(sent):
        raise RuntimeError(f"{len(sent) - len(took)} declarations did not arrive")
    name = f"declaration -> signed file in the spool, {RATE}/s"
    return [
        told(f"{name}: p50", median(took), "s"),
        duration(f"{name}: p99", took[len(took) * 99 // 100], "s", "asked for", AIM),
    ]


async def _steady(
    ground: Ground, port: int, given: tuple[Template, ...], keys: Mapping[str, str], seconds: int, first: int
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
        for number in range(seconds * RATE):
            await asyncio.sleep(max(0.0, begin + number / RATE - time.monotonic()))
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
) -> list[Figure]:
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
        await _look(ground, worst)
    intake = len(taken) / (time.time() - begin)
    await _until(ground, set(taken), 90, worst)
    arrived = await _arrivals(ground)
    files = sorted(arrived[identity] for identity in taken if identity in arrived)
    speed = len(files) / (files[-1] - begin)
    (stage, waiting), *_ = worst.most_common(1)
    progress.say(f"{len(taken)} taken at {intake:,.0f}/s, {len(files)} files out; longest queue {stage}: {waiting}")
    return [
        told("sustained: declarations -> signed originals in the spool", speed, "files/s", f"limited by {stage}"),
        told(f"longest queue of that run: {stage}", waiting, "messages"),
        *(
            told(f"CPU a certificate: {role}", (_cpu(pid) - before[role]) / len(files) * 1e3, "ms")
            for role, pid in processes.items()
        ),
    ]


def _cpu(pid: int) -> float:
    """Seconds on the CPU so far; nan where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _until(ground: Ground, wanted: set[UUID], patience: float, worst: Counter[str] | None = None) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and wanted - (await _arrivals(ground)).keys():
        if worst is not None:
            await _look(ground, worst)
        await asyncio.sleep(0.5)


async def _look(ground: Ground, worst: Counter[str]) -> None:
    for row in await ground.fetch(BACKLOG):
        worst[row["stage"]] = max(worst[row["stage"]], row["waiting"])


async def _arrivals(ground: Ground) -> dict[UUID, float]:
    """Certificate -> when its original came into the spool."""
    found = {}
    for row in await ground.fetch(CLAIMS):
        with contextlib.suppress(FileNotFoundError):
            found[row["certificate_id"]] = os.stat(_file(row["job"])).st_ctime
    return found


def _file(job: UUID) -> Path:
    return DATA / "spool" / f"{job}.pdf"
