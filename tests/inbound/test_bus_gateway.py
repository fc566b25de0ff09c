"""A real gateway on PostgreSQL's log: an ERP on the bus, and records that nobody can read, in an operator's hands."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest

import schemas
from adapters.bus.postgres import PostgresBus
from adapters.postgres import pool
from gateway import keyfile
from gateway.ports import Consumer, Message, Record
from tests.cli.command import origin
from tests.inbound.gateway import running
from tests.runtime.house import ENTERPRISE, document

INBOUND = "origin.customs.inbound.v1"
SUBMITTED, ANSWERED = "origin.intake.submitted.v1", "origin.intake.answered.v1"
DEAD = "/v1/admin/dead-letters"
RULING = {"by": "li", "reason": "customs sends it again"}
T = TypeVar("T")


@dataclass
class Office:
    """The operator of a running gateway, and a handle of somebody else on the same log."""

    operator: httpx.AsyncClient
    bus: PostgresBus
    pool: asyncpg.Pool
    data: Path

    async def client(self, name: str, **wish: object) -> None:
        body = {"name": name, "enterprise": ENTERPRISE, **wish}
        (await self.operator.post("/v1/admin/clients", json=body)).raise_for_status()

    async def post(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        return await self.operator.post(path, json=body)

    async def dead(self, count: int) -> list[dict[str, Any]]:
        """All dead letters, once there are so many."""

        async def listed() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await self.operator.get(DEAD)).raise_for_status().json()
            return found if len(found) >= count else []

        return await until(listed)

    def reader(self, *clients: str) -> contextlib.AbstractAsyncContextManager[Consumer]:
        return self.bus.consumer("the-erp", [f"{ANSWERED}.{client}" for client in clients])

    async def send(self, client: str, body: bytes, media_type: str = "application/json", **headers: str) -> None:
        await self.bus.publish([Message(f"{SUBMITTED}.{client}", "k", body, {"content-type": media_type, **headers})])


async def until(look: Callable[[], Awaitable[T]]) -> T:
    async with asyncio.timeout(15):
        while not (found := await look()):  # noqa: ASYNC110 - somebody else's work
            await asyncio.sleep(0.05)
    return found


async def answers(consumer: Consumer, count: int) -> list[Record]:
    records: list[Record] = []

    async def more() -> Sequence[Record]:
        records.extend(await consumer.poll(100, 0.2))
        return records if len(records) >= count else []

    await until(more)
    return records


@pytest.fixture
async def office(tmp_path: Path, database_url: str, database_pool: asyncpg.Pool) -> AsyncIterator[Office]:
    async with running(tmp_path / "data", database_url) as gateway:
        head = {"authorization": f"Bearer {keyfile.read(gateway.settings.operator_key_path)}"}
        url = f"http://127.0.0.1:{gateway.port}"
        async with (
            httpx.AsyncClient(base_url=url, headers=head, trust_env=False) as operator,
            PostgresBus(database_pool, partial(pool.connect, database_url)) as bus,
        ):
            yield Office(operator, bus, database_pool, gateway.settings.data)


async def test_an_erp_on_the_bus(office: Office) -> None:
    await office.client("erp-1", bus=True)
    await office.client("web-only")
    example = schemas.read_bytes("examples", "C-three-goods.xml")
    async with office.reader("erp-1") as consumer:
        await office.send("erp-1", example, "application/xml", ce_id="7")
        await office.send("erp-1", b"<nonsense", "application/xml", ce_id="8")
        good, bad = await answers(consumer, 2)
        assert orjson.loads(good.body)["status"] == "accepted"
        assert (good.headers["ce_causationid"], bad.headers["ce_causationid"]) == ("7", "8")
        assert orjson.loads(bad.body)["faults"]
        rows = await office.pool.fetch("SELECT client, channel FROM origin.intake")
        assert [tuple(row) for row in rows] == [("erp-1", "bus")]

        await office.post("/v1/admin/clients/erp-1/revoke", {})
        await asyncio.sleep(1.1)  # what the registry said is believed for a second
        await office.send("erp-1", example, "application/xml", ce_id="9")
        await consumer.commit({good.place: bad.offset + 1})
        (told,) = await answers(consumer, 1)
        assert [fault["code"] for fault in orjson.loads(told.body)["faults"]] == ["CLIENT-UNKNOWN"]


async def test_a_client_gets_its_topics_later_and_gives_them_up(office: Office) -> None:
    await office.client("erp-1")
    listed = (await office.operator.get("/v1/admin/clients")).json()
    assert [client["bus"] for client in listed] == [False]
    on = await office.post("/v1/admin/clients/erp-1/bus", {"bus": True})
    assert on.json()["bus"] is True
    async with office.reader("erp-1") as consumer:
        await office.send("erp-1", document(invoice_no="1"))
        assert len(await answers(consumer, 1)) == 1
        await office.post("/v1/admin/clients/erp-1/bus", {"bus": False})
        members = "SELECT 1 FROM origin.consumer_member WHERE \"group\" = 'intake'"
        await until(lambda: _no(office.pool, members))
        await office.send("erp-1", document(invoice_no="2"))
        assert await consumer.poll(10, 0.5) == []
        await office.post("/v1/admin/clients/erp-1/bus", {"bus": True})
        assert len(await answers(consumer, 1)) == 1, "what was sent meanwhile is answered"
    unknown = await office.post("/v1/admin/clients/nobody/bus", {"bus": True})
    assert unknown.json()["code"] == "CLIENT-UNKNOWN"


async def _no(pool: asyncpg.Pool, query: str) -> bool:
    return await pool.fetchval(query) is None


async def test_what_nobody_can_read_is_shown_replayed_and_discarded(office: Office) -> None:
    await office.bus.publish([Message(INBOUND, "C26", b"<no receipt \xff", {"ce_id": "1", "note": "张三"})])
    (letter,) = await office.dead(1)
    assert (letter["topic"], letter["group"], letter["attempts"], letter["state"]) == (INBOUND, "turn", 1, "waiting")
    shown = (await office.operator.get(f"{DEAD}/{letter['id']}")).json()
    assert base64.b64decode(shown["body"]) == b"<no receipt \xff"
    assert (shown["key"], shown["headers"]) == ("C26", {"ce_id": "1", "note": "张三"})

    replayed = (await office.post(f"{DEAD}/{letter['id']}/replay", RULING)).raise_for_status().json()
    assert (replayed["state"], replayed["decided_by"], replayed["reason"]) == (
        "replayed",
        RULING["by"],
        RULING["reason"],
    )
    assert replayed["decided_at"]
    first, second = await office.dead(2)
    assert (first["id"], second["attempts"], second["state"]) == (letter["id"], 2, "waiting")
    assert second["offset"] > first["offset"]

    discarded = (await office.post(f"{DEAD}/{second['id']}/discard", RULING)).raise_for_status().json()
    assert (discarded["state"], discarded["reason"]) == ("discarded", RULING["reason"])
    for identity, what, code in (
        (first["id"], "replay", "DLT-DECIDED"),
        (second["id"], "discard", "DLT-DECIDED"),
        (second["id"], "replay", "DLT-DECIDED"),
        (str(uuid4()), "replay", "DLT-UNKNOWN"),
    ):
        refused = await office.post(f"{DEAD}/{identity}/{what}", RULING)
        assert refused.json()["code"] == code
    assert [d["id"] for d in (await office.operator.get(f"{DEAD}?state=discarded")).json()] == [second["id"]]
    assert (await office.operator.get(f"{DEAD}?state=waiting")).json() == []

    rows = await office.pool.fetch("SELECT key, headers::text, body FROM origin.log WHERE topic = $1", f"{INBOUND}-dlt")
    assert [(row["key"], row["body"]) for row in rows] == [("C26", b"<no receipt \xff")] * 2
    assert [orjson.loads(row["headers"])["origin_attempts"] for row in rows] == ["1", "2"]
    assert "张三" not in str([row["headers"] for row in rows])


async def test_the_command_line_shows_and_decides(office: Office) -> None:
    poison = [Message(INBOUND, "C26", b"<no receipt %d" % n, {"content-type": "text/odd"}) for n in range(2)]
    await office.bus.publish(poison)
    one, two = sorted(await office.dead(2), key=lambda letter: str(letter["offset"]))
    url, data = str(office.operator.base_url), str(office.data)

    async def dlt(*arguments: str) -> str:
        done = await asyncio.to_thread(lambda: origin("dlt", *arguments, ORIGIN_URL=url, ORIGIN_DATA=data))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert len((await dlt("list")).splitlines()) == 2
    shown = await dlt("show", one["id"])
    assert "<no receipt" in shown
    assert "content-type\ttext/odd" in shown
    assert "replayed" in await dlt("replay", one["id"], "--by", "li")
    assert "discarded" in await dlt("discard", two["id"], "--reason", "a test", "--by", "wang")
    await office.dead(3)
    (kept,) = orjson.loads(await dlt("list", "--state", "discarded", "--json"))
    assert (kept["id"], kept["decided_by"], kept["reason"]) == (two["id"], "wang", "a test")


@pytest.mark.parametrize("ruling", [{"by": "li"}, {"reason": "x"}, {"by": "", "reason": "x"}, {**RULING, "more": 1}])
async def test_a_decision_has_a_person_and_a_reason(office: Office, ruling: dict[str, object]) -> None:
    answer = await office.post(f"{DEAD}/{uuid4()}/discard", ruling)
    assert answer.status_code == 400


async def test_a_letter_whose_topic_is_gone_is_not_replayed(office: Office) -> None:
    await office.bus.publish([Message(INBOUND, "C26", b"<no receipt", {})])
    (letter,) = await office.dead(1)
    await office.pool.execute("UPDATE origin.dead_letter SET topic = 'origin.gone.v1'")
    refused = await office.post(f"{DEAD}/{letter['id']}/replay", RULING)
    assert refused.json()["code"] == "DLT-TOPIC"
    assert (await office.operator.get(f"{DEAD}/{letter['id']}")).json()["state"] == "waiting"
