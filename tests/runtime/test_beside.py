"""What is examined beside the loop: the same verdicts, in order, by a process that may end."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from gateway.core.admission import Verdict
from gateway.core.faults import Refused
from gateway.examiner import Broke, ExaminerProcess, _frame, new_examiner
from gateway.ports import Unavailable
from gateway.runtime.examining import SMALL
from gateway.runtime.submission import Examined, Rejected, Submission
from tests.cli.command import EXAMPLES
from tests.runtime.house import ERP, EXAMINER, JSON, XML, House, document

TYPES = {".xml": XML, ".json": JSON}
FILES = sorted(file.name for file in EXAMPLES.iterdir() if file.suffix in TYPES)
OWN = "C26MA9XYD0C27777"
LARGE = document(remark="X" * 100).replace(b"{", b"{" + b" " * SMALL, 1)
"""Good and plain, but not small."""


class Watched(ExaminerProcess):
    """The real thing, whose process can be found; it counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.pids: list[int] = []
        self.ready: list[int] = []
        self.stands = False
        """A new process is stopped (SIGSTOP) before it is given anything."""
        self.asked: list[Submission] = []

    async def examine(self, submission: Submission) -> Examined:
        """See `ExaminerProcess`."""
        self.asked.append(submission)
        return await super().examine(submission)

    async def _started(self) -> asyncio.subprocess.Process:
        process = await super()._started()
        self.pids.append(process.pid)
        return process

    async def _serve(self, process: asyncio.subprocess.Process) -> None:
        self.ready.append(process.pid)
        if self.stands:
            os.kill(process.pid, signal.SIGSTOP)
        await super()._serve(process)


@pytest.fixture
async def beside() -> AsyncIterator[Watched]:
    found = Watched()
    task = asyncio.create_task(found.run())
    yield found
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for pid in found.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def submission(body: bytes, media_type: str = JSON) -> Submission:
    return Submission(ERP, media_type, body, "http", "a key", "SO-1")


@pytest.mark.parametrize("name", FILES)
async def test_the_verdict_is_the_same_beside(beside: Watched, name: str) -> None:
    file = EXAMPLES / name
    asked = submission(file.read_bytes(), TYPES[file.suffix])
    try:
        expected: Examined | Refused = new_examiner().examine(asked)
    except Refused as refusal:
        expected = refusal
    if isinstance(expected, Examined):
        assert await beside.examine(asked) == expected
        return
    with pytest.raises(type(expected)) as raised:
        await beside.examine(asked)
    assert raised.value.faults == expected.faults
    assert getattr(raised.value, "reference", None) == getattr(expected, "reference", None)


async def test_only_small_plain_documents_keep_the_loop(beside: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    by_the_loop: list[bytes] = []
    at_once = EXAMINER.at_once

    def watched(asked: Submission) -> Examined | None:
        by_the_loop.append(asked.body)
        return at_once(asked)

    def never(asked: Submission) -> Examined:
        raise AssertionError("the loop examines nothing the long way")

    monkeypatch.setattr(EXAMINER, "at_once", watched)
    monkeypatch.setattr(EXAMINER, "examine", never)
    door = house.door_of(EXAMINER, beside=beside)
    async with house.open(door):
        odd = document(marks="MARKS").replace(b"MARKS", b"A\\r\\nB")
        wrong = document(marks="MARKS").replace(b"MARKS", b"A\\u0007B")
        answers = [(await house.submit(body, door=door)).verdict for body in (document(), LARGE, odd, wrong)]
    assert answers == [Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.ACCEPTED, Verdict.REFUSED]
    assert [asked.body for asked in beside.asked] == [LARGE, odd, wrong]


async def test_nothing_of_a_client_overtakes_what_stands_before_it(beside: Watched) -> None:
    """The large draft is examined beside, the small one after it at once: it is judged after it all the same."""
    house = House()
    door = house.door_of(EXAMINER, beside=beside)
    draft = document(apply_type="0", number=OWN, marks="FIRST").replace(b"{", b"{" + b" " * SMALL, 1)
    other = document(apply_type="0", number=OWN, marks="SECOND")
    async with house.open(door):
        entered = [door.enter(submission(body)._replace(key=None)) for body in (draft, other)]
        first, second = [await one for one in entered if isinstance(one, asyncio.Future)]
    assert [first.verdict, second.verdict] == [Verdict.ACCEPTED, Verdict.CONFLICT]


async def test_another_client_does_not_wait_for_a_flood(beside: Watched) -> None:
    other = ERP.__class__("other", ERP.enterprise)
    flood = [asyncio.create_task(beside.examine(submission(LARGE))) for _ in range(30)]
    await asyncio.sleep(0)
    assert await beside.examine(submission(LARGE)._replace(client=other))
    assert sum(task.done() for task in flood) <= 2
    for task in flood:
        task.cancel()
    await asyncio.gather(*flood, return_exceptions=True)


async def test_who_hung_up_wants_nothing_examined(beside: Watched) -> None:
    house = House()
    door = house.door_of(EXAMINER, beside=beside)
    async with house.open(door):
        gone = [asyncio.create_task(house.submit(LARGE + b" " * n, door=door)) for n in range(50)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        answer = await house.submit(document(invoice_no="ANOTHER"), door=door)
    assert answer.verdict is Verdict.ACCEPTED
    assert all(asked.answer.done() for asked in beside._waiting)


async def test_a_process_that_ends_is_replaced_and_its_document_examined(beside: Watched) -> None:
    await beside.examine(submission(LARGE))
    os.kill(beside.pids[-1], signal.SIGSTOP)
    asked = asyncio.create_task(beside.examine(submission(LARGE)))
    await asyncio.sleep(0.05)
    os.kill(beside.pids[-1], signal.SIGKILL)
    assert (await asked).certificate_type == "C"
    assert len(beside.pids) == 2


async def test_a_document_that_ends_two_processes_is_our_bug(beside: Watched) -> None:
    house = House()
    door = house.door_of(EXAMINER, beside=beside)
    beside.stands = True
    async with house.open(door):
        asked = asyncio.create_task(house.submit(LARGE, door=door))
        for ended in (1, 2):
            while len(beside.ready) < ended:  # noqa: ASYNC110 - another process's coming has no event
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            os.kill(beside.ready[-1], signal.SIGKILL)
        answer = await asked
    beside.stands = False
    assert answer.verdict is Verdict.INTERNAL
    assert [(kept.body, type(error)) for kept, error in house.kept] == [(LARGE, Broke)]
    assert await beside.examine(submission(LARGE)), "the next document has a new process"


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_one_that_ends_while_nobody_asks_is_replaced(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """The kernel's killer, or a service manager that ends the children first. No document is blamed."""

    async def killed_again_and_again() -> None:
        found = Watched()
        task = asyncio.create_task(found.run())
        for times in range(1, 4):
            assert (await found.examine(submission(LARGE))).certificate_type == "C"
            assert len(found.pids) == times
            os.kill(found.pids[-1], signal.SIGKILL)
            await asyncio.sleep(0.1)
        assert not task.done()
        task.cancel()
        await asyncio.wait({task})

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(killed_again_and_again())


async def test_while_none_can_live_documents_are_told_to_come_again(beside: Watched) -> None:
    """Killed before it read the first: no document's bug, so none is kept, and none is told not to come again."""
    house = House()
    door = house.door_of(EXAMINER, beside=beside)
    async with house.open(door):
        asked = [asyncio.create_task(house.submit(LARGE + b" " * n, door=door)) for n in range(3)]
        while not beside.pids:  # noqa: ASYNC110 - another process's coming has no event
            await asyncio.sleep(0.001)
        os.kill(beside.pids[-1], signal.SIGKILL)
        for one in asked:
            with pytest.raises(Unavailable):
                await one
        assert house.kept == []
        assert (await house.submit(LARGE, door=door)).verdict is Verdict.ACCEPTED


async def test_it_knows_no_setting_and_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords stand in settings; what reads strangers' documents has none."""
    monkeypatch.setenv("ORIGIN_DATABASE_URL", "postgresql://u:secret@127.0.0.1/x")
    monkeypatch.setenv("PGPASSWORD", "secret")
    found = Watched()
    process = await found._started()
    try:
        assert await _frame(process) == b""
        environment = await asyncio.to_thread(Path(f"/proc/{process.pid}/environ").read_bytes)
        assert b"ORIGIN_" not in environment
        assert b"secret" not in environment
        task = asyncio.create_task(found._serve(process))
        with pytest.raises(Rejected):
            await found.examine(submission(document(certificate_type="ZZ")))
        assert os.getpriority(os.PRIO_PROCESS, process.pid) > os.getpriority(os.PRIO_PROCESS, 0)
        task.cancel()
        assert process.stdin is not None
        process.stdin.close()  # as when the parent is killed
        assert await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
