"""The declared topics: families of which every client has one, and a place for the dead of all that is consumed."""

import asyncpg
import pytest

from adapters.bus.log import append
from adapters.bus.topics import Topics, declared
from adapters.inbound.bus_reading import ANSWERED
from adapters.store.clients import Clients
from gateway.operations import Refusal
from gateway.ports import Message, UnknownTopic
from gateway.runtime.dead_letters import topic_of
from gateway.runtime.kept import SUBMITTED
from gateway.runtime.print_room import JOBS as PRINT_JOBS
from gateway.runtime.turn import LISTENS
from renderers.worker import JOBS as RENDER_JOBS

USCC = "91330299MA9XYD0C2A"


@pytest.mark.parametrize("topic", [*LISTENS, RENDER_JOBS, PRINT_JOBS, f"{SUBMITTED}.erp-1"])
def test_every_consumed_topic_has_a_place_for_its_dead(topic: str) -> None:
    assert declared().partitions(topic_of(topic)) == 1


def test_a_family_has_a_topic_for_every_client_and_none_for_itself() -> None:
    topics = Topics({"fixed.v1": 2}, {"family.v1": 3})
    assert list(topics) == ["fixed.v1"]
    assert topics.places(["family.v1.erp-1"]) == [("family.v1.erp-1", number) for number in range(3)]
    assert "family.v1.a_b-9" in topics
    for name in ("family.v1", "family.v1.", "family.v1.ERP", "family.v1.a.b", "family.v1.-a", "other.v1.a", 7):
        assert name not in topics
    with pytest.raises(UnknownTopic):
        topics.partitions("family.v1.ERP")
    assert {name: topics.of_client("x").partitions(name) for name in topics.of_client("x")} == {"family.v1.x": 3}
    for wrong in ("", "ERP", "a.b", "../x"):
        with pytest.raises(ValueError):
            topics.of_client(wrong)
    with pytest.raises(ValueError):
        Topics({}, {"family.v1": 0})


async def _write(pool: asyncpg.Pool, client: str) -> None:
    async with pool.acquire() as connection:
        await append(connection, [Message(f"{family}.{client}", "k", b"x") for family in (SUBMITTED, ANSWERED)])


async def test_a_clients_topics_come_with_it_or_later(database_pool: asyncpg.Pool) -> None:
    clients = Clients(database_pool)
    await clients.add("on", USCC, bus=True)
    await clients.add("off", USCC)
    assert await clients.on_bus() == ["on"]
    await _write(database_pool, "on")
    with pytest.raises(UnknownTopic):
        await _write(database_pool, "off")
    assert (await clients.bus("off", True)).bus is True
    await _write(database_pool, "off")
    await clients.revoke("on")
    assert await clients.on_bus() == ["off", "on"], "a revoked client still hears why"
    assert (await clients.bus("on", False)).bus is False
    assert (await clients.bus("off", True)).bus is True, "once more is no mistake"
    assert await clients.on_bus() == ["off"]
    with pytest.raises(Refusal):
        await clients.bus("nobody", True)
