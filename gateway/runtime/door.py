"""The one door: every way in calls `Door.submit`. Bytes in, an answer out; what is accepted is durable.

Examining a document is CPU work and touches nothing (`runtime.examining`); what may cost much of it is done beside the
event loop. Those that arrive together are then committed together, clients in turn: those that are plainly new in one
step (`runtime.opening`), all others in one transaction that reads what is on file, judges (`runtime.judgement`), draws
numbers last and appends to the log. Of one client nothing overtakes what stands before it. Whatever breaks us, the
answer says so, and the document is kept.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from gateway.core.faults import Refused
from gateway.ports import Clock, MessageCodec, Unavailable
from gateway.runtime.allowance import Allowance
from gateway.runtime.answers import Answer
from gateway.runtime.examining import Examiner
from gateway.runtime.fair import FairQueue
from gateway.runtime.judgement import Judgement
from gateway.runtime.opening import common, opened
from gateway.runtime.submission import Client as Client
from gateway.runtime.submission import Examined, Rejected
from gateway.runtime.submission import Submission as Submission
from gateway.storage import Collision, Store

MAX_BATCH = 200
TRIES = 5


class Beside(Protocol):
    """Examines a document where it holds up nobody."""

    async def examine(self, submission: Submission) -> Examined:
        """Raises Refused with every fault; anything else is our bug."""
        ...


@dataclass(slots=True, eq=False)
class _Waiting:
    submission: Submission
    examined: Examined | None = None
    """None: it is being examined beside."""
    answer: asyncio.Future[Answer] = field(default_factory=asyncio.Future)

    @property
    def is_ready(self) -> bool:
        """It can be committed, or has its answer."""
        return self.examined is not None or self.answer.done()


Write: TypeAlias = Callable[[list[Examined]], Awaitable[list[Answer]]]
Failed: TypeAlias = Callable[[str, Exception], None]
Keep: TypeAlias = Callable[[Submission, Exception], Awaitable[UUID]]
"""Keeps a document that broke us, with its bytes; the id it is kept under. Raises Unavailable."""


class Door:
    """Has documents examined and commits them in batches. Start `run` as a task; `submit` from anywhere in the loop."""

    def __init__(
        self,
        store: Store,
        examiner: Examiner,
        codec: MessageCodec,
        clock: Clock,
        keep: Keep,
        *,
        beside: Beside | None = None,
        failed: Failed = lambda channel, error: None,
    ) -> None:
        """`beside` None: the loop examines everything. `failed` is told of each document that gets no verdict: its
        channel, and why."""
        self._store = store
        self._examiner = examiner
        self._codec = codec
        self._clock = clock
        self._keep = keep
        self._beside = beside
        self._failed = failed
        self._allowance = Allowance()
        self._waiting = FairQueue[_Waiting]()
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._closed = False

    async def submit(self, submission: Submission) -> Answer:
        """The answer to one document. Raises Unavailable when the database is away: nothing was accepted then."""
        entered = self.enter(submission)
        return entered if isinstance(entered, Answer) else await entered

    def enter(self, submission: Submission) -> "Answer | asyncio.Future[Answer]":
        """The same for one who has many: a refusal at once, or the answer to come. Raises Unavailable."""
        waiting = _Waiting(submission)
        try:
            waiting.examined = self._at_once(submission)
        except Refused as refusal:
            return _refused(submission, refusal)
        except Exception as error:
            self._start(self._broke(waiting, error))
            return waiting.answer
        if self._closed:
            trouble = Unavailable("the door is closed")
            self._failed(submission.channel, trouble)
            raise trouble
        self._waiting.add(submission.client.id, waiting)
        if waiting.examined is None and self._beside is not None:
            task = self._start(self._examine(waiting, self._beside))
            waiting.answer.add_done_callback(lambda _: task.cancel())  # who hung up wants nothing examined
        else:
            self._arrived.set()
        return waiting.answer

    def _at_once(self, submission: Submission) -> Examined | None:
        """What the loop itself can say; None: it is examined beside. Raises Refused."""
        if self._beside is None:
            return self._examiner.examine(submission)
        client, now = submission.client.id, time.monotonic()
        if not self._allowance.left(client, now):
            return None
        return self._allowance.measured(client, now, self._examiner.at_once, submission)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _examine(self, waiting: _Waiting, beside: Beside) -> None:
        try:
            waiting.examined = await beside.examine(waiting.submission)
        except Refused as refusal:
            _give(waiting, _refused(waiting.submission, refusal))
        except Exception as error:
            await self._broke(waiting, error)
        finally:  # who hung up stands in nobody's way
            self._arrived.set()

    async def _broke(self, waiting: _Waiting, error: Exception) -> None:
        """Our bug: the document is kept for the operator, and its sender told so."""
        if isinstance(error, Unavailable):
            self._fail([waiting], error)
            return
        self._failed(waiting.submission.channel, error)
        try:
            kept = await self._keep(waiting.submission, error)
        except asyncio.CancelledError:
            self._fail([waiting], Unavailable("the door is closing"))
            raise
        except Exception as trouble:
            if not waiting.answer.done():
                waiting.answer.set_exception(trouble)
        else:
            _give(waiting, Answer.internal(kept, waiting.submission.reference))

    async def run(self) -> None:
        """Commit what is waiting, batch after batch, until cancelled; then nothing waits any more."""
        self._closed = False
        batch: list[_Waiting] = []
        try:
            while True:
                batch = self._waiting.take(MAX_BATCH, lambda waiting: waiting.is_ready)
                if batch:
                    await self._answer([waiting for waiting in batch if not waiting.answer.done()])
                else:
                    self._arrived.clear()
                    await self._arrived.wait()
        finally:
            self._closed = True
            for task in self._tasks:
                task.cancel()
            self._fail([*batch, *self._waiting.clear()], Unavailable("the door is closing"))

    async def _answer(self, batch: list[_Waiting]) -> None:
        """Those that are plainly new in one step; then the others, and who of the first turned out to be special."""
        plain = common(_examined(batch))
        await self._commit([waiting for waiting, new in zip(batch, plain, strict=True) if new], self._opened)
        await self._commit([waiting for waiting in batch if not waiting.answer.done()], self._judged)

    async def _commit(self, batch: list[_Waiting], write: Write) -> None:
        """Write and answer; where a batch breaks for a reason of ours, the halves find the one that breaks it."""
        if not batch:
            return
        try:
            answers = await write(_examined(batch))
        except Unavailable as trouble:
            # Who came later is not judged first: a correction would overtake what it corrects.
            self._fail([*batch, *self._waiting.clear()], trouble)
        except Exception as error:
            if len(batch) == 1:
                await self._broke(batch[0], error)
                return
            middle = len(batch) // 2
            await self._commit(batch[:middle], write)
            await self._commit(batch[middle:], write)
        else:
            for waiting, answer in zip(batch, answers, strict=False):
                _give(waiting, answer)

    def _fail(self, batch: list[_Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
                self._failed(waiting.submission.channel, error)

    async def _opened(self, batch: list[Examined]) -> list[Answer]:
        """The short way; no answers when it is not for this batch, or its outcome is unknown."""
        try:
            return await opened(self._store, self._codec, self._clock, batch) or []
        except Collision:
            return []

    async def _judged(self, batch: list[Examined]) -> list[Answer]:
        """The careful way, in one transaction that looks at everything on file. Run again when somebody else wrote the
        same key first, or the outcome of the commit is unknown."""
        for attempt in range(TRIES):
            try:
                async with self._store.door() as transaction:
                    return await Judgement(self._codec, self._clock, transaction).judge(batch)
            except Collision:
                await asyncio.sleep(0.005 * attempt)
        raise Unavailable("the database kept colliding")


def _examined(batch: list[_Waiting]) -> list[Examined]:
    return [waiting.examined for waiting in batch if waiting.examined is not None]


def _refused(submission: Submission, refusal: Refused) -> Answer:
    reference = refusal.reference if isinstance(refusal, Rejected) else submission.reference
    return Answer.refused(refusal.faults, reference)


def _give(waiting: _Waiting, answer: Answer) -> None:
    if not waiting.answer.done():
        waiting.answer.set_result(answer)
