"""Durable intake over HTTP, one declaration a request, beside pgbench's single commits of the same bytes."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from gateway.dev_kafka.config import free_port
from ops.bench import load
from ops.bench.documents import templates
from ops.bench.figures import Figure, Progress, interleaved, rate, ratio_of, told
from ops.bench.gateway_process import gateways
from ops.bench.ground import FOLDER, Ground

CONNECTIONS = 32
AIM = 0.31
FLOOR = 0.20
SINGLE = """
CREATE TABLE IF NOT EXISTS bench.single (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
ALTER TABLE bench.single ALTER COLUMN body SET STORAGE EXTERNAL
"""
MISSING = """
SELECT a.id FROM unnest($1::uuid[], $2::text[]) AS a(id, number)
LEFT JOIN origin.certificate c ON c.id = a.id AND c.number = a.number
LEFT JOIN origin.blob b ON b.sha256 = c.raw_sha256
LEFT JOIN origin.log l ON l.key = a.id::text AND l.topic = 'origin.declaration.accepted.v1'
WHERE b.sha256 IS NULL OR l.key IS NULL
"""
COUNTERS = "SELECT certificate_type || year || organisation || prefix AS series, last FROM origin.number_series"


class Wrong(Exception):
    """What was answered is not what is on file."""


async def measure(ground: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """The best number of processes, judged; all of them are told."""
    rounds, seconds = (2, 2.0) if quick else (5, 4.0)
    keys = await ground.emptied()
    script = await _script(ground)
    port = free_port()
    serial = 1
    figures: list[Figure] = []
    best: tuple[float, float, float, int] = (0.0, 0.0, 0.0, 0)
    latencies: dict[int, list[float]] = {}
    given: list[tuple[str, str]] = []
    for count in (1, 2, 3):
        with gateways(count, port, ground.dsn, FOLDER / "data", "intake"):
            load.run(port, templates(), keys, 1.0, CONNECTIONS, serial)
            serial += 1_000_000
            latencies[count] = []

            def ours(count: int = count) -> float:
                nonlocal serial
                result = load.run(port, templates(), keys, seconds, CONNECTIONS, serial)
                serial += 1_000_000
                latencies[count] += result.latencies
                given.extend(_accepted(result))
                return result.rate

            def limit() -> float:
                return ground.pgbench(script, seconds)

            await ground.settle()
            found = interleaved(progress, f"intake over HTTP, {count} process(es)", rounds, ours=ours, pgbench=limit)
        ratio = ratio_of(found["ours"], found["pgbench"])
        value, below = median(found["ours"]), median(found["pgbench"])
        figures.append(told(f"intake over HTTP, {count} process(es)", ratio, "of pgbench's single commits"))
        best = max(best, (ratio, value, below, count))
    await verify(ground, given)
    progress.say(f"{len(given):,} answers looked up: all on file, numbers unique and without gaps")
    ratio, value, below, count = best
    name, against = f"intake over HTTP, {CONNECTIONS} connections", "pgbench, 8 clients, one commit a document"
    ranked = sorted(latencies[count])
    return [
        rate(name, value, "declarations/s", against, below, AIM, ratio),
        rate(f"{name}: floor", value, "declarations/s", against, below, FLOOR, ratio),
        told(f"{name}: p50", ranked[len(ranked) // 2] * 1e3, "ms"),
        told(f"{name}: p99", ranked[len(ranked) * 99 // 100] * 1e3, "ms"),
        *figures,
    ]


async def verify(ground: Ground, given: Iterable[tuple[str, str]]) -> None:
    """Every answer is on file with its bytes and its record; numbers are unique and have no gaps. Raises Wrong."""
    pairs = list(given)
    missing = await ground.fetch(MISSING, [identity for identity, _ in pairs], [number for _, number in pairs])
    if missing:
        raise Wrong(f"{len(missing)} of {len(pairs)} accepted declarations are not on file")
    rows = await ground.fetch("SELECT number FROM origin.certificate")
    if len({row["number"] for row in rows}) != len(rows):
        raise Wrong("a number was given twice")
    serials: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        serials[row["number"][:-4]].append(int(row["number"][-4:]))
    counters = {row["series"]: row["last"] for row in await ground.fetch(COUNTERS)}
    for series, found in serials.items():
        if sorted(found) != list(range(1, counters[series] + 1)):
            raise Wrong(f"the series {series} has gaps")


async def _script(ground: Ground) -> Path:
    """pgbench's script: one insert of one of our documents."""
    await ground.fetch("SELECT 1")
    for statement in SINGLE.strip().split(";\n"):
        await ground.fetch(statement)
    path = FOLDER / "single.sql"
    text = templates()[0].document(1).decode().replace("'", "''")
    path.write_text(f"INSERT INTO bench.single (body) VALUES ('{text.rstrip()}');\n", "utf-8")
    return path


def _accepted(result: load.Result) -> list[tuple[str, str]]:
    refused = [body for status, body in result.answers if status != 202]
    if refused:
        raise Wrong(f"{len(refused)} declarations were not accepted: {refused[0]}")
    return [(body["id"], body["number"]) for _, body in result.answers]
