"""The metrics: labels from closed lists, a budget of series, and gauges that tell what is in the database."""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from adapters.bus.kafka_lag import Ages
from adapters.bus.log import append, declare_client
from adapters.bus.topics import declared
from adapters.store.memory import MemoryStore
from gateway import gauges
from gateway.core.admission import Verdict
from gateway.metrics import Metrics
from gateway.ports import Message, Unavailable
from gateway.runtime.door import Door
from gateway.storage import Fresh
from tests.ops.known import BUDGET, LABELS, registry, samples
from tests.runtime.house import EXAMINER, House, document

ACCEPTED = "origin.declaration.accepted.v1"


def test_every_label_comes_from_a_closed_list_and_all_of_them_together_fit_the_budget() -> None:
    # given every metric of a process, each with every combination of its labels
    whole = registry()
    for metric in list(whole._collector_to_names):
        names = getattr(metric, "_labelnames", ())
        unknown = set(names) - set(LABELS)
        assert not unknown, f"{metric}: labels without a closed list: {unknown}"
        if names:
            for values in itertools.product(*(LABELS[name] for name in names)):
                metric.labels(*values)
    # then
    series = sum(len(family.samples) for family in whole.collect())
    assert 400 < series <= BUDGET, series


def test_no_metric_has_a_label_for_a_certificate_or_a_person() -> None:
    forbidden = {"certificate", "number", "client", "enterprise", "name", "id", "message_id", "user"}
    assert not forbidden & set(LABELS)


async def looked(pool: asyncpg.Pool, data: Path, *, on_kafka: bool = False) -> CollectorRegistry:
    """A registry after one look."""
    found = CollectorRegistry()
    watching = asyncio.create_task(gauges.watch(pool, Metrics(found), data, on_kafka=on_kafka))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if watching.done() or found.get_sample_value("origin_number_series_low") is not None:
            break
    await asyncio.sleep(0.2)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return found


async def test_what_nobody_handled_is_counted_with_its_age(database_pool: asyncpg.Pool, tmp_path: Path) -> None:
    # given five messages for the turn, of which one is handled, and two on topics of two clients
    async with database_pool.acquire() as connection:
        await declare_client(connection, "erp-1")
        await declare_client(connection, "erp-2")
        clients = [f"origin.intake.submitted.v1.erp-{n}" for n in (1, 2)]
        messages = [Message(ACCEPTED, "one", b"{}", {}) for _ in range(5)]
        await append(connection, [*messages, *(Message(topic, "k", b"{}", {}) for topic in clients)])
        await connection.execute("INSERT INTO origin.consumer_group VALUES ('turn'), ('intake'), ('relay')")
        read = 'INSERT INTO origin.consumer_position ("group", topic, partition, position)'
        await connection.execute(f"{read} VALUES ('turn', $1, $2, 1)", ACCEPTED, declared().place(ACCEPTED, "one"))
        for topic in clients:
            await connection.execute(f"{read} VALUES ('intake', $1, $2, 0)", topic, declared().place(topic, "k"))
        await connection.execute("UPDATE origin.log SET written_at = now() - interval '90 s' WHERE \"offset\" = 1")
    # when
    found = await looked(database_pool, tmp_path)
    # then
    turn = {"group": "turn", "topic": ACCEPTED}
    assert found.get_sample_value("origin_consumer_lag_records", turn) == 4
    assert found.get_sample_value("origin_queue_oldest_age_seconds", turn) == pytest.approx(90, abs=10)
    both = {"group": "intake", "topic": "origin.intake.submitted.v1"}
    assert found.get_sample_value("origin_consumer_lag_records", both) == 2
    assert not [sample for sample in samples(found) if "erp-" in str(sample.labels)]


async def test_on_kafka_only_the_relay_reads_the_log(database_pool: asyncpg.Pool, tmp_path: Path) -> None:
    # given a turn that read the log before there was a Kafka
    async with database_pool.acquire() as connection:
        await append(connection, [Message(ACCEPTED, "one", b"{}", {})])
        await connection.execute("INSERT INTO origin.consumer_group VALUES ('turn'), ('relay')")
        await connection.execute(
            'INSERT INTO origin.consumer_position ("group", topic, partition)'
            " SELECT g, topic, partition FROM origin.log_partition, unnest(ARRAY['turn', 'relay']) g WHERE topic = $1",
            ACCEPTED,
        )
    # when
    found = await looked(database_pool, tmp_path, on_kafka=True)
    # then
    lags = {s.labels["group"]: s.value for s in samples(found) if s.name == "origin_consumer_lag_records"}
    assert lags == {"relay": 1}


async def test_only_this_years_series_run_out(database_pool: asyncpg.Pool, tmp_path: Path) -> None:
    # given a full series of another year, one of this year with 5 % left, one just begun, one of a short prefix
    year = await database_pool.fetchval("SELECT to_char(now() AT TIME ZONE 'Asia/Shanghai', 'YY')")
    rows = [("99", "", 9999), (year, "", 9499), (year, "A", 10), (year, "AB", 98)]
    await database_pool.executemany(
        "INSERT INTO origin.number_series VALUES ('799655058', 'RC', $1, $2, $3)", [row[:3] for row in rows]
    )
    # when
    found = await looked(database_pool, tmp_path)
    # then
    assert found.get_sample_value("origin_number_series_used_ratio") == pytest.approx(98 / 99)
    assert found.get_sample_value("origin_number_series_low") == 2


async def test_the_machine_is_looked_at_too(database_pool: asyncpg.Pool, tmp_path: Path) -> None:
    found = await looked(database_pool, tmp_path)
    offset = found.get_sample_value("origin_clock_offset_seconds")
    assert offset is not None
    assert abs(offset) < 1
    free = found.get_sample_value("origin_data_free_bytes")
    assert free is not None
    assert free > 0
    assert found.get_sample_value("origin_database_pool_connections", {"state": "most"}) == 10


async def test_a_database_that_is_away_shows_and_nothing_breaks(database_url: str, tmp_path: Path) -> None:
    # given a pool whose server refuses from now on
    pool = await asyncpg.create_pool(database_url, min_size=0, max_size=1)
    await pool.close()
    # when
    found = CollectorRegistry()
    watching = asyncio.create_task(gauges.watch(pool, Metrics(found), tmp_path, on_kafka=False))
    await asyncio.sleep(0.1)
    # then
    assert not watching.done()
    assert found.get_sample_value("origin_neighbour_up", {"neighbour": "database"}) == 0
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_a_records_age_is_told_by_the_looks_that_saw_it_come() -> None:
    # given looks every ten seconds at a partition that got records between 10 and 20 s, and between 30 and 40 s
    ages, place = Ages(), ("topic", 0)
    for now, end in ((0, 5), (10, 5), (20, 8), (30, 8), (40, 9)):
        ages.note(place, end, now)
    # then each age counts from the last look that did not see the record
    wanted = {9: 0.0, 8: 10.0, 7: 30.0, 5: 30.0, 4: 40.0}
    assert {position: ages.age(place, position, 40) for position in wanted} == wanted
    # and a partition that stands still for long is remembered in little
    for now in range(50, 5000, 10):
        ages.note(place, 9, now)
    assert len(ages._seen[place]) < 10


class BrokenStore(MemoryStore):
    """A database that does as told when a declaration is written."""

    trouble: Exception | None = None

    async def open(self, fresh: Sequence[Fresh]) -> Sequence[str] | None:
        """See `gateway.storage.Store`."""
        if self.trouble is not None:
            raise self.trouble
        return await super().open(fresh)


@pytest.mark.parametrize(("outcome", "why"), [(Unavailable("x"), "unavailable"), (KeyError("x"), "broke"), (None, "")])
async def test_what_the_door_gave_no_verdict_is_counted(outcome: Exception | None, why: str) -> None:
    found, house = CollectorRegistry(), House()
    store = BrokenStore(house.log.append)
    store.trouble = outcome
    failed = Metrics(found).failed
    door = Door(store, EXAMINER, house.codec, house.clock, house.keep, failed=failed)
    async with house.open(door):
        with pytest.raises(Unavailable) if why == "unavailable" else contextlib.nullcontext():
            answer = await house.submit(document(), door=door)
            assert answer.verdict is (Verdict.INTERNAL if why else Verdict.ACCEPTED)
    counted = {s.labels["why"]: s.value for s in samples(found) if s.name == "origin_door_failures_total" and s.value}
    assert counted == ({why: 1} if why else {})


async def test_so_is_what_comes_when_the_door_is_closed() -> None:
    found, house = CollectorRegistry(), House()
    failed = Metrics(found).failed
    door = Door(house.store, EXAMINER, house.codec, house.clock, house.keep, failed=failed)
    async with house.open(door):
        pass
    with pytest.raises(Unavailable):
        await house.submit(document(), door=door, channel="bus")
    assert found.get_sample_value("origin_door_failures_total", {"channel": "bus", "why": "unavailable"}) == 1
