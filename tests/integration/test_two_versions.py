"""This version and a newer one side by side on one database, as while processes are exchanged one by one.

The newer one is this tree with a field more in the state of a certificate, and of a paper. Either is killed with -9 in
turn, so that certificates go to and fro between them: nothing is parked, nothing is lost, and the field stays.
"""

import asyncio
import shutil
from pathlib import Path
from random import Random

import pytest

from adapters.postgres import install
from tests.integration import audit
from tests.integration.erps import Ledger, Sender, enrol
from tests.integration.process import ROOT, Serve
from tests.integration.servers import Server
from tests.integration.test_split_roles import BACK, ENTERPRISES, FRONT, PER_ROUND, ROUNDS, judged, parcels

PRODUCT = ("gateway", "schemas", "adapters", "renderers", "simulators")
NEWER = (
    ("VERSION: Final = 1", "VERSION: Final = 2"),
    ("    other_papers: dict[str, Any]", '    carried: str = "by the newer one"\n    other_papers: dict[str, Any]'),
    ("    pages: int = 0\n", '    pages: int = 0\n    tray: str = "upper"\n'),
)
"""What the newer version has otherwise in `gateway/core/state.py`."""
STATES = """
SELECT count(*) AS all, count(*) FILTER (WHERE state ? 'carried') AS carried,
       count(*) FILTER (WHERE state ? 'carried' AND state #>> '{papers,copy,tray}' IS DISTINCT FROM 'upper') AS torn,
       (SELECT count(*) FROM origin.parked) AS parked
FROM origin.certificate
"""


def newer(folder: Path) -> Path:
    """The tree of the newer version."""
    for package in PRODUCT:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    state = folder / "gateway/core/state.py"
    text = state.read_text()
    for old, new in NEWER:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    state.write_text(text)
    return folder


@pytest.mark.long
async def test_two_versions_side_by_side_lose_and_park_nothing(tmp_path: Path) -> None:
    random = Random(29)
    ledger = Ledger(tmp_path / "ledger.jsonl")
    shared = {"data": tmp_path / "data", "spool": tmp_path / "spool"}
    with (
        Server(install.binaries(18), tmp_path / "server") as server,
        audit.PrintServer(tmp_path / "spool", tmp_path / "tray") as paper,
    ):
        url = {"ORIGIN_DATABASE_URL": server.url}
        other = {**url, "PYTHONPATH": str(newer(tmp_path / "newer"))}
        with (
            Serve(tmp_path / "ours", roles=FRONT, environment=url, **shared) as ours,
            Serve(tmp_path / "theirs", roles="intake,turn", environment=other, **shared) as theirs,
            Serve(tmp_path / "back", roles=BACK, environment=url, **shared) as back,
        ):
            await asyncio.to_thread(ours.start)
            await asyncio.gather(*(asyncio.to_thread(one.start) for one in (theirs, back)))
            enrolled = await enrol(ours, tmp_path / "keys", ENTERPRISES)
            senders = [Sender(lambda one=one: one.url, one.folders, ledger) for one in (ours, theirs)]  # type: ignore[misc]
            sent = parcels(enrolled, 29, ROUNDS * PER_ROUND)
            sending = []
            for number, victim in enumerate((ours, theirs, ours, theirs)):
                due = sent[number * PER_ROUND : (number + 1) * PER_ROUND]
                sending += [asyncio.create_task(senders[n % 2].deliver(parcel)) for n, parcel in enumerate(due)]
                await asyncio.sleep(0.8 + random.random())
                await asyncio.to_thread(victim.kill)
                await asyncio.sleep(2)
                await asyncio.to_thread(victim.start)
            async with asyncio.timeout(90):
                await asyncio.gather(*sending)
            assert await judged(server.url, ledger, sent, paper) == []
            async with audit.looking(server.url) as connection:
                found = dict(await connection.fetchrow(STATES) or {})
            assert (found["all"], found["parked"], found["torn"]) == (len(sent), 0, 0)
            assert found["carried"] > 0, "the field is lost, or the newer one never had a turn"
            for one in (ours, theirs, back):
                assert await asyncio.to_thread(one.stop) == 0
    ledger.close()
