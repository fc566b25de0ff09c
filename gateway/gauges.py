"""Gauges that only the database can tell, looked up every few seconds."""

import asyncio

import asyncpg

from adapters.postgres.errors import is_passing
from gateway.metrics import Metrics

PAUSE = 5.0
OLDEST = """
SELECT p.topic, coalesce(extract(epoch FROM now() - min(l.written_at)), 0)::float8 AS age
FROM origin.consumer_position p
LEFT JOIN origin.log l ON l.topic = p.topic AND l.partition = p.partition AND l."offset" = p.position
GROUP BY p.topic
"""
COUNTS = """
SELECT (SELECT count(*) FROM origin.parked) AS parked,
       (SELECT count(*) FROM origin.certificate WHERE status = 'in_doubt') AS in_doubt,
       (SELECT coalesce(max(last / (10 ^ (4 - length(prefix)) - 1)), 0)::float8 FROM origin.number_series) AS numbers
"""


async def watch(pool: asyncpg.Pool, metrics: Metrics) -> None:
    """Until cancelled; a database that is away leaves the gauges as they were."""
    while True:
        try:
            for row in await pool.fetch(OLDEST):
                metrics.waiting.labels(row["topic"]).set(row["age"])
            counts = await pool.fetchrow(COUNTS)
            if counts is not None:
                metrics.parked_count.set(counts["parked"])
                metrics.in_doubt.set(counts["in_doubt"])
                metrics.numbers_used.set(counts["numbers"])
        except Exception as error:
            if not is_passing(error):
                raise
        await asyncio.sleep(PAUSE)
