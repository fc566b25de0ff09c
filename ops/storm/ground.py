"""Where the storm rages: a PostgreSQL, a Kafka, a spool and the fleet, all below one folder, all real."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import orjson

from adapters.bus import kafka_topics
from adapters.bus.kafka_client import Cluster
from adapters.bus.log import declare
from adapters.postgres import postmaster
from adapters.postgres.embedded import Embedded
from adapters.postgres.migrate import migrate
from adapters.postgres.pool import connect
from gateway import keyfile
from gateway.dev_kafka.cluster import Kafka
from ops.storm.fleet import Fleet, Slot
from ops.storm.paper import Printer, Spool
from ops.storm.proxy import Way
from simulators.erp.client import Operator
from simulators.erp.enterprises import Enterprise
from simulators.erp.onboarding import onboard, wallet

FLEET: Mapping[str, int] = {"intake": 2, "turn": 2, "relay": 2, "render": 2, "print": 2, "customs": 1}
"""Processes of each role. The customs' ledger is one file of one process."""


@dataclass(slots=True)
class Ground:
    """Everything that runs. `open` starts the neighbours, `populate` the gateway, `close` ends all of it."""

    folder: Path
    brokers: int
    """0: the log itself carries messages."""
    session: float
    roles: Mapping[str, int] = field(default_factory=lambda: FLEET)
    database: Embedded = field(init=False)
    kafka: Kafka | None = field(init=False)
    spool: Spool = field(init=False)
    printer: Printer = field(init=False)
    ways: dict[str, Way] = field(init=False, default_factory=dict)
    fleet: Fleet = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()
        self.database = Embedded(self.folder / "postgres")
        self.kafka = Kafka(self.folder / "kafka", nodes=self.brokers, die_with_parent=True) if self.brokers else None
        self.spool = Spool(self.folder / "spool")
        self.printer = Printer(self.spool.folder, self.folder / "printer.jsonl")
        self.fleet = Fleet(())

    @property
    def data(self) -> Path:
        """Data directory that all processes share: keys, and the customs' own ledger."""
        return self.folder / "data"

    @property
    def register(self) -> Path:
        """The customs simulator's ledger (SQLite)."""
        return self.data / "customs-register.sqlite"

    async def open(self) -> None:
        """Database and broker, with our tables and topics. The folder is emptied first."""
        clear(self.folder)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in (self.database, self.kafka) if server))
        connection = await connect(self.database.dsn)
        try:
            await migrate(connection)
            await declare(connection)
        finally:
            await connection.close()
        if self.kafka is not None:
            await kafka_topics.apply(Cluster(self.kafka.bootstrap), kafka_topics.declared())
        self.spool.open()
        self.printer.start()

    async def populate(self, enterprises: Sequence[Enterprise]) -> dict[str, str]:
        """The fleet, ready, and its clients; credit code -> API key."""
        names = [f"{role}-{n}" for role, many in self.roles.items() for n in range(1, many + 1)]
        slots = []
        for name in names:
            if self.kafka is None and name.startswith("relay"):
                continue
            self.ways[name] = way = Way(self._to_database)
            await way.open()
            slots.append(self._slot(name, way))
        keyfile.read_or_make(self.data / "operator.key")
        keyfile.read_or_make(self.data / "master.key")
        self.fleet = Fleet(slots)
        self.fleet.start()
        keys = await asyncio.to_thread(wallet, self.folder / "keys", enterprises, datetime.now(UTC))
        await self.fleet.ready()
        async with httpx.AsyncClient(base_url=self.doors[0], trust_env=False, timeout=30) as http:
            operator = Operator(http, keyfile.read(self.data / "operator.key"))
            await onboard(operator, http, self.folder / "keys", enterprises, keys)
        kept = orjson.loads((self.folder / "keys" / "clients.json").read_bytes())
        return {code: key for code, (_, key) in kept.items()}

    @property
    def doors(self) -> list[str]:
        """Where declarations are taken."""
        return [slot.url for slot in self.fleet.of("intake")]

    def kill_database(self) -> None:
        """kill -9 of the postmaster, and gone on return."""
        if (pid := self.database.pid) is not None:
            os.kill(pid, signal.SIGKILL)
        while self.database.pid is not None:
            time.sleep(0.005)
        self.database.release()

    async def close(self) -> None:
        """Everything ended, whatever it was at."""
        await self.fleet.close()
        for way in self.ways.values():
            await way.close()
        if self.kafka is not None:
            self.kafka.resume()
            await asyncio.to_thread(self.kafka.stop)
        await asyncio.to_thread(self.database.stop)
        self.printer.stop()
        self.spool.close()

    def _slot(self, name: str, way: Way) -> Slot:
        environment = {
            "ORIGIN_DATA": str(self.data),
            "ORIGIN_SPOOL": str(self.spool.folder),
            "ORIGIN_DATABASE_URL": f"postgresql://origin@127.0.0.1:{way.port}/origin?sslmode=disable",
        }
        if self.kafka is not None:
            environment["ORIGIN_KAFKA_BOOTSTRAP"] = self.kafka.bootstrap
            environment["ORIGIN_KAFKA_SESSION_SECONDS"] = str(self.session)
            if name.endswith("-1"):  # both ways of membership: with a name of its own, and without
                environment["ORIGIN_KAFKA_INSTANCE"] = name
        piped = name.startswith("print") and not self.spool.mounted
        return Slot(name, self.folder / "logs", environment, piped=piped)

    async def _to_database(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        path = self.database.sockets / f".s.PGSQL.{postmaster.PORT}"
        return await asyncio.open_unix_connection(str(path))


def clear(folder: Path) -> None:
    """Empty, and nothing of an earlier run that was killed lives on below it."""
    if folder.exists():
        old = Embedded(folder / "postgres")
        if old.pid is not None:
            old.start()
            old.stop()
        Spool(folder / "spool").close()
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / "data").mkdir(mode=0o700)
