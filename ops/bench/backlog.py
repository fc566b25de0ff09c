"""The turn on PostgreSQL: a backlog of declarations, then one of receipts, drained by one process and by two.

Beside it the same rows, as the turn left them, written again in the same batches by one connection into tables like
ours: no question before, no log counter, no message read or made. A backlog is published in one transaction, so that it
is all there when the turn first sees it; it is drained when the turn's group has acknowledged all of it.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from statistics import median
from time import perf_counter

import asyncpg
import orjson

from adapters.bus.postgres import PostgresBus
from adapters.codecs.gateway_xml import ACCEPTED, INBOUND, GatewayCodec
from adapters.codecs.receipts import message_id, write_fileret, write_receipt
from adapters.postgres.pool import connect, create_pool
from adapters.store.postgres import PostgresStore
from gateway.app import SystemClock
from gateway.core.envelope import headers
from gateway.core.messages import CustomsReply
from gateway.dev_kafka.config import free_port
from gateway.examiner import new_examiner
from gateway.ports import Message
from gateway.runtime.door import Client, Door, Submission
from gateway.runtime.turn import GROUP
from ops.bench import rows
from ops.bench.cores import Stretch, halves, scaling
from ops.bench.documents import break_off, endless, templates
from ops.bench.figures import Figure, Progress, duration, rate, ratio_of, told
from ops.bench.gateway_process import gateways
from ops.bench.ground import FOLDER, Ground
from ops.bench.intake import Wrong

THIRD = 1 / 3
RECEIPTS, LIMIT = 10_000, 60.0
"""A backlog of so many receipts, and the seconds it may take."""
STEPS = 4
"""Receipts of one certificate: taken, received, in review, approved."""
WARM = 100
"""Messages of each kind before the clock starts: a process compiles its schemas with the first."""
PATIENCE = 120.0
WAITING = """
SELECT coalesce(sum(p.next_offset - coalesce(c.position, 0)), 0)::int AS waiting
FROM origin.log_partition p
LEFT JOIN origin.consumer_position c ON c.topic = p.topic AND c.partition = p.partition AND c."group" = $2
WHERE p.topic = $1
"""
READERS = 'SELECT count(DISTINCT owner)::int AS readers FROM origin.consumer_position WHERE "group" = $1'
ENDED = """
SELECT count(*) FILTER (WHERE status = 'approved' AND sequence = $1)::int AS approved, count(*)::int AS all,
       (SELECT count(*)::int FROM origin.parked) AS parked
FROM origin.certificate
"""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Messages a second."""

    declarations: float
    receipts: float
    idle: float = 0.0
    """Cores that stood still meanwhile."""

    @property
    def together(self) -> float:
        """Of declarations with all their receipts."""
        return (1 + STEPS) / (1 / self.declarations + STEPS / self.receipts)

    def __str__(self) -> str:
        """For the line that tells what was measured."""
        return f"{self.declarations:,.0f} + {self.receipts:,.0f}"


async def measure(ground: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """Each round: one process, the same rows alone, two processes; then both so that they leave each other half a core.
    Both kinds of messages are judged as one."""
    rounds, size = (2, RECEIPTS // STEPS // 4) if quick else (5, RECEIPTS // STEPS)
    one: list[Speeds] = []
    two: list[Speeds] = []
    half: list[Speeds] = []
    both: list[Speeds] = []
    alone: list[Speeds] = []
    batch = 0
    for number in range(1, rounds + 1):
        one.append(await _drained(ground, size, 1))
        declarations, _ = await rows.written_again(ground, opening=True)
        receipts, batch = await rows.written_again(ground, opening=False)
        alone.append(Speeds(declarations, receipts))
        two.append(await _drained(ground, size, 2))
        half.append(await _drained(ground, size, 1, half=True))
        both.append(await _drained(ground, size, 2, half=True))
        progress.say(
            f"backlog {number}/{rounds}: one process {one[-1]}, two {two[-1]}, their rows alone {alone[-1]}; "
            f"of half a core: one {half[-1]}, two {both[-1]}"
        )
    ours, others, limits = ([speeds.together for speeds in side] for side in (one, two, alone))
    lone, pair = ([speeds.together for speeds in side] for side in (half, both))
    name, against = "turn on PostgreSQL", f"all its rows, batches of {batch}, one connection"
    idle = median(speeds.idle for speeds in one)
    took = RECEIPTS / median(speeds.receipts for speeds in one)
    shares = {
        "declarations": ratio_of([speeds.declarations for speeds in one], [speeds.declarations for speeds in alone]),
        "receipts": ratio_of([speeds.receipts for speeds in one], [speeds.receipts for speeds in alone]),
    }
    return [
        rate(f"{name}, 1 process", median(ours), "messages/s", against, median(limits), THIRD, ratio_of(ours, limits)),
        *scaling(name, "messages/s", one=ours, two=others, half=lone, both=pair, idle=idle),
        *(told(f"... {kind}, 1 process", share, "of the rate of their rows alone") for kind, share in shares.items()),
        duration(f"backlog of {RECEIPTS:,} receipts, 1 process", took, "s", "asked for", LIMIT),
    ]  # fmt: skip


async def _drained(ground: Ground, size: int, processes: int, *, half: bool = False) -> Speeds:
    """How fast `size` declarations and then all their receipts go. `half`: processes take turns. Raises Wrong."""
    await ground.emptied()
    async with contextlib.AsyncExitStack() as stack:
        pool = await create_pool(ground.dsn, largest=4)
        stack.push_async_callback(pool.close)
        bus = await stack.enter_async_context(PostgresBus(pool, partial(connect, ground.dsn)))
        await _declared(pool, size)
        accepted = await _taken_off(pool)
        numbers = [row["number"] for row in await pool.fetch("SELECT number FROM origin.certificate ORDER BY id")]
        receipts = list(_receipts(numbers))
        await ground.settle()
        started = stack.enter_context(gateways(processes, free_port(), ground.dsn, FOLDER / "data", "turn"))
        await _readers(pool, processes)
        if half:
            stack.enter_context(halves([process.pid for process in started]))
        await _drain(bus, ACCEPTED, accepted[:WARM])
        both = Stretch()
        with both.going_on():
            opened = (size - WARM) / await _drain(bus, ACCEPTED, accepted[WARM:])
        await _drain(bus, INBOUND, receipts[:WARM])
        with both.going_on():
            received = (len(receipts) - WARM) / await _drain(bus, INBOUND, receipts[WARM:])
        found = Speeds(opened, received, both.idle)
        (row,) = await pool.fetch(ENDED, STEPS + 1)
        if (row["approved"], row["all"], row["parked"]) != (size, size, 0):
            raise Wrong(f"{row['approved']} of {row['all']} certificates are approved, {row['parked']} messages parked")
    return found


async def _declared(pool: asyncpg.Pool, size: int) -> None:
    store = PostgresStore(pool, lambda _: None)
    door = Door(store, new_examiner(), GatewayCodec(), SystemClock(), break_off)
    running = asyncio.create_task(door.run())
    try:
        given = islice(endless(templates()), size)
        clients = [(Client(t.enterprise.slug, t.enterprise.code, "", True), t.media_type, body) for t, body in given]
        await asyncio.gather(*(door.submit(Submission(*one, "bench", None, None)) for one in clients))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _taken_off(pool: asyncpg.Pool) -> list[Message]:
    """What the door told the turn, taken off the log again: it comes back all at once."""
    async with pool.acquire() as connection, connection.transaction():
        given = await connection.fetch(
            "DELETE FROM origin.log WHERE topic = $1 RETURNING key, headers::text AS headers, body", ACCEPTED
        )
        await connection.execute("UPDATE origin.log_partition SET next_offset = 0 WHERE topic = $1", ACCEPTED)
    return [Message(ACCEPTED, row["key"], row["body"], orjson.loads(row["headers"])) for row in given]


def _receipts(numbers: Sequence[str]) -> Iterator[Message]:
    """First every certificate's first receipt, then every second one, as customs sends them under load."""
    at = "2026-11-20 10:00:00"
    early = CustomsReply(running_no=1, code="2", generated_at=at, certificate_type="C")
    late = CustomsReply(
        running_no=2,
        code="5",
        bar_code="201234567890",
        office_name="宁波海关",
        check_place="NINGBO, CHINA",
        signed_on="2026-11-20",
        generated_at="2026-11-20 10:00:05",
        certificate_type="C",
    )
    for step in range(STEPS):
        for number in numbers:
            match step:
                case 0:
                    body = write_fileret(number, "1", note="", received_at=at, sent_at=at)
                case 1:
                    body = write_receipt(number, "1", note="", received_at=at, sent_at=at)
                case _:
                    reply = early if step == 2 else late
                    body = write_receipt(number, "6", note="", received_at=at, sent_at=at, reply=reply)
            about = headers("customs.inbound", message_id(body), number, SystemClock().now(), "application/xml")
            yield Message(INBOUND, number, body, about)


async def _readers(pool: asyncpg.Pool, wanted: int) -> None:
    """Until every process reads some partitions. Raises Wrong."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if await pool.fetchval(READERS, GROUP) == wanted:
            return
        await asyncio.sleep(0.05)
    raise Wrong(f"not all of {wanted} turns read")


async def _drain(bus: PostgresBus, topic: str, messages: Sequence[Message]) -> float:
    """Seconds from the commit of all messages until all are acknowledged. Raises Wrong."""
    await bus.publish(messages)
    start = perf_counter()
    while await bus.pool.fetchval(WAITING, topic, GROUP):
        if perf_counter() - start > PATIENCE:
            raise Wrong(f"{topic} was not drained in {PATIENCE:.0f} s")
        await asyncio.sleep(0.02)
    return perf_counter() - start
