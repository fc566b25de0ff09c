"""Documents that may cost much are examined in a process of their own, so that they hold up nobody.

A document costs at most what is linear in its bytes, but a large or faulty one may take a second, and Python's lock
would keep the event loop waiting. The process runs at a low priority, reads one document at a time, clients in turn,
holds no secret and no connection, and ends when its parent does. Should a document end it, that is our bug: the answer
says so, and the next document gets a new process. What ends it between two documents blames none; while none can be
started, what waits is answered as when the database is away.
"""

import asyncio
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import orjson
import structlog

from gateway import logs
from gateway.core.faults import Fault, Refused
from gateway.core.quotas import Limits
from gateway.ports import Unavailable
from gateway.runtime.examining import MAX_BYTES, Examiner
from gateway.runtime.fair import FairQueue
from gateway.runtime.submission import Client, Examined, Rejected, Submission

NICE: Final = 10
"""Added to its niceness: the processor is for the event loops first."""
MOST_MEMORY: Final = 4 << 30
"""Bytes of address space: no document needs a tenth of it."""
MOST_SECONDS: Final = 60
"""Of processor time for each MiB that a document may have, some forty times what the dearest takes: more is a loop
without an end."""
REST: Final = 1.0
"""Seconds before a new process when one could not be started."""
_LENGTH: Final = struct.Struct(">I")
_PASSED_ON: Final = ("LANG", "LC_", "LD_LIBRARY_PATH", "ORIGIN_FAST", "PATH", "PYTHON", "TZ")
"""What names of the environment begin with that the process gets: others may hold passwords, our other settings do."""

log = structlog.get_logger()


class Broke(Exception):
    """Examining raised what it should not, or ended its process. Names the kind, never the document."""


@dataclass(slots=True, eq=False)
class _Asked:
    submission: Submission
    is_second: bool = False
    """A process ended with it already."""
    answer: asyncio.Future[Examined] = field(default_factory=asyncio.Future)


class ExaminerProcess:
    """The parent's side: see `gateway.runtime.door.Beside`. Start `run` as a task."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        """`max_bytes` of one document."""
        self._max_bytes = max_bytes
        self._waiting = FairQueue[_Asked]()
        self._asked = asyncio.Event()

    async def examine(self, submission: Submission) -> Examined:
        """In its turn. Raises Refused with every fault; Broke."""
        asked = _Asked(submission)
        self._waiting.add(submission.client.id, asked)
        self._asked.set()
        return await asked.answer

    async def run(self) -> None:
        """Work until cancelled; a process is started when there is something to examine: most never see a document
        that may cost much, and half a second once is less than what it holds up."""
        while True:
            await self._asked.wait()
            process: asyncio.subprocess.Process | None = None
            try:
                process = await self._started()
                await _frame(process)
            except (OSError, asyncio.IncompleteReadError) as error:
                log.error("examiner.not_started", reason=type(error).__name__)
                for asked in self._waiting.clear():
                    _settle(asked, Unavailable("no process that examines can be started"))
                await asyncio.sleep(REST)
                continue
            else:
                await self._serve(process)
            finally:
                if process is not None:
                    with suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
            log.error("examiner.ended", code=process.returncode)

    async def _started(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        plain = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        command = (sys.executable, "-P", "-m", "gateway.examiner", str(self._max_bytes))
        return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=plain)

    async def _serve(self, process: asyncio.subprocess.Process) -> None:
        """Hand over one document after the other, until the process ends."""
        while process.returncode is None:
            if not self._waiting:
                self._asked.clear()
                await self._asked.wait()
                continue
            (asked,) = self._waiting.take(1)
            if asked.answer.done():
                continue  # who asked has gone
            try:
                outcome = _understood(asked.submission, await _exchange(process, asked.submission))
            except Exception:  # of the pipe, of either loop; or bytes that are no answer: it is of no more use
                self._ended(asked)
                return
            _settle(asked, outcome)

    def _ended(self, asked: _Asked) -> None:
        """The process may have ended for another reason: the document gets a second one, and no third."""
        if asked.is_second:
            _settle(asked, Broke("the process beside the door ended"))
        else:
            asked.is_second = True
            self._waiting.add(asked.submission.client.id, asked)
            self._asked.set()


async def _exchange(process: asyncio.subprocess.Process, submission: Submission) -> bytes:
    """One question, one answer. Raises IncompleteReadError, or what the pipe raises, when the process ends."""
    into = process.stdin
    if into is None:
        raise ConnectionError
    head = orjson.dumps({**submission._asdict(), "client": _client(submission.client), "body": None, "record": None})
    into.writelines((_LENGTH.pack(len(head)), head, _LENGTH.pack(len(submission.body)), submission.body))
    await into.drain()
    return await _frame(process)


async def _frame(process: asyncio.subprocess.Process) -> bytes:
    """What it says next; empty when it says that it is ready. Raises IncompleteReadError when it ends."""
    if process.stdout is None:
        raise ConnectionError
    (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
    return await process.stdout.readexactly(length)


def _client(client: Client) -> dict[str, Any]:
    """What is asked of a client when its documents are examined."""
    names = {"exporters": sorted(client.exporters), "proposed": sorted(client.proposed)}
    drafts = {"open_drafts": client.open_drafts, "limit": client.limits.open_drafts}
    return {"id": client.id, "enterprise": client.enterprise, **names, **drafts}


def _settle(asked: _Asked, outcome: Examined | Exception) -> None:
    if asked.answer.done():
        return
    if isinstance(outcome, Exception):
        asked.answer.set_exception(outcome)
    else:
        asked.answer.set_result(outcome)


def _understood(submission: Submission, told: bytes) -> Examined | Exception:
    """The answer. It is data only: whatever a document might do to the other process, here it is read as JSON."""
    content: dict[str, Any] = orjson.loads(told)
    if "broke" in content:
        return Broke(f"{content['broke']} beside the door")
    faults = [Fault(**fault) for fault in content.pop("faults")]
    if "refused" in content:
        return Rejected(faults, content["reference"]) if content["refused"] == "rejected" else Refused(faults)
    key, content_key = tuple(content.pop("key")), tuple(content.pop("content_key"))
    return Examined(submission=submission, warnings=tuple(faults), key=key, content_key=content_key, **content)


# ---------------------------------------------------------------- the process itself


def new_examiner(max_bytes: int = MAX_BYTES) -> Examiner:
    """The gateway's own: both dialects, the rules of all types, the room on paper, the fonts."""
    from adapters.codecs.dialects import dialects
    from gateway.runtime.catalog import ProfileChecks
    from renderers import fonts
    from renderers.printable import PrintableChecks

    return Examiner(dialects(), PrintableChecks(ProfileChecks()), fonts.missing, max_bytes)


def main() -> None:
    """Examine what the parent sends, until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent says when it ends
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logs.configure()
    max_bytes = int(sys.argv[1])
    examiner, seconds = new_examiner(max_bytes), MOST_SECONDS * max(1, max_bytes >> 20)
    into, out = sys.stdin.buffer, sys.stdout.buffer
    _write(out, b"")
    while head := _read(into):
        with _limited(seconds):
            told = answer(examiner, _submission(orjson.loads(head), _read(into)))
        _write(out, told)


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    """Ends the process when a document takes too much of the processor's time; another process's load doesn't count."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _read(into: BinaryIO) -> bytes:
    head = into.read(_LENGTH.size)
    return into.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""


def _write(out: BinaryIO, told: bytes) -> None:
    out.write(_LENGTH.pack(len(told)) + told)
    out.flush()


def _submission(head: dict[str, Any], body: bytes) -> Submission:
    told = head.pop("client")
    client = Client(
        told["id"],
        told["enterprise"],
        exporters=frozenset(told["exporters"]),
        proposed=frozenset(told["proposed"]),
        limits=Limits(open_drafts=told["limit"]),
        open_drafts=told["open_drafts"],
    )
    return Submission(**{**head, "client": client, "body": body})


def answer(examiner: Examiner, submission: Submission) -> bytes:
    """What is found, as JSON."""
    try:
        examined = examiner.examine(submission)
    except Rejected as refusal:
        return _refused("rejected", refusal, refusal.reference)
    except Refused as refusal:
        return _refused("refused", refusal, None)
    except Exception as error:
        log.error("examiner.broke", client=submission.client.id, exc_info=error)
        return orjson.dumps({"broke": type(error).__name__})
    content = examined._asdict()
    del content["submission"]
    del content["warnings"]
    return orjson.dumps({**content, "faults": _data(examined.warnings)})


def _refused(how: str, refusal: Refused, reference: str | None) -> bytes:
    return orjson.dumps({"refused": how, "reference": reference, "faults": _data(refusal.faults)})


def _data(faults: tuple[Fault, ...]) -> list[dict[str, Any]]:
    return [fault.model_dump() for fault in faults]


if __name__ == "__main__":
    main()
