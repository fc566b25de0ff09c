"""The same declaration again, by any way in, gives the certificate it has; other bytes under its key are refused."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count, product
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson
import pytest

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.inbound.lines import STATUS
from gateway.core.admission import Verdict
from gateway.core.declaration import Declaration
from simulators.erp.generator import declaration
from tests.integration import audit
from tests.integration.conftest import House
from tests.integration.erps import drop
from tests.integration.process import eventually

SERIALS = count(1)
XML, JSON, LINES = "application/xml", "application/json", "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Way:
    """A way in."""

    name: str
    media_type: str
    folder: bool = False
    keyed: bool = False

    def body(self, content: Declaration) -> bytes:
        """The declaration as it is sent this way."""
        if self.media_type == XML:
            return CustomsXml().write(content)
        written = EnterpriseJson().write(content)
        return orjson.dumps(orjson.loads(written)) if self.media_type == LINES else written


WAYS = (
    Way("XML with a key", XML, keyed=True),
    Way("XML", XML),
    Way("JSON with a key", JSON, keyed=True),
    Way("JSON", JSON),
    Way("a batch with a key", LINES, keyed=True),
    Way("a batch", LINES),
    Way("an XML file", XML, folder=True),
    Way("a JSON file", JSON, folder=True),
    Way("an NDJSON file", LINES, folder=True),
)


def fresh(house: House, numbered: bool = False) -> Declaration:
    """A declaration that nobody sent yet, with a number of the ERP's own if `numbered`."""
    serial, enterprise = next(SERIALS), house.account.enterprise
    content = declaration(Random(serial), "C", enterprise, 50000 + serial, size=1)
    if not numbered:
        return content
    return content.model_copy(update={"number": f"C26{enterprise.organisation}E{serial:03d}"})


async def send(house: House, way: Way, body: bytes, key: str) -> dict[str, Any]:
    """The answer: its content, `http` its status (of a file: that of its verdict)."""
    if way.folder:
        return await _file(house, way, body, f"{key}.{way.name}")
    headers = {**house.account.bearer, "content-type": way.media_type}
    if way.keyed:
        headers["idempotency-key"] = key
    response = await _post(house, body, headers)
    while response is None or response.status_code in (429, 503):
        await asyncio.sleep(0.1)  # only some batches are read at once
        response = await _post(house, body, headers)
    if way.media_type == LINES:
        assert response.status_code == 200, response.text
        return dict(orjson.loads(response.content))
    return {"http": response.status_code, **response.json()}


async def _post(house: House, body: bytes, headers: Mapping[str, str]) -> httpx.Response | None:
    """None: the connection was closed, as one is whose request was not read to its end. The same may be sent again."""
    async with httpx.AsyncClient(base_url=house.serve.url, trust_env=False, timeout=30) as http:
        with contextlib.suppress(httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            return await http.post("/v1/declarations", content=body, headers=headers)
    return None


async def _file(house: House, way: Way, body: bytes, name: str) -> dict[str, Any]:
    ending = {XML: "xml", JSON: "json", LINES: "ndjson"}[way.media_type]
    result = "result.ndjson" if way.media_type == LINES else "result.json"
    name = f"{name.replace(' ', '-').replace('/', '-')}-{next(SERIALS)}.{ending}"
    root = house.serve.folders / house.account.name
    await asyncio.to_thread(drop, root, name, body)
    answers = [root / place / f"{name}.{result}" for place in ("accepted", "rejected")]
    assert await asyncio.to_thread(eventually, lambda: any(map(Path.exists, answers)), 30)
    answer = orjson.loads(next(path.read_bytes() for path in answers if path.exists()))
    return {"http": STATUS[Verdict(answer["status"])], **answer}


async def on_file(house: House, content: Declaration) -> list[Any]:
    """The certificates that this declaration has, by its invoice."""
    async with audit.looking(house.serve.database) as connection:
        question = "SELECT id::text FROM origin.certificate WHERE invoice_no = $1"
        return [row["id"] for row in await connection.fetch(question, content.invoice_no)]


@pytest.mark.parametrize("numbered", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_twice_by_every_pair_of_ways(house: House, numbered: bool) -> None:
    async def twice(first: Way, second: Way) -> None:
        content = fresh(house, numbered)
        key = f"pair-{content.invoice_no}"
        one = await send(house, first, first.body(content), key)
        same = first.body(content) == second.body(content)
        two = await send(house, second, second.body(content), key if same else f"{key}-2")
        said = f"{first.name}, then {second.name}: {one}, {two}"
        assert one["http"] == 202, said
        assert two["http"] in (200, 202), said
        assert (one["id"], one["number"]) == (two["id"], two["number"]), said
        assert await on_file(house, content) == [one["id"]], said

    await asyncio.gather(*(twice(first, second) for first, second in product(WAYS, WAYS)))


@pytest.mark.parametrize("numbered", [False, True])
async def test_by_all_ways_at_once(house: House, numbered: bool) -> None:
    for _ in range(3):
        content = fresh(house, numbered)
        key = f"race-{content.invoice_no}"
        sends = [send(house, way, way.body(content), f"{key}-{n}") for n, way in enumerate((*WAYS, *WAYS))]
        answers = await asyncio.gather(*sends)
        assert len({(a["id"], a["number"]) for a in answers}) == 1, answers
        assert {a["http"] for a in answers} <= {200, 202}, answers
        assert await on_file(house, content) == [answers[0]["id"]]


async def test_the_same_key_and_bytes_give_the_same_answer_also_after_kill_9(house: House) -> None:
    content = fresh(house)
    way = WAYS[0]
    one = await send(house, way, way.body(content), "again")
    assert one == await send(house, way, way.body(content), "again")
    await asyncio.to_thread(house.serve.kill)
    await asyncio.to_thread(house.serve.start)
    assert one == await send(house, way, way.body(content), "again")
    assert await on_file(house, content) == [one["id"]]


@pytest.mark.parametrize("way", [way for way in WAYS if way.keyed], ids=lambda way: way.name)
@pytest.mark.parametrize("numbered", [False, True])
async def test_other_bytes_under_the_same_key_are_a_conflict(house: House, way: Way, numbered: bool) -> None:
    content, other = fresh(house, numbered), fresh(house)
    key = f"conflict-{content.invoice_no}"
    # A batch's lines have keys of their own: the batch's key and the line's number.
    elsewhere = WAYS[0] if way.media_type == JSON else WAYS[2]
    one = await send(house, way, way.body(content), key)
    assert one["http"] == 202
    wrong = [await send(house, way, way.body(other), key)]
    if way.media_type != LINES:
        wrong.append(await send(house, elsewhere, elsewhere.body(content), key))
        wrong.append(await send(house, way, way.body(content) + b"\n", key))
    for answer in wrong:
        assert answer["http"] == 409, answer
        assert [fault["code"] for fault in answer.get("errors") or answer["faults"]] == ["KEY-REUSED"]
        assert answer["id"] == one["id"] if "id" in answer else True
    assert await on_file(house, other) == []
    assert (await send(house, way, way.body(content), key))["id"] == one["id"]


async def test_another_client_s_key_is_another_key(house: House) -> None:
    first, second = house.enrolled.accounts.values()
    key = f"shared-{next(SERIALS)}"
    answers = []
    for account in (first, second):
        content = declaration(Random(1), "C", account.enterprise, 70000 + next(SERIALS), size=1)
        there = replace(house, enrolled=replace(house.enrolled, accounts={account.enterprise.code: account}))
        answers.append(await send(there, WAYS[0], WAYS[0].body(content), key))
    assert [answer["http"] for answer in answers] == [202, 202]
    assert answers[0]["id"] != answers[1]["id"]
