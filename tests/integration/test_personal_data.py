"""The declarant's ID-card number, name and phone stay in the declaration: no log, metric, event or answer has them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import httpx
import orjson
import pytest
from stdnum.cn import ric

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.core.declaration import Declaration
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.integration import audit
from tests.integration.erps import Account, Listener, drop, enrol
from tests.integration.personal import found_in, spellings
from tests.integration.process import Serve, eventually

ENTERPRISES = tuple(many(1))
PERSON = "33020619000723871"
ID_CARD = PERSON + ric.calc_check_digit(PERSON + "0")
NAME = "金丝雀"
PHONE = "0571-77665544"
PERSONAL = (ID_CARD, NAME, PHONE)
XML, JSON, LINES = "application/xml", "application/json", "application/x-ndjson"
DATABASE = """
SELECT topic, headers::text AS text FROM origin.log
UNION ALL SELECT topic, encode(body, 'escape') FROM origin.log WHERE topic = 'origin.status.changed.v1'
UNION ALL SELECT 'event', data::text FROM origin.event
UNION ALL SELECT 'state', state::text FROM origin.certificate
UNION ALL SELECT 'answer', convert_from(answer, 'UTF8') FROM origin.intake
UNION ALL SELECT 'parked', reason FROM origin.parked
"""


def test_the_search_finds_every_spelling() -> None:
    for value in PERSONAL:
        for spelling in spellings(value):
            assert found_in(f"a{spelling}b", PERSONAL) == [value]
    assert found_in(repr(NAME.encode()), PERSONAL) == [NAME]
    assert found_in(orjson.dumps({"a": NAME}).decode(), PERSONAL) == [NAME]
    assert found_in("nothing", PERSONAL) == []


def person(serial: int, **changes: str) -> Declaration:
    """A declaration with that declarant."""
    content = declaration(Random(serial), "C", ENTERPRISES[0], 90000 + serial, size=1)
    known = {"declarant_id": ID_CARD, "declarant_name": NAME, "declarant_phone": PHONE}
    contact = {"contact_name": NAME, "contact_phone": PHONE, "exporter_phone": PHONE}
    return content.model_copy(update={**known, **contact, **changes})


def wrong_documents() -> Iterator[tuple[str, bytes]]:
    """Personal data where they don't belong, so that a complaint has every reason to quote them."""
    text = CustomsXml().write(person(1)).decode()
    data = orjson.loads(EnterpriseJson().write(person(2)))
    everywhere = PERSONAL[0] + NAME * 20 + PHONE * 3
    for name in (
        "Applicant",
        "ApplName",
        "ApplTel",
        "CertType",
        "AplDate",
        "InvDate",
        "CiqRegNo",
        "ApplyType",
        "FobValue",
    ):
        head, mark, tail = text.partition(f"<{name}>")
        if mark:
            yield XML, (head + mark + everywhere + tail[tail.index("<") :]).encode()
    yield XML, text.replace("<ApplyType>", f"<Other>{ID_CARD}{NAME}{PHONE}</Other><ApplyType>").encode()
    yield XML, text.replace("</Certificate>", "").encode()
    yield XML, f"<!DOCTYPE a [<!ENTITY e '{ID_CARD} {NAME} {PHONE}'>]><a>&e;</a>".encode()
    yield XML, f"{ID_CARD} {NAME} {PHONE}".encode()
    yield JSON, f'{{"declarant_id": "{ID_CARD}", "declarant_name": "{NAME}", "phone": "{PHONE}"'.encode()
    yield JSON, orjson.dumps({**data, "other": [ID_CARD, NAME], "more": PHONE})
    yield JSON, orjson.dumps({name: everywhere if isinstance(value, str) else value for name, value in data.items()})
    yield JSON, orjson.dumps({**data, "goods": everywhere})
    yield JSON, orjson.dumps([everywhere])


def odd_names() -> Iterator[tuple[str, bytes]]:
    """Personal data as names of elements: an answer tells the sender where, by that name; a log must not."""
    text = CustomsXml().write(person(3)).decode()
    yield XML, text.replace("<ApplyType>", f"<{NAME}>{ID_CARD}</{NAME}><ApplyType>").encode()
    yield JSON, orjson.dumps({**orjson.loads(EnterpriseJson().write(person(4))), NAME: ID_CARD, ID_CARD: PHONE})


@pytest.mark.long
async def test_personal_data_stay_in_the_declaration(tmp_path: Path) -> None:
    with Serve(tmp_path / "gateway", environment={"ORIGIN_LOG_LEVEL": "debug"}) as serve:
        await asyncio.to_thread(serve.start)
        account = (await enrol(serve, tmp_path / "keys", ENTERPRISES)).accounts[ENTERPRISES[0].code]
        listener = Listener(lambda: serve.url, account)
        listening = asyncio.create_task(listener.run())
        said = await declared(serve, account)
        # Killed in the middle: a start has things to say too.
        await asyncio.to_thread(serve.kill_everything)
        await asyncio.to_thread(serve.start)
        assert await audit.rested(serve.database, 30) == []
        async with httpx.AsyncClient(base_url=serve.url, trust_env=False) as http:
            said["metrics"] = (await http.get("/metrics")).text
        async with audit.looking(serve.database) as connection:
            for number, row in enumerate(await connection.fetch(DATABASE)):
                said[f"{row['topic']} {number}"] = row["text"] or ""
            stored = await connection.fetchval("SELECT count(*) FROM origin.certificate")
        assert stored == 5
        assert await asyncio.to_thread(eventually, lambda: len(listener.events) > 50, 10)
        said["events"] = orjson.dumps(listener.events).decode()
        listening.cancel()
        results = [*serve.folders.glob("*/*/*.result.*")]
        assert len(results) == 3
        said.update({path.name: path.read_text("utf-8") for path in results})
        assert await asyncio.to_thread(serve.stop) == 0
        said["logs"] = serve.said_ever()
    assert "declaration.refused" in said["logs"]
    assert {place: found for place, text in said.items() if (found := found_in(text, PERSONAL))} == {}


async def declared(serve: Serve, account: Account) -> dict[str, str]:
    """Everything is sent by every way in; what was answered."""
    said: dict[str, str] = {}
    xml, json = CustomsXml(), EnterpriseJson()
    good = [(XML, xml.write(person(10))), (JSON, json.write(person(11)))]
    batch = b"\n".join((orjson.dumps(orjson.loads(json.write(person(12)))), f'{{"declarant_id": "{ID_CARD}'.encode()))
    root = serve.folders / account.name
    drop(root, "good.xml", xml.write(person(13)))
    drop(root, "bad.json", next(body for kind, body in wrong_documents() if kind == JSON))
    drop(root, "lines.ndjson", orjson.dumps(orjson.loads(json.write(person(14)))) + b"\n" + NAME.encode())
    async with httpx.AsyncClient(base_url=serve.url, trust_env=False, timeout=30) as http:
        for number, (media_type, body) in enumerate((*good, *wrong_documents(), (LINES, batch))):
            headers = {**account.bearer, "content-type": media_type, "idempotency-key": f"person-{number}"}
            response = await http.post("/v1/declarations", content=body, headers=headers)
            assert response.status_code == (202 if number < len(good) else 200 if media_type == LINES else 422), number
            said[f"answer {number}"] = response.text
            again = await http.post("/v1/declarations", content=body + b" " * (number < len(good)), headers=headers)
            said[f"answer {number} again"] = again.text
        for media_type, body in odd_names():
            headers = {**account.bearer, "content-type": media_type}
            assert (await http.post("/v1/declarations", content=body, headers=headers)).status_code == 422
        for path in (f"/v1/certificates/{ID_CARD}", f"/v1/certificates?reference={PHONE}", f"/v1/events?since={NAME}"):
            assert (await http.get(path, headers=account.bearer)).status_code in (200, 400, 404)
    answers = [root / "accepted/good.xml", root / "rejected/bad.json", root / "rejected/lines.ndjson"]
    assert await asyncio.to_thread(eventually, lambda: all(map(Path.exists, answers)), 20)
    return said
