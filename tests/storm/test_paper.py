"""The printer's own ledger, and a disk that is full for a while, both ways."""

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.printers.spool import SpoolPrinter
from gateway.ports import PrintRefused
from ops.storm.disk import Disk
from ops.storm.paper import Printer, Spool

FILE = b"%PDF-1.7 " + b"x" * 100_000
WRITER = """
import sys
for line in sys.stdin:
    try:
        open(line.strip(), "wb").write(bytes(100_000))
        print("written", flush=True)
    except OSError as error:
        print("refused", flush=True)
"""


def test_every_file_that_comes_out_is_a_line_in_the_printers_ledger(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    printer = Printer(spool, tmp_path / "ledger.jsonl")
    printer.start()
    for job in ("one", "two", "one"):
        aside = spool / f".{job}.part"
        aside.write_bytes(FILE + job.encode())
        aside.rename(spool / f"{job}.pdf")
        while (spool / f"{job}.pdf").exists():
            pass
    printer.stop()
    hashes = {job: hashlib.sha256(FILE + job.encode()).hexdigest() for job in ("one", "two")}
    assert printer.printed() == [("one", hashes["one"]), ("two", hashes["two"]), ("one", hashes["one"])]


def test_without_a_mount_a_process_may_write_nothing_large_for_a_while(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.folder.mkdir()
    command = [sys.executable, "-c", WRITER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        said = []
        for step in (lambda pids: None, spool.fill, spool.empty):
            step([writer.pid])
            writer.stdin.write(f"{spool.folder / 'file'}\n")
            said.append(writer.stdout.readline().strip())
        writer.stdin.close()
    assert said == ["written", "refused", "written"]
    assert "RLIMIT_FSIZE" in spool.how


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_on_a_disk_of_its_own_the_spool_refuses_and_takes_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.open()
    try:
        if not spool.mounted:
            pytest.skip("no mount in this container")
        printer = SpoolPrinter(spool.folder)
        spool.fill([])
        with pytest.raises(PrintRefused):
            asyncio.run(printer.submit("job", FILE))
        assert not (spool.folder / "job.pdf").exists()
        spool.empty([])
        asyncio.run(printer.submit("job", FILE))
        assert (spool.folder / "job.pdf").read_bytes() == FILE
    finally:
        spool.close()
    assert not os.path.ismount(spool.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_large_disk_is_full_at_once_and_takes_again(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    disk = Disk(folder, 16 << 10, tmp_path / "image")
    disk.open()
    try:
        if not disk.how.startswith("ext4"):
            pytest.skip("no loop devices in this container")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (folder / "file").write_bytes(FILE)
        disk.empty()
        (folder / "file").write_bytes(FILE)
        assert (tmp_path / "image").stat().st_blocks * 512 < 1 << 30, "a sparse file stays one"
    finally:
        disk.close()
    assert not os.path.ismount(folder)
