"""Every place of every route, by the OpenAPI document, with values that nobody means: a fault, never our mistake.

The routes come from the document, so a new one is tested without a line here; only a place whose right value can't be
guessed needs one in `RIGHT`.
"""

import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

import schemas
from adapters.codecs.customs_xml import CustomsXml
from adapters.inbound.http import document
from adapters.inbound.http.intake import PATH
from adapters.store.dead_letters import PostgresDeadLetters
from gateway import keyfile
from gateway.ports import Record, Unreadable
from gateway.runtime.dead_letters import letter
from renderers.demo_marks import handwriting
from simulators.erp.enterprises import ENTERPRISES
from tests.contract.test_dead_letters import NOW
from tests.inbound.gateway import running
from tests.renderers.key_files import PASSWORD, a_pair, certificate_bag, hidden, key_bag, key_file, pkcs8, shown

DOCUMENT = document()
EXAMPLE = schemas.read_bytes("examples", "C-no-number.xml")
OWNER = CustomsXml().read(EXAMPLE).declaration.applicant_code
OTHER = next(e.code for e in ENTERPRISES if e.code != OWNER)
CANARY = "SENT-7c1e"
FULL_WIDTH = OWNER.translate({code: code + 0xFEE0 for code in range(0x30, 0x3A)})

TEXTS = [
    f"{CANARY}\0",
    f"{CANARY}\ud800",
    f"\udfff{CANARY}",
    f"{CANARY}\x1b[2J",
    f"{CANARY}\u202e\ufeff",
    f"{CANARY}\U0010ffff",
    f"../{CANARY}/..",
    f"{CANARY}%00%ff",
    CANARY * 500,
    "",
    " ",
    f"{OWNER[:8]}-{OWNER[8:]}",
    f"\u3000{OWNER}",
    FULL_WIDTH,
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59.999999-14:00",
    "9999-12-31",
    "-0001-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "2026-02-30T25:61:61+99:99",
    "1e400",
    "NaN",
    "-Infinity",
    "00000000-0000-0000-0000-000000000000",
    "9" * 5_000,
]
OTHERS: list[Any] = [
    None,
    True,
    0,
    -1,
    1 << 63,
    -(1 << 63) - 1,
    10**400,
    253402300799999,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    [],
    {},
    [f"{CANARY}\ud800\0"],
    {f"{CANARY}\ud800\0": f"{CANARY}\ud800\0"},
    CANARY * 50_000,
]
BODIES = [
    b"",
    b"\0",
    b"\xff\xfe{\0}\0",
    b"null",
    b"NaN",
    b"[]",
    b'"' + CANARY.encode() + b'"',
    b"1" * 5_000,
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"by":"a","by":"b"}',
    b'{"by":"' + CANARY.encode() + b'\xff"}',
]


class Sent(NamedTuple):
    """One call: all its places are right but one."""

    place: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes


class Route(NamedTuple):
    """One operation of the document."""

    method: str
    path: str
    parameters: list[dict[str, Any]]
    body: dict[str, Any] | None

    @property
    def operator(self) -> bool:
        return self.path.startswith("/v1/admin/")


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    return DOCUMENT["components"]["schemas"][name] if name else schema


def routes() -> Iterator[Route]:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            if schema is not None:
                schema = next(one for one in schema.get("anyOf", [schema]) if one.get("type") != "null")
            body = None if path == PATH or schema is None else resolved(schema)  # a declaration is the codecs' matter
            yield Route(method.upper(), path, operation.get("parameters", []), body)


ROUTES = list(routes())
WITH_PLACES = [route for route in ROUTES if route.parameters or route.body]
READABLE = [route for route in ROUTES if route.operator and route.method == "GET" and "{" not in route.path]


def key_content() -> str:
    key, certificate = a_pair()
    return base64.b64encode(key_file(hidden(certificate_bag(certificate)), shown(key_bag(pkcs8(key), 1)))).decode()


class Right:
    """What is right in each place, so that one odd value is all that stands against the call."""

    def __init__(self, certificate: str, letters: list[UUID]) -> None:
        self._letters = iter(letters)
        self._fresh = (f"fresh-{number}" for number in itertools.count())
        self._always: dict[str, Any] = {
            "certificate": None,
            "client": "erp",
            "exporter": OTHER,
            "enterprise": OWNER,
            "by": "a person",
            "reason": "a reason",
            "bus": False,
            "set": {"streams": "default"},
            "kind": "signature",
            "width_mm": 8,
            "valid_from": "2026-01-01T00:00:00+08:00",
            "valid_to": "2036-01-01T00:00:00+08:00",
            "png": base64.b64encode(handwriting("a", width=8, height=4)).decode(),
            "p12": key_content(),
            "password": PASSWORD,
            "body": None,
            "printed": True,
            "mark": str(UUID(int=1)),
            "message_id": str(UUID(int=1)),
            "receipt": str(UUID(int=1)),
            "certificates": certificate,
        }

    def of(self, route: Route, name: str) -> Any:
        """The right value of a place that must be there; a route that uses something up gets a new one each time."""
        if name == "identity":
            return str(next(self._letters))
        if name == "name":
            if route.path.startswith("/v1/certificates"):
                return self._always["certificates"]
            return next(self._fresh) if route.path == "/v1/admin/clients" else "erp"
        return self._always[name]

    def body(self, route: Route) -> dict[str, Any]:
        assert route.body is not None
        needed = {*self._always, *route.body.get("required", ())}
        return {name: self.of(route, name) for name in route.body["properties"] if name in needed}

    def calls(self, route: Route) -> Iterator[Sent]:
        """Each place of the route with each odd value."""

        def whole(place: str, changed: dict[tuple[str, str], Any], body: bytes | None = None) -> Sent:
            path = route.path
            query = []
            headers: dict[bytes, bytes] = {}
            for parameter in route.parameters:
                name, where = parameter["name"], parameter["in"]
                if (where, name) in changed:
                    value = str(changed[where, name])
                elif parameter.get("required"):
                    value = str(self.of(route, name))
                else:
                    continue
                raw = value.encode("utf-8", "surrogatepass")
                if where == "path":
                    path = path.replace(f"{{{name}}}", quote(raw, safe=""))
                elif where == "query":
                    query.append(f"{quote(name)}={quote(raw, safe='')}")
                else:
                    headers[name.encode()] = raw
            if body is None and route.body is not None:
                body = json.dumps(self.body(route) | changed.get(("body", ""), {})).encode()
            return Sent(place, path, "&".join(query), headers, body or b"")

        for parameter in route.parameters:
            place = (parameter["in"], parameter["name"])
            for text in TEXTS:
                if place[0] == "path" and not text:
                    continue  # without its text it is another route
                if place[0] != "header" or (text.strip() and text.isprintable()):  # no head holds the others
                    yield whole(f"{place}: {text[:40]!r}", {place: text})
        if route.body is None:
            return
        for name in route.body["properties"]:
            for value in [*TEXTS, *OTHERS]:
                yield whole(f"{name}: {str(value)[:40]!r}", {("body", ""): {name: value}})
        for value in [*TEXTS, *OTHERS]:
            if "set" in route.body["properties"]:
                yield whole(f"set: {str(value)[:40]!r}", {("body", ""): {"set": {"streams": value}}})
            if isinstance(value, str):
                yield whole(f"a name: {value[:40]!r}", {("body", ""): {value: 1}})
        for body in BODIES:
            yield whole(f"body {body[:40]!r}", {}, body)


class World(NamedTuple):
    operator: httpx.AsyncClient
    client: httpx.AsyncClient
    right: Right


@pytest.fixture
async def world(tmp_path: Path, database_url: str, database_pool: asyncpg.Pool) -> AsyncIterator[World]:
    async with running(tmp_path / "data", database_url) as gateway, contextlib.AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{gateway.port}"

        async def client(key: str) -> httpx.AsyncClient:
            head = {"authorization": f"Bearer {key}"}
            made = httpx.AsyncClient(base_url=url, headers=head, trust_env=False, timeout=60)
            return await stack.enter_async_context(made)

        operator = await client(keyfile.read(gateway.settings.operator_key_path))
        made = await operator.post("/v1/admin/clients", json={"name": "erp", "enterprise": OWNER})
        erp = await client(made.raise_for_status().json()["key"])
        xml = {"content-type": "application/xml"}
        declared = (await erp.post("/v1/declarations", content=EXAMPLE, headers=xml)).raise_for_status()
        letters = [dead_letter(number) for number in range(400)]
        await PostgresDeadLetters(database_pool, lambda topics: None).bury(letters)
        yield World(operator, erp, Right(declared.json()["id"], [one.id for one in letters]))


def dead_letter(offset: int) -> Any:
    record = Record("origin.customs.inbound.v1", 0, offset, "k", b"?", {"ce_id": str(offset)})
    return letter(record, Unreadable("MESSAGE-ROOT", "this is no message"), "turn", NOW)


@pytest.mark.parametrize("nth", [3, pytest.param(1, marks=pytest.mark.long)])
async def test_no_value_in_any_place_breaks_a_route(world: World, nth: int) -> None:
    """Each value in each place; in short every third, another third from route to route."""
    broken: list[tuple[str, str, str]] = []
    with capture_logs() as logs:
        for number, route in enumerate(WITH_PLACES):
            about = f"{route.method} {route.path}"
            for sent in itertools.islice(world.right.calls(route), number % nth, None, nth):
                if trouble := await asked(world.operator if route.operator else world.client, route.method, sent):
                    broken.append((about, sent.place, trouble))
            for lists in READABLE:
                answer = await world.operator.get(lists.path)
                if answer.status_code != 200:
                    broken.append((about, lists.path, answer.text))
    assert not broken, "\n".join(map(repr, broken))
    assert [entry for entry in logs if entry["event"].endswith(".broke")] == []
    assert [entry for entry in logs if CANARY in repr(entry)] == []


async def asked(caller: httpx.AsyncClient, method: str, sent: Sent) -> str | None:
    """What is wrong with the answer; None: nothing."""
    headers = {b"content-type": b"application/json", **sent.headers}
    address = f"{sent.path}?{sent.query}"
    async with caller.stream(method, address, content=sent.body, headers=list(headers.items())) as answer:
        kind = answer.headers["content-type"].partition(";")[0]
        body = b"" if kind == "text/event-stream" else await answer.aread()
    if answer.is_success:
        return None
    if kind != "application/problem+json" or answer.status_code >= 500:
        return f"{answer.status_code} {body!r}"
    return f"echoed: {body!r}" if CANARY in told(body) else None


def told(body: bytes) -> str:
    """What a problem says by itself, without the address, the reference and the names of fields that were sent."""
    content = json.loads(body)
    for own in ("instance", "reference"):
        content.pop(own, None)
    for error in content.get("errors", ()):
        error.pop("path", None)
    return json.dumps(content)
