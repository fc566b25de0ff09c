"""Records that nobody can read: kept with their bytes, and published to `<topic>-dlt` for other tools to see.

A parked message is our own mistake and holds its certificate; a dead letter is nobody's: it is handled by being kept,
and a person replays or discards it. Header names follow Spring Kafka's dead letters; values are text, as with all our
headers. What a stranger wrote in headers stays in the row: of it only the key and the body travel on.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from gateway.core.envelope import headers
from gateway.ports import Clock, Message, Record, Unreadable
from gateway.runtime.inputs import record_id
from gateway.runtime.observer import Observer
from gateway.storage import DeadLetter

SUFFIX = "-dlt"
TOPIC = "kafka_dlt-original-topic"
PARTITION = "kafka_dlt-original-partition"
OFFSET = "kafka_dlt-original-offset"
TIMESTAMP = "kafka_dlt-original-timestamp"
"""Milliseconds since 1970, as the sender's own ce_time says; left out where that says nothing."""
GROUP = "kafka_dlt-original-consumer-group"
CODE = "kafka_dlt-exception-fqcn"
SENTENCE = "kafka_dlt-exception-message"
ATTEMPTS = "origin_attempts"
"""How often the record was tried; a replayed record carries it too, so that its next death counts on."""

MOST_ATTEMPTS = 1000
VERSIONED = re.compile(r".*?\.v\d+(?=\.|$)")
KNOWN_TYPES = frozenset({"application/xml", "application/json"})


class DeadLetters(Protocol):
    """Where dead letters are kept."""

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Keep and publish in one transaction; a letter that is kept already is left alone. Raises Unavailable."""
        ...


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens the jobs of a worker; what nobody can read it buries, so that the next job is not held up."""

    group: str
    dead: DeadLetters
    clock: Clock
    observer: Observer

    async def open(self, record: Record, read: Callable[[bytes], T]) -> T | None:
        """The job; None: it is with the dead letters. Raises Unavailable."""
        try:
            return read(record.body)
        except Unreadable as trouble:
            poison = trouble
        except Exception as error:  # our bug must not stand in the way either
            self.observer.broke(None, error)
            poison = broken(error)
        buried = letter(record, poison, self.group, self.clock.now())
        await self.dead.bury([buried])
        self.observer.buried(buried)
        return None


def topic_of(topic: str) -> str:
    """Where the dead letters of `topic` go. All clients' topics of one kind share one, which clients don't read."""
    family = VERSIONED.match(topic)
    return (family.group() if family else topic) + SUFFIX


def letter(record: Record, trouble: Unreadable, group: str, now: datetime) -> DeadLetter:
    """The record that `group` could not read. The same record gives the same id."""
    kept = storable(record)
    return DeadLetter(
        id=record_id(record),
        topic=kept.topic,
        partition=kept.partition,
        offset=kept.offset,
        key=kept.key,
        headers=kept.headers,
        body=kept.body,
        code=trouble.code,
        detail=trouble.detail,
        group=group,
        attempts=_attempts(kept) + 1,
        at=now,
    )


def broken(error: Exception) -> Unreadable:
    """A reader of ours that broke: nobody can read the record until that is mended."""
    return Unreadable("READER-BROKE", f"{type(error).__name__} while reading: our mistake")


def message(letter: DeadLetter) -> Message:
    """What other tools see: the body untouched, and where, why and how often."""
    given = letter.headers.get("content-type", "")
    content_type = given if given in KNOWN_TYPES else "application/octet-stream"
    told = {
        TOPIC: letter.topic,
        PARTITION: str(letter.partition),
        OFFSET: str(letter.offset),
        GROUP: letter.group,
        CODE: letter.code,
        SENTENCE: letter.detail,
        ATTEMPTS: str(letter.attempts),
    }
    if (written := _written(letter.headers.get("ce_time", ""))) is not None:
        told[TIMESTAMP] = str(written)
    attributes = headers("dead-letter", letter.id, letter.topic, letter.at, content_type)
    return Message(topic_of(letter.topic), letter.key, letter.body, {**attributes, **told})


def again(letter: DeadLetter) -> Message:
    """The original record for another try, under its own key."""
    return Message(letter.topic, letter.key, letter.body, {**letter.headers, ATTEMPTS: str(letter.attempts)})


def storable(record: Record) -> Record:
    """The record without NUL in key and headers, which PostgreSQL keeps in no text. The body is bytes: untouched."""
    plain = {storable_text(name): storable_text(value) for name, value in record.headers.items()}
    return record._replace(key=storable_text(record.key), headers=plain)


def storable_text(text: str) -> str:
    """The text without NUL."""
    return text.replace("\0", "\ufffd")


def _attempts(record: Record) -> int:
    text = record.headers.get(ATTEMPTS, "")
    return min(int(text), MOST_ATTEMPTS) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _written(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(at.timestamp() * 1000) if at.tzinfo else None
