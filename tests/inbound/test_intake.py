"""POST /v1/declarations: every answer of the door, every way to get the request wrong."""

import asyncio
import re

import httpx
import pytest

from gateway.runtime.answers import Answer
from gateway.runtime.submission import Submission
from tests.inbound.parts import KEY, SECRET, FakeDoor, application, client_of, identity_of

URL = "/v1/declarations"
XML = {"content-type": "application/xml"}


async def post(body: bytes, door: FakeDoor | None = None, **headers: str) -> httpx.Response:
    head = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client_of(application(door or FakeDoor())) as client:
        return await client.post(URL, content=body, headers=XML | head)


@pytest.mark.parametrize(
    ("body", "status", "media_type"),
    [
        (b"<accept/>", 202, "application/json"),
        (b"<again/>", 200, "application/json"),
        (b"<refuse/>", 422, "application/problem+json"),
        (b"<conflict/>", 409, "application/problem+json"),
    ],
)
async def test_verdict_and_status(body: bytes, status: int, media_type: str) -> None:
    answer = await post(body, origin_reference="PO 7")
    assert (answer.status_code, answer.headers["content-type"]) == (status, media_type)
    assert answer.json()["reference"] == "PO 7"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


async def test_refusal_is_a_problem_with_every_fault() -> None:
    problem = (await post(b"<refuse/>")).json()
    assert problem["type"] == "urn:origin-gateway:problem:declaration-refused"
    assert (problem["status"], problem["instance"], len(problem["errors"])) == (422, URL, 2)
    assert problem["errors"][0]["path"] == "/Certificate/CertNo"
    assert problem["errors"][0]["line"] == 3


async def test_conflict_names_the_certificate() -> None:
    problem = (await post(b"<conflict/>")).json()
    assert problem["id"] == str(identity_of(b"<conflict/>"))
    assert problem["errors"][0]["code"] == "NUMBER-IN-USE"


@pytest.mark.parametrize(
    ("headers", "media_type"),
    [
        ({"content-type": "text/xml; charset=UTF-8"}, "application/xml"),
        ({"content-type": "Application/JSON"}, "application/json"),
    ],
)
async def test_content_types(headers: dict[str, str], media_type: str) -> None:
    door = FakeDoor()
    async with client_of(application(door)) as client:
        assert (await client.post(URL, content=b"{}", headers=headers)).status_code == 202
    assert door.seen[0].media_type == media_type


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/xml; charset=gb18030"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"idempotency-key": "x" * 256}, 400),
        ({"idempotency-key": "a\tb"}, 400),
        ({"authorization": "Bearer ok_wrong"}, 401),
        ({"authorization": "Basic b2s6b2s="}, 401),
        ({"authorization": ""}, 401),
    ],
)
async def test_wrong_heads(headers: dict[str, str], status: int) -> None:
    door = FakeDoor()
    async with client_of(application(door)) as client:
        answer = await client.post(URL, content=f"<{SECRET}/>".encode(), headers=XML | headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert SECRET not in answer.text
    assert not door.seen
    assert (status == 401) == ("www-authenticate" in answer.headers)


async def test_key_and_reference_reach_the_door() -> None:
    door = FakeDoor()
    head = {"content-type": b"application/xml", "idempotency-key": b'"8e03978e"', "origin-reference": "订单 7".encode()}
    async with client_of(application(door)) as client:
        await client.post(URL, content=b"<a/>", headers=head)
    assert (door.seen[0].key, door.seen[0].reference, door.seen[0].channel) == ("8e03978e", "订单 7", "http")
    await post(b"<a/>", door)
    assert (door.seen[1].key, door.seen[1].reference) == (None, None)


async def test_too_large_with_and_without_a_length() -> None:
    door = FakeDoor()
    assert (await post(b"x" * 10_001, door)).status_code == 413
    async with client_of(application(door)) as client:

        async def pieces():  # type: ignore[no-untyped-def]
            for _ in range(11):
                yield b"x" * 1000

        answer = await client.post(URL, content=pieces(), headers=XML)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["code"] == "DOC-TOO-LARGE"
    assert not door.seen
    assert (await post(b"x" * 10_000, door)).status_code == 202


async def test_away_is_503_with_retry_after() -> None:
    door = FakeDoor()
    door.away = True
    answer = await post(b"<a/>", door)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def test_draining_takes_nothing() -> None:
    door = FakeDoor()
    app = application(door)
    app.drain()
    async with client_of(app) as client:
        answer = await client.post(URL, content=b"<a/>", headers=XML)
        ready = await client.get("/readyz")
        alive = await client.get("/livez")
    assert (answer.status_code, answer.headers["connection"], door.seen) == (503, "close", [])
    assert (ready.status_code, alive.status_code) == (503, 200)


class _Stuck(FakeDoor):
    """Never answers: its process ends first. As uvicorn does when it has waited long enough, it cancels the request."""

    async def submit(self, submission: Submission) -> Answer:
        request = asyncio.current_task()
        assert request is not None
        request.cancel()
        await asyncio.sleep(60)
        raise AssertionError


async def test_who_is_cut_off_when_the_server_ends_is_told_to_come_again() -> None:
    answer = await post(b"<a/>", _Stuck())
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
    assert int(answer.headers["retry-after"]) > 0


async def test_probes_metrics_and_documents_need_no_network() -> None:
    app = application(FakeDoor())
    async with client_of(app) as client:
        await client.post(URL, content=b"<a/>", headers=XML)
        metrics = (await client.get("/metrics")).text
        page = await client.get("/docs")
        document = (await client.get("/openapi.json")).json()
        asset = await client.get("/docs-assets/swagger-ui-bundle.js")
    assert 'origin_declarations_received_total{channel="http",result="accepted"} 1.0' in metrics
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)
    assert asset.status_code == 200
    assert "'self'" in page.headers["content-security-policy"]
    operation = document["paths"][URL]["post"]
    assert operation["requestBody"]["content"]["application/xml"]["examples"]
    assert {"202", "200", "422", "409", "401", "413", "415", "503"} <= set(operation["responses"])
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", URL, 405), ("GET", "/v1/certificates/nothing-here", 404)],
)
async def test_problems_elsewhere(method: str, path: str, status: int) -> None:
    async with client_of(application(FakeDoor())) as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_parameters_are_never_echoed() -> None:
    async with client_of(application(FakeDoor())) as client:
        answer = await client.get("/v1/certificates", params={"after": SECRET, "limit": SECRET})
    assert answer.status_code == 400
    assert SECRET not in answer.text
    assert {error["path"] for error in answer.json()["errors"]} == {"/query/after", "/query/limit"}


async def test_key_is_the_clients_not_the_operators() -> None:
    app = application(FakeDoor())
    async with client_of(app) as client:
        assert (await client.get("/v1/admin/clients")).status_code == 401
        operator = {"authorization": "Bearer op"}
        assert (await client.post(URL, content=b"<a/>", headers=XML | operator)).status_code == 401
    assert KEY not in repr(app)


async def test_our_own_bug_is_said_without_details() -> None:
    answer = await post(b"<crash/>")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:origin-gateway:problem:internal")
    async with client_of(application(FakeDoor())) as client:
        broken = await client.get("/v1/certificates")
    assert (broken.status_code, broken.headers["content-type"]) == (500, "application/problem+json")
    for said in (answer, broken):
        assert "safe" not in said.text, "the same would break again"
        assert "operator" in said.json()["detail"]
        assert "retry-after" not in said.headers
    assert "our bug" not in answer.text
    assert "AttributeError" not in broken.text
