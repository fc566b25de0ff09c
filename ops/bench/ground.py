"""Where it is measured: the embedded server under ``build/bench``, emptied first, and its own pgbench."""

import asyncio
import contextlib
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from adapters.bus.log import declare
from adapters.postgres import install
from adapters.postgres.embedded import Embedded
from adapters.postgres.migrate import migrate
from adapters.postgres.pool import connect
from adapters.store.clients import Clients
from ops.bench.documents import templates

FOLDER = Path("build/bench")
TABLES = "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'origin'"
KEPT = ("origin.migration", "origin.log_partition")


@dataclass(frozen=True, slots=True)
class Ground:
    """A running server with the gateway's schema, and the API keys of the bench's clients, by credit code."""

    dsn: str
    programs: Path

    async def emptied(self) -> dict[str, str]:
        """No declaration, no number, no record; one client an enterprise. Returns credit code -> API key."""
        connection = await connect(self.dsn)
        try:
            await connection.execute("DROP SCHEMA IF EXISTS origin CASCADE; DROP SCHEMA IF EXISTS bench CASCADE")
            await connection.execute("CREATE SCHEMA bench")
            await migrate(connection)
            await declare(connection)
        finally:
            await connection.close()
        pool = await asyncpg.create_pool(self.dsn, min_size=1, max_size=1)
        try:
            clients = Clients(pool)
            added = [await clients.add(t.enterprise.slug, t.enterprise.code) for t in templates()]
        finally:
            await pool.close()
        return {client.enterprise: client.key for client in added}

    def pgbench(self, script: Path, seconds: float, connections: int = 8) -> float:
        """Transactions a second of `script`. Raises RuntimeError with pgbench's own words."""
        host = parse_qs(urlsplit(self.dsn).query)["host"][0]
        command = [str(self.programs / "pgbench"), "-n", "-M", "simple", "-c", str(connections), "-j", "1"]
        command += ["-T", str(max(1, round(seconds))), "-f", str(script), "-h", host, "-U", "origin", "origin"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        found = re.search(r"tps = ([0-9.]+)", done.stdout)
        if done.returncode or found is None:
            raise RuntimeError(f"pgbench: {done.stderr.strip()[-300:]}")
        return float(found[1])

    async def fetch(self, statement: str, *values: object) -> Sequence[asyncpg.Record]:
        """One query on a connection of its own."""
        connection = await connect(self.dsn)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def settle(self) -> None:
        """What was measured before is not written out while the next thing is measured."""
        host = parse_qs(urlsplit(self.dsn).query)["host"][0]
        connection = await asyncpg.connect(host=host, user="postgres", database="origin")
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    """The server, started, and stopped at the end."""
    server = Embedded(FOLDER / "postgres")
    await asyncio.to_thread(server.start)
    try:
        yield Ground(server.dsn, install.binaries())
    finally:
        await asyncio.to_thread(server.stop)
