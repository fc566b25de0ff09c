"""Ids for new things: UUIDs that sort by time, so that indexes grow at one end."""

import hashlib
import os
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from uuid import UUID

_FREE = (1 << 128) - 1 & ~(0xF << 76) & ~(0x3 << 62)
"""All bits but those of version and variant."""

ENTROPY: ContextVar[Callable[[int], bytes]] = ContextVar("ENTROPY", default=os.urandom)
"""Where the random bytes come from: the operating system, or the seed of a simulation in its own context."""


def new_id(now: datetime) -> UUID:
    """A UUID of version 7 (RFC 9562): milliseconds since 1970, then 74 random bits."""
    return new_ids(now, 1)[0]


def new_ids(now: datetime, count: int) -> list[UUID]:
    """So many of them: the operating system is asked once."""
    time, random = int(now.timestamp() * 1000) << 80, ENTROPY.get()(10 * count)
    return [_made(time | int.from_bytes(random[at : at + 10]), 7) for at in range(0, 10 * count, 10)]


def time_of(identity: UUID) -> datetime:
    """When a `new_id` was made, to the millisecond."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=identity.int >> 80)


def id_of(*parts: bytes) -> UUID:
    """The same bytes, the same UUID: of version 8 (RFC 9562), from their SHA-256."""
    return _made(int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:16]), 8)


def _made(value: int, version: int) -> UUID:
    return UUID(int=value & _FREE | version << 76 | 2 << 62)
