"""The contract, on PostgreSQL; and what only a database can do."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from adapters.postgres import pool
from adapters.store.blobs import PostgresBlobs
from adapters.store.postgres import PostgresStore, transaction
from adapters.store.vault import Vault
from adapters.store.views import Views
from gateway.core.messages import Reminder
from gateway.gauges import OVERDUE
from gateway.operations import Refusal
from gateway.ports import Record, Unavailable
from gateway.storage import Collision, Store, TurnWork
from tests.contract.life_suite import LifeSuite
from tests.contract.opening_suite import OpeningSuite
from tests.contract.store_harness import (
    SERIES,
    Broken,
    Harness,
    accepted,
    admit,
    admitted,
    break_turn,
    event_of,
    save,
    state_of,
)
from tests.contract.store_suite import StoreSuite

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
ONE, TWO = "91330299MA9XYD0C2A", "91320599MA9HTQ7K6J"


class Wire:
    """A pool whose connections a test may cut: before anything is sent, or after COMMIT was carried out."""

    def __init__(self, lent: asyncpg.Pool) -> None:
        self.pool = lent
        self.lost = 0
        self.cut = False

    async def acquire(self, *, timeout: float) -> "Line":
        return Line(self, await self.pool.acquire(timeout=timeout))

    async def release(self, line: "Line") -> None:
        await self.pool.release(line.connection)


class Line:
    """One connection of a `Wire`."""

    def __init__(self, wire: Wire, connection: Any) -> None:
        self.wire = wire
        self.connection = connection

    async def execute(self, statement: str, *arguments: Any) -> Any:
        if self.wire.cut:
            self.connection.terminate()
        done = await self.connection.execute(statement, *arguments)
        if statement == "COMMIT":
            self._perhaps_lost()
        return done

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        """One statement that is its own transaction."""
        if self.wire.cut:
            self.connection.terminate()
        value = await self.connection.fetchval(statement, *arguments)
        self._perhaps_lost()
        return value

    def _perhaps_lost(self) -> None:
        if self.wire.lost:
            self.wire.lost -= 1
            self.connection.terminate()
            raise ConnectionResetError

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


class PostgresHarness(Harness):
    """Each handle has its own pool, as another process would."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pools: list[asyncpg.Pool] = []
        self.woken: list[str] = []
        self.wires: dict[int, Wire] = {}

    async def open(self) -> Store:
        lent = await pool.create_pool(self.url, smallest=1, largest=4)
        self.pools.append(lent)
        wire = Wire(lent)
        store = PostgresStore(cast(asyncpg.Pool, wire), self.wake)
        self.wires[id(store)] = wire
        return store

    def wake(self, topics: Iterable[str]) -> None:
        self.woken += topics

    async def log(self) -> Sequence[Record]:
        connection = await pool.connect(self.url)
        rows = await connection.fetch('SELECT * FROM origin.log ORDER BY topic, partition, "offset"')
        await connection.close()
        return [
            Record(row["topic"], row["partition"], row["offset"], row["key"], row["body"], orjson.loads(row["headers"]))
            for row in rows
        ]

    async def events(self) -> Mapping[tuple[UUID, int], str]:
        connection = await pool.connect(self.url)
        rows = await connection.fetch("SELECT subject_id, sequence, hash FROM origin.event")
        await connection.close()
        return {(row["subject_id"], row["sequence"]): row["hash"].hex() for row in rows}

    def lose(self, store: Store, commits: int) -> None:
        self.wires[id(store)].lost = commits

    def go_away(self, store: Store) -> None:
        self.wires[id(store)].cut = True


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[PostgresHarness]:
    harness = PostgresHarness(database_url)
    yield harness
    for lent in harness.pools:
        lent.terminate()


class TestPostgresStore(StoreSuite, LifeSuite, OpeningSuite):
    """Every promise."""


async def test_readers_are_woken_after_the_commit_and_only_then(harness: PostgresHarness) -> None:
    store = await harness.open()
    await admit(store, admitted(SERIES.number(1)))
    assert harness.woken == ["origin.declaration.accepted.v1"]
    with pytest.raises(Broken):
        await break_turn(store, TurnWork(log=[accepted(admitted(SERIES.number(2)))]))
    await save(store, TurnWork())
    assert len(harness.woken) == 1


async def test_a_value_that_no_column_takes_is_our_bug_not_the_databases_absence(harness: PostgresHarness) -> None:
    store = await harness.open()
    row = admitted(SERIES.number(1))
    await admit(store, row)
    for broken in (state_of(row, sequence=1 << 40), state_of(row, number="\x00")):
        with pytest.raises((asyncpg.exceptions.DataError, asyncpg.PostgresError, ValueError)) as caught:
            await save(store, TurnWork(states=[broken], events=[event_of(state_of(row))]))
        assert type(caught.value).__name__ not in ("Unavailable", "Collision")
    await save(store, TurnWork(states=[state_of(row)]))


async def test_what_is_overdue_is_shown_to_its_enterprise_and_counted(
    harness: PostgresHarness, database_pool: asyncpg.Pool
) -> None:
    store = await harness.open()
    row, other = admitted(SERIES.number(1)), admitted(SERIES.number(2))
    await admit(store, row, other)
    late = (Reminder.CUSTOMS_RECEIPT, Reminder.CUSTOMS_VERDICT)
    await save(store, TurnWork(states=[state_of(row, overdue=late), state_of(other, overdue=late[1:])]))
    assert {r["about"]: r["certificates"] for r in await database_pool.fetch(OVERDUE)} == {late[0]: 1, late[1]: 2}
    views = Views(database_pool)
    found = await views.certificate(row.applicant, row.number)
    assert found is not None
    assert tuple(found.overdue) == late
    await save(store, TurnWork(states=[state_of(row), state_of(other)]))
    assert await database_pool.fetch(OVERDUE) == []
    found = await views.certificate(row.applicant, str(row.certificate_id))
    assert found is not None
    assert tuple(found.overdue) == ()


async def test_cancelled_and_broken_transactions_leave_no_connection_behind(harness: PostgresHarness) -> None:
    store = await harness.open()
    for _ in range(12):
        with pytest.raises(ZeroDivisionError):
            async with store.door():
                raise ZeroDivisionError
    lent = harness.pools[0]
    assert lent.get_size() - lent.get_idle_size() == 0


@pytest.mark.parametrize("state", ["53100", "40P01", "23505", "22012"])  # disk full, deadlock, not unique, our bug
async def test_a_refused_statement_is_rolled_back_before_its_connection_is_given_back(
    database_pool: asyncpg.Pool, state: str
) -> None:
    """Found in a storm's logs: while the disk was full, the driver rolled back itself and called it our error."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    with pytest.raises((Unavailable, Collision, asyncpg.DivisionByZeroError)):
        async with transaction(database_pool) as connection:
            await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")
    assert complaints == []


# ---------------------------------------------------------------- blobs and the vault


async def test_bytes_that_do_not_match_their_hash_are_not_handed_out(database_pool: asyncpg.Pool) -> None:
    blobs = PostgresBlobs(database_pool)
    sha256 = await blobs.put(b"signed", kind="file", media_type="application/pdf")
    assert await blobs.get(sha256) == b"signed"
    with pytest.raises(KeyError):
        await blobs.get(hashlib.sha256(b"no").hexdigest())
    await database_pool.execute("UPDATE origin.blob SET content = $1", b"forged")
    with pytest.raises(ValueError, match="hash"):
        await blobs.get(sha256)


async def enrol(vault: Vault, enterprise: str, content: bytes, *, days: int = 1) -> None:
    await vault.add(enterprise, "seal", "seal", {}, content, NOW, NOW + timedelta(days=days), NOW)


async def test_a_mark_comes_out_as_it_went_in_and_is_not_readable_in_the_table(database_pool: asyncpg.Pool) -> None:
    vault = Vault(database_pool, "master")
    await enrol(vault, ONE, b"the seal's pixels")
    secret = await vault.open((await vault.defaults(ONE, NOW))["seal"])
    assert secret.content == b"the seal's pixels"
    assert "pixels" not in repr(secret)
    assert b"pixels" not in await database_pool.fetchval("SELECT sealed FROM origin.mark")
    assert not await vault.defaults(TWO, NOW)


async def test_another_master_key_opens_nothing(database_pool: asyncpg.Pool) -> None:
    await enrol(Vault(database_pool, "master"), ONE, b"seal")
    other = Vault(database_pool, "master2")
    mark = (await other.defaults(ONE, NOW))["seal"]
    with pytest.raises(Refusal, match="MASTER-KEY-WRONG"):
        await other.open(mark)


@pytest.mark.parametrize("moved", ["enterprise = '91320599MA9HTQ7K6J'", "kind = 'key'", "id = gen_random_uuid()"])
async def test_a_row_that_was_moved_opens_nothing(database_pool: asyncpg.Pool, moved: str) -> None:
    vault = Vault(database_pool, "master")
    await enrol(vault, ONE, b"seal")
    await database_pool.execute(f"UPDATE origin.mark SET {moved}")
    mark = await database_pool.fetchval("SELECT id FROM origin.mark")
    with pytest.raises(Refusal, match="MASTER-KEY-WRONG"):
        await vault.open(mark)


async def test_a_mark_is_used_inside_its_validity_only_and_never_when_stopped(database_pool: asyncpg.Pool) -> None:
    vault = Vault(database_pool, "master")
    await enrol(vault, ONE, b"seal", days=2)
    for offset, found in ((timedelta(seconds=-1), 0), (timedelta(0), 1), (timedelta(days=2), 0)):
        assert len(await vault.defaults(ONE, NOW + offset)) == found
    await enrol(vault, ONE, b"the next seal", days=3)
    mark = (await vault.defaults(ONE, NOW))["seal"]
    assert (await vault.open(mark)).content == b"the next seal"
    items = await vault.list("seal")
    assert [item.stopped_at is None for item in items] == [False, True]
    await vault.stop(mark, NOW)
    assert not await vault.defaults(ONE, NOW)
    for refused in (vault.open(mark), vault.open(items[0].id), vault.stop(uuid4(), NOW), vault.open(uuid4())):
        with pytest.raises(Refusal, match="MARK-UNKNOWN"):
            await refused
