"""The client registry and the read queries, on a real PostgreSQL."""

import asyncio
import hashlib
import re

import asyncpg
import pytest

from adapters.store import views
from adapters.store.clients import Clients
from gateway.operations import Refusal
from gateway.ports import Unavailable

USCC = "91330299MA9XYD0C2A"
FULL_WIDTH = USCC.replace("9", "９")


def test_every_read_query_is_filtered_by_the_enterprise() -> None:
    queries = {name: text for name, text in vars(views).items() if name.isupper() and isinstance(text, str)}
    assert len(queries) == 7
    for name, text in queries.items():
        assert "WHERE (c.applicant = $1 OR c.exporter = $1) AND" in re.sub(r"\s+", " ", text), name
        assert text.count("FROM origin.certificate c") == 1, name


async def test_a_key_is_shown_once_and_kept_as_a_hash(database_pool: asyncpg.Pool) -> None:
    clients = Clients(database_pool)
    made = await clients.add("erp-1", f" {USCC.lower()} ", "A1")
    assert re.fullmatch(r"ok_[\w-]{43}", made.key)
    row = await database_pool.fetchrow("SELECT * FROM origin.client")
    assert row["key_sha256"] == hashlib.sha256(made.key.encode()).digest()
    assert made.key not in str(dict(row))
    client = await clients.authenticate(made.key)
    assert client is not None
    assert (client.id, client.enterprise, client.prefix) == ("erp-1", USCC, "A1")
    assert await clients.by_id("erp-1") == client
    for wrong in (made.key[:-1], "", "ok_", "erp-1", made.key + "x", "ok_\udcff"):
        assert await clients.authenticate(wrong) is None
    assert await clients.by_id("erp-2") is None


@pytest.mark.parametrize(
    ("name", "enterprise", "prefix", "code"),
    [
        ("ERP", USCC, "", "CLIENT-NAME"),
        ("../etc", USCC, "", "CLIENT-NAME"),
        ("erp", USCC[:-1] + "B", "", "CLIENT-ENTERPRISE"),
        ("erp", FULL_WIDTH, "", "CLIENT-ENTERPRISE"),
        ("erp", f"{USCC[:8]}-{USCC[8:]}", "", "CLIENT-ENTERPRISE"),
        ("erp", USCC, "ABCD", "CLIENT-PREFIX"),
        ("erp", USCC, "-", "CLIENT-PREFIX"),
    ],
)
async def test_refusals(database_pool: asyncpg.Pool, name: str, enterprise: str, prefix: str, code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        await Clients(database_pool).add(name, enterprise, prefix)
    assert refusal.value.code == code


async def test_revoked_for_good(database_pool: asyncpg.Pool) -> None:
    clients = Clients(database_pool)
    made = await clients.add("erp-1", USCC)
    assert await clients.authenticate(made.key)
    assert (await clients.revoke("erp-1")).revoked_at is not None
    assert await clients.authenticate(made.key) is None
    with pytest.raises(Refusal, match="CLIENT-EXISTS"):
        await clients.add("erp-1", USCC)
    with pytest.raises(Refusal, match="CLIENT-UNKNOWN"):
        await clients.revoke("erp-2")


async def test_the_hot_path_asks_once_a_second(database_pool: asyncpg.Pool) -> None:
    now = [0.0]
    clients = Clients(database_pool, monotonic=lambda: now[0])
    made = await clients.add("erp-1", USCC)
    assert all(await asyncio.gather(*(clients.authenticate(made.key) for _ in range(50))))
    await database_pool.execute("DROP TABLE origin.client CASCADE")
    assert await clients.authenticate(made.key)
    now[0] = 1.1
    with pytest.raises(asyncpg.UndefinedTableError):
        await clients.authenticate(made.key)


async def test_away_is_unavailable_not_unknown(database_pool: asyncpg.Pool) -> None:
    clients = Clients(database_pool)
    made = await clients.add("erp-1", USCC)
    database_pool.terminate()
    with pytest.raises(Unavailable):
        await clients.authenticate(made.key)


async def test_those_who_send_all_the_time_are_looked_up_together(database_pool: asyncpg.Pool) -> None:
    now = [0.0]
    clients = Clients(database_pool, monotonic=lambda: now[0])
    steady, other, silent = [(await clients.add(name, USCC)).key for name in ("erp-1", "erp-2", "erp-3")]
    for key in (steady, other, silent):
        assert await clients.authenticate(key)
    now[0] = 1.1
    assert await clients.authenticate(steady)  # asks for all three: each was asked for in the second before
    now[0] = 1.2
    await database_pool.execute("DROP TABLE origin.client CASCADE")
    assert await clients.authenticate(other)
    now[0] = 2.15
    with pytest.raises(asyncpg.UndefinedTableError):
        await clients.authenticate(silent)
