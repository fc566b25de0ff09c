"""A whole gateway and a customs that loses messages: alarms, the same message again, and an audit that holds."""

import asyncio
import json
from pathlib import Path
from random import Random

import asyncpg
import httpx
import orjson

import schemas
from adapters.codecs.enterprise_json import EnterpriseJson
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.cli.command import origin
from tests.integration.erps import enrol
from tests.integration.process import Serve, eventually
from tests.leftovers import leftovers

ENTERPRISES = tuple(many(1))
RULES = schemas.read_text("overdue.toml").replace('"PT15M"', "1").replace('"PT30M"', "1")


async def test_silence_in_a_whole_gateway_and_what_an_auditor_finds(tmp_path: Path) -> None:
    rules = tmp_path / "overdue.toml"
    rules.write_text(RULES, "utf-8")
    with Serve(tmp_path / "gateway", environment={"ORIGIN_OVERDUE_RULES": str(rules)}) as serve:
        await asyncio.to_thread(serve.start)
        enrolled = await enrol(serve, tmp_path / "keys", ENTERPRISES)
        account = enrolled.accounts[ENTERPRISES[0].code]

        with httpx.Client(base_url=serve.url, headers=account.bearer, trust_env=False, timeout=20) as erp:

            def declare(serial: int, scenario: str) -> str:
                made = declaration(Random(serial), "C", ENTERPRISES[0], serial, size=1)
                body = EnterpriseJson().write(made.model_copy(update={"application_note": f"SIM:{scenario}"}))
                answer = erp.post("/v1/declarations", content=body, headers={"content-type": "application/json"})
                assert answer.status_code == 202, answer.text
                return str(answer.json()["id"])

            def seen(identity: str) -> dict[str, object]:
                return dict(erp.get(f"/v1/certificates/{identity}").json())

            def kinds(identity: str) -> list[str]:
                return [event["kind"] for event in erp.get(f"/v1/certificates/{identity}/timeline").json()["events"]]

            def page() -> dict[str, object]:
                return {one["id"]: one["overdue"] for one in erp.get("/v1/certificates").json()["certificates"]}

            def metrics() -> str:
                return erp.get("/metrics").text

            def work() -> tuple[str, str]:
                lost, silent = declare(1, "lost-once"), declare(2, "silence")
                assert eventually(lambda: seen(lost)["status"] == "confirmed", 40), kinds(lost)
                assert eventually(lambda: kinds(silent).count("overdue") == 3, 40), kinds(silent)
                return lost, silent

            lost, silent = await asyncio.to_thread(work)
            assert kinds(lost)[:4] == ["declared", "overdue", "resent", "sent"]
            assert kinds(silent) == ["declared", *["overdue", "resent"] * 2, "overdue"]
            assert (seen(lost)["overdue"], seen(silent)["overdue"]) == ([], ["customs_receipt"])
            assert page() == {lost: [], silent: ["customs_receipt"]}
            gauge = 'origin_overdue_certificates{about="customs_receipt"} 1.0'
            assert await asyncio.to_thread(eventually, lambda: gauge in metrics(), 15)
            assert 'origin_overdue_total{about="customs_receipt"}' in metrics()
        told = await asyncio.to_thread(
            origin, "status", silent, ORIGIN_URL=serve.url, ORIGIN_API_KEY=account.key, folder=tmp_path
        )
        assert "overdue\tcustoms_receipt" in told.stdout

        # The chain is told too: who reads the status topic can check it alone.
        connection = await asyncpg.connect(serve.database)
        bodies = await connection.fetch(
            "SELECT body FROM origin.log WHERE topic = 'origin.status.changed.v1' AND key = $1 ORDER BY \"offset\"",
            lost,
        )
        hashes = await connection.fetch(
            "SELECT encode(hash, 'hex') FROM origin.event WHERE subject_id::text = $1 ORDER BY sequence", lost
        )
        events = [orjson.loads(row["body"]) for row in bodies]
        assert [event["hash"] for event in events] == [row[0] for row in hashes]
        assert [event["previous"] for event in events] == ["0" * 64, *(event["hash"] for event in events[:-1])]

        running = await asyncio.to_thread(origin, "audit", "verify", "--json", ORIGIN_DATA=str(serve.data))
        assert running.returncode == 0, (running.stdout, running.stderr)
        report = json.loads(running.stdout)
        assert (report["holds"], report["certificates"], report["before_the_audit"]) == (True, 2, 0)
        await connection.execute("UPDATE origin.event SET kind = 'received' WHERE kind = 'resent'")
        await connection.close()
        assert await asyncio.to_thread(serve.stop) == 0
        resting = await asyncio.to_thread(origin, "audit", "verify", "--json", ORIGIN_DATA=str(serve.data))
        assert resting.returncode == 1, resting.stderr
        flaws = [flaw["code"] for flaw in json.loads(resting.stdout)["flaws"]]
        assert (flaws.count("event.changed"), set(flaws)) == (3, {"event.changed", "state.differs"})
    assert not leftovers(tmp_path)


def test_rules_that_can_not_be_used_stop_the_start_with_a_sentence(tmp_path: Path) -> None:
    rules = tmp_path / "overdue.toml"
    rules.write_text(RULES.replace("resends = 2", "resends = 200"), "utf-8")
    done = origin("serve", "--data", tmp_path / "data", "--port", "0", ORIGIN_OVERDUE_RULES=str(rules))
    assert done.returncode == 3
    assert "resends" in done.stderr
    assert "Traceback" not in done.stderr
