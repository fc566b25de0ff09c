"""Three enterprises, each with a mark of its own in every field that takes free text, in its references, file names,
seals, keys and passwords: what belongs to one reaches no other, and nobody's is in a log or a metric."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson
import pypdfium2 as pdfium
import pytest

from adapters.bus.postgres import PostgresBus
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.inbound.bus_reading import ANSWERED
from adapters.inbound.http import document
from adapters.postgres.pool import connect, create_pool
from gateway.core.declaration import Declaration
from gateway.core.faults import Refused
from gateway.examiner import new_examiner
from gateway.ports import Message
from gateway.runtime.door import Client, Submission
from gateway.runtime.kept import SUBMITTED
from renderers.demo_keys import make_authority, make_key
from renderers.demo_marks import handwriting
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.integration import audit
from tests.integration.erps import Account, Listener, drop, enrol
from tests.integration.process import Serve, eventually

ENTERPRISES = tuple(many(3))
LETTERS = dict(zip((one.code for one in ENTERPRISES), "ABC", strict=True))
MARK = re.compile(r"zqjx([abc])\d\d", re.IGNORECASE)
HEX = re.compile("(?:5a514a58|7a716a78)(4[123]|6[123])")
"""The same as PostgreSQL shows bytes."""
FEWEST = 40
"""Fields of a declaration that take free text, at least."""
ROUNDS = 3
LISTS = tuple(f"/v1/admin/{name}" for name in ("dead-letters", "parked", "doctor", "clients", "seals", "keys"))
XML, JSON, LINES = "application/xml", "application/json", "application/x-ndjson"


def marks_of(text: str) -> set[str]:
    """Whose marks stand in a text, by letter."""
    return {found.upper() for found in MARK.findall(text)} | {
        chr(int(found, 16)).upper() for found in HEX.findall(text)
    }


def test_marks_are_found() -> None:
    assert marks_of("a ZQJXA07 b zqjxc99") == {"A", "C"}
    assert marks_of(b"ZQJXB01".hex()) == {"B"}
    assert marks_of(orjson.dumps({"a": "ZQJX"}).decode()) == set()


# ---------------------------------------------------------------- declarations full of marks


def places(content: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every text of a declaration, and every one it could have."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from places(value, (*at, name))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from places(value, (*at, number))
    elif content is None or isinstance(content, str):
        yield at


def with_text(content: Any, at: tuple[str | int, ...], text: str) -> Any:
    """The same with this text there."""
    if not at:
        return text
    if isinstance(content, dict):
        return {**content, at[0]: with_text(content[at[0]], at[1:], text)}
    return [with_text(value, at[1:], text) if number == at[0] else value for number, value in enumerate(content)]


class Marker:
    """Fills declarations with marks wherever the gateway takes them."""

    def __init__(self) -> None:
        self._examiner = new_examiner()
        self.free: dict[str, list[tuple[str | int, ...]]] = {}

    def good(self, content: Declaration) -> bool:
        """Would the gateway take it?"""
        owner = Client("check", content.applicant_code)
        try:
            self._examiner.examine(Submission(owner, JSON, EnterpriseJson().write(content), "check"))
        except Refused:
            return False
        return True

    def declaration(self, account: Account, kind: str, serial: int) -> Declaration:
        """A declaration of the enterprise's with a mark in each field that takes free text."""
        plain = declaration(Random(serial), kind, account.enterprise, serial, size=2)
        assert self.good(plain)
        known = self.free.get(kind)
        content, taken = plain, []
        for number, at in enumerate(known or list(places(plain.model_dump(mode="json")))):
            text = f"ZQJX{LETTERS[account.enterprise.code]}{number % 100:02d}"
            try:
                tried = Declaration.model_validate(with_text(content.model_dump(mode="json"), at, text))
            except ValueError:
                continue
            if self.good(tried):
                content = tried
                taken.append(at)
        assert self.good(content)
        assert len(taken) > FEWEST, taken
        self.free[kind] = taken
        return content


def refused(content: Declaration) -> Iterator[tuple[str, bytes]]:
    """Documents whose every complaint has a reason to quote what stands there."""
    xml = CustomsXml().write(content).decode()
    data = orjson.loads(EnterpriseJson().write(content))
    mark = data["marks"]
    yield XML, xml.replace("<ApplyType>1", f"<ApplyType>{mark}").encode()
    yield XML, xml.replace("<CertType>", f"<Other>{mark}</Other><CertType>").encode()
    yield XML, xml.replace("</Certificate>", f"<{mark}>").encode()
    yield JSON, orjson.dumps({**data, "application_date": mark, "goods": mark})
    yield JSON, orjson.dumps({**data, "currency": mark, "destination_code": mark})


# ---------------------------------------------------------------- what was sent, and what came back


@dataclass
class House:
    serve: Serve
    accounts: list[Account]
    http: httpx.AsyncClient
    marker: Marker
    secrets: list[str]
    said: dict[str, list[str]] = field(default_factory=lambda: {letter: [] for letter in "ABC"})
    """What each enterprise was answered, by letter."""
    own: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The certificates of each."""

    def letter(self, account: Account) -> str:
        return LETTERS[account.enterprise.code]

    def mark(self, account: Account, number: int) -> str:
        return f"ZQJX{self.letter(account)}{number:02d}"

    async def ask(self, account: Account, method: str, path: str, **more: Any) -> httpx.Response:
        """A request of the enterprise's; what it is told is kept, without the address it asked at."""
        headers = {**account.bearer, **more.pop("headers", {})}
        answer = await self.http.request(method, path, headers=headers, **more)
        assert answer.status_code < 500, answer.text
        kept = re.sub(r'"instance":"[^"]*"', "", answer.text)
        self.said[self.letter(account)].append(f"{method} {answer.status_code} {kept}")
        return answer


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    with Serve(tmp_path / "gateway", environment={"ORIGIN_LOG_LEVEL": "debug"}) as serve:
        await asyncio.to_thread(serve.start)
        accounts = list((await enrol(serve, tmp_path / "keys", ENTERPRISES)).accounts.values())
        async with httpx.AsyncClient(base_url=serve.url, trust_env=False, timeout=60) as http:
            made = House(serve, accounts, http, Marker(), [account.key for account in accounts])
            await more_secrets(made)
            yield made


async def more_secrets(house: House) -> None:
    """A seal and a key each whose names and passwords are marked too; a wrong password as well."""
    operator = {"authorization": f"Bearer {house.serve.operator_key}"}
    authority = make_authority(datetime.now(UTC))
    for account in house.accounts:
        code, password = account.enterprise.code, f"{house.mark(account, 90)}-password"
        p12 = make_key(authority, house.mark(account, 91), password, datetime.now(UTC))
        wish = {
            "enterprise": code,
            "name": house.mark(account, 92),
            "p12": b64encode(p12).decode(),
            "password": f"no {password}",
        }
        wrong = await house.http.post("/v1/admin/keys", json=wish, headers=operator)
        assert wrong.status_code == 422
        assert not marks_of(wrong.text)
        right = await house.http.post("/v1/admin/keys", json={**wish, "password": password}, headers=operator)
        assert "password" not in right.raise_for_status().text
        image = {"enterprise": code, "name": house.mark(account, 93), "kind": "signature", "width_mm": 30}
        image["png"] = b64encode(handwriting(account.name, width=30, height=14)).decode()
        (await house.http.post("/v1/admin/seals", json=image, headers=operator)).raise_for_status()
        (
            await house.http.post(f"/v1/admin/clients/{account.name}/bus", json={"bus": True}, headers=operator)
        ).raise_for_status()
        house.secrets.append(password)


async def declared(house: House, account: Account, serial: int) -> None:
    """By every way in, with marks; and what is refused, all at the same time."""
    json = EnterpriseJson()
    documents = [house.marker.declaration(account, kind, serial + n) for n, kind in enumerate(("RC", "C", "C", "C"))]
    head = {"origin-reference": house.mark(account, 94), "idempotency-key": house.mark(account, 95)}
    over_http = {**head, "content-type": XML}
    good = house.ask(account, "POST", "/v1/declarations", content=CustomsXml().write(documents[0]), headers=over_http)
    lines = b"\n".join((one_line(json.write(documents[1])), b'{"marks": "' + house.mark(account, 96).encode()))
    batch = house.ask(account, "POST", "/v1/declarations", content=lines, headers={"content-type": LINES})
    bad = [
        house.ask(account, "POST", "/v1/declarations", content=body, headers={"content-type": kind})
        for _ in range(ROUNDS)
        for kind, body in refused(documents[3])
    ]
    root = house.serve.folders / account.name
    drop(root, f"{house.mark(account, 97)}.json", json.write(documents[2]))
    drop(root, f"{house.mark(account, 98)}.xml", next(refused(documents[2]))[1])
    answers = await asyncio.gather(good, batch, *bad)
    assert [answer.status_code for answer in answers] == [202, 200, *[422] * len(bad)]
    assert [orjson.loads(line)["http"] for line in answers[1].content.splitlines()] == [202, 422]
    assert not any(marks_of(answer.text) for answer in answers[2:])
    await on_the_bus(house, account, json.write(documents[3]))
    done = [root / "accepted" / f"{house.mark(account, 97)}.json", root / "rejected" / f"{house.mark(account, 98)}.xml"]
    assert await asyncio.to_thread(eventually, lambda: all(map(Path.exists, done)), 30)


def one_line(document: bytes) -> bytes:
    return orjson.dumps(orjson.loads(document))


async def on_the_bus(house: House, account: Account, body: bytes) -> None:
    """A declaration on the client's topic; and on the customs' topic something that nobody can read."""
    reference = house.mark(account, 89)
    head = {"content-type": JSON, "ce_id": reference, "ce_source": "/erp", "origin-reference": reference}
    pool = await create_pool(house.serve.database, smallest=1, largest=2)
    try:
        async with PostgresBus(pool, partial(connect, house.serve.database)) as bus:
            poison = Message("origin.customs.inbound.v1", reference, f"<{reference}".encode(), {"ce_id": reference})
            await bus.publish([Message(f"{SUBMITTED}.{account.name}", reference, body, head), poison])
    finally:
        await pool.close()


async def asked_everywhere(house: House) -> None:
    """Each client reads every route with everybody's ids, numbers, references and receipts."""
    for account in house.accounts:
        page = (await house.ask(account, "GET", "/v1/certificates?limit=500")).json()["certificates"]
        assert len(page) == 4
        house.own[house.letter(account)] = page
    names = [one[name] for page in house.own.values() for one in page[:2] for name in ("id", "number")]
    receipts = [
        receipt["id"]
        for account in house.accounts
        for one in house.own[house.letter(account)]
        for receipt in (await house.ask(account, "GET", f"/v1/certificates/{one['id']}/receipts")).json()["receipts"]
    ]
    assert receipts
    for account in house.accounts:
        for path, method in routes():
            for name in names if "{name}" in path else [""]:
                for receipt in receipts[::20] if "{receipt}" in path else [""]:
                    address = path.replace("{name}", name).replace("{receipt}", receipt)
                    body: Mapping[str, Any] = {"json": {"printed": True}} if path.endswith("confirm") else {}
                    await house.ask(account, method, address, **body)
        for other in house.accounts:
            first = house.own[house.letter(other)][0]
            for query in (f"number={first['number']}", f"invoice={house.mark(other, 10)}", f"after={first['id']}"):
                await house.ask(account, "GET", f"/v1/certificates?{query}")
            await house.ask(account, "GET", f"/v1/certificates?reference={house.mark(other, 94)}")


def routes() -> list[tuple[str, str]]:
    """(path, method) of every route but the intake's, which is asked by itself, and the stream, which has no end."""
    known = [(path, method.upper()) for path, methods in document()["paths"].items() for method in methods]
    return [(path, method) for path, method in known if path not in ("/v1/declarations", "/v1/events")]


async def heard(house: House) -> None:
    """The whole stream of each client, from the first event on."""
    listeners = {account.name: Listener(lambda: house.serve.url, account) for account in house.accounts}
    tasks = [asyncio.create_task(listener.run()) for listener in listeners.values()]
    assert await asyncio.to_thread(eventually, lambda: all(len(one.events) > 40 for one in listeners.values()), 20)
    for task in tasks:
        task.cancel()
    for account in house.accounts:
        self_told = orjson.dumps(listeners[account.name].events).decode()
        house.said[house.letter(account)].append(self_told)


# ---------------------------------------------------------------- what must be true


@pytest.mark.timeout(300)
async def test_what_belongs_to_one_reaches_no_other_and_nobodys_is_told(house: House) -> None:
    await asyncio.gather(*(declared(house, one, 100 * n) for n, one in enumerate(house.accounts)))
    assert await audit.rested(house.serve.database, 60) == []
    await asked_everywhere(house)
    await heard(house)
    metrics = (await house.http.get("/metrics")).text
    operator = {"authorization": f"Bearer {house.serve.operator_key}"}
    listed = [(await house.http.get(path, headers=operator)).text for path in LISTS]
    rows = await every_row(house.serve.database)
    files = dict(every_file(house))
    assert await asyncio.to_thread(house.serve.stop) == 0
    logs = house.serve.said_ever()

    # Each hears of itself, so the search finds what there is; and of nobody else.
    assert {letter: marks_of("".join(said)) for letter, said in house.said.items()} == {one: {one} for one in "ABC"}
    for letter, said in house.said.items():
        foreign = [one["number"] for other, page in house.own.items() if other != letter for one in page]
        assert not [text for text in said if any(number in text for number in foreign)]
    # Nothing is about two of them: no message, no row, no file.
    assert [row for row in rows if len(marks_of(row[1])) > 1] == []
    assert [name for name, text in files.items() if len(marks_of(text)) > 1] == []
    for account in house.accounts:
        own = {house.letter(account)}
        topics = {f"log {family}.{account.name}" for family in (SUBMITTED, ANSWERED)}
        mine = [text for name, text in rows if name in topics]
        assert [marks_of(text) for text in mine] == [own, own]
        folder = [text for name, text in files.items() if f"/folders/{account.name}/" in name]
        assert folder
        assert all(marks_of(text) <= own for text in folder)
    papers = [marks_of(text) for name, text in files.items() if name.endswith(".pdf")]
    assert len(papers) == 24
    assert all(len(found) == 1 for found in papers)
    # A log and a metric tell of nobody; a list of dead letters tells where, not what.
    assert "declaration.refused" in logs
    assert marks_of(logs) == set()
    assert marks_of(metrics) == set()
    assert len(orjson.loads(listed[0])) == 3
    assert marks_of(listed[0]) == set()
    everything = [*(text for _, text in rows), *files.values(), *listed, logs, metrics, *chain(*house.said.values())]
    assert [secret for secret in house.secrets if any(secret in text for text in everything)] == []


async def every_row(dsn: str) -> Sequence[tuple[str, str]]:
    """(table, row) of the whole database; a message's table is `log` and its topic."""
    found = []
    async with audit.looking(dsn) as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'origin'")
        for table in (row["tablename"] for row in tables):
            name = "'log ' || topic" if table == "log" else f"'{table}'"
            rows = await connection.fetch(f"SELECT {name} AS name, t::text AS text FROM origin.{table} t")
            found += [(row["name"], row["text"]) for row in rows]
    return found


def every_file(house: House) -> Iterator[tuple[str, str]]:
    """(path, text) of what the gateway wrote, the database's files and the log left out; of a paper what it says."""
    for path in house.serve.home.rglob("*"):
        if not path.is_file() or "postgres" in path.parts or path == house.serve.output:
            continue
        content = path.read_bytes()
        text = content.decode("utf-8", "replace")
        if path.suffix == ".pdf":
            paper = pdfium.PdfDocument(content)
            text = "".join(page.get_textpage().get_text_bounded() for page in paper)
            paper.close()
        yield f"{path}", f"{path.name}\n{text}"
