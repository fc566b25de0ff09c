"""Brings the database to this code's schema: ordered SQL files, each applied once, in one transaction."""

import hashlib
import importlib.resources
import re
from collections.abc import Mapping
from types import MappingProxyType

from adapters.postgres.errors import unavailable
from adapters.postgres.pool import Connection

LOCK = 0x6F726967_696E01  # "origin", 1
NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

PREPARE = """
CREATE SCHEMA IF NOT EXISTS origin;
CREATE TABLE IF NOT EXISTS origin.migration (
    number     int         PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


class MigrationRefused(Exception):
    """The database does not fit this code. `code` is stable, the text says what to do."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def files() -> Mapping[str, str]:
    """Name -> SQL, in order. Raises MigrationRefused when names or numbers are wrong: gaps, doubles."""
    folder = importlib.resources.files("adapters.postgres") / "migrations"
    found = {item.name: item.read_text("utf-8") for item in folder.iterdir() if item.name.endswith(".sql")}
    return _checked(found)


def _checked(found: Mapping[str, str]) -> Mapping[str, str]:
    names = sorted(found)
    numbers = [int(match.group(1)) if (match := NAME.fullmatch(name)) else -1 for name in names]
    if numbers != list(range(1, len(names) + 1)):
        raise MigrationRefused("migration.names", f"Migrations must be numbered 0001, 0002, ...: {names}.")
    return MappingProxyType({name: found[name] for name in names})


async def migrate(connection: Connection, wanted: Mapping[str, str] | None = None) -> list[str]:
    """Applies what is missing; returns the names applied now. Several processes may start at the same time.

    `connection`: direct or through pgbouncer, outside a transaction. `wanted`: instead of the shipped files.
    Raises MigrationRefused and Unavailable; a file that failed left nothing behind.
    """
    steps = files() if wanted is None else _checked(wanted)
    done = []
    with unavailable("migrate"):
        while (name := await _step(connection, steps)) is not None:
            done.append(name)
    return done


async def _step(connection: Connection, steps: Mapping[str, str]) -> str | None:
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})", timeout=600.0)
        await connection.execute(PREPARE)
        rows = await connection.fetch("SELECT number, name, sha256 FROM origin.migration ORDER BY number")
        if len(rows) > len(steps):
            raise MigrationRefused(
                "migration.newer",
                f"The database has {rows[-1]['name']}, which this version lacks: upgrade the gateway.",
            )
        for row, (name, text) in zip(rows, steps.items(), strict=False):
            if (row["name"], row["sha256"]) != (name, _sha256(text)):
                raise MigrationRefused(
                    "migration.changed",
                    f"{row['name']} was applied with other content; restore it, put changes in a new file.",
                )
        if len(rows) == len(steps):
            return None
        name = list(steps)[len(rows)]
        await connection.execute(steps[name], timeout=3600.0)
        await connection.execute(
            "INSERT INTO origin.migration (number, name, sha256) VALUES ($1, $2, $3)",
            len(rows) + 1,
            name,
            _sha256(steps[name]),
        )
    return name


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
