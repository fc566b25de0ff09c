"""A new kind of subject: one module, one migration, one line in the register, and the machinery carries it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import asyncpg
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bus.memory import MemoryLog
from adapters.codecs.gateway_xml import GatewayCodec
from adapters.store.audit import Auditor
from adapters.store.memory import MemoryStore
from adapters.store.postgres import PostgresStore
from gateway.core import certificate
from gateway.core.audit import event_hash
from gateway.core.life import About, Life, Register
from gateway.core.messages import LetterMended
from gateway.core.overdue import Rule
from gateway.ports import Blob, Record
from gateway.runtime.turn import NotHandled, Turn
from gateway.storage import Store
from tests.lives import meter
from tests.lives.meter import Due, Installed, Meter, Taken
from tests.runtime.house import DIALECTS, Clock, Told

LIVES = Register(certificate.LIFE, meter.LIFE)
TOPIC = "origin.declaration.accepted.v1"
"""Any that is ours: the test's own inlet reads meters from it."""
OWNER = "91330299MA9XYD0C2A"
RULES = {
    Due.READING: Rule.model_construct(about=Due.READING, after=timedelta(days=31), again=None, resends=0),
}
ONE, TWO = (uuid5(NAMESPACE_OID, name) for name in "12")


class Inlet:
    """Reads meters' messages, which are JSON."""

    def apart(self, record: Record) -> tuple[Sequence[Record], Sequence[Blob]]:
        return (record,), ()

    def about(self, record: Record) -> About:
        return About("meter")

    def read(self, record: Record) -> tuple[Any, Sequence[Blob]]:
        content = orjson.loads(record.body)
        return (Installed if "serial" in content else Taken).model_validate(content), ()


class Hall:
    """A turn that knows meters, on one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock, self.told = Clock(), Told()
        codec = GatewayCodec()
        self.turn = Turn(store, Inlet(), codec, DIALECTS, self.clock, self.told, RULES, LIVES)  # type: ignore[arg-type]
        self._offset = 0

    async def tell(self, *messages: Installed | Taken) -> None:
        records = []
        for one in messages:
            records.append(Record(TOPIC, 0, self._offset, str(one.meter), one.model_dump_json().encode(), {}))
            self._offset += 1
        await self.turn.handle(records)

    async def state(self, identity: UUID) -> Any:
        async with self.store.turn() as turn:
            return (await turn.load([], [About("meter", identity)])).states.get(identity)


def installed(identity: UUID = ONE, serial: str = "M-1") -> Installed:
    return Installed(message_id=uuid5(identity, "installed"), meter=identity, serial=serial, owner=OWNER)


def taken(value: int, identity: UUID = ONE) -> Taken:
    return Taken(message_id=uuid5(identity, f"taken {value}"), meter=identity, value=value)


class Suite:
    """What holds on each store."""

    async def test_a_meter_is_opened_by_its_first_message_and_goes_on(self, hall: Hall) -> None:
        await hall.tell(installed(), taken(7), installed(TWO, "M-2"))
        await hall.tell(taken(9), taken(3), taken(9))
        assert await hall.state(ONE) == Meter(id=ONE, serial="M-1", sequence=4, value=9)
        assert (await hall.state(TWO)).status == "installed"
        assert "repeated" in hall.told.words
        async with hall.store.turn() as turn:
            assert (await turn.load([], [About("meter", key="M-2")])).keys == {("meter", "M-2"): TWO}

    async def test_a_reading_of_a_meter_that_is_not_there_changes_nothing(self, hall: Hall) -> None:
        await hall.tell(taken(7))
        assert await hall.state(ONE) is None

    async def test_a_message_about_a_subject_of_another_kind_changes_nothing(self, hall: Hall) -> None:
        await hall.tell(installed())
        letter = LetterMended(
            message_id=TWO,
            certificate_id=ONE,
            letter=TWO,
            was_sha256="0" * 64,
            mended_sha256="1" * 64,
            by="",
            reason="",
        )
        assert await hall.turn.command(letter) == ()
        assert (await hall.state(ONE)).sequence == 1

    async def test_a_business_key_is_unique_within_its_kind(self, hall: Hall) -> None:
        await hall.tell(installed())
        await hall.tell(installed(TWO, "M-1"))
        assert await hall.state(TWO) is None
        assert [(row.subject_id, row.message_id) for row in await hall.store.parked()] == [
            (TWO, installed(TWO, "M-1").message_id)
        ]

    async def test_its_due_date_comes_and_is_settled(self, hall: Hall) -> None:
        await hall.tell(installed())
        hall.clock.move(days=32)
        assert await hall.turn.work_timers() == 1
        assert (await hall.state(ONE)).status == "late"
        assert await hall.turn.work_timers() == 0
        await hall.tell(taken(5))
        assert (await hall.state(ONE)).status == "read"

    async def test_what_breaks_is_parked_and_the_meter_waits_behind_it(self, hall: Hall) -> None:
        await hall.tell(installed(), installed(TWO, "M-2"), taken(-1), taken(4), taken(8, TWO))
        assert ((await hall.state(ONE)).value, (await hall.state(TWO)).value) == (0, 8)
        reasons = [row.reason for row in await hall.store.parked(ONE)]
        assert reasons == ["ZeroDivisionError while deciding", "waits behind a parked message of the same meter"]
        with pytest.raises(NotHandled):
            await hall.turn.command(taken(5))  # type: ignore[arg-type]
        assert await hall.turn.replay() == 0


class TestInMemory(Suite):
    @pytest.fixture
    def hall(self) -> Hall:
        return Hall(MemoryStore(MemoryLog().append))


class TestOnPostgres(Suite):
    @pytest.fixture
    async def hall(self, database_pool: asyncpg.Pool) -> Hall:
        return await on_postgres(database_pool)


async def on_postgres(pool: asyncpg.Pool) -> Hall:
    """With the migration of its kind."""
    await pool.execute(Path(__file__).with_name("meter.sql").read_text())
    return Hall(PostgresStore(pool, lambda topics: None, LIVES))


async def test_the_audit_holds_and_names_its_kind(database_pool: asyncpg.Pool) -> None:
    hall = await on_postgres(database_pool)
    await hall.tell(installed(), taken(7), taken(9))
    async with database_pool.acquire() as connection:
        report = await Auditor(connection, LIVES).everything(*two_days(), lambda done, total: None)
    assert (report.certificates, report.events, report.flaws) == (1, 3, [])
    rows = await database_pool.fetch("SELECT body FROM origin.log WHERE topic = 'origin.status.changed.v1'")
    told = orjson.loads(rows[-1]["body"])
    assert (told["meter"], told["serial"], told["status"]) == (str(ONE), "M-1", "read")
    identity, message = UUID(told["id"]), UUID(told["message"])
    made = event_hash(
        "meter", ONE, told["sequence"], identity, told["kind"], told["data"], message, told["at"], told["previous"]
    )
    assert made == told["hash"]
    assert await database_pool.fetchval("SELECT value FROM origin.meter WHERE serial = 'M-1'") == 9
    await database_pool.execute("UPDATE origin.event SET data = '{\"value\": 8}' WHERE sequence = 2")
    async with database_pool.acquire() as connection:
        report = await Auditor(connection, LIVES).everything(*two_days(), lambda done, total: None)
    assert {flaw.code for flaw in report.flaws} == {"event.changed"}, "the last reading counts, whatever the one before"


async def test_a_state_that_its_events_do_not_make_is_found(database_pool: asyncpg.Pool) -> None:
    hall = await on_postgres(database_pool)
    await hall.tell(installed(), taken(7))
    await database_pool.execute("""UPDATE origin.subject SET state = state || '{"value": 8}'""")
    async with database_pool.acquire() as connection:
        report = await Auditor(connection, LIVES).everything(*two_days(), lambda done, total: None)
    assert ([(flaw.code, flaw.sequence) for flaw in report.flaws], report.unfolded) == ([("state.differs", 2)], 0)


async def test_a_gateway_that_does_not_know_the_kind_leaves_its_due_dates_alone(database_pool: asyncpg.Pool) -> None:
    hall = await on_postgres(database_pool)
    await hall.tell(installed())
    older = PostgresStore(database_pool, lambda topics: None)
    assert list(await older.due(datetime(2030, 1, 1, tzinfo=UTC), 10)) == []
    assert len(await hall.store.due(datetime(2030, 1, 1, tzinfo=UTC), 10)) == 1
    assert await database_pool.fetchval("SELECT count(*) FROM origin.certificate") == 0


@given(st.lists(st.integers(0, 20), max_size=8))
def test_its_events_alone_make_its_state(values: list[int]) -> None:
    state, events = None, []
    for message in (installed(), *map(taken, values)):
        state, decision = meter.LIFE.apply(state, message, Clock().now())
        events += decision.events
    assert meter.LIFE.fold(events) == state


def test_a_kind_or_a_message_is_registered_once() -> None:
    with pytest.raises(ValueError, match="name of its own"):
        Register(meter.LIFE, meter.LIFE)
    twin = Life(**{**{name: getattr(meter.LIFE, name) for name in Life.__slots__}, "kind": "gauge"})
    with pytest.raises(ValueError, match="one life"):
        Register(meter.LIFE, twin)


def two_days() -> tuple[Any, Any]:
    """The last day that ought to be sealed: none yet."""
    today = Clock().now().date()
    return today - timedelta(days=2), today
