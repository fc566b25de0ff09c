"""Leave to declare for an exporter, by every way in, on a real gateway; and the upgrade of one that knew no leave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from adapters.bus.log import declare, declare_client
from adapters.bus.postgres import PostgresBus
from adapters.postgres import pool
from adapters.postgres.migrate import files, migrate
from adapters.store.postgres import PostgresStore
from gateway import keyfile
from gateway.app import Gateway
from gateway.ports import Message
from gateway.runtime.door import Client, Submission
from tests.cli.command import origin
from tests.inbound.gateway import running
from tests.runtime.house import ENTERPRISE, JSON, House, document

AGENCY, THIRD = "91310199MA9GWR4P61", "91320599MA9HTQ7K6J"
FULL_WIDTH = THIRD.replace("9", "９")
SUBMITTED, ANSWERED = "origin.intake.submitted.v1", "origin.intake.answered.v1"
DECLARATIONS = "/v1/declarations"
Way = Callable[[bytes], Awaitable[dict[str, Any]]]


@dataclass
class Office:
    """A running gateway with a client of the exporter and one of an agency."""

    gateway: Gateway
    data: Path
    pool: asyncpg.Pool
    operator: httpx.AsyncClient
    owner: httpx.AsyncClient
    agent: httpx.AsyncClient
    bus: PostgresBus

    def cli(self, *arguments: str) -> Any:
        """A command's JSON."""
        done = origin(*arguments, "--json", ORIGIN_URL=str(self.operator.base_url), ORIGIN_DATA=str(self.data))
        assert done.returncode == 0, done.stderr
        return orjson.loads(done.stdout)

    async def by_http(self, body: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.agent.post(DECLARATIONS, content=body, headers=kind(JSON))).json()
        return answer

    async def by_line(self, body: bytes) -> dict[str, Any]:
        one = orjson.dumps(orjson.loads(body)) + b"\n"
        answer = await self.agent.post(DECLARATIONS, content=one, headers=kind("application/x-ndjson"))
        line: dict[str, Any] = orjson.loads(answer.text)
        return line

    async def by_folder(self, body: bytes) -> dict[str, Any]:
        folder = self.data / "hot" / "agent"
        await asyncio.to_thread((folder / "in").mkdir, parents=True, exist_ok=True)
        await asyncio.to_thread((folder / "in" / "one.json").write_bytes, body)
        async with asyncio.timeout(20):
            while True:
                for result in await asyncio.to_thread(lambda: list(folder.glob("*ed/*.result.json"))):
                    answer: dict[str, Any] = orjson.loads(result.read_bytes())
                    result.unlink()
                    return answer
                await asyncio.sleep(0.05)

    async def by_bus(self, body: bytes) -> dict[str, Any]:
        await self.bus.publish([Message(f"{SUBMITTED}.agent", "k", body, {"content-type": JSON})])
        async with asyncio.timeout(20), self.bus.consumer("the-erp", [f"{ANSWERED}.agent"]) as reader:
            while not (records := await reader.poll(1, 1.0)):
                pass
            await reader.commit({records[0].place: records[0].offset + 1})
        answer: dict[str, Any] = orjson.loads(records[0].body)
        return answer


def kind(media_type: str) -> dict[str, str]:
    return {"content-type": media_type}


def faults(answer: dict[str, Any]) -> set[str]:
    """The codes of what refuses."""
    return {f["code"] for f in answer.get("errors") or answer.get("faults") or () if f["severity"] == "refuse"}


def warned(answer: dict[str, Any]) -> set[str]:
    return {fault["code"] for fault in answer["warnings"]}


def of_agent(invoice: str, **changes: Any) -> bytes:
    return document(applicant_code=AGENCY, invoice_no=invoice, **changes)


@contextlib.asynccontextmanager
async def opened(folder: Path, database_url: str, clients: dict[str, str] | None = None) -> AsyncIterator[Office]:
    """`clients`: name -> key of those that are there already; None: they are made."""
    data = folder / "data"
    async with contextlib.AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            running(data, database_url, folder_root=data / "hot", folder_settle_seconds=0.05)
        )

        async def client(key: str) -> httpx.AsyncClient:
            head = {"authorization": f"Bearer {key}"}
            url = f"http://127.0.0.1:{gateway.port}"
            return await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, headers=head, trust_env=False, timeout=120)
            )

        operator = await client(keyfile.read(gateway.settings.operator_key_path))
        keys = dict(clients or {})
        if clients is None:
            for name, enterprise in (("owner", ENTERPRISE), ("agent", AGENCY)):
                wish = {"name": name, "enterprise": enterprise, "bus": name == "agent"}
                answer = await operator.post("/v1/admin/clients", json=wish)
                keys[name] = answer.raise_for_status().json()["key"]
        lent = await pool.create_pool(database_url, smallest=1, largest=4)
        stack.callback(lent.terminate)
        bus = await stack.enter_async_context(PostgresBus(lent, partial(pool.connect, database_url)))
        owner, agent = await client(keys["owner"]), await client(keys["agent"])
        yield Office(gateway, data, lent, operator, owner, agent, bus)


@pytest.fixture
async def office(tmp_path: Path, database_url: str) -> AsyncIterator[Office]:
    async with opened(tmp_path, database_url) as found:
        yield found


async def drawn(office: Office, organisation: str = ENTERPRISE[8:17]) -> int:
    """Numbers that were drawn from an organisation's series."""
    found: int = await office.pool.fetchval(
        "SELECT coalesce(sum(last), 0)::int FROM origin.number_series WHERE organisation = $1", organisation
    )
    return found


async def test_no_way_in_declares_for_another_without_leave_and_each_does_with_it(office: Office) -> None:
    ways: list[Way] = [office.by_http, office.by_line, office.by_folder, office.by_bus]
    for number, way in enumerate(ways):
        assert faults(await way(of_agent(f"A-{number}"))) == {"OWNER-EXPORTER"}, way.__name__
    assert await drawn(office) == 0
    given = await asyncio.to_thread(office.cli, "client", "grant", "agent", "--exporter", ENTERPRISE.lower())
    assert [(one["exporter"], one["state"], one["given_by"]) for one in given] == [(ENTERPRISE, "given", "operator")]
    for number, way in enumerate(ways):
        answer = await way(of_agent(f"A-{number}"))
        assert (answer["status"], answer["number"][-4:]) == ("accepted", f"000{number + 1}"), way.__name__
    listed = await asyncio.to_thread(office.cli, "client", "list")
    assert {one["id"]: one["exporters"] for one in listed} == {"owner": [], "agent": [ENTERPRISE]}
    await asyncio.to_thread(office.cli, "client", "grant", "agent", "--exporter", ENTERPRISE, "--revoke")
    for number, way in enumerate(ways):
        assert faults(await way(of_agent(f"B-{number}"))) == {"OWNER-EXPORTER"}, way.__name__
    assert await drawn(office) == 4


async def test_what_another_process_revoked_is_over_within_two_seconds(office: Office) -> None:
    await office.operator.post("/v1/admin/clients/agent/leaves", json={"exporter": ENTERPRISE})
    assert (await office.by_http(of_agent("A")))["status"] == "accepted"
    await office.pool.execute("UPDATE origin.leave SET revoked_at = now()")
    await asyncio.sleep(1.9)
    assert faults(await office.by_http(of_agent("B"))) == {"OWNER-EXPORTER"}


async def test_a_batch_empties_nobody_elses_series(office: Office) -> None:
    """As attack/series.py does: 2,000 lines that name another exporter."""
    lines = b"\n".join(of_agent(f"A-{n}").replace(b"\n", b"") for n in range(2000))
    answer = await office.agent.post(DECLARATIONS, content=lines, headers=kind("application/x-ndjson"))
    verdicts = [orjson.loads(line) for line in answer.content.splitlines()]
    assert [verdict["http"] for verdict in verdicts] == [422] * 2000
    assert await drawn(office) == 0
    own = await office.owner.post(DECLARATIONS, content=document(), headers=kind(JSON))
    assert own.json()["number"][3:] == f"{ENTERPRISE[8:17]}0001"


async def test_used_and_unused_numbers_of_another_get_the_same_answer(office: Office) -> None:
    used = (await office.owner.post(DECLARATIONS, content=document(), headers=kind(JSON))).json()["number"]
    unused = f"{used[:-4]}4711"
    for exporter in (ENTERPRISE, AGENCY):
        answers = [
            await office.agent.post(
                DECLARATIONS, content=of_agent("A", number=number, exporter_code=exporter), headers=kind(JSON)
            )
            for number in (used, unused)
        ]
        assert [answer.status_code for answer in answers] == [422, 422]
        assert answers[0].content == answers[1].content
        reads = [await office.agent.get(f"/v1/certificates/{number}") for number in (used, unused)]
        assert [answer.status_code for answer in reads] == [404, 404]
        assert reads[0].content.replace(used.encode(), b"") == reads[1].content.replace(unused.encode(), b"")
        lists = [await office.agent.get("/v1/certificates", params={"number": number}) for number in (used, unused)]
        assert lists[0].content == lists[1].content


async def test_each_act_is_kept_and_never_changed(office: Office) -> None:
    grant = ("client", "grant", "agent", "--exporter", ENTERPRISE, "--by", "li")
    for arguments in (grant, grant, (*grant, "--revoke"), ("client", "revoke", "owner", "--by", "wang")):
        await asyncio.to_thread(office.cli, *arguments)
    done = await asyncio.to_thread(
        lambda: origin("audit", "acts", "--json", ORIGIN_DATABASE_URL=office.gateway.settings.database_url or "")
    )
    kept = [(act["who"], act["what"], act["client"]) for act in orjson.loads(done.stdout)]
    assert kept == [
        ("wang", "client.revoke", "owner"),
        ("li", "leave.revoke", "agent"),
        ("li", "leave.grant", "agent"),
        ("operator", "client.add", "agent"),
        ("operator", "client.add", "owner"),
    ]
    for statement in ("DELETE FROM", "UPDATE", "TRUNCATE"):
        rest = " SET who = 'x'" if statement == "UPDATE" else ""
        with pytest.raises(asyncpg.RaiseError, match="never changed"):
            await office.pool.execute(f"{statement} origin.operator_act{rest}")


@pytest.mark.parametrize(
    ("name", "exporter", "code"),
    [
        ("agent", ENTERPRISE[:-1] + "B", "LEAVE-EXPORTER"),
        ("agent", FULL_WIDTH, "LEAVE-EXPORTER"),
        ("agent", AGENCY, "LEAVE-OWN"),
        ("nobody", ENTERPRISE, "CLIENT-UNKNOWN"),
    ],
)
async def test_wishes_that_make_no_sense(office: Office, name: str, exporter: str, code: str) -> None:
    answer = await office.operator.post(f"/v1/admin/clients/{name}/leaves", json={"exporter": exporter})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    over = await office.operator.post(f"/v1/admin/clients/{name}/leaves/revoke", json={"exporter": exporter})
    assert over.json()["code"] in {"LEAVE-UNKNOWN", "LEAVE-EXPORTER"}
    assert (await office.operator.get("/v1/admin/leaves")).json() == []


# ---------------------------------------------------------------- the upgrade

BEFORE = 6
"""Migrations of the version that knew no leave."""
ADD = "INSERT INTO origin.client (id, enterprise, key_sha256, bus) VALUES ($1, $2, sha256($3), $1 = 'agent')"


async def written_before(database_url: str) -> dict[str, str]:
    """A database as the version before leave left it; client -> key. The agent declared for two exporters, one of them
    by correcting what its colleague declared; a revoked client declared too."""
    keys = {name: f"ok_{name}" for name in ("owner", "agent", "colleague", "gone")}
    lent = await pool.create_pool(database_url, smallest=1, largest=4)
    try:
        await lent.execute("DROP SCHEMA origin CASCADE")
        async with lent.acquire() as connection:
            await migrate(connection, dict(list(files().items())[:BEFORE]))
            await declare(connection)
            await declare_client(connection, "agent")
        for name, key in keys.items():
            await lent.execute(ADD, name, ENTERPRISE if name == "owner" else AGENCY, key.encode())
        house = House()
        house.store = PostgresStore(lent, lambda topics: None)  # type: ignore[assignment]
        door = house.another_door()
        anybody = frozenset({ENTERPRISE, THIRD})
        clients = {name: Client(name, AGENCY, exporters=anybody) for name in keys if name != "owner"}
        drafted = of_agent("D", exporter_code=THIRD, number="C26MA9HTQ7K60009", apply_type="0")
        async with house.open(door):
            for name, body in (
                ("agent", of_agent("A")), ("agent", of_agent("B")), ("colleague", drafted), ("gone", of_agent("C")),
            ):  # fmt: skip
                answer = await door.submit(Submission(clients[name], JSON, body, "http"))
                assert answer.content["status"] == "accepted", answer
            await lent.execute("UPDATE origin.certificate SET status = 'draft' WHERE exporter = $1", THIRD)
            corrected = drafted.replace(b'"D"', b'"E"')
            answer = await door.submit(Submission(clients["agent"], JSON, corrected, "http"))
            assert answer.content["revision"] == 2
        await lent.execute("UPDATE origin.client SET revoked_at = now() WHERE id = 'gone'")
    finally:
        lent.terminate()
    return keys


async def test_at_an_upgrade_nobody_is_cut_off_and_one_yes_answers_all(tmp_path: Path, database_url: str) -> None:
    keys = await written_before(database_url)
    async with opened(tmp_path, database_url, keys) as office:
        proposed = await asyncio.to_thread(office.cli, "client", "grants", "--proposed")
        assert [(one["client"], one["exporter"], one["state"]) for one in proposed] == [
            ("agent", THIRD, "proposed"),
            ("agent", ENTERPRISE, "proposed"),
            ("colleague", THIRD, "proposed"),
        ]
        ways: list[Way] = [office.by_http, office.by_line, office.by_folder, office.by_bus]
        for number, way in enumerate(ways):
            answer = await way(of_agent(f"N-{number}"))
            assert (answer["status"], warned(answer) & {"OWNER-EXPORTER-PROPOSED"}) == (
                "accepted",
                {"OWNER-EXPORTER-PROPOSED"},
            )
        finding = next(f for f in (await office.operator.get("/v1/admin/doctor")).json() if "leave" in f["about"])
        assert (finding["ok"], finding["detail"][0]) == (False, "3")
        await asyncio.to_thread(office.cli, "client", "grant", "colleague", "--exporter", THIRD, "--revoke")
        accepted = await asyncio.to_thread(office.cli, "client", "grants", "--accept-all", "--by", "li")
        assert [(one["client"], one["state"]) for one in accepted] == [("agent", "given"), ("agent", "given")]
        answer = await office.by_http(of_agent("Y"))
        assert (answer["status"], {c for c in warned(answer) if c.startswith("OWNER")}) == ("accepted", set())
        office.agent.headers["authorization"] = f"Bearer {keys['colleague']}"
        assert faults(await office.by_http(of_agent("Z", exporter_code=THIRD))) >= {"OWNER-EXPORTER"}
        finding = next(f for f in (await office.operator.get("/v1/admin/doctor")).json() if "leave" in f["about"])
        assert finding["ok"]
        acts = await office.pool.fetch("SELECT who, what FROM origin.operator_act ORDER BY id")
        assert [tuple(act)[1] for act in acts] == ["leave.reject", "leave.grant", "leave.grant"]
        assert tuple(acts[-1]) == ("li", "leave.grant")


async def test_a_start_tells_of_proposals(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr("gateway.app.log.warning", lambda event, **about: told.append((event, about)))
    keys = await written_before(database_url)
    async with opened(tmp_path, database_url, keys):
        pass
    assert [about["waiting"] for event, about in told if event == "leave.proposed"] == [3]
