"""ORIGIN_MAX_BYTES is the one bound of a document: raised, it holds on every way in (ops/decisions/0047)."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import orjson
import pytest

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.core.declaration import Declaration
from gateway.core.faults import Refused
from gateway.examiner import new_examiner
from gateway.runtime.examining import MAX_BYTES, MOST_BYTES
from gateway.runtime.submission import Client, Submission
from gateway.settings import Settings
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.integration.conftest import House
from tests.integration.erps import drop, enrol
from tests.integration.process import ROOT, Serve, eventually
from tests.leftovers import leftovers

LIMIT = 3 << 20
LINES = 700
TEXT = {"application/xml": "xml", "application/json": "json"}


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway that takes documents of 3 MiB."""
    folder = tmp_path_factory.mktemp("roomy")
    with Serve(folder / "gateway", environment={"ORIGIN_MAX_BYTES": str(LIMIT)}) as serve:
        serve.start()
        yield House(serve, asyncio.run(enrol(serve, folder / "keys", tuple(many(1)))), folder)
    assert not leftovers(folder)


def heavy(house: House, serial: int, lines: int = LINES) -> Declaration:
    """A declaration of many lines, whose Chinese names take much of its bytes and none of the paper."""
    content = declaration(Random(serial), "C", house.account.enterprise, 70000 + serial, size=lines)
    goods = tuple(
        line.model_copy(update={"producer_name_zh": "杭州示例制造有限公司" * 40, "name_zh": "棉制品" * 60})
        for line in content.goods
    )
    return content.model_copy(update={"goods": goods})


def written(content: Declaration, media_type: str) -> bytes:
    """Between the default and the limit of this gateway."""
    body = CustomsXml().write(content) if media_type == "application/xml" else EnterpriseJson().write(content)
    assert MAX_BYTES < len(body) < LIMIT
    return body


async def post(house: House, body: bytes, media_type: str) -> tuple[int, dict[str, Any]]:
    """(status, content) of the answer over HTTP."""
    headers = {**house.account.bearer, "content-type": media_type}
    async with httpx.AsyncClient(base_url=house.serve.url, trust_env=False, timeout=120) as http:
        response = await http.post("/v1/declarations", content=body, headers=headers)
        return response.status_code, orjson.loads(response.content)


async def put(house: House, body: bytes, name: str) -> dict[str, Any]:
    """The answer that the folder gets."""
    folder = house.serve.folders / house.account.name
    drop(folder, name, body)

    there = [folder / target / f"{name}.result.json" for target in ("accepted", "rejected")]
    assert await asyncio.to_thread(eventually, lambda: any(one.exists() for one in there), 120)
    return dict(orjson.loads(next(one for one in there if one.exists()).read_bytes()))


def printed(house: House, identity: str) -> bool:
    """Whether both papers lie in the spool's folder, which confirms by itself."""
    url = f"{house.serve.url}/v1/certificates/{identity}"
    found = httpx.get(url, headers=house.account.bearer, trust_env=False, timeout=30).json()
    return found["status"] == "confirmed"


@pytest.mark.parametrize("media_type", sorted(TEXT))
async def test_a_document_of_some_mebibytes_is_accepted(roomy: House, media_type: str) -> None:
    serial = 1 + sorted(TEXT).index(media_type)
    status, answer = await post(roomy, written(heavy(roomy, serial), media_type), media_type)
    assert (status, answer["status"]) == (202, "accepted"), answer
    assert await asyncio.to_thread(eventually, lambda: printed(roomy, answer["id"]), 120), "and goes the whole way"
    answer = await put(roomy, written(heavy(roomy, serial + 10), media_type), f"heavy.{TEXT[media_type]}")
    assert answer["status"] == "accepted", answer


async def test_a_line_of_a_batch_may_be_as_large(roomy: House) -> None:
    line = orjson.dumps(orjson.loads(written(heavy(roomy, 21), "application/json")))
    async with httpx.AsyncClient(base_url=roomy.serve.url, trust_env=False, timeout=120) as http:
        headers = {**roomy.account.bearer, "content-type": "application/x-ndjson"}
        response = await http.post("/v1/declarations", content=line + b"\n", headers=headers)
    assert orjson.loads(response.content.splitlines()[0])["http"] == 202, response.text


@pytest.mark.parametrize("media_type", sorted(TEXT))
async def test_one_byte_more_than_the_limit_is_refused_everywhere(roomy: House, media_type: str) -> None:
    body = written(heavy(roomy, 31), media_type)
    body += b" " * (LIMIT + 1 - len(body))
    status, answer = await post(roomy, body, media_type)
    assert (status, answer["errors"][0]["code"]) == (413, "DOC-TOO-LARGE"), answer
    assert str(LIMIT) in answer["detail"]
    answer = await put(roomy, body, f"over.{TEXT[media_type]}")
    assert answer["faults"][0]["code"] == "DOC-TOO-LARGE", answer


@pytest.mark.parametrize(("limit", "code"), [(LIMIT, 0), (MAX_BYTES, 1)])
def test_the_check_without_a_server_judges_by_it(roomy: House, tmp_path: Path, limit: int, code: int) -> None:
    file = tmp_path / "heavy.xml"
    file.write_bytes(written(heavy(roomy, 41), "application/xml"))
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "check", "--json", str(file)],
        cwd=ROOT,
        env={"PATH": "", "ORIGIN_MAX_BYTES": str(limit)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert (b"DOC-TOO-LARGE" in done.stdout) is bool(code)


@pytest.mark.parametrize("media_type", sorted(TEXT))
def test_above_four_mebibytes_the_setting_alone_says_what_is_too_large(media_type: str) -> None:
    content = declaration(Random(1), "C", next(iter(many(1))), 1, size=1)
    dialect = CustomsXml() if media_type == "application/xml" else EnterpriseJson()
    body = dialect.write(content).ljust(5 << 20)
    owner = Client("erp", content.applicant_code)
    assert new_examiner(5 << 20).examine(Submission(owner, media_type, body, "any")).submission.body == body
    with pytest.raises(Refused) as refusal:
        new_examiner((5 << 20) - 1).examine(Submission(owner, media_type, body, "any"))
    assert [fault.code for fault in refusal.value.faults] == ["DOC-TOO-LARGE"]


def test_the_setting_may_say_what_the_dialects_take() -> None:
    bound = next(one.le for one in Settings.model_fields["max_bytes"].metadata if hasattr(one, "le"))
    assert bound == MOST_BYTES
    assert Settings.model_fields["max_bytes"].default == MAX_BYTES
