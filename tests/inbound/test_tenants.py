"""Two enterprises, every address: what belongs to one does not exist for the other. On a real gateway."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

import schemas
from adapters.codecs.customs_xml import CustomsXml
from gateway import keyfile
from gateway.app import Gateway
from simulators.erp.enterprises import ENTERPRISES
from tests.inbound.gateway import running

EXAMPLE = schemas.read_bytes("examples", "C-no-number.xml")
OWNER = CustomsXml().read(EXAMPLE).declaration.applicant_code
OTHER = next(e.code for e in ENTERPRISES if e.code != OWNER)
XML = {"content-type": "application/xml"}
NEXT = iter(range(10_000))


@dataclass
class World:
    """A gateway with two clients, one of which declared a certificate."""

    gateway: Gateway
    operator: httpx.AsyncClient
    mine: httpx.AsyncClient
    theirs: httpx.AsyncClient
    pool: asyncpg.Pool
    id: str = ""
    number: str = ""


@pytest.fixture
async def world(tmp_path: Path, database_url: str, database_pool: asyncpg.Pool) -> AsyncIterator[World]:
    async with running(tmp_path / "data", database_url) as gateway, contextlib.AsyncExitStack() as stack:

        async def client(key: str) -> httpx.AsyncClient:
            head = {"authorization": f"Bearer {key}"}
            url = f"http://127.0.0.1:{gateway.port}"
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=head, trust_env=False))

        operator = await client(keyfile.read(gateway.settings.operator_key_path))
        keys = []
        for name, enterprise in (("mine", OWNER), ("theirs", OTHER)):
            wish = {"name": name, "enterprise": enterprise}
            keys.append((await operator.post("/v1/admin/clients", json=wish)).raise_for_status().json()["key"])
        made = World(gateway, operator, await client(keys[0]), await client(keys[1]), database_pool)
        answer = await made.mine.post("/v1/declarations", content=EXAMPLE, headers=XML)
        assert answer.status_code == 202, answer.text
        made.id, made.number = answer.json()["id"], answer.json()["number"]
        for _ in range(100):
            if (await made.mine.get(f"/v1/certificates/{made.id}/timeline")).json()["events"]:
                break
            await asyncio.sleep(0.05)
        yield made


async def with_files(world: World) -> None:
    """As if both papers were rendered and a receipt and a layout had come."""
    for kind, content in (("BusinessReceipt", b"<Receipt/>"), ("LayoutArrived", b"<Layout/>")):
        sha256 = await _blob(world.pool, content)
        await world.pool.execute(
            "INSERT INTO origin.receipt (message_id, subject_id, number, kind, raw_sha256, fields, at)"
            " VALUES ($1, $2, $3, $4, $5, '{\"channel\": \"1\"}', now())",
            uuid4(), world.id, world.number, kind, sha256,
        )  # fmt: skip
    for part in ("original", "copy"):
        sha256 = await _blob(world.pool, b"%PDF-" + part.encode())
        await world.pool.execute(
            "INSERT INTO origin.rendering (job, certificate_id, part, file_sha256) VALUES ($1, $2, $3, $4)",
            uuid4(), world.id, part, sha256,
        )  # fmt: skip
        await world.pool.execute(
            "UPDATE origin.certificate SET state = jsonb_set(state, $2::text[], to_jsonb($3::text)) WHERE id = $1",
            world.id, ["papers", part, "file"], sha256.hex(),
        )  # fmt: skip


async def _blob(pool: asyncpg.Pool, content: bytes) -> bytes:
    sha256: bytes = await pool.fetchval(
        "INSERT INTO origin.blob (sha256, kind, media_type, content) VALUES (sha256($1), 'test', 'x', $1)"
        " RETURNING sha256",
        content,
    )
    return sha256


async def test_every_address_hides_the_other_enterprise(world: World) -> None:
    await with_files(world)
    receipts = (await world.mine.get(f"/v1/certificates/{world.id}/receipts")).json()["receipts"]
    assert [r["kind"] for r in receipts] == ["BusinessReceipt", "LayoutArrived"]
    for name in (world.id, world.number):
        gets = ["", "/timeline", "/receipts", f"/receipts/{receipts[0]['id']}", "/copy.pdf"]
        for rest in gets:
            assert (await world.mine.get(f"/v1/certificates/{name}{rest}")).status_code == 200, rest
            hidden = await world.theirs.get(f"/v1/certificates/{name}{rest}")
            assert hidden.status_code == 404, rest
            absent = await world.theirs.get(f"/v1/certificates/{uuid4()}{rest}")
            assert hidden.json() | {"instance": ""} == absent.json() | {"instance": ""}
        for verb, wish in (("print", {"what": "both"}), ("confirm", {"printed": True})):
            assert (await world.theirs.post(f"/v1/certificates/{name}/{verb}", json=wish)).status_code == 404
    found = (await world.mine.get("/v1/certificates")).json()["certificates"]
    assert [c["id"] for c in found] == [world.id]
    for question in ({}, {"number": world.number}, {"after": str(uuid4())}, {"status": "declared"}):
        answer = (await world.theirs.get("/v1/certificates", params=question)).json()
        assert (answer["certificates"], answer["next"]) == ([], None)


async def test_the_copy_can_be_downloaded_the_original_and_layouts_never(world: World) -> None:
    assert (await world.mine.get(f"/v1/certificates/{world.id}/copy.pdf")).status_code == 404
    await with_files(world)
    copy = await world.mine.get(f"/v1/certificates/{world.id}/copy.pdf")
    assert (copy.content, copy.headers["content-type"]) == (b"%PDF-copy", "application/pdf")
    assert "attachment" in copy.headers["content-disposition"]
    assert (await world.mine.get(f"/v1/certificates/{world.id}/original.pdf")).status_code == 404
    layout = (await world.mine.get(f"/v1/certificates/{world.id}/receipts")).json()["receipts"][1]
    assert (await world.mine.get(f"/v1/certificates/{world.id}/receipts/{layout['id']}")).status_code == 404
    # Even a state that named the original as the copy would not give it away.
    await world.pool.execute(
        "UPDATE origin.certificate SET state = jsonb_set(state, '{papers,copy,file}', state#>'{papers,original,file}')"
    )
    assert (await world.mine.get(f"/v1/certificates/{world.id}/copy.pdf")).status_code == 404


async def test_a_declaration_is_not_taken_from_the_wrong_enterprise(world: World) -> None:
    answer = await world.theirs.post("/v1/declarations", content=EXAMPLE, headers=XML)
    assert answer.status_code == 422
    assert {"OWNER-APPLICANT", "OWNER-EXPORTER"} <= {fault["code"] for fault in answer.json()["errors"]}
    assert answer.json()["detail"].startswith("2 faults")
    again = await world.mine.post("/v1/declarations", content=EXAMPLE, headers=XML)
    assert (again.status_code, again.json()["id"]) == (202, world.id)


async def test_the_event_stream_hides_the_other_enterprise(world: World) -> None:
    async def first(client: httpx.AsyncClient, seconds: float) -> dict[str, Any] | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), client.stream("GET", "/v1/events", params={"since": "0"}) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data: "):
                        event: dict[str, Any] = json.loads(line[6:])
                        return event
        return None

    seen = await first(world.mine, 5)
    assert seen is not None
    assert (seen["certificate"], seen["sequence"]) == (world.id, 1)
    assert await first(world.theirs, 1) is None
    assert (await world.mine.get("/v1/events", headers={"last-event-id": "x.y"})).status_code == 400


async def test_an_exporter_reads_what_its_agent_declared_and_does_not_print_it(world: World) -> None:
    await world.pool.execute("UPDATE origin.certificate SET exporter = $1", OTHER)
    assert (await world.theirs.get(f"/v1/certificates/{world.id}")).status_code == 200
    assert (await world.theirs.post(f"/v1/certificates/{world.id}/print", json={})).status_code == 403
    assert (await world.theirs.post(f"/v1/certificates/{world.id}/confirm", json={"printed": True})).status_code == 403


async def test_too_early_a_command_is_a_conflict_with_its_reason(world: World) -> None:
    printing = await world.mine.post(f"/v1/certificates/{world.id}/print", json={"what": "copy"})
    assert (printing.status_code, printing.json()["code"]) == (409, "PRINT-NOT-APPROVED")
    confirming = await world.mine.post(f"/v1/certificates/{world.id}/confirm", json={"printed": True})
    assert (confirming.status_code, confirming.json()["code"]) == (409, "NOTHING-TO-CONFIRM")
    wrong = await world.mine.post(f"/v1/certificates/{world.id}/print", json={"what": "everything"})
    assert wrong.status_code == 400
    assert "everything" not in wrong.text


async def test_clients_are_not_operators(world: World) -> None:
    for path in ("clients", "seals", "keys", "parked", "doctor"):
        assert (await world.operator.get(f"/v1/admin/{path}")).status_code == 200
        assert (await world.mine.get(f"/v1/admin/{path}")).status_code == 401
    assert (await world.operator.get("/v1/certificates")).status_code == 401


async def test_a_revoked_key_opens_nothing_within_two_seconds(world: World) -> None:
    assert (await world.mine.get("/v1/certificates")).status_code == 200
    await world.pool.execute("UPDATE origin.client SET revoked_at = now() WHERE id = 'mine'")
    await asyncio.sleep(1.9)
    assert (await world.mine.get("/v1/certificates")).status_code == 401
    assert (await world.mine.post("/v1/declarations", content=EXAMPLE, headers=XML)).status_code == 401


async def test_pages_go_on_where_the_last_one_ended(world: World) -> None:
    made = [world.id]
    for invoice in range(4):
        body = EXAMPLE.replace(b"</InvNo>", b"-%d</InvNo>" % invoice)
        answer = await world.mine.post("/v1/declarations", content=body, headers=XML)
        made.append(answer.json()["id"])
    seen: list[str] = []
    page: dict[str, Any] = {"next": None}
    while not seen or page["next"]:
        parameters = {"limit": 2} | ({"after": page["next"]} if page["next"] else {})
        page = (await world.mine.get("/v1/certificates", params=parameters)).json()
        seen += [c["id"] for c in page["certificates"]]
    assert seen == made[::-1]
