"""Ids for new things: UUIDs that sort by time, so that indexes grow at one end."""

import os
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from uuid import UUID

ENTROPY: ContextVar[Callable[[int], bytes]] = ContextVar("ENTROPY", default=os.urandom)
"""Where the random bytes come from: the operating system, or the seed of a simulation in its own context."""


def new_id(now: datetime) -> UUID:
    """A UUID of version 7 (RFC 9562): milliseconds since 1970, then 74 random bits."""
    milliseconds = int(now.timestamp() * 1000)
    value = (milliseconds << 80) | int.from_bytes(ENTROPY.get()(10))
    value = (value & ~(0xF << 76)) | (7 << 76)
    return UUID(int=(value & ~(0x3 << 62)) | (2 << 62))
