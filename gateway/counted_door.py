"""The door, with a count of those it gave no verdict: the error rate that whoever is on call looks at first."""

import asyncio
from functools import partial

from gateway.metrics import CHANNELS, Metrics
from gateway.ports import Unavailable
from gateway.runtime.answers import Answer
from gateway.runtime.door import Door, Submission

WHYS = ("unavailable", "broke")


class CountedDoor:
    """What the ways in call."""

    def __init__(self, door: Door, metrics: Metrics) -> None:
        self._door = door
        self._failed = {(c, w): metrics.door_failed.labels(c, w) for c in CHANNELS for w in WHYS}

    async def submit(self, submission: Submission) -> Answer:
        """See `Door.submit`."""
        entered = self.enter(submission)
        return entered if isinstance(entered, Answer) else await entered

    def enter(self, submission: Submission) -> Answer | asyncio.Future[Answer]:
        """See `Door.enter`."""
        try:
            entered = self._door.enter(submission)
        except Exception as error:
            self._count(submission.channel, error)
            raise
        if not isinstance(entered, Answer):
            entered.add_done_callback(partial(self._answered, submission.channel))
        return entered

    def _answered(self, channel: str, answer: asyncio.Future[Answer]) -> None:
        if not answer.cancelled() and (error := answer.exception()) is not None:
            self._count(channel, error)

    def _count(self, channel: str, error: BaseException) -> None:
        self._failed[channel, "unavailable" if isinstance(error, Unavailable) else "broke"].inc()
