"""A whole gateway that reads and writes everything the plain way (ORIGIN_FAST=off), from declaration to paper."""

import asyncio
from pathlib import Path
from random import Random

import httpx
import pytest

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.ports import Dialect
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.codecs.documents import example
from tests.integration.erps import enrol
from tests.integration.process import Serve, eventually

ENTERPRISES = tuple(many(1))


@pytest.mark.timeout(240)
async def test_from_the_declaration_to_the_paper(tmp_path: Path) -> None:
    with Serve(tmp_path / "gateway", environment={"ORIGIN_FAST": "off"}) as serve:
        await asyncio.to_thread(serve.start)
        account = (await enrol(serve, tmp_path / "keys", ENTERPRISES)).accounts[ENTERPRISES[0].code]

        def work() -> None:
            with httpx.Client(base_url=serve.url, headers=account.bearer, trust_env=False, timeout=60) as erp:

                def declare(media_type: str, body: bytes) -> httpx.Response:
                    return erp.post("/v1/declarations", content=body, headers={"content-type": media_type})

                def status(id: str) -> str:
                    return str(erp.get(f"/v1/certificates/{id}").json()["status"])

                assert examiners(serve.home) == []
                dialects: tuple[Dialect, ...] = (CustomsXml(), EnterpriseJson())
                ids = []
                for serial, dialect in enumerate(dialects, 1):
                    made = declaration(Random(serial), "C", ENTERPRISES[0], serial, size=1)
                    answer = declare(dialect.media_type, dialect.write(made))
                    assert answer.status_code == 202, answer.text
                    ids.append(answer.json()["id"])
                assert eventually(lambda: [status(id) for id in ids] == ["confirmed"] * 2, 60), [*map(status, ids)]
                assert declare("application/xml", example("C-faulty.xml")).status_code == 422
                # small plain documents too were examined beside the loop, and the setting holds there
                [environment] = examiners(serve.home)
                assert b"ORIGIN_FAST=off" in environment
                assert sum(entry.startswith(b"ORIGIN_") for entry in environment) == 1

        await asyncio.to_thread(work)


def examiners(folder: Path) -> list[list[bytes]]:
    """The environments of the processes that examine documents for the gateway below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and b"gateway.examiner" in (process / "cmdline").read_bytes():
                found.append((process / "environ").read_bytes().split(b"\0"))
        except OSError:
            continue
    return found
