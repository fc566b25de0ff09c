"""Which series of certificate numbers empty faster than their owners ever drew from them.

Nothing of it is on the way of a declaration: the counters are looked at once a minute, and once an hour, where a series
moved, a row is kept of how far it was (`origin.number_series_past`).
"""

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import structlog

from adapters.postgres.errors import is_passing
from gateway.core.numbers import LITTLE, Pace, Series
from gateway.metrics import Metrics

PAUSE = 60.0
KEPT_DAYS = 60
TIDY = 86_400.0
"""Seconds between two times that old rows go."""
NOTE = """
INSERT INTO origin.number_series_past (organisation, certificate_type, prefix, hour, year, last, drawn)
SELECT s.organisation, s.certificate_type, s.prefix, date_trunc('hour', now()), s.year, s.last,
       s.last - coalesce(p.last, 0)
FROM origin.number_series s
LEFT JOIN LATERAL (
    SELECT p.last FROM origin.number_series_past p
    WHERE (p.organisation, p.certificate_type, p.prefix, p.year)
          = (s.organisation, s.certificate_type, s.prefix, s.year)
    ORDER BY p.hour DESC LIMIT 1
) p ON true
WHERE s.year = to_char(now() AT TIME ZONE 'Asia/Shanghai', 'YY') AND s.last > coalesce(p.last, 0)
ON CONFLICT DO NOTHING
"""
# The last row of a series stays: it is what the next one is counted from.
FORGET = """
DELETE FROM origin.number_series_past p
WHERE p.hour < now() - make_interval(days => $1) AND EXISTS (
    SELECT FROM origin.number_series_past q
    WHERE (q.organisation, q.certificate_type, q.prefix, q.year)
          = (p.organisation, p.certificate_type, p.prefix, p.year) AND q.hour > p.hour
)
"""
# A row of an hour tells of the hour before it. Only series that moved much today are compared with the past.
PACES = """
WITH today AS (
    SELECT date_trunc('day', now() AT TIME ZONE 'Asia/Shanghai') AT TIME ZONE 'Asia/Shanghai' AS begins
), moved AS (
    SELECT s.organisation, s.certificate_type, s.year, s.prefix,
           s.last - coalesce(h.last, 0) AS in_hour, s.last - coalesce(d.last, 0) AS in_day
    FROM origin.number_series s CROSS JOIN today
    LEFT JOIN LATERAL (
        SELECT p.last FROM origin.number_series_past p
        WHERE (p.organisation, p.certificate_type, p.prefix, p.year)
              = (s.organisation, s.certificate_type, s.prefix, s.year)
              AND p.hour <= date_trunc('hour', now()) - interval '1 hour'
        ORDER BY p.hour DESC LIMIT 1
    ) h ON true
    LEFT JOIN LATERAL (
        SELECT p.last FROM origin.number_series_past p
        WHERE (p.organisation, p.certificate_type, p.prefix, p.year)
              = (s.organisation, s.certificate_type, s.prefix, s.year) AND p.hour <= today.begins
        ORDER BY p.hour DESC LIMIT 1
    ) d ON true
    WHERE s.year = to_char(now() AT TIME ZONE 'Asia/Shanghai', 'YY') AND s.last > $1
)
SELECT m.organisation, m.certificate_type, m.year, m.prefix, m.in_hour, m.in_day,
       coalesce(max(b.hour), 0)::int AS busiest_hour, coalesce(max(b.day), 0)::int AS busiest_day
FROM moved m CROSS JOIN today
LEFT JOIN LATERAL (
    SELECT max(p.drawn) AS hour, sum(p.drawn) AS day FROM origin.number_series_past p
    WHERE p.organisation = m.organisation AND p.hour > today.begins - interval '28 days' AND p.hour <= today.begins
    GROUP BY p.certificate_type, p.prefix, p.year, ((p.hour - interval '1 hour') AT TIME ZONE 'Asia/Shanghai')::date
) b ON true
WHERE greatest(m.in_hour, m.in_day) > $1
GROUP BY m.organisation, m.certificate_type, m.year, m.prefix, m.in_hour, m.in_day
ORDER BY m.in_day DESC, m.organisation, m.certificate_type, m.prefix
"""

log = structlog.get_logger()


async def unusual(pool: asyncpg.Pool) -> Sequence[Pace]:
    """The series of this year that empty unusually fast, the fastest first."""
    paces = [
        Pace(
            Series(row["organisation"], row["certificate_type"], row["year"], row["prefix"]),
            row["in_hour"],
            row["in_day"],
            row["busiest_hour"],
            row["busiest_day"],
        )
        for row in await pool.fetch(PACES, LITTLE)
    ]
    return [pace for pace in paces if pace.unusual]


async def watch_paces(pool: asyncpg.Pool, metrics: Metrics) -> None:
    """Until cancelled; each series is told once in the log, until it is usual again. A database that is away leaves
    things as they were: the gauges say so."""
    told: set[Series] = set()
    tidied = float("-inf")
    while True:
        try:
            await pool.execute(NOTE)
            if time.monotonic() - tidied > TIDY:
                await pool.execute(FORGET, KEPT_DAYS)
                tidied = time.monotonic()
            found = await unusual(pool)
            metrics.numbers_unusual.set(len(found))
            for pace in found:
                if pace.series not in told:
                    _tell(pace)
            told = {pace.series for pace in found}
        except Exception as error:
            if not is_passing(error):
                raise
        await asyncio.sleep(PAUSE)


def _tell(pace: Pace) -> None:
    organisation, certificate_type, year, prefix = pace.series
    log.warning(
        "numbers.unusual",
        organisation=organisation,
        series=f"{certificate_type}{year}{prefix}",
        in_hour=pace.in_hour,
        in_day=pace.in_day,
        busiest_hour=pace.busiest_hour,
        busiest_day=pace.busiest_day,
    )
