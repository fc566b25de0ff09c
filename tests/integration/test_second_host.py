"""A second machine joins a gateway's database: with the keys of the first it works, without them it says so."""

import asyncio
from pathlib import Path

import pytest

from adapters.postgres import install
from simulators.erp.enterprises import many
from tests.integration.erps import enrol
from tests.integration.process import Serve
from tests.integration.servers import Server

ENTERPRISES = tuple(many(1))


@pytest.mark.long
async def test_a_host_with_a_master_key_of_its_own_does_not_start(tmp_path: Path) -> None:
    with Server(install.binaries(), tmp_path / "server") as server:
        environment = {"ORIGIN_DATABASE_URL": server.url}
        with Serve(tmp_path / "one", roles="intake", environment=environment) as one:
            await asyncio.to_thread(one.start)
            await enrol(one, tmp_path / "keys", ENTERPRISES)
            with Serve(tmp_path / "two", roles="turn,render,print", environment=environment) as two:
                two.spawn()
                assert await asyncio.to_thread(two.wait, 30) == 3
                assert "ORIGIN_MASTER_KEY_FILE" in two.said()
            key = {"ORIGIN_MASTER_KEY_FILE": str(one.data / "master.key")}
            with Serve(tmp_path / "three", roles="turn,render,print", environment={**environment, **key}) as three:
                await asyncio.to_thread(three.start)
                assert await asyncio.to_thread(three.stop) == 0
            assert await asyncio.to_thread(one.stop) == 0
