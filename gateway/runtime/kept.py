"""Documents that broke the door: kept with the dead letters, whatever way they came, until our mistake is mended."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.ports import Clock, Record, Unreadable
from gateway.runtime.dead_letters import DeadLetters, letter
from gateway.runtime.observer import Observer
from gateway.runtime.submission import Client, Submission
from gateway.storage import DeadLetter

GROUP: Final = "intake"
SUBMITTED: Final = "origin.intake.submitted.v1"
"""What a client submits on the bus, each on a topic of its own: `<topic>.<client>`."""
CHANNEL: Final = "origin_channel"
"""How a document came that did not come by the bus."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Implements the door's `Keep`."""

    dead: DeadLetters
    clock: Clock
    observer: Observer

    async def __call__(self, submission: Submission, error: Exception) -> UUID:
        """Keep it and say it in the log; the same document of the same client is kept once. Raises Unavailable."""
        self.observer.broke(None, error)
        record = submission.record or _record(submission)
        buried = letter(record, broken_door(error), GROUP, self.clock.now())
        await self.dead.bury([buried])
        self.observer.buried(buried)
        return buried.id


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


def client_of(kept: DeadLetter) -> str | None:
    """Whose document it is, where it did not come by the bus and goes through the door again; else None."""
    by_the_door = CHANNEL in kept.headers and kept.topic.startswith(f"{SUBMITTED}.")
    return kept.topic.removeprefix(f"{SUBMITTED}.") if by_the_door else None


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
