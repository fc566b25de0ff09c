"""`origin demo`: the whole way, its summary, a repeat, and a repeat after a kill -9."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from gateway.app import Gateway
from renderers.verify import verify
from simulators.demo import CAST, main

PLAYED = {"status", "number", "id", "type", "faults", "enterprise", "files"}
RUN = "import sys; from gateway.app import Gateway; from simulators.demo import main; sys.exit(main(Gateway))"
ROOT = Path(__file__).parents[2]


def summary(folder: Path) -> list[dict]:
    """What the demo wrote."""
    return json.loads((folder / "build" / "demo" / "summary.json").read_text(encoding="utf-8"))


def assert_whole(folder: Path) -> None:
    """One entry per example, printed ones with two files each that verify against the demo's authority."""
    authority = (folder / "build" / "demo" / "keys" / "authority.pem").read_bytes()
    entries = summary(folder)
    assert len(entries) == len(CAST)
    assert all(set(entry) == PLAYED for entry in entries)
    faulty = [entry for entry in entries if entry["faults"]]
    assert len(faulty) == 1
    assert faulty[0]["id"] is None
    assert faulty[0]["status"] == "refused"
    assert faulty[0]["files"] == []
    for entry in entries:
        if entry in faulty:
            continue
        assert entry["status"] == "confirmed"
        assert entry["number"].startswith(entry["type"])
        assert [file["kind"] for file in entry["files"]] == ["original", "copy"]
        for file in entry["files"]:
            report = verify(Path(file["pdf"]).read_bytes(), [authority])
            assert report.valid, report.text()
            assert entry["enterprise"] in report.signatures[0].signer
            assert Path(file["png"]).read_bytes().startswith(b"\x89PNG")
        original, copy = (Path(file["pdf"]) for file in entry["files"])
        assert original.parent.name == "spool"
        assert original.read_bytes() != copy.read_bytes()


def play(folder: Path) -> str:
    """Run the demo here; returns what it said."""
    said = io.StringIO()
    code = main(Gateway, folder, Console(file=said, width=120))
    assert code == 0, said.getvalue()
    return said.getvalue()


@pytest.mark.timeout(180)
def test_the_whole_way_and_again(tmp_path: Path) -> None:
    said = play(tmp_path)
    assert_whole(tmp_path)
    assert "XSD-MISSING" in said
    assert "RETURNED FOR CORRECTION" in said
    first = {entry["number"] for entry in summary(tmp_path)} - {None}
    assert all(number in said for number in first)
    play(tmp_path)
    assert_whole(tmp_path)
    second = {entry["number"] for entry in summary(tmp_path)} - {None}
    assert not first & second


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_killed_demo_does_no_harm_to_the_next_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for seconds in (2.0, 6.0):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    play(tmp_path)
    assert_whole(tmp_path)
    spool = tmp_path / "build" / "demo" / "spool"
    assert len({file.read_bytes() for file in spool.glob("*.pdf")}) == len(list(spool.glob("*.pdf")))


@pytest.mark.timeout(60)
def test_a_gateway_that_breaks_fails_the_demo_with_a_sentence(tmp_path: Path) -> None:
    class Broken:
        """Starts and stops by itself."""

        port = 1

        def __init__(self, settings: object) -> None:
            """Any settings."""

        async def __aenter__(self) -> "Broken":
            return self

        async def __aexit__(self, *_: object) -> None:
            """Nothing."""

        async def run(self) -> None:
            """Breaks."""
            raise RuntimeError("no")

        def stop(self) -> None:
            """Nothing."""

    said = io.StringIO()
    assert main(Broken, tmp_path, Console(file=said, width=200)) == 1
    assert "the gateway stopped in the middle of it: RuntimeError" in said.getvalue()
    assert not (tmp_path / "build" / "demo" / "summary.json").exists()
