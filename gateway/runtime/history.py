"""What happened, as it is stored and told: events numbered and chained by hash, and as CloudEvents."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from gateway.core.audit import event_hash
from gateway.core.decision import Event
from gateway.core.envelope import event_id, headers, timestamp
from gateway.core.life import Life, State
from gateway.ports import Message
from gateway.storage import Stored

STATUS = "origin.status.changed.v1"


def chained(
    life: str, subject: UUID, first: int, events: Sequence[Event], message_id: UUID, now: datetime, head: str
) -> Iterator[Stored]:
    """`events` of one message about a subject of a `life`, numbered from `first`, each with the hash of the one before
    it; `head`: the last so far.

    Times are kept in whole milliseconds: what is told is then exactly what is stored and hashed.
    """
    moment = now.replace(microsecond=now.microsecond // 1000 * 1000)
    at = timestamp(moment)
    for sequence, event in enumerate(events, first):
        identity, previous = event_id(subject, sequence), head
        head = event_hash(
            life, subject, sequence, identity, event.kind.value, dict(event.data), message_id, at, previous
        )
        yield Stored(subject, sequence, identity, event, message_id, moment, previous, head)


def status_message(life: Life[Any], stored: Stored, state: State) -> Message:
    """The CloudEvent that forwarders and ERPs read: the same event, however often sent, has the same id.

    Its body has all that the event's hash is made of, so that a reader can verify the chain alone.
    """
    subject = str(state.id)
    body = orjson.dumps(
        {
            "id": str(stored.id),
            life.kind: subject,
            **life.told(state),
            "sequence": stored.sequence,
            "kind": stored.event.kind.value,
            "status": state.status,
            "revision": state.revision,
            "at": timestamp(stored.at),
            "data": dict(stored.event.data),
            "message": str(stored.message_id),
            "previous": stored.previous,
            "hash": stored.hash,
        }
    )
    kind = f"{life.kind}.{stored.event.kind}"
    attributes = headers(kind, stored.id, subject, stored.at, "application/json")
    return Message(STATUS, subject, body, {**attributes, "ce_sequence": str(stored.sequence)})
