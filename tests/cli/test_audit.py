"""origin audit, as an auditor meets it: on a database of its own, in a process of its own."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from adapters.store.audit import PostgresDays
from adapters.store.postgres import PostgresStore
from gateway.storage import TurnWork
from tests.cli.command import origin
from tests.contract.store_harness import admit, admitted, save, state_of
from tests.contract.test_audit_postgres import happen


@pytest.fixture
async def environment(database_pool: asyncpg.Pool, database_url: str) -> dict[str, str]:
    """A certificate with an event on each of the last three days, all sealed but today."""
    store = PostgresStore(database_pool, lambda topics: None)
    row = admitted("C26MA9XYD0C20001")
    await admit(store, row)
    await save(store, TurnWork(states=[state_of(row, sequence=0)]))
    now = datetime.now(UTC)
    for days in (2, 1, 0):
        await happen(store, row.certificate_id, now - timedelta(days=days))
    await PostgresDays(database_pool).seal(now.date() - timedelta(days=1))
    return {"ORIGIN_DATABASE_URL": database_url}


async def test_verify_tells_what_holds_and_pins_it_by_a_kept_root(
    environment: dict[str, str], database_pool: asyncpg.Pool, database_url: str
) -> None:
    done = origin("audit", "verify", **environment)
    assert done.returncode == 0, done.stderr
    assert "3 events of 1 certificates, 2 sealed days: all holds." in done.stdout
    kept = origin("audit", "root", **environment).stdout.strip()
    assert kept in done.stdout
    found = json.loads(origin("audit", "verify", "--json", "--expect", kept, **environment).stdout)
    assert (found["holds"], found["newest"]["root"], found["flaws"]) == (True, kept, [])
    first = json.loads(origin("audit", "root", found["newest"]["day"], "--json", **environment).stdout)
    assert first["root"] == kept
    # Somebody who may write everything takes an event of the newest sealed day away and makes all fit again.
    await database_pool.execute("DELETE FROM origin.event WHERE sequence >= 2")
    await database_pool.execute(
        "UPDATE origin.certificate SET sequence = 1, last_hash = (SELECT hash FROM origin.event)"
    )
    await database_pool.execute(
        "DELETE FROM origin.audit_day WHERE day = $1", datetime.now(UTC).date() - timedelta(days=1)
    )
    await PostgresDays(database_pool).seal(datetime.now(UTC).date() - timedelta(days=1))
    assert origin("audit", "verify", **environment).returncode == 0, "nothing in the database itself can tell"
    told = origin("audit", "verify", "--expect", kept, **environment)
    assert told.returncode == 1
    assert "root.expected" in told.stdout
    assert origin("audit", "verify", "--certificate", "C26MA9XYD0C20001", **environment).returncode == 0


async def test_a_changed_event_is_named_and_the_exit_code_says_so(
    environment: dict[str, str], database_pool: asyncpg.Pool
) -> None:
    identity = await database_pool.fetchval("SELECT id FROM origin.certificate")
    await database_pool.execute("UPDATE origin.event SET data = '{}' WHERE sequence = 2")
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    for options in ((), ("--day", yesterday), ("--certificate", str(identity)), ("--certificate", "C26MA9XYD0C20001")):
        done = origin("audit", "verify", "--json", *options, **environment)
        assert done.returncode == 1, (options, done.stderr)
        (flaw,) = json.loads(done.stdout)["flaws"]
        assert (flaw["code"], flaw["certificate"], flaw["sequence"]) == ("event.changed", str(identity), 2)
    told = origin("audit", "verify", **environment)
    assert str(identity) in told.stdout


async def test_wrong_calls_and_absent_databases_are_told(environment: dict[str, str], tmp_path: Path) -> None:
    for arguments, code in (
        (("--day", "yesterday"), 2),
        (("--day", "2200-01-01"), 2),
        (("--expect", "abc"), 2),
        (("--day", "2026-01-01", "--certificate", "C"), 2),
        (("--certificate", "C26NOBODY0000001"), 1),
    ):
        assert origin("audit", "verify", *arguments, **environment).returncode == code, arguments
    assert origin("audit", "root", datetime.now(UTC).date().isoformat(), **environment).returncode == 1
    assert origin("audit", "verify", "--data", tmp_path).returncode == 2
    nowhere = {"ORIGIN_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    assert origin("audit", "verify", **nowhere).returncode == 3
