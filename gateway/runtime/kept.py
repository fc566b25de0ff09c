"""Documents that broke the door: kept with the dead letters, whatever way they came, until our mistake is mended."""

from dataclasses import dataclass, replace
from typing import Final, Protocol
from uuid import UUID, uuid5

import orjson

from gateway.ports import Clock, Record, Unreadable
from gateway.runtime.dead_letters import letter
from gateway.runtime.observer import Observer
from gateway.runtime.submission import Client, Submission
from gateway.storage import DeadLetter

GROUP: Final = "intake"
SUBMITTED: Final = "origin.intake.submitted.v1"
"""What a client submits on the bus, each on a topic of its own: `<topic>.<client>`."""
CHANNEL: Final = "origin_channel"
"""How a document came that did not come by the bus."""


class Letters(Protocol):
    """Where they are kept."""

    async def keep(self, letter: DeadLetter) -> UUID:
        """Keep and publish it in one transaction, unless it waits there already; the id of the one that waits. Where
        somebody has decided about it, it is kept anew under another id. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Keeper:
    """Implements the door's `Keep`."""

    dead: Letters
    clock: Clock
    observer: Observer

    async def __call__(self, submission: Submission, error: Exception) -> UUID:
        """Keep it and say it in the log; the same document of the same client is kept once. Raises Unavailable."""
        self.observer.broke(None, error)
        record = submission.record or _record(submission)
        buried = letter(record, broken_door(error), GROUP, self.clock.now())
        if submission.record is None:  # it has no place that tells it from others of the same bytes
            said = orjson.dumps([submission.media_type, submission.key, submission.reference])
            buried = replace(buried, id=uuid5(buried.id, said.decode()))
        identity = await self.dead.keep(buried)
        self.observer.buried(replace(buried, id=identity))
        return identity


def broken_door(error: Exception) -> Unreadable:
    """Why it is kept."""
    return Unreadable("GATEWAY-BROKE", f"{type(error).__name__} at the door: our mistake")


def _record(submission: Submission) -> Record:
    """As the client would have written it on the bus."""
    told = {
        "content-type": submission.media_type,
        "idempotency-key": submission.key,
        "origin-reference": submission.reference,
        CHANNEL: submission.channel,
    }
    heads = {name: value for name, value in told.items() if value is not None}
    return Record(f"{SUBMITTED}.{submission.client.id}", 0, 0, submission.client.id, submission.body, heads)


def client_of(topic: str) -> str:
    """Whose topic it is. The broker's access list is what makes that true: nobody else may write there."""
    return topic.removeprefix(f"{SUBMITTED}.")


def is_submitted(kept: DeadLetter) -> bool:
    """Is it what a client submitted, by whatever way?"""
    return kept.topic.startswith(f"{SUBMITTED}.")


def by_the_door(kept: DeadLetter) -> bool:
    """Did it not come by the bus? Then it goes through the door again."""
    return CHANNEL in kept.headers and is_submitted(kept)


def submission(kept: DeadLetter, client: Client) -> Submission:
    """The document as it came."""
    heads = kept.headers
    return Submission(
        client,
        heads["content-type"],
        kept.body,
        heads[CHANNEL],
        heads.get("idempotency-key"),
        heads.get("origin-reference"),
    )
