"""The gateway on a real Kafka and a PostgreSQL server: roles in processes of their own, a foreign reader beside them.

The broker is this module's own: topics and groups have the gateway's names.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import orjson
import pytest

import schemas
from adapters.bus.topics import declared
from simulators.erp.generator import declarations
from tests.fixtures_kafka import BROKER_GOES_AWAY
from tests.integration import audit, kcat
from tests.integration.broker_away import killed
from tests.integration.erps import Account, Ledger, Parcel
from tests.integration.kafka_office import ENTERPRISES, STATUS, Office, declare, office, read_all, told

pytestmark = BROKER_GOES_AWAY

SUBMITTED, ANSWERED = "origin.intake.submitted.v1", "origin.intake.answered.v1"
TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")


@pytest.fixture(scope="module")
def kafka_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Several tests share it: they must leave it serving."""
    processes = ("intake,turn", "relay,customs-simulator", "render,print")
    with office(tmp_path_factory.mktemp("office"), processes) as running:
        yield running


async def test_printed_by_way_of_kafka_and_a_foreign_client_reads_along(kafka_office: Office, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    sent = kafka_office.parcels(41, 8)
    sender = kafka_office.sender(ledger)
    await asyncio.gather(*(sender.deliver(parcel) for parcel in sent))
    found = await kafka_office.rested(ledger, sent)
    ledger.close()
    async with audit.looking(kafka_office.url) as connection:
        readers = await connection.fetch('SELECT DISTINCT "group" FROM origin.consumer_position')
        sequences = {row["id"]: row["sequence"] for row in await connection.fetch(audit.CERTIFICATES)}
    assert [row["group"] for row in readers] == ["relay"], "somebody reads the log though there is a Kafka"

    bootstrap = kafka_office.kafka.bootstrap
    records = await read_all(bootstrap, STATUS)
    assert told(records) == {name: list(range(1, last + 1)) for name, last in sequences.items()}
    for record in records:
        assert record.partition == declared().place(STATUS, record.key.decode())
    traces: dict[str, set[str]] = defaultdict(set)
    for topic in ("origin.declaration.accepted.v1", "origin.render.job.v1", "origin.print.result.v1", STATUS):
        for record in await read_all(bootstrap, topic):
            traces[record.key.decode()].add(dict(record.headers)["traceparent"].decode().split("-")[1])
    assert all(len(ids) == 1 for ids in traces.values()), "one declaration, one trace"
    assert {row["id"] for row in found} <= set(traces)


async def on_the_bus(kafka_office: Office, name: str) -> Account:
    """A new client of the first enterprise with a pair of topics of its own."""
    code = ENTERPRISES[0].code
    front = kafka_office.front
    head = {"authorization": f"Bearer {front.operator_key}"}
    async with httpx.AsyncClient(base_url=front.url, headers=head, trust_env=False) as operator:
        wish = {"name": name, "enterprise": code, "bus": True}
        key = (await operator.post("/v1/admin/clients", json=wish)).raise_for_status().json()["key"]
    await declare(kafka_office.kafka.bootstrap, [name])
    return Account(ENTERPRISES[0], name, key)


@pytest.mark.needs("kcat")
async def test_what_a_foreign_producer_declares_comes_out_printed(kafka_office: Office, tmp_path: Path) -> None:
    # given an ERP that knows Kafka, the two dialects and nothing else of us
    bootstrap = kafka_office.kafka.bootstrap
    erp = await on_the_bus(kafka_office, "foreign-erp")
    example = Path(str(schemas.path("examples", "C-no-number.xml")))
    ((kind, other),) = declarations(43, 1, ENTERPRISES[:1])
    own = tmp_path / "other"
    own.write_bytes(other)
    sent = [
        Parcel("po-1", erp, "application/xml", schemas.read_bytes("examples", example.name), "bus"),
        Parcel("po-2", erp, kind, other, "bus"),
    ]
    # when it writes a declaration of each kind, with headers as CloudEvents has them and as HTTP has them
    heads = [{"ce_id": "po-1", "ce_source": "/erp"}, {"idempotency-key": "po-2", "origin-reference": "SO-2"}]
    for parcel, file, more in zip(sent, (example, own), heads, strict=True):
        head = {"content-type": parcel.media_type, **more}
        await asyncio.to_thread(kcat.write, bootstrap, f"{SUBMITTED}.{erp.name}", parcel.key, file, head)
    # then each is answered under its key, and says what it answers
    answers = await asyncio.to_thread(kcat.read, bootstrap, f"{ANSWERED}.{erp.name}", 2)
    by_key = {answer.key: answer for answer in answers}
    assert {answer.headers["origin_status"] for answer in answers} == {"accepted"}
    assert by_key["po-1"].headers["ce_causationid"] == "po-1"
    assert by_key["po-2"].headers["origin-reference"] == "SO-2"
    assert {answer.headers["content-type"] for answer in answers} == {"application/json"}
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for parcel in sent:
        ledger.write(parcel, orjson.loads(by_key[parcel.key].body))
    # and everything of it comes out of the printer, once
    found = await kafka_office.rested(ledger, sent)
    ledger.close()
    async with audit.looking(kafka_office.url) as connection:
        claims = await connection.fetch(audit.CLAIMS)
    jobs = {row["job"] for row in claims if row["certificate"] in {one["id"] for one in found}}
    files = [path for job, path in kafka_office.paper.printed() if job in jobs]
    assert len(files) == 4, "an original and a copy of each"
    assert await asyncio.to_thread(audit.signatures, files, kafka_office.enrolled.wallet.authority) == []
    # and the status topic tells its life, as CloudEvents in binary mode, without a gap
    numbers: dict[str, list[int]] = defaultdict(list)
    for record in await asyncio.to_thread(kcat.read_all, bootstrap, STATUS):
        body = orjson.loads(record.body)
        assert record.headers["ce_specversion"] == "1.0"
        assert record.headers["ce_id"] == body["id"]
        assert record.headers["ce_source"] == "/origin-gateway"
        assert record.headers["ce_type"] == f"cn.origin.certificate.{body['kind']}.v1"
        assert record.headers["ce_subject"] == record.key == body["certificate"]
        assert datetime.fromisoformat(record.headers["ce_time"]).tzinfo is not None
        assert record.headers["content-type"] == "application/json"
        assert TRACE.fullmatch(record.headers["traceparent"])
        numbers[record.key].append(body["sequence"])
    for one in found:
        assert numbers[one["id"]] == list(range(1, one["sequence"] + 1)), "nobody was killed: no doubles"


@pytest.mark.long
@pytest.mark.needs("prometheus", "prometheus-alertmanager")
@pytest.mark.timeout(180)
async def test_a_broker_that_is_away_holds_up_nobody_s_declaration(kafka_office: Office, tmp_path: Path) -> None:
    await killed(kafka_office, tmp_path, seconds=14, factor=15, seed=42)
