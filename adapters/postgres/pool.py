"""Connections to PostgreSQL, and the refusal of servers that lose what they confirmed.

SQL names its schema (`origin.log`), so nothing depends on `search_path`. Behind pgbouncer (`pooled=True`) no
session setting is sent, because it refuses unknown ones; LISTEN and session locks use a direct connection.
"""

import contextlib
import ssl
from collections.abc import Iterator
from typing import Any, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from adapters.postgres.errors import unavailable
from gateway.ports import Unavailable

Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy
"""A connection of our own, or one lent by a pool."""

OLDEST = 15
SETTINGS = {
    "statement_timeout": "20s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "15s",
    "tcp_user_timeout": "10000",
}
MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")


class ServerRefused(Exception):
    """This PostgreSQL server can't be used. `code` is stable, the text says what to do."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def options(*, pooled: bool = False, application: str = "origin") -> dict[str, Any]:
    """Arguments for `asyncpg.connect` and `asyncpg.create_pool`; `pooled`: through pgbouncer."""
    settings = {"application_name": application} if pooled else {"application_name": application, **SETTINGS}
    # A named statement lives in one server session, which pgbouncer may change under us.
    cache = {"statement_cache_size": 0} if pooled else {}
    return {"server_settings": settings, "timeout": 10.0, "command_timeout": 25.0, **cache}


async def connect(dsn: str, *, application: str = "origin") -> asyncpg.Connection:
    """One direct connection. Raises Unavailable, ServerRefused."""
    with _connecting("ORIGIN_DATABASE_DIRECT_URL or ORIGIN_DATABASE_URL"):
        return await asyncpg.connect(dsn, **options(application=application))


async def create_pool(
    dsn: str, *, smallest: int = 1, largest: int = 10, pooled: bool = False, application: str = "origin"
) -> asyncpg.Pool:
    """A pool of `smallest` to `largest` connections. Raises Unavailable, ServerRefused.

    A connection given back is not cleaned by a query, which would cost every use a round trip: nothing of ours leaves
    settings, listeners or session locks on a pooled connection. An open transaction is still rolled back.
    """
    with _connecting("ORIGIN_DATABASE_URL"):
        return await asyncpg.create_pool(
            dsn, min_size=smallest, max_size=largest, reset=_as_it_is, **options(pooled=pooled, application=application)
        )


@contextlib.contextmanager
def _connecting(setting: str) -> Iterator[None]:
    """Tells a server that is away, which may be waited for, from an address that no waiting makes right. `setting` is
    where the address comes from; what stands in it is never repeated."""
    try:
        with unavailable("connect"):
            yield
    except (Unavailable, asyncpg.PostgresError, ValueError, OverflowError) as trouble:
        cause = trouble.__cause__ if isinstance(trouble, Unavailable) else trouble
        refusal = _refusal(cause, setting)
        if refusal is None:
            raise
        raise refusal from trouble


def _refusal(cause: BaseException | None, setting: str) -> ServerRefused | None:
    state = getattr(cause, "sqlstate", None) or ""
    said = str(cause) if isinstance(cause, asyncpg.ProtocolViolationError | ConnectionError) else ""
    if "startup parameter" in said:
        return ServerRefused(
            "database.pooler",
            "A pooler answers, such as pgbouncer: ORIGIN_DATABASE_DIRECT_URL must name the server itself.",
        )
    if state == "3D000" or "does not exist" in said or "no such database" in said:
        return ServerRefused("database.missing", f"The server has no such database, or no such user: see {setting}.")
    if state.startswith("28") or state == "42501" or "authentication failed" in said or "no such user" in said:
        return ServerRefused("database.login", f"The server does not let this user in: see {setting}.")
    if isinstance(cause, ValueError | OverflowError):  # asyncpg's own among them
        example = "postgresql://user:password@host:5432/database"
        return ServerRefused("database.address", f"This is not an address like {example}: see {setting}.")
    if isinstance(cause, ssl.SSLCertVerificationError) or "rejected SSL" in said:
        return ServerRefused("database.tls", f"No trusted TLS connection comes about: see sslmode in {setting}.")
    return None


async def check_server(connection: Connection, *, accept_data_loss: bool = False) -> None:
    """Refuses a server that is old, read-only, not UTF-8, or loses confirmed commits. Raises ServerRefused.

    Jepsen's reports on systems that answer before they write are why the last check exists; only
    `accept_data_loss` turns it off.
    """
    with unavailable("check_server"):
        row = await connection.fetchrow(
            "SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS standby,"
            " current_setting('server_encoding') AS encoding,"
            " current_setting('transaction_read_only') AS readonly,"
            " ARRAY(SELECT name || '=' || setting FROM pg_settings WHERE name = ANY($1) AND setting = 'off'"
            " ORDER BY name) AS off",
            list(MUST_BE_ON),
        )
    if row is None:
        raise ServerRefused("database.silent", "The server does not tell its settings.")
    if row["version"] < OLDEST * 10000:
        raise ServerRefused(
            "database.too_old", f"The server is version {row['version'] // 10000}; use {OLDEST} or newer."
        )
    if row["standby"] or row["readonly"] == "on":
        raise ServerRefused("database.read_only", "The server takes no writes; use the primary.")
    if row["encoding"] != "UTF8":
        raise ServerRefused("database.encoding", "The database is not UTF8; create it with ENCODING 'UTF8'.")
    if row["off"] and not accept_data_loss:
        raise ServerRefused(
            "database.not_durable",
            f"The server would lose confirmed commits: {', '.join(row['off'])}; turn it on.",
        )


async def _as_it_is(connection: Connection) -> None:
    """No session state to take away."""
