"""Where dead letters are kept: the same on memory and on PostgreSQL."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from adapters.bus.memory import MemoryLog
from adapters.codecs.gateway_xml import GatewayCodec
from adapters.store.dead_letters import PostgresDeadLetters
from adapters.store.memory import MemoryDeadLetters, MemoryStore
from adapters.store.postgres import PostgresStore
from gateway.inlet import GatewayInlet
from gateway.ports import Message, Record, Unavailable, Unreadable
from gateway.runtime.dead_letters import letter
from gateway.runtime.turn import Turn
from gateway.storage import DeadLetter, Store, TurnWork
from tests.runtime.house import DIALECTS, Clock, Told

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
TOPIC = "origin.print.job.v1"


def a_letter(offset: int = 0, body: bytes = b"\x00poison \xff", key: str = "a\0b") -> DeadLetter:
    record = Record(TOPIC, 3, offset, key, body, {"ce_id": "1", "x\0": "张三\0"})
    return letter(record, Unreadable("MESSAGE-ROOT", "this is no PrintJob"), "print", NOW)


class Place(ABC):
    """A store with its log."""

    dead: MemoryDeadLetters | PostgresDeadLetters
    store: Store

    @abstractmethod
    async def kept(self) -> set[UUID]:
        """Ids of the letters."""

    @abstractmethod
    async def published(self) -> Sequence[tuple[str, bytes]]:
        """(ce_id, body) on the topic of the dead."""

    @abstractmethod
    async def go_away(self) -> None:
        """The database can't be reached from now on."""


class InMemory(Place):
    def __init__(self) -> None:
        self.log = MemoryLog()
        self.store = self.memory = MemoryStore(self.log.append)
        self.dead = MemoryDeadLetters(self.memory)

    async def kept(self) -> set[UUID]:
        return set(self.memory.tables.dead)

    async def published(self) -> Sequence[tuple[str, bytes]]:
        return [(r.headers["ce_id"], r.body) for r in self.log.records[f"{TOPIC}-dlt", 0]]

    async def go_away(self) -> None:
        self.memory.away = True


class OnPostgres(Place):
    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.woken: list[str] = []
        self.store = PostgresStore(pool, self.woken.extend)
        self.dead = self.rows = PostgresDeadLetters(pool, self.woken.extend)

    async def kept(self) -> set[UUID]:
        return {row["id"] for row in await self.pool.fetch("SELECT id FROM origin.dead_letter")}

    async def published(self) -> Sequence[tuple[str, bytes]]:
        rows = await self.pool.fetch(
            'SELECT headers::text, body FROM origin.log WHERE topic = $1 ORDER BY "offset"', f"{TOPIC}-dlt"
        )
        return [(orjson.loads(row["headers"])["ce_id"], row["body"]) for row in rows]

    async def go_away(self) -> None:
        self.pool.terminate()


class Suite:
    """The contract."""

    async def test_kept_and_published_together_and_once(self, place: Place) -> None:
        one, two, three = (a_letter(offset) for offset in range(3))
        await place.dead.bury([one, two])
        await place.dead.bury([two, three])
        await place.dead.bury([one])
        assert await place.kept() == {one.id, two.id, three.id}
        assert await place.published() == [(str(each.id), b"\x00poison \xff") for each in (one, two, three)]

    async def test_what_waits_is_kept_once_and_named(self, place: Place) -> None:
        assert {await place.dead.keep(a_letter()) for _ in range(2)} == {a_letter().id}
        assert [identity for identity, _ in await place.published()] == [str(a_letter().id)]

    async def test_a_turn_keeps_them_in_its_own_transaction(self, place: Place) -> None:
        with pytest.raises(ZeroDivisionError):
            await self._break(place.store)
        assert (await place.kept(), await place.published()) == (set(), [])
        async with place.store.turn() as turn:
            await turn.load([], [])
            await turn.save(TurnWork(dead=[a_letter()]))
        assert await place.kept() == {a_letter().id}

    async def test_what_no_column_of_text_keeps_holds_up_no_turn(self, place: Place) -> None:
        """A stranger may write any bytes as a key; the receipt behind it must not wait."""
        turn = Turn(place.store, GatewayInlet(GatewayCodec()), GatewayCodec(), DIALECTS, Clock(), Told())
        poison = Record("origin.customs.inbound.v1", 0, 7, "\0\0", b"\0<nothing", {"\0": "\0"})
        await turn.handle([poison, poison])
        assert len(await place.kept()) == 1
        assert list(await place.store.parked()) == []

    async def test_a_database_that_is_away(self, place: Place) -> None:
        await place.go_away()
        with pytest.raises(Unavailable):
            await place.dead.bury([a_letter()])

    async def _break(self, store: Store) -> None:
        async with store.turn() as turn:
            await turn.load([], [])
            await turn.save(TurnWork(dead=[a_letter()], log=[Message(f"{TOPIC}-dlt", "k", b"x", {"ce_id": "1"})]))
            raise ZeroDivisionError


class TestInMemory(Suite):
    """Every promise."""

    @pytest.fixture
    def place(self) -> Place:
        return InMemory()


class TestOnPostgres(Suite):
    """Every promise."""

    @pytest.fixture
    def place(self, database_pool: asyncpg.Pool) -> Place:
        return OnPostgres(database_pool)


# ---------------------------------------------------------------- what an operator asks


async def test_a_list_shows_no_bodies_and_a_letter_is_whole(database_pool: asyncpg.Pool) -> None:
    rows = PostgresDeadLetters(database_pool, lambda topics: None)
    old = replace(a_letter(1), at=NOW - timedelta(hours=1))
    new = a_letter(2)
    await rows.bury([new, old])
    listed = await rows.list(None, 10)
    assert [kept.letter.id for kept in listed] == [old.id, new.id], "oldest first"
    assert [(kept.letter.body, kept.size, kept.state) for kept in listed] == [(b"", len(new.body), "waiting")] * 2
    assert [kept.letter.id for kept in await rows.list("waiting", 1)] == [old.id]
    found = await rows.get(new.id)
    assert found is not None
    assert found.letter == new
    assert await rows.get(uuid4()) is None


async def test_of_two_who_decide_one_does(database_pool: asyncpg.Pool) -> None:
    rows = PostgresDeadLetters(database_pool, lambda topics: None)
    await rows.bury([a_letter()])
    first = await rows.decide(a_letter().id, "discarded", "li", "a test", NOW)
    assert first is not None
    assert (first.state, first.decided_by, first.reason, first.decided_at) == ("discarded", "li", "a test", NOW)
    assert await rows.decide(a_letter().id, "replayed", "wang", "really?", NOW) is None
    kept = await rows.get(a_letter().id)
    assert kept is not None
    assert (kept.state, kept.decided_by) == ("discarded", "li")


async def test_mended_bytes_stand_beside_the_original(database_pool: asyncpg.Pool) -> None:
    rows = PostgresDeadLetters(database_pool, lambda topics: None)
    await rows.bury([a_letter(1), a_letter(2)])
    assert await rows.decide(a_letter(1).id, "replayed", "li", "so says customs", NOW, b"<whole/>") is not None
    kept, other = await rows.get(a_letter(1).id), await rows.get(a_letter(2).id)
    assert kept is not None
    assert other is not None
    assert (kept.letter.body, kept.mended, kept.was_mended) == (a_letter().body, b"<whole/>", True)
    assert (other.mended, other.was_mended) == (None, False)
    listed = {one.letter.id: (one.mended, one.was_mended) for one in await rows.list(None, 10)}
    assert listed == {a_letter(1).id: (None, True), a_letter(2).id: (None, False)}
