"""Quotas by every way in: who has his is told when to come again, at next to no cost, and nothing of his is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import asyncpg
import httpx
import orjson
import pytest

from adapters.inbound.folder_files import ClientFolder
from adapters.inbound.http import Application
from adapters.inbound.http.problem import Scope
from adapters.store.quotas import PostgresQuotas
from gateway import keyfile
from gateway.core.quotas import Limits, Over, Quota, Used, windows
from gateway.ports import Unavailable
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client, Submission
from gateway.runtime.quotas import Count, Quotas
from tests.cli.command import origin
from tests.inbound import parts
from tests.inbound.bus_parts import Post, codes
from tests.inbound.folder_parts import Folder
from tests.inbound.gateway import running
from tests.inbound.parts import CLIENT, KEY, FakeDoor, application, client_of
from tests.runtime.house import ENTERPRISE, JSON, document

URL = "/v1/declarations"
XML = {"content-type": "application/xml"}
NDJSON = {"content-type": "application/x-ndjson"}


def limited(monkeypatch: pytest.MonkeyPatch, **limits: int) -> Client:
    """The client of the fake parts, with these quotas."""
    client = Client(CLIENT.id, CLIENT.enterprise, limits=Limits(**limits))
    monkeypatch.setattr(parts, "CLIENT", client)
    return client


# ---------------------------------------------------------------- HTTP


async def test_who_has_his_quota_is_told_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, declarations_per_minute=2)
    door = FakeDoor()
    async with client_of(application(door)) as client:
        answers = [await client.post(URL, content=b"<%d/>" % n, headers=XML) for n in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 429, 429]
    problem = answers[2].json()
    assert (answers[2].headers["retry-after"], problem["type"]) == ("60", "urn:origin-gateway:problem:too-many")
    assert [fault["code"] for fault in problem["errors"]] == ["QUOTA-EXCEEDED"]
    assert "origin client quota" in problem["remedy"]
    assert len(door.seen) == 2


async def test_of_a_flood_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, declarations_per_minute=1)
    door = FakeDoor()
    app = application(door)
    async with client_of(app) as client:
        await client.post(URL, content=b"<one/>", headers=XML)
    for kind in (b"application/xml", b"application/x-ndjson"):
        for length, closes in ((b"9000", False), (b"10001", True), (None, True)):
            headers = [(b"authorization", f"Bearer {KEY}".encode()), (b"content-type", kind)]
            headers += [(b"content-length", length)] if length else [(b"transfer-encoding", b"chunked")]
            scope: Scope = {"type": "http", "method": "POST", "path": URL, "headers": headers}
            head = await unread(app, scope)
            assert head["status"] == 429
            assert ((b"connection", b"close") in head["headers"]) == closes
    assert len(door.seen) == 1


async def unread(app: Application, scope: Scope) -> dict[str, Any]:
    """The head of an answer that is given without reading the body."""
    sent: list[Any] = []

    async def never() -> Any:
        raise AssertionError("something was read")

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, never, send)
    head: dict[str, Any] = sent[0]
    return head


async def test_each_line_beyond_the_quota_is_told_and_those_before_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, declarations_per_minute=3)
    door = FakeDoor()
    async with client_of(application(door)) as client:
        answer = await client.post(URL, content="\n".join(f'{{"a":{n}}}' for n in range(5)), headers=NDJSON)
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert [line["http"] for line in lines] == [202, 202, 202, 429, 429]
        assert [(line["status"], line["retry_after"]) for line in lines[3:]] == [("later", 60)] * 2
        assert len(door.seen) == 3
        again = await client.post(URL, content='{"a":3}', headers=NDJSON)
        assert (again.status_code, again.headers["retry-after"]) == (429, "60")


@pytest.mark.parametrize("sent", [b" " * 1000, b'{"a":1}' + b" " * 993, b"x" * 10_001])
async def test_so_do_bytes_of_a_batch_that_say_nothing(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank lines, what surrounds a document, and lines that are too long."""
    limited(monkeypatch, bytes_per_minute=1000)
    async with client_of(application(FakeDoor())) as client:
        answer = await client.post(URL, content=sent + b'\n{"a":2}\n', headers=NDJSON)
    assert [json.loads(line)["http"] for line in answer.text.splitlines()][-1] == 429


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_so_does_a_line_that_never_ends(hangs_up: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, bytes_per_minute=1000)
    app = application(FakeDoor())
    head = {"type": "http", "path": "/v1/declarations", "method": "POST", "extensions": {}}
    heads = NDJSON | {"authorization": f"Bearer {KEY}"}
    scope = head | {"headers": [(name.encode(), value.encode()) for name, value in heads.items()]}
    pieces = [{"type": "http.request", "body": b"x" * 600, "more_body": True}] * 2
    pieces.append({"type": "http.disconnect"} if hangs_up else {"type": "http.request", "more_body": False})
    await app(scope, AsyncMock(side_effect=pieces), AsyncMock())
    async with client_of(app) as client:
        assert (await client.post(URL, content=b"<a/>", headers=XML)).status_code == 429


async def test_bytes_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, bytes_per_minute=1000)
    async with client_of(application(FakeDoor())) as client:
        body = b"<%s/>" % (b"a" * 600)
        assert [(await client.post(URL, content=body, headers=XML)).status_code for _ in range(3)] == [202, 202, 429]


async def test_what_the_gateway_could_not_take_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, declarations_per_minute=2)
    async with client_of(application(FakeDoor())) as client:
        for _ in range(5):
            assert (await client.post(URL, content=b"<away/>", headers=XML)).status_code == 503
            lines = await client.post(URL, content='{"a":"away"}', headers=NDJSON)
            assert json.loads(lines.text)["http"] == 503
        assert (await client.post(URL, content=b"<fine/>", headers=XML)).status_code == 202


async def test_requests_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, connections=2)
    door = FakeDoor()
    app = application(door)
    held = asyncio.Event()

    async def slow(submission: Submission) -> Answer:
        await held.wait()
        return await FakeDoor.submit(door, submission)

    monkeypatch.setattr(door, "submit", slow)
    async with client_of(app) as client:
        waiting = [asyncio.create_task(client.post(URL, content=b"<%d/>" % n, headers=XML)) for n in range(2)]
        await asyncio.sleep(0.05)
        too_many = await client.post(URL, content=b"<2/>", headers=XML)
        reading = await client.get("/v1/certificates/C26X")
        assert [answer.status_code for answer in (too_many, reading)] == [429, 429]
        assert too_many.headers["retry-after"] == reading.headers["retry-after"] == "1"
        held.set()
        assert [(await one).status_code for one in waiting] == [202, 202]
        assert (await client.post(URL, content=b"<3/>", headers=XML)).status_code == 202
        assert [(await client.get("/v1/certificates/C26X")).status_code for _ in range(5)] == [404] * 5


# ---------------------------------------------------------------- folders


async def test_files_wait_where_they_are_and_are_answered_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = limited(monkeypatch, declarations_per_minute=3)
    told: list[tuple[str, bool]] = []

    def tell(client: str, over: Over, first: bool) -> None:
        told.append((over.quota.value, first))

    folder = Folder(tmp_path, client=client, told=tell)
    for n in range(8):
        folder.put(f"{n}.xml")
    await folder.passes(20)
    with monkeypatch.context() as patch:
        patch.setattr(ClientFolder, "__init__", lambda *_: pytest.fail("who waits is not even looked at"))
        await folder.passes(5)
    assert len(folder.door.seen) == 3
    assert (len(folder.names("accepted")), folder.names("rejected")) == (6, [])
    assert len(folder.names("in")) + len(folder.names("work")) == 5, "nothing is lost"
    assert told == [("declarations_per_minute", True)], "said once"
    for answered in (6, 8):
        folder.clock.move(minutes=1)
        await folder.passes(20)
        assert len(folder.door.seen) == answered
    assert (folder.names("in"), folder.names("work"), len(folder.names("accepted"))) == ([], [], 16)


async def test_a_batch_that_is_larger_than_the_quota_is_not_cut_nor_kept_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, client=limited(monkeypatch, declarations_per_minute=3))
    for n in range(2):
        folder.put(f"{n}.ndjson", "\n".join(f'{{"a":{n}{line}}}' for line in range(5)))
    await folder.passes(20)
    assert len(folder.names("accepted")) == 2
    folder.clock.move(minutes=1)
    await folder.passes(20)
    assert len(folder.names("accepted")) == 4
    assert len(folder.door.seen) == 10


async def test_a_database_that_is_away_costs_a_folder_none_of_its_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path, client=limited(monkeypatch, declarations_per_minute=2))
    folder.door.away = True
    folder.put("one.xml")
    folder.put("two.ndjson", '{"a":1}')
    for _ in range(9):
        with pytest.raises(Unavailable):
            await folder.passes(5)
    folder.door.away = False
    await folder.passes(5)
    assert len(folder.names("accepted")) == 4


# ---------------------------------------------------------------- bus


async def test_a_record_beyond_the_quota_is_answered_with_later_and_holds_up_nobody() -> None:
    post = Post()
    erp = post.registry.clients["erp"]
    post.registry.clients["erp"] = Client("erp", erp.enterprise, limits=Limits(declarations_per_minute=2))
    for n in range(4):
        post.send(document(invoice_no=f"I-{n}"), key=f"{n}", ce_id=f"{n}", ce_source="/sap")
        post.send(b"{}", client="other", key=f"{n}")
    await post.handle()
    found = sorted(post.contents(), key=lambda content: str(content["status"]))
    assert [content["status"] for content in found] == ["accepted", "accepted", "later", "later"]
    assert (found[2]["retry_after"], codes(found[2])) == (60, ["QUOTA-EXCEEDED"])
    assert {record.headers["origin_status"] for record in post.answers()} == {"accepted", "later"}
    assert len(post.answers("other")) == 4


async def test_records_that_come_again_are_counted_once() -> None:
    post = Post()
    erp = post.registry.clients["erp"]
    post.registry.clients["erp"] = Client("erp", erp.enterprise, limits=Limits(declarations_per_minute=2))
    post.send(document())
    post.house.store.away = True
    for _ in range(9):
        with pytest.raises(Unavailable):
            await post.handle()
    post.house.store.away = False
    await post.handle()
    assert [content["status"] for content in post.contents()] == ["accepted"]


# ---------------------------------------------------------------- a real gateway


@pytest.fixture
async def office(tmp_path: Path, database_url: str) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """A client of a running gateway, and the command line's environment."""
    async with running(tmp_path / "data", database_url) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        operator = {"authorization": f"Bearer {keyfile.read(gateway.settings.operator_key_path)}"}
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            wish = {"name": "erp", "enterprise": ENTERPRISE}
            made = await client.post("/v1/admin/clients", json=wish, headers=operator)
            client.headers["authorization"] = f"Bearer {made.raise_for_status().json()['key']}"
            yield client, {"ORIGIN_URL": url, "ORIGIN_DATA": str(tmp_path / "data")}


async def test_an_operator_sees_and_sets_a_clients_quotas(
    office: tuple[httpx.AsyncClient, dict[str, str]], database_pool: asyncpg.Pool
) -> None:
    client, environment = office

    async def quota(*changes: str) -> dict[str, Any]:
        options = [part for change in changes for part in ("--set", change)]
        done = await asyncio.to_thread(lambda: origin("client", "quota", "erp", "--json", *options, **environment))
        assert done.returncode == 0, done.stderr
        return {one["quota"]: one for one in orjson.loads(done.stdout)}

    async def declare(serial: int, **changes: Any) -> httpx.Response:
        body = document(invoice_no=f"I-{serial}", **changes)
        return await client.post(URL, content=body, headers={"content-type": JSON})

    assert set(await quota()) == set(Quota)
    shown = await quota("declarations_per_day=3", "streams=1", "open_drafts=1", "connections=none")
    assert {n: (o["most"], o["default"]) for n, o in shown.items() if not o["default"]} == {
        "declarations_per_day": (3, False),
        "streams": (1, False),
        "open_drafts": (1, False),
        "connections": (None, False),
    }
    assert [(await declare(n)).status_code for n in range(3)] == [202] * 3
    over = await declare(3)
    assert (over.status_code, int(over.headers["retry-after"]) > 0) == (429, True)

    await asyncio.sleep(1.5)
    shown = await quota("declarations_per_day=default")
    assert (shown["declarations_per_day"]["most"], shown["declarations_per_day"]["used"]) == (6000, 3)
    assert (await declare(3)).status_code == 202

    async with client.stream("GET", "/v1/events") as stream:
        assert stream.status_code == 200
        assert (await client.get("/v1/events")).status_code == 429
    await asyncio.sleep(0.2)
    async with client.stream("GET", "/v1/events") as stream:
        assert stream.status_code == 200, "one that ended is none"

    assert (await declare(4, apply_type="0", number="C26MA9XYD0C27777")).status_code == 202
    async with asyncio.timeout(15):
        while (answer := await declare(5, apply_type="0")).status_code == 202:
            await database_pool.execute("DELETE FROM origin.intake")
            await asyncio.sleep(0.3)
    assert answer.status_code == 429
    assert [f["code"] for f in answer.json()["errors"] if f["severity"] == "refuse"] == ["QUOTA-DRAFTS"]
    drafts = await database_pool.fetchval("SELECT count(*) FROM origin.open_draft")
    assert (await quota())["open_drafts"]["used"] == drafts >= 1
    line = await client.post(URL, content=document(apply_type="0").replace(b"\n", b""), headers=NDJSON)
    assert orjson.loads(line.text)["http"] == 429
    assert (await declare(6)).status_code == 202, "what is declared is no draft"
    declared = await declare(4, number="C26MA9XYD0C27777")
    assert (declared.status_code, declared.json()["revision"]) == (202, 2)
    count = "SELECT count(*) FROM origin.open_draft"
    async with asyncio.timeout(15):
        while await database_pool.fetchval(count) != drafts - 1:  # noqa: ASYNC110 - the turn's work
            await asyncio.sleep(0.1)
    acts = await database_pool.fetch("SELECT detail::text AS d FROM origin.operator_act WHERE what = 'client.quota'")
    assert len(acts) == 2


async def test_the_day_goes_on_where_a_gateway_that_starts_anew_takes_over(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, database_pool: asyncpg.Pool
) -> None:
    async def silent(self: Quotas) -> None:
        """It tells and hears nothing by itself: who comes in the first second comes before that."""
        await asyncio.Event().wait()

    monkeypatch.setattr(Quotas, "run", silent)
    async with running(tmp_path / "data", database_url) as gateway:
        operator = {"authorization": f"Bearer {keyfile.read(gateway.settings.operator_key_path)}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", trust_env=False) as client:
            wish = {"name": "erp", "enterprise": ENTERPRISE}
            made = (await client.post("/v1/admin/clients", json=wish, headers=operator)).raise_for_status().json()
        await database_pool.execute("UPDATE origin.client SET quotas = $1::jsonb", '{"declarations_per_day": 3}')
        before = PostgresQuotas(database_pool, Limits())
        minute, day = windows(datetime.now(UTC).timestamp())
        await before.exchange(uuid4(), [Count("erp", Used(minute, day, 2, 2, 2, 2))], [], minute, day)
        head = {"authorization": f"Bearer {made['key']}", "content-type": "application/x-ndjson"}
        lines = b"\n".join(orjson.dumps(orjson.loads(document(invoice_no=f"I-{n}"))) for n in range(3))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", trust_env=False) as client:
            answer = await client.post(URL, content=lines, headers=head)
    assert [orjson.loads(line)["http"] for line in answer.text.splitlines()] == [202, 429, 429]


async def test_a_connection_goes_on_after_a_refusal_whose_body_nobody_read(
    office: tuple[httpx.AsyncClient, dict[str, str]], database_pool: asyncpg.Pool
) -> None:
    client, _ = office
    await database_pool.execute("UPDATE origin.client SET quotas = $1::jsonb", '{"declarations_per_day": 1}')
    await asyncio.sleep(1.2)
    assert (await client.post(URL, content=document(), headers={"content-type": JSON})).status_code == 202
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        for size in (900_000, 900_000, 2_000_000):
            head = f"POST {URL} HTTP/1.1\r\nhost: x\r\nauthorization: {client.headers['authorization']}\r\n"
            head += f"content-type: {JSON}\r\ncontent-length: {size}\r\n\r\n"
            writer.write(head.encode())
            async with asyncio.timeout(10):
                answered = await reader.readuntil(b"\r\n\r\n")
                assert answered.startswith(b"HTTP/1.1 429 "), "before the body has come"
                length = int(answered.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                assert b"retry-after: " in answered.lower()
                await reader.readexactly(length)
            closes = b"connection: close" in answered.lower()
            assert closes == (size > 1 << 20)
            if not closes:
                writer.write(b" " * size)
                await writer.drain()
        assert await reader.read() == b""
    finally:
        writer.close()


@pytest.mark.parametrize("change", ["rivers=1", "streams", "streams=0", "streams=-1", "streams=many"])
def test_a_wrong_quota_is_said(change: str) -> None:
    done = origin("client", "quota", "erp", "--set", change, ORIGIN_DATA="/nowhere")
    assert done.returncode == 2
