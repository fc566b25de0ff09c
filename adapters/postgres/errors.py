"""Which of PostgreSQL's errors mean "not now": they become `Unavailable`, the others stay what they are."""

import asyncio
import contextlib
from collections.abc import Iterator

import asyncpg

from gateway.ports import Unavailable

PASSING_CLASSES = (
    "08",  # connection
    "40",  # serialization, deadlock, transaction rolled back by the server
    "53",  # out of disk, memory, connections
    "57",  # shutdown, crash, statement cancelled
    "58",  # the operating system failed
)
PASSING_STATES = (
    "25006",  # read-only: the primary became a standby
    "25P03",  # idle in transaction for too long
    "25P04",  # transaction too long
    "55P03",  # a lock was not given in time
    "55006",  # object in use
)


def is_passing(error: BaseException) -> bool:
    """Will the same call work later, with nothing changed on our side?"""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state[:2] in PASSING_CLASSES or state in PASSING_STATES
    if isinstance(error, asyncpg.DataError):
        return False  # an InterfaceError too, but it says "no such value": the same call never works
    # asyncpg reports a connection that died under a call as InterfaceError or as its internal error.
    return isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError)


@contextlib.contextmanager
def unavailable(what: str) -> Iterator[None]:
    """Turns errors that pass into `Unavailable`; the message names `what` and the SQLSTATE, no values.

    A task that is told to end while its connection breaks gets the connection's error from asyncpg, whose ROLLBACK
    failed, instead of its end. It would take that for a neighbour that is away, and go on for ever.
    """
    try:
        yield
    except Exception as error:
        if _is_to_end():
            raise asyncio.CancelledError from error
        if is_passing(error):
            raise Unavailable(f"{what}: {getattr(error, 'sqlstate', None) or type(error).__name__}") from error
        raise


def _is_to_end() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0
