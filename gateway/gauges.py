"""Gauges that somebody has to look up: in the database, on the broker, on the machine."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import asyncpg

from adapters.bus.kafka_lag import Lags
from adapters.bus.topics import declared
from adapters.postgres.errors import is_passing
from gateway.core.messages import Reminder
from gateway.metrics import GROUPS, Metrics
from gateway.ports import Unavailable

PAUSE = 5.0
"""Seconds between two looks; a database that takes long to answer is asked less often."""
SHARE = 20
"""A look may take this part of the time: counting a large table must not become the work."""
BROKER_PAUSE = 10.0
WHO = "gauges"
UNREAD = """
SELECT p."group", p.topic, sum(n.next_offset - p.position)::float8 AS records,
       coalesce(extract(epoch FROM clock_timestamp() - min(l.written_at)), 0)::float8 AS age
FROM origin.consumer_position p
JOIN origin.log_partition n USING (topic, partition)
LEFT JOIN origin.log l ON l.topic = p.topic AND l.partition = p.partition AND l."offset" = p.position
WHERE p."group" = ANY($1) GROUP BY p."group", p.topic
"""
# A series ends with its year (certificate numbers count by the year in Shanghai), so only this year's can run out.
COUNTS = """
WITH series AS (
    SELECT last / (10 ^ (4 - length(prefix)) - 1) AS used FROM origin.number_series
    WHERE year = to_char(now() AT TIME ZONE 'Asia/Shanghai', 'YY')
)
SELECT (SELECT count(*) FROM origin.parked) AS parked,
       (SELECT count(*) FROM origin.dead_letter WHERE state = 'waiting') AS dead,
       (SELECT count(*) FROM origin.certificate WHERE status = 'in_doubt') AS in_doubt,
       (SELECT count(*) FROM origin.certificate
        WHERE state #>> '{papers,original,trouble}' <> '' OR state #>> '{papers,copy,trouble}' <> '') AS stuck,
       (SELECT coalesce(max(used), 0)::float8 FROM series) AS numbers,
       (SELECT count(*) FROM series WHERE used > 0.9) AS low
"""
OVERDUE = """
SELECT about, count(*) AS certificates
FROM origin.certificate, unnest(string_to_array(overdue, ' ')) AS about WHERE overdue <> '' GROUP BY about
"""
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"


async def watch(pool: asyncpg.Pool, metrics: Metrics, data: Path, *, on_kafka: bool) -> None:
    """Until cancelled; a database that is away leaves its gauges as they were. `data`: the data directory. `on_kafka`:
    only the relay reads the log, and what other groups once read of it is history."""
    groups = ["relay"] if on_kafka else [group for group in GROUPS if group != "relay"]
    pause = PAUSE
    while True:
        begin = time.monotonic()
        _machine(pool, metrics, data)
        try:
            await _clock(pool, metrics)
            await _database(pool, metrics, groups)
            metrics.seen("database", WHO, up=True)
        except Exception as error:
            if not is_passing(error):
                raise
            metrics.seen("database", WHO, up=False, why=f"look: {type(error).__name__}")
        pause = max(PAUSE, SHARE * (time.monotonic() - begin))
        due = time.monotonic() + pause
        await asyncio.sleep(pause)
        metrics.loop_delay.set(max(0.0, time.monotonic() - due))


async def watch_broker(lags: Lags, metrics: Metrics) -> None:
    """Until cancelled; a broker that is away leaves its gauges as they were. Whether it is away is asked at once when a
    worker misses something, and more often while it is: a worker that has nothing to do does not notice."""
    while True:
        metrics.news.clear()
        pause = BROKER_PAUSE
        try:
            for group, topic, records, age in await lags.look():
                metrics.lag.labels(group, topic).set(records)
                metrics.waiting.labels(group, topic).set(age)
            metrics.seen("broker", WHO, up=True)
        except Unavailable as trouble:
            metrics.seen("broker", WHO, up=False, why=str(trouble))
            pause = PAUSE
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await metrics.news.wait()


def _machine(pool: asyncpg.Pool, metrics: Metrics, data: Path) -> None:
    metrics.pool.labels("open").set(pool.get_size())
    metrics.pool.labels("idle").set(pool.get_idle_size())
    metrics.pool.labels("most").set(pool.get_max_size())
    metrics.disk_free.set(shutil.disk_usage(data).free)


async def _clock(pool: asyncpg.Pool, metrics: Metrics) -> None:
    """The clocks are compared in the middle of the question."""
    before = time.time()
    there = await pool.fetchval(CLOCK)
    metrics.clock_offset.set(there - (before + time.time()) / 2)


async def _database(pool: asyncpg.Pool, metrics: Metrics, groups: Iterable[str]) -> None:
    # Clients on the bus have topics of their own; a label for each would be one without an end.
    unread: dict[tuple[str, str], tuple[float, float]] = {}
    topics = declared()
    for row in await pool.fetch(UNREAD, list(groups)):
        if row["topic"] not in topics:  # of an older version
            continue
        place = (row["group"], topics.family(row["topic"]))
        records, age = unread.get(place, (0.0, 0.0))
        unread[place] = records + row["records"], max(age, row["age"])
    for place, (records, age) in unread.items():
        metrics.lag.labels(*place).set(records)
        metrics.waiting.labels(*place).set(age)
    overdue = {row["about"]: row["certificates"] for row in await pool.fetch(OVERDUE)}
    for about in Reminder:
        metrics.overdue.labels(about.value).set(overdue.get(about.value, 0))
    counts = await pool.fetchrow(COUNTS)
    if counts is not None:
        metrics.dead_waiting.set(counts["dead"])
        metrics.parked_count.set(counts["parked"])
        metrics.in_doubt.set(counts["in_doubt"])
        metrics.stuck.set(counts["stuck"])
        metrics.numbers_used.set(counts["numbers"])
        metrics.numbers_low.set(counts["low"])
