"""A database from before there were lives goes on, with its audit chain whole."""

from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import orjson

from adapters.bus.log import declare
from adapters.postgres.migrate import files, migrate
from adapters.store.audit import Auditor
from adapters.store.postgres import PostgresStore
from adapters.store.views import Views
from gateway.core.audit import GENESIS, event_hash
from gateway.core.certificate import LIFE
from gateway.core.envelope import event_id, timestamp
from gateway.inlet import GatewayInlet
from gateway.ports import Record
from gateway.reading import CertificateFilter
from gateway.runtime.door import Submission
from gateway.runtime.turn import Turn
from tests.runtime.house import DIALECTS, ENTERPRISE, ERP, INBOUND, JSON, House, document, taken

BEFORE = 6
"""Migrations of the last version without lives."""
STATE = """
UPDATE origin.certificate SET state = $2::text::jsonb, status = 'declared', sequence = 1, last_hash = $3 WHERE id = $1
"""
EVENT = """
INSERT INTO origin.event (certificate_id, sequence, id, kind, data, message_id, at, hash, day)
VALUES ($1, 1, $2, 'declared', $3::text::jsonb, $4, $5, $6, ($5 AT TIME ZONE 'UTC')::date)
"""
REST = """
WITH t AS (INSERT INTO origin.timer (certificate_id, about, revision, due) VALUES ($1, 'customs_receipt', 1, $2)),
     i AS (INSERT INTO origin.inbox (message_id, certificate_id) VALUES ($3, $1))
INSERT INTO origin.parked (message_id, certificate_id, topic, key, headers, body, reason, at)
VALUES (gen_random_uuid(), NULL, 'origin.customs.inbound.v1', 'key', '{}', '', 'odd', now())
"""


async def declared_before(pool: asyncpg.Pool, house: House, invoice: str) -> tuple[UUID, str]:
    """A declaration that the old version accepted and handled; its event tells what that version's events told."""
    answer = await house.door.submit(Submission(ERP, JSON, document(invoice_no=invoice), "http"))
    identity, number = UUID(answer.content["id"]), answer.content["number"]
    at, message = house.clock.now(), uuid4()
    row = await pool.fetchrow("SELECT encode(raw_sha256, 'hex') AS raw FROM origin.certificate WHERE id = $1", identity)
    assert row is not None
    state = {
        "id": str(identity), "number": number, "certificate_type": "C", "exporter": ENTERPRISE, "applicant": ENTERPRISE,
        "client": "erp", "reference": None, "revision": 1, "sequence": 1, "review": "declared", "verdict_at": "",
        "prints_itself": True, "media_type": JSON, "raw_sha256": row["raw"], "declared": 1, "resends": 0, "overdue": [],
        "papers": {"original": {"layout": ""}, "copy": {"layout": ""}},
    }  # fmt: skip
    data = {"revision": 1, "content": "0" * 64, "raw": row["raw"]}
    event = event_id(identity, 1)
    made = event_hash("certificate", identity, 1, event, "declared", data, message, timestamp(at), GENESIS)
    await pool.execute(EVENT, identity, event, orjson.dumps(data).decode(), message, at, bytes.fromhex(made))
    await pool.execute(STATE, identity, orjson.dumps(state).decode(), bytes.fromhex(made))
    await pool.execute(REST, identity, at + timedelta(minutes=15), message)
    return identity, number


async def test_certificates_of_the_last_version_without_lives_go_on(database_pool: asyncpg.Pool) -> None:
    pool, house = database_pool, House()
    await pool.execute("DROP SCHEMA origin CASCADE")
    async with pool.acquire() as connection:
        await migrate(connection, dict(list(files().items())[:BEFORE]))
        await declare(connection)
    house.store = PostgresStore(pool, lambda topics: None)  # type: ignore[assignment]
    house.door = house.another_door()
    async with house.open(house.door):
        old = [await declared_before(pool, house, invoice) for invoice in ("A", "B")]
    await pool.expire_connections()
    async with pool.acquire() as connection:
        await migrate(connection)
        await declare(connection)
    assert await pool.fetchval("SELECT count(*) FROM origin.subject WHERE kind = 'certificate'") == 2
    store = PostgresStore(pool, lambda topics: None)
    turn = Turn(store, GatewayInlet(house.codec), house.codec, DIALECTS, house.clock, house.told)
    house.store, house.door = store, house.another_door()  # type: ignore[assignment]
    async with house.open(house.door):
        answer = await house.door.submit(Submission(ERP, JSON, document(invoice_no="C"), "http"))
        again = await house.door.submit(Submission(ERP, JSON, document(invoice_no="A"), "http"))
    assert (answer.content["status"], again.content["id"]) == ("accepted", str(old[0][0]))
    number = old[0][1]
    await turn.handle([Record(INBOUND, 0, 0, number, taken(number), {})])
    assert await pool.fetchval("SELECT status FROM origin.certificate WHERE number = $1", number) == "sent"
    house.clock.move(minutes=16)
    assert await turn.work_timers() == 2
    assert await pool.fetchval("SELECT status || ' ' || overdue FROM origin.subject WHERE id = $1", old[1][0]) == (
        "declared customs_receipt"
    )
    page = await Views(pool).certificates(ENTERPRISE, CertificateFilter(), after=None, limit=9)
    assert sorted(one.status for one in page.certificates) == ["accepted", "declared", "sent"]
    today = house.clock.now().date()
    async with pool.acquire() as connection:
        report = await Auditor(connection).everything(today - timedelta(days=2), today, lambda done, total: None)
    assert (report.flaws, report.certificates, report.unfolded) == ([], 3, 2)
    assert LIFE.kind == "certificate", "the hash names its subject so since the audit began"
