"""Requests that nobody sends by accident, at a real gateway: no crash, no waiting, nothing after a revocation."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

import schemas
from adapters.codecs.customs_xml import CustomsXml
from adapters.inbound.http import app as app_module
from gateway import keyfile
from gateway.app import Gateway
from tests.inbound.gateway import running

EXAMPLE = schemas.read_bytes("examples", "C-no-number.xml")
OWNER = CustomsXml().read(EXAMPLE).declaration.applicant_code
XML = {"content-type": "application/xml"}


@dataclass
class World:
    gateway: Gateway
    operator: httpx.AsyncClient
    client: httpx.AsyncClient


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    async with running(tmp_path / "data", database_url) as gateway, contextlib.AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{gateway.port}"

        async def client(key: str) -> httpx.AsyncClient:
            head = {"authorization": f"Bearer {key}"}
            return await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=head, trust_env=False))

        operator = await client(keyfile.read(gateway.settings.operator_key_path))
        made = await operator.post("/v1/admin/clients", json={"name": "erp", "enterprise": OWNER})
        yield World(gateway, operator, await client(made.raise_for_status().json()["key"]))


@pytest.mark.parametrize(
    "query",
    [
        {"number": "C26\x00"},
        {"status": "\x00"},
        {"reference": "a\x00b"},
        {"from": "0001-01-01T00:00:00+14:00"},
        {"to": "9999-12-31T23:59:59-14:00"},
    ],
)
async def test_what_a_database_can_not_hold_is_the_senders_mistake(world: World, query: dict[str, str]) -> None:
    answer = await world.client.get("/v1/certificates", params=query)
    assert answer.status_code == 400, answer.text
    assert "\x00" not in answer.text
    assert "0001" not in answer.text


async def test_a_stream_ends_when_its_key_is_revoked(world: World) -> None:
    async with world.client.stream("GET", "/v1/events", timeout=60) as stream:
        pieces = stream.aiter_text()
        await asyncio.wait_for(anext(pieces), 10)
        (await world.operator.post("/v1/admin/clients/erp/revoke")).raise_for_status()
        other = await world.operator.post("/v1/admin/clients", json={"name": "erp-2", "enterprise": OWNER})
        await asyncio.sleep(1.5)
        head = {"authorization": f"Bearer {other.json()['key']}", **XML}
        answer = await world.client.post("/v1/declarations", content=EXAMPLE, headers=head)
        assert answer.status_code == 202
        told = ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                async for piece in pieces:
                    told += piece
        assert "data:" not in told


async def test_nobody_makes_the_gateway_read_without_a_key(world: World) -> None:
    """Without the operator's key not one byte of a body is waited for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    writer.write(
        b"POST /v1/admin/keys HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 8000000\r\n\r\n{"
    )
    started = time.monotonic()
    line = await asyncio.wait_for(reader.readline(), 10)
    assert b" 401 " in line
    assert time.monotonic() - started < 5
    await asyncio.wait_for(reader.read(), 10)
    writer.close()


@pytest.mark.parametrize("sent", [b"", b"{"])
async def test_a_body_that_never_comes_is_not_waited_for(
    world: World, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "BODY_SECONDS", 0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    key = world.client.headers["authorization"].encode()
    writer.write(
        b"POST /v1/certificates/x/print HTTP/1.1\r\nhost: x\r\nauthorization: " + key + b"\r\n"
        b"content-type: application/json\r\ncontent-length: 60000\r\n\r\n" + sent
    )
    answer = await asyncio.wait_for(reader.read(), 10)  # to the end: the connection is closed
    assert answer.split(b" ")[1] in (b"400", b"408")
    writer.close()


async def test_a_command_to_a_certificate_that_waits_is_told_so(world: World, database_pool: asyncpg.Pool) -> None:
    answer = await world.client.post("/v1/declarations", content=EXAMPLE, headers=XML)
    identity = answer.json()["id"]
    await database_pool.execute(
        "INSERT INTO origin.parked (message_id, subject_id, topic, key, headers, body, reason, at)"
        " VALUES (gen_random_uuid(), $1, 't', 'k', '{}', '', 'broke', now())",
        identity,
    )
    done = await world.client.post(f"/v1/certificates/{identity}/print", json={"what": "both"})
    assert done.status_code == 409, done.text
    assert json.loads(done.text)["code"] == "PARKED"
