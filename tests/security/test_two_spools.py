"""Two hosts on one database, each with a spool folder of its own: an original leaves one of them, once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from adapters.codecs.gateway_xml import GatewayCodec
from adapters.printers.spool import SpoolPrinter
from adapters.store.blobs import PostgresBlobs
from adapters.store.dead_letters import PostgresDeadLetters
from adapters.store.rooms import PrintClaims
from gateway.core.messages import Part, PrintJob
from gateway.ports import Record
from gateway.runtime.print_room import JOBS, PrintRoom
from tests.runtime.house import Clock, Told


class Killed(BaseException):
    """The process ends here."""


def worker(pool: asyncpg.Pool, spool: Path) -> PrintRoom:
    """What `gateway.app` wires."""
    printer, codec = SpoolPrinter(spool), GatewayCodec()
    claims, dead = PrintClaims(pool, _nobody), PostgresDeadLetters(pool, _nobody)
    return PrintRoom(printer.name, printer, claims, PostgresBlobs(pool), codec, codec, Clock(), Told(), dead)


def papers(spool: Path) -> list[Path]:
    """What came out."""
    return list(spool.glob("*.pdf"))


def _nobody(topics: object) -> None:
    """Nobody reads here."""


async def a_job(pool: asyncpg.Pool) -> Sequence[Record]:
    """One authorised print."""
    file = await PostgresBlobs(pool).put(b"%PDF original", kind="file", media_type="application/pdf")
    job = PrintJob(
        message_id=uuid4(), job=uuid4(), certificate_id=uuid4(), number="C26MA9XYD0C20001",
        exporter="91330299MA9XYD0C2A", part=Part.ORIGINAL, file_sha256=file, pages=1,
    )  # fmt: skip
    return [Record(JOBS, 0, 0, str(job.certificate_id), GatewayCodec().encode(job), {})]


async def test_what_one_host_claimed_the_other_does_not_print(
    database_pool: asyncpg.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = await a_job(database_pool)
    here, there = tmp_path / "here", tmp_path / "there"
    first = worker(database_pool, here)

    async def dies(self: object, *args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(PrintClaims, "end", dies)
        with pytest.raises(Killed):
            await first.handle(records)
    assert len(papers(here)) == 1
    await worker(database_pool, there).handle(records)
    assert papers(there) == []
    assert await database_pool.fetchval("SELECT state FROM origin.print_claim") == "in_doubt"


async def test_the_same_folder_is_asked_after_a_restart(
    database_pool: asyncpg.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = await a_job(database_pool)

    async def dies(self: object, *args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(SpoolPrinter, "submit", dies)
        with pytest.raises(Killed):
            await worker(database_pool, tmp_path).handle(records)
    await worker(database_pool, tmp_path).handle(records)
    (paper,) = papers(tmp_path)
    assert paper.stat().st_mode & 0o007 == 0, "an original is nobody else's to read"
    assert await database_pool.fetchval("SELECT state FROM origin.print_claim") == "printed"
