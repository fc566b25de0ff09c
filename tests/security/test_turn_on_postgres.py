"""What may go wrong in a turn, on the real database: one bad message waits alone, whatever is bad about it."""

import asyncio
import hashlib
import random
import string
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from adapters.codecs.gateway_xml import GatewayCodec
from adapters.store.postgres import PostgresStore
from adapters.store.views import Views
from gateway.core.certificate import KIND
from gateway.core.life import About
from gateway.inlet import GatewayInlet
from gateway.ports import Record, Unavailable
from gateway.reading import CertificateFilter
from gateway.runtime.door import Door, Submission
from gateway.runtime.turn import LISTENS, Turn, timer_input
from gateway.storage import Parked, TurnWork
from tests.runtime.house import DIALECTS, ERP, EXAMINER, INBOUND, JSON, Clock, Told, break_off, document, reply, taken

WAITING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND state = 'active' AND wait_event_type = 'Lock'"
)


class Place:
    """Door and turn on PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.clock, self.told = Clock(), Told()
        self.turn = self.another_turn()
        self.offset = 0

    def another_turn(self) -> Turn:
        store = PostgresStore(self.pool, lambda topics: None)
        return Turn(store, GatewayInlet(GatewayCodec()), GatewayCodec(), DIALECTS, self.clock, self.told)

    async def declare(self, count: int) -> list[tuple[UUID, str]]:
        """Declared, and seen by the turn."""
        store = PostgresStore(self.pool, lambda topics: None)
        door = Door(store, EXAMINER, GatewayCodec(), self.clock, break_off)
        examined = [EXAMINER.examine(Submission(ERP, JSON, document(marks=f"NO. {n}"), "http")) for n in range(count)]
        answers = [answer.content for answer in await door._judged(examined)]
        await self.turn.handle(await self.log())
        return [(UUID(answer["id"]), answer["number"]) for answer in answers]

    async def log(self) -> list[Record]:
        rows = await self.pool.fetch(
            'SELECT topic, partition, "offset", key, headers::text AS headers, body FROM origin.log'
            ' WHERE topic = ANY($1::text[]) ORDER BY topic, partition, "offset"',
            list(LISTENS),
        )
        return [
            Record(row["topic"], row["partition"], row["offset"], row["key"], row["body"], orjson.loads(row["headers"]))
            for row in rows
        ]

    def inbound(self, *bodies: bytes) -> list[Record]:
        self.offset += len(bodies)
        return [Record(INBOUND, 0, self.offset + n, "customs", body, {}) for n, body in enumerate(bodies)]

    async def kinds(self, identity: UUID) -> list[str]:
        rows = await self.pool.fetch("SELECT kind FROM origin.event WHERE subject_id = $1 ORDER BY sequence", identity)
        return [row["kind"] for row in rows]

    async def parked(self) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.pool.fetch("SELECT * FROM origin.parked ORDER BY id")
        return rows


async def test_a_number_too_long_for_an_index_waits_alone(database_pool: asyncpg.Pool) -> None:
    place = Place(database_pool)
    one, two = await place.declare(2)
    endless = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=20_000))
    body = taken("CERT").replace(b"CERT", endless.encode())
    await place.turn.handle(place.inbound(taken(one[1]), body, taken(two[1])))
    assert [row["body"] for row in await place.parked()] == [body]
    for identity, _ in (one, two):
        assert await place.kinds(identity) == ["declared", "sent"]


async def test_a_life_that_no_longer_fits_its_rows_waits_and_the_others_flow(database_pool: asyncpg.Pool) -> None:
    """A unique key that stays taken is no race: without an end to the tries nobody's receipts would be handled."""
    place = Place(database_pool)
    broken, whole = await place.declare(2)
    await database_pool.execute(
        "INSERT INTO origin.event (subject_id, sequence, id, kind, data, message_id, at, hash, day)"
        " VALUES ($1, 2, $2, 'noted', '{}', $3, now(), sha256('none'), now())",
        broken[0], uuid4(), uuid4(),
    )  # fmt: skip
    await place.turn.handle(place.inbound(taken(whole[1]), taken(broken[1]), reply(whole[1], "2")))
    assert await place.kinds(whole[0]) == ["declared", "sent", "in_review"]
    assert [row["subject_id"] for row in await place.parked()] == [broken[0]]
    await database_pool.execute("DELETE FROM origin.event WHERE kind = 'noted'")
    assert await place.turn.replay() == 1
    assert await place.kinds(broken[0]) == ["declared", "sent"]


async def test_a_state_that_nobody_can_read_waits_and_the_others_flow(database_pool: asyncpg.Pool) -> None:
    place = Place(database_pool)
    odd, whole = await place.declare(2)
    await _change(database_pool, odd[0], '{"review": "unheard"}')
    await place.turn.handle(place.inbound(taken(odd[1]), taken(whole[1])))
    assert await place.kinds(whole[0]) == ["declared", "sent"]
    assert [row["subject_id"] for row in await place.parked()] == [odd[0]]
    await _change(database_pool, odd[0], '{"review": "declared"}')
    assert await place.turn.replay() == 1
    assert await place.kinds(odd[0]) == ["declared", "sent"]


async def test_what_a_newer_version_added_is_kept_and_nothing_waits(database_pool: asyncpg.Pool) -> None:
    place = Place(database_pool)
    ((identity, number),) = await place.declare(1)
    await _change(database_pool, identity, '{"unheard": 1, "version": 99, "overdue": ["form_stock"]}')
    await place.turn.handle(place.inbound(taken(number)))
    assert (await place.kinds(identity), await place.parked()) == (["declared", "sent"], [])
    state = orjson.loads(await database_pool.fetchval("SELECT state::text FROM origin.certificate"))
    assert (state["unheard"], state["version"], state["overdue"]) == (1, 99, ["form_stock"])
    page = await Views(database_pool).certificates(ERP.enterprise, CertificateFilter(), after=None, limit=9)
    assert [list(one.overdue) for one in page.certificates] == [["form_stock"]]


async def test_what_only_a_newer_version_can_carry_on_is_left_to_it(database_pool: asyncpg.Pool) -> None:
    """Nothing is acknowledged, nothing is parked: the newer process gets it."""
    place = Place(database_pool)
    ((identity, number),) = await place.declare(1)
    await _change(database_pool, identity, '{"review": "suspended", "version": 99}')
    with pytest.raises(Unavailable):
        await place.turn.handle(place.inbound(taken(number)))
    assert (await place.kinds(identity), await place.parked()) == (["declared"], [])


async def test_a_due_date_of_a_newer_version_is_left_to_it(database_pool: asyncpg.Pool) -> None:
    place = Place(database_pool)
    ((identity, _),) = await place.declare(1)
    await database_pool.execute(
        "INSERT INTO origin.timer (subject_id, about, revision, due) VALUES ($1, 'form_stock', 1, '2000-01-01')",
        identity,
    )
    assert await place.turn.work_timers() == 0
    assert await database_pool.fetchval("SELECT count(*) FROM origin.timer WHERE about = 'form_stock'") == 1


async def _change(pool: asyncpg.Pool, identity: UUID, more: str) -> None:
    await pool.execute("UPDATE origin.certificate SET state = state || $2::text::jsonb WHERE id = $1", identity, more)


async def test_a_declaration_whose_bytes_are_gone_waits_alone(database_pool: asyncpg.Pool) -> None:
    place = Place(database_pool)
    await place.declare(1)
    store = PostgresStore(database_pool, lambda topics: None)
    door = Door(store, EXAMINER, GatewayCodec(), place.clock, break_off)
    before = len(await place.log())
    examined = [EXAMINER.examine(Submission(ERP, JSON, document(marks=f"LOST {n}"), "http")) for n in range(2)]
    answers = [answer.content for answer in await door._judged(examined)]
    lost = hashlib.sha256(document(marks="LOST 0")).digest()
    await database_pool.execute("DELETE FROM origin.blob WHERE sha256 = $1", lost)
    records = await place.log()
    assert len(records) == before + 2
    await place.turn.handle(records)
    assert [str(row["subject_id"]) for row in await place.parked()] == [answers[0]["id"]]
    assert await place.kinds(UUID(answers[1]["id"])) == ["declared"]


async def test_two_processes_tell_of_one_due_date_once(database_pool: asyncpg.Pool) -> None:
    place = Place(database_pool)
    ((identity, _),) = await place.declare(1)
    place.clock.at += timedelta(hours=1)
    due = await PostgresStore(database_pool, lambda topics: None).due(place.clock.now(), 10)
    assert len(due) == 1
    for _ in range(2):  # both looked before either had worked it
        await place.another_turn()._run_split([timer_input(timer) for timer in due])
    assert await place.kinds(identity) == ["declared", "overdue"]


async def test_who_waited_for_a_certificate_sees_what_was_parked_meanwhile(database_pool: asyncpg.Pool) -> None:
    """Else it would work a later message past the one that waits for a person."""
    place = Place(database_pool)
    ((identity, number),) = await place.declare(1)
    store = PostgresStore(database_pool, lambda topics: None)
    (record,) = place.inbound(taken(number))
    parked = Parked(uuid4(), identity, record.topic, record.key, {}, record.body, "broke us", place.clock.now())
    # given a turn that has the certificate in hand, and another that waits for it
    async with store.turn() as first:
        assert (await first.load([], [About(KIND, identity)])).parked == frozenset()
        waiting = asyncio.create_task(load(store, identity))
        while await database_pool.fetchval(WAITING) == 0:  # noqa: ASYNC110 - another connection's work
            await asyncio.sleep(0.01)
        # when the first one parks a message of it
        await first.save(TurnWork(parked=[parked]))
        assert not waiting.done()
    # then the other, which asked before, sees it
    assert await waiting == {identity}


async def load(store: PostgresStore, identity: UUID) -> frozenset[UUID]:
    """What a turn is told to be parked."""
    async with store.turn() as turn:
        return (await turn.load([], [About(KIND, identity)])).parked
