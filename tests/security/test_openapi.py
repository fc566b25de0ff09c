"""The OpenAPI document says what the gateway does: schemathesis calls every route as client, operator and nobody.

It takes a minute or two, so `.ci/run` has it and `make test` does not. What odd values do in each single place of a
route is `test_odd_values.py`, which `make test` has.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

import schemas
from adapters.codecs.customs_xml import CustomsXml
from gateway import keyfile
from tests.inbound.gateway import running

EXAMPLE = schemas.read_bytes("examples", "C-no-number.xml")
OWNER = CustomsXml().read(EXAMPLE).declaration.applicant_code
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
)
STREAM, DRAIN = "/v1/events", "/v1/admin/drain"
SEED = 20261122
"""The same calls each time, as far as schemathesis can."""


@dataclass
class World:
    url: str
    keys: dict[str, str]
    certificate: str


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    async with running(tmp_path / "data", database_url) as gateway:
        url = f"http://127.0.0.1:{gateway.port}"
        operator = keyfile.read(gateway.settings.operator_key_path)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            wish = {"name": "erp", "enterprise": OWNER}
            made = await client.post("/v1/admin/clients", json=wish, headers=bearer(operator))
            key = made.raise_for_status().json()["key"]
            head = {"content-type": "application/xml", **bearer(key)}
            declared = await client.post("/v1/declarations", content=EXAMPLE, headers=head)
        keys = {"operator": operator, "client": key, "nobody": "ok_nobody"}
        yield World(url, keys, declared.raise_for_status().json()["id"])


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("who", "examples", "left_out"),
    [("nobody", 3, []), ("client", 40, [STREAM]), ("operator", 40, [STREAM, DRAIN])],
    ids=["nobody", "client", "operator"],
)
async def test_every_answer_is_as_documented(
    world: World, who: str, examples: int, left_out: list[str], tmp_path: Path
) -> None:
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(
        "[parameters]\n[[operations]]\ninclude-path-regex = '^/v1/certificates'\n"
        f"parameters = {{ 'path.name' = '{world.certificate}' }}\n"
        "[[operations]]\ninclude-path-regex = '^/v1/admin/clients'\nparameters = { 'path.name' = 'erp' }\n"
    )
    command = ["--config-file", str(settings), "run", f"{world.url}/openapi.json", "--checks", ",".join(CHECKS)]
    command += [
        "--seed",
        str(SEED),
        "--max-examples",
        str(examples),
        "--phases",
        "examples,coverage,fuzzing",
        "--no-color",
    ]
    command += ["--header", f"Authorization: Bearer {world.keys[who]}", "--suppress-health-check", "all"]
    command += ["--continue-on-failure", "--generation-database", "none", "--warnings", "off"]
    command += ["--report-har-path", str(tmp_path / "calls.har")]
    for path in left_out:
        command += ["--exclude-path", path]
    with capture_logs() as logs:
        code, told = await schemathesis(command, tmp_path)
    assert code == 0, told
    assert [entry for entry in logs if entry["event"].endswith(".broke")] == []
    calls = orjson.loads((tmp_path / "calls.har").read_bytes())["log"]["entries"]
    answered = {(urlsplit(call["request"]["url"]).path, call["response"]["status"]) for call in calls}
    opened = {path for path, status in answered if status not in (400, 401)}
    assert not any(path.startswith("/v1/") for path in opened) if who == "nobody" else opened
    assert who == "operator" or not any(path.startswith("/v1/admin") for path in opened)


async def schemathesis(command: list[str], folder: Path) -> tuple[int | None, str]:
    """Its exit code and what it said. It must not meet a proxy, nor a settings file of another folder."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *command,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        told, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return process.returncode, told.decode("utf-8", "replace")
