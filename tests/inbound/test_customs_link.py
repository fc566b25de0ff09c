"""The link to customs by the import client's folders: whole files, once, whatever breaks in between."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from prometheus_client import CollectorRegistry

from adapters.bus.memory import MemoryBus, MemoryLog
from adapters.codecs.gateway_xml import GatewayCodec
from adapters.codecs.receipts import message_id, write_fileret, write_receipt
from adapters.inbound import customs_boxes, customs_link
from adapters.inbound.customs_link import INBOUND, CustomsIn, CustomsOut
from adapters.inbound.metrics import LinkMetrics
from gateway import health
from gateway.core.envelope import headers
from gateway.ports import Message, Record, Unavailable
from gateway.runtime.dead_letters import Opener
from gateway.runtime.outgoing import OUTBOUND
from gateway.settings import Role, Settings
from gateway.storage import DeadLetter
from tests.runtime.house import XML, Clock, Told, document

NUMBER = "C26MA9XYD0C20001"
AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
ID = UUID("019ab3c0-7d1e-7c55-8d3a-5d5a3f1c2b11")


class Buried:
    """Keeps dead letters in memory."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters


@dataclass
class Desk:
    """A link on a bus in memory, and the client's folder."""

    folder: Path
    log: MemoryLog
    registry: CollectorRegistry
    told: Told
    buried: Buried
    out: CustomsOut
    into: CustomsIn

    def box(self, name: str) -> list[str]:
        if not (self.folder / name).exists():
            return []
        return sorted(path.name for path in (self.folder / name).iterdir() if not path.name.startswith("."))

    def counted(self, result: str) -> float:
        return self.registry.get_sample_value("origin_customs_files_total", {"result": result}) or 0.0

    def drop(self, name: str, body: bytes) -> None:
        """As the client does: .tmp first, then renamed."""
        aside = self.folder / "InBox" / f"{name}.tmp"
        aside.write_bytes(body)
        aside.rename(self.folder / "InBox" / name)

    async def watch(self, **boxes: int) -> None:
        """Runs the reader until so many files are in each of `boxes`."""
        self.into._ending.clear()
        task = asyncio.create_task(self.into.run())
        try:
            async with asyncio.timeout(10):
                while any(len(self.box(box)) < count for box, count in boxes.items()) and not task.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            self.into.stop()
            await asyncio.wait_for(task, 5)

    def published(self) -> list[Record]:
        return [record for place, line in self.log.records.items() if place[0] == INBOUND for record in line]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    folder = tmp_path / "CooImp"
    for box in ("OutBox", "SentBox", "FailBox", "InBox"):
        (folder / box).mkdir(parents=True)
    log, registry, told, buried, clock = MemoryLog(), CollectorRegistry(), Told(), Buried(), Clock()
    counted = LinkMetrics(registry)
    opener = Opener(customs_link.GROUP, buried, clock, told)
    async with MemoryBus(log) as bus:
        out = CustomsOut(folder, bus, opener, clock, told, counted)
        into = CustomsIn(folder, bus, GatewayCodec(), clock, told, counted, settle=0.05, poll=0.02, half_written=0.1)
        yield Desk(folder, log, registry, told, buried, out, into)


def question(at: datetime = AT, body: bytes | None = None) -> Record:
    """A message for customs, as the turn sends it."""
    content = document(XML, number=NUMBER) if body is None else body
    return Record(OUTBOUND, 0, 0, str(ID), content, headers("customs.outbound", ID, str(ID), at, "application/xml"))


# ------------------------------------------------------------ out


async def test_a_message_becomes_a_whole_file_named_by_certificate_and_message(desk: Desk) -> None:
    await desk.out.handle([question()])
    assert desk.box("OutBox") == [f"{NUMBER}_{ID}.xml"]
    assert desk.box("OutWork") == []
    written = desk.folder / "OutBox" / f"{NUMBER}_{ID}.xml"
    assert written.read_bytes() == question().body
    assert written.stat().st_mtime == AT.timestamp()


@pytest.mark.parametrize("box", ["OutBox", "SentBox", "FailBox"])
async def test_repeated_after_a_crash_customs_gets_it_once(desk: Desk, box: str) -> None:
    """Nothing was acknowledged; meanwhile the client may have taken the file."""
    await desk.out.handle([question()])
    name = f"{NUMBER}_{ID}.xml"
    shutil.move(desk.folder / "OutBox" / name, desk.folder / box / name)
    await desk.out.handle([question()])
    assert [name for box in ("OutBox", "SentBox", "FailBox") for name in desk.box(box)] == [name]
    assert (desk.counted("sent"), desk.counted("known")) == (1, 1)


async def test_asked_again_by_rule_it_goes_out_again(desk: Desk) -> None:
    """The same bytes, number and id, written later: the first was taken, and nobody answered."""
    name = f"{NUMBER}_{ID}.xml"
    await desk.out.handle([question()])
    (desk.folder / "OutBox" / name).rename(desk.folder / "SentBox" / name)
    await desk.out.handle([question(AT + timedelta(hours=4))])
    assert desk.box("OutBox") == desk.box("SentBox") == [name]
    assert desk.counted("sent") == 2


async def test_two_processes_that_write_the_same_leave_one_file(desk: Desk) -> None:
    await asyncio.gather(*(desk.out.handle([question()]) for _ in range(8)))
    assert desk.box("OutBox") == [f"{NUMBER}_{ID}.xml"]
    assert desk.box("OutWork") == []
    assert (desk.folder / "OutBox" / f"{NUMBER}_{ID}.xml").read_bytes() == question().body


async def test_a_share_that_is_not_mounted_is_waited_for(desk: Desk) -> None:
    """Making the folder ourselves would hide that nobody looks there."""
    (desk.folder / "OutBox").rmdir()
    with pytest.raises(Unavailable, match="OutBox is missing"):
        await desk.out.handle([question()])
    assert not (desk.folder / "OutBox").exists()


async def test_what_names_no_certificate_is_buried_and_the_next_goes_out(desk: Desk) -> None:
    bad = [question(body=b"<no"), question(body=b"<Certificate/>"), question(body=b"<C><CertNo>../../x</CertNo></C>")]
    await desk.out.handle([*bad, question()])
    assert desk.box("OutBox") == [f"{NUMBER}_{ID}.xml"]
    assert [letter.code for letter in desk.buried.letters][1:] == ["OUTBOUND-NUMBER", "OUTBOUND-NUMBER"]
    assert len(desk.buried.letters) == 3


async def test_a_full_disk_leaves_no_half_file(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        await desk.out.handle([question()])
    assert desk.box("OutBox") == desk.box("OutWork") == []


def test_what_a_dead_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "OutWork").mkdir()
    for name, age in (("old.xml.1.tmp", 7200), ("new.xml.2.tmp", 5), ("a directory", 7200)):
        path = tmp_path / "OutWork" / name
        path.mkdir() if "directory" in name else path.write_bytes(b"half")
        then = datetime.now(UTC).timestamp() - age
        os.utime(path, (then, then))
    customs_boxes.sweep(tmp_path)
    assert sorted(path.name for path in (tmp_path / "OutWork").iterdir()) == ["a directory", "new.xml.2.tmp"]


# ------------------------------------------------------------ in


async def test_a_receipt_is_published_under_its_number_and_put_away(desk: Desk) -> None:
    body = write_receipt(NUMBER, "1", note="taken")
    name = f"Successed_{NUMBER}_{ID}_20261122160000000.xml"
    desk.drop(name, body)
    await desk.watch(InDone=1)
    (record,) = desk.published()
    assert (record.key, record.body) == (NUMBER, body)
    assert record.headers["ce_id"] == str(message_id(body))
    assert record.headers["ce_source"] == "/customs-link"
    assert desk.box("InDone") == [name]
    assert desk.box("InBox") == desk.box("InWork") == []
    assert desk.counted("received") == 1


async def test_the_same_name_again_keeps_both_files(desk: Desk) -> None:
    bodies = [write_receipt(NUMBER, "1"), write_receipt(NUMBER, "2")]
    for number, body in enumerate(bodies, 1):
        desk.drop("Successed_same.xml", body)
        await desk.watch(InDone=number)
    assert desk.box("InDone") == ["Successed_same-2.xml", "Successed_same.xml"]
    assert [(desk.folder / "InDone" / name).read_bytes() for name in reversed(desk.box("InDone"))] == bodies


async def test_what_the_client_still_writes_is_left_alone(desk: Desk) -> None:
    half = desk.folder / "InBox" / "Successed_half.xml.tmp"
    half.write_bytes(b"<Receipt")
    desk.drop("Successed_whole.xml", write_receipt(NUMBER, "1"))
    await desk.watch(InDone=1)
    assert desk.box("InBox") == ["Successed_half.xml.tmp"]
    assert len(desk.published()) == 1


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("Failed_torn.xml", b"<Receipt><CertNo>C26", "XML-"),
        ("Successed_nobody.xml", write_receipt(NUMBER, "1").replace(NUMBER.encode(), b" "), "RECEIPT-NO-NUMBER"),
        ("note.txt", b"call me", "XML-"),
        ("other.xml", b"<Other/>", "INBOUND-ROOT"),
    ],
)
async def test_what_nobody_can_read_goes_aside_with_the_reason(desk: Desk, name: str, body: bytes, code: str) -> None:
    desk.drop(name, body)
    desk.drop("Successed_good.xml", write_fileret(NUMBER, "1"))
    await desk.watch(InAside=2, InDone=1)
    assert desk.box("InAside") == sorted([name, f"{name}.why.json"])
    assert (desk.folder / "InAside" / name).read_bytes() == body
    assert orjson.loads((desk.folder / "InAside" / f"{name}.why.json").read_bytes())["code"].startswith(code)
    assert desk.counted("aside") == 1
    assert [record.key for record in desk.published()] == [NUMBER]


async def test_several_receipts_in_one_file_are_published_as_it_came(desk: Desk) -> None:
    """The turn takes them apart: a file that comes again after a crash is the same message."""
    first, second = write_receipt(NUMBER, "1"), write_fileret("C26MA9XYD0C20002", "1")
    body = b"<Receipts>%b%b</Receipts>" % (first.split(b"?>", 1)[1], second.split(b"?>", 1)[1])
    desk.drop("Successed_both.xml", body)
    await desk.watch(InDone=1)
    (record,) = desk.published()
    assert (record.key, record.body, record.headers["ce_id"]) == (NUMBER, body, str(message_id(body)))


async def test_one_readable_receipt_among_others_is_enough_to_send_the_file_on(desk: Desk) -> None:
    desk.drop("a.xml", b"<R><Receipt><CertNo/></Receipt>%b</R>" % write_receipt(NUMBER, "1").split(b"?>", 1)[1])
    await desk.watch(InDone=1)
    (record,) = desk.published()
    assert record.key == NUMBER


async def test_what_nobody_can_read_about_a_certificate_is_sent_on_too_so_that_it_is_told(desk: Desk) -> None:
    body = b"<Receipt><CertNo>%b</CertNo><Channel>6" % NUMBER.encode()
    desk.drop("torn.xml", body)
    await desk.watch(InAside=2)
    (record,) = desk.published()
    assert (record.key, record.body) == (NUMBER, body)
    assert "origin dlt list" in (desk.folder / "InAside" / "torn.xml.why.json").read_text("utf-8")


@pytest.mark.parametrize("declared", ["utf-16", "GBK", "ISO-8859-1"])
async def test_a_receipt_that_is_wrong_about_its_encoding_is_read(desk: Desk, declared: str) -> None:
    body = write_receipt(NUMBER, "2", note="退回").replace(b'encoding="UTF-8"', b'encoding="%b"' % declared.encode())
    desk.drop("Successed_odd.xml", body)
    await desk.watch(InDone=1)
    assert [record.body for record in desk.published()] == [body]
    assert desk.box("InAside") == []


async def test_a_slow_writer_is_waited_for(desk: Desk) -> None:
    """Without .tmp, and with a pause that is longer than a file takes to settle."""
    desk.into._half_written = 30.0
    body = write_receipt(NUMBER, "1")
    place = desk.folder / "InBox" / "slow.xml"
    place.write_bytes(body[:60])
    task = asyncio.create_task(desk.watch(InDone=1))
    while "slow.xml" not in desk.into._endless or not place.exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # it was looked at, had no end, and is back
    with place.open("ab") as rest:
        rest.write(body[60:])
    await task
    assert [record.body for record in desk.published()] == [body]
    assert desk.box("InAside") == []


async def test_what_is_no_file_stays_and_is_told_and_leaks_nothing(desk: Desk) -> None:
    box = desk.folder / "InBox"
    (box / "a.xml").mkdir()
    (box / "b.xml").symlink_to("/etc/hostname")
    os.mkfifo(box / "c.xml")
    (desk.folder / "InWork" / "ticket" / "x.xml").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    desk.drop("good.xml", write_receipt(NUMBER, "1"))
    await desk.watch(InDone=1, InAside=2)
    assert len(os.listdir("/proc/self/fd")) == before
    assert desk.box("InBox") == ["a.xml", "b.xml", "c.xml"]
    assert desk.box("InAside") == ["x.xml", "x.xml.why.json"]
    (finding,) = await health._customs(Settings(roles=(Role.CUSTOMS_LINK,), customs_folder=desk.folder))
    assert (finding.ok, finding.detail.split(", ")[1]) == (False, "4 could not be read.")


async def test_a_reason_that_is_itself_a_file_of_customs_overwrites_nothing(desk: Desk) -> None:
    for name in ("a.xml", "a.xml.why.json"):
        desk.drop(name, f"<{name}".encode())
    await desk.watch(InAside=4)
    bodies = {name: (desk.folder / "InAside" / name).read_bytes() for name in desk.box("InAside")}
    assert {b"<a.xml", b"<a.xml.why.json"} <= set(bodies.values()), bodies


async def test_large_files_are_read_a_few_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred layouts of 4 MiB would be 400 MiB in memory."""
    monkeypatch.setattr(customs_link, "IN_HAND", 4000)
    body = write_receipt(NUMBER, "1", note="n" * 1500)
    for number in range(12):
        desk.drop(f"{number:02d}.xml", body.replace(b"nnn", b"%03d" % number, 1))
    most = 0
    put_away = desk.into._put_away

    def counting(folder: object, found: Sequence[object]) -> None:
        nonlocal most
        most = max(most, len(found))
        put_away(folder, found)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.into, "_put_away", counting)
    await desk.watch(InDone=12)
    assert most == 3
    assert len(desk.published()) == 12


async def test_over_the_limit_it_goes_aside_unread(desk: Desk) -> None:
    desk.drop("huge.xml", b"<Receipt>" + b" " * (4 << 20))
    await desk.watch(InAside=2)
    assert "INBOX-TOO-LARGE" in (desk.folder / "InAside" / "huge.xml.why.json").read_text("utf-8")


async def test_a_directory_in_the_place_of_a_message_is_said(desk: Desk) -> None:
    (desk.folder / "OutBox" / f"{NUMBER}_{ID}.xml").mkdir()
    with pytest.raises(Unavailable, match="a directory stands in OutBox"):
        await desk.out.handle([question()])
    (desk.folder / "OutBox" / f"{NUMBER}_{ID}.xml").rmdir()
    await desk.out.handle([question()])
    assert desk.box("OutBox") == [f"{NUMBER}_{ID}.xml"]


async def test_a_bus_that_is_away_loses_no_file(desk: Desk) -> None:
    body = write_receipt(NUMBER, "1")
    desk.drop("Successed_a.xml", body)
    desk.log.away = True
    await desk.watch(InWork=1)
    await asyncio.sleep(0.1)
    assert desk.box("InDone") == []
    desk.log.away = False
    await desk.watch(InDone=1)
    assert [record.body for record in desk.published()] == [body]


async def test_killed_between_publishing_and_putting_away_it_is_the_same_message(desk: Desk) -> None:
    """The next process finds the file in InWork and publishes it again: the id is the same, so readers drop it."""
    desk.drop("Successed_a.xml", write_receipt(NUMBER, "1"))
    folder = customs_boxes.open_inbox(desk.folder)
    try:
        folder.claim("Successed_a.xml")
    finally:
        folder.close()
    await desk.out._bus.publish([Message(INBOUND, NUMBER, write_receipt(NUMBER, "1"), {})])
    await desk.watch(InDone=1)
    first, second = desk.published()
    assert first.body == second.body
    assert second.headers["ce_id"] == str(message_id(first.body))


async def test_one_process_at_a_time_watches(desk: Desk) -> None:
    with customs_link._lock(desk.folder) as ours:
        assert ours
        desk.drop("Successed_a.xml", write_receipt(NUMBER, "1"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await desk.watch(InDone=1)
    assert desk.published() == []


async def test_the_doctor_counts_what_waits_and_what_lies_aside(desk: Desk) -> None:
    settings = Settings(roles=(Role.CUSTOMS_LINK,), customs_folder=desk.folder)
    await desk.out.handle([question()])
    (finding,) = await health._customs(settings)
    assert (finding.ok, finding.detail) == (True, "1 files wait for the import client, 0 could not be read.")
    desk.drop("torn.xml", b"<Receipt")
    await desk.watch(InAside=2)
    (finding,) = await health._customs(settings)
    assert (finding.ok, finding.detail) == (False, "1 files wait for the import client, 1 could not be read.")
    shutil.rmtree(desk.folder / "InBox")
    (finding,) = await health._customs(settings)
    assert not finding.ok
    assert "InBox is missing" in finding.detail
