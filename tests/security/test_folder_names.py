"""What stands in the root of the hot folders is no reason for anybody's file to wait."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from adapters.inbound.folder import HotFolders
from adapters.inbound.folder_files import Claimed, ClientFolder
from adapters.inbound.metrics import IntakeMetrics
from adapters.store.clients import Clients
from gateway.runtime.door import Client
from tests.inbound.folder_parts import Folder
from tests.inbound.parts import FakeDoor, quotas_of

ENTERPRISE = "91330299MA9XYD0C2A"


async def until_answered(hot: HotFolders, answered: Path) -> bool:
    """Work the folders for a while."""
    task = asyncio.create_task(hot.run())
    try:
        for _ in range(60):
            await asyncio.sleep(0.05)
            if await asyncio.to_thread(answered.exists):
                return True
            if task.done():
                task.result()
        return False
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_folder_with_a_name_that_no_client_has(database_pool: asyncpg.Pool, tmp_path: Path) -> None:
    """The database can't even be asked for such a name, which once looked like a database that is away."""
    clients = Clients(database_pool)
    await clients.add("erp", ENTERPRISE)
    for name in (b"\xff\xfe", b"a\nb", b"\xe4\xb8\xad", b"lost+found"):
        os.mkdir(os.fsencode(tmp_path) + b"/" + name)
    (tmp_path / "erp" / "in").mkdir(parents=True)
    (tmp_path / "erp" / "in" / "one.xml").write_text("<a/>")
    hot = HotFolders(
        tmp_path,
        FakeDoor(),
        clients.by_id,
        quotas_of(),
        IntakeMetrics(CollectorRegistry()),
        max_bytes=1000,
        settle=0.0,
        poll=0.02,
    )
    assert await until_answered(hot, tmp_path / "erp" / "accepted" / "one.xml")


@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device"), KeyError("our bug")])
async def test_one_clients_trouble_is_no_others(
    trouble: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, or a bug of ours that only his files meet."""
    asked: list[str] = []

    async def find(name: str) -> Client:
        asked.append(name)
        return Client(name, ENTERPRISE)

    claim = ClientFolder.claim
    full: Sequence[str] = ("bad.xml",)

    def no_room(self: ClientFolder, name: str) -> Claimed | None:
        if name in full:
            raise trouble
        return claim(self, name)

    monkeypatch.setattr(ClientFolder, "claim", no_room)
    for client, name in (("a", "bad.xml"), ("b", "good.xml")):
        (tmp_path / client / "in").mkdir(parents=True)
        (tmp_path / client / "in" / name).write_text("<a/>")
    hot = HotFolders(
        tmp_path,
        FakeDoor(),
        find,
        quotas_of(),
        IntakeMetrics(CollectorRegistry()),
        max_bytes=1000,
        settle=0.0,
        poll=0.02,
    )
    assert await until_answered(hot, tmp_path / "b" / "accepted" / "good.xml")
    assert asked.count("a") < asked.count("b") + 2, "a folder in trouble is left alone for a while"


def test_two_files_of_one_place_in_work_have_each_its_own_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only somebody else puts two there. Their answers are written at the same time."""
    at = Folder(tmp_path).at
    (at / "work" / "two").mkdir()
    for name in ("a.xml", "b.xml"):
        (at / "work" / "two" / name).write_text("<a/>")
    fsync = os.fsync
    root = os.open(tmp_path, os.O_RDONLY)
    folder = ClientFolder(root, at.name)

    def meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        folder.finish(Claimed("two", "b.xml"), "accepted", b"of b", ".result.json")

    monkeypatch.setattr(os, "fsync", meanwhile)
    try:
        folder.finish(Claimed("two", "a.xml"), "accepted", b"of a", ".result.json")
    finally:
        folder.close()
        os.close(root)
    answers = {path.name: path.read_bytes() for path in (at / "accepted").glob("*.result.json")}
    assert answers == {"a.xml.result.json": b"of a", "b.xml.result.json": b"of b"}


async def test_what_somebody_else_puts_into_work_is_left_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for ticket, name in (("zz", "foo.txt"), ("t" * 254, "a.xml"), ("yy", ".hidden.xml")):
        (folder.at / "work" / ticket).mkdir()
        (folder.at / "work" / ticket / name).write_text("<a/>")
    (folder.at / "work" / "a.xml").write_text("<a/>")
    folder.put("good.xml")
    with capture_logs() as logs:
        await folder.passes(4)
    assert folder.names("accepted") == ["good.xml", "good.xml.result.json"]
    told = [entry for entry in logs if entry["log_level"] in ("warning", "error")]
    assert [(entry["event"], entry["places"]) for entry in told] == [("folder.strange_files", 4)]
