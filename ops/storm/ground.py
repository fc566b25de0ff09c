"""Where the storm rages: a PostgreSQL, a Kafka, a spool and the fleet, all below one folder, all real."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
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
from ops.storm.disk import Disk
from ops.storm.fleet import Fleet, Slot
from ops.storm.paper import Printer, Spool
from ops.storm.plan import ROLES, Kind
from ops.storm.proxy import Unread, Way
from simulators.erp.client import Operator
from simulators.erp.enterprises import AGENT, Enterprise
from simulators.erp.onboarding import onboard, wallet

FLEET: Mapping[str, int] = {"intake": 2, "turn": 2, "relay": 2, "render": 2, "print": 2, "customs": 1}
"""Processes of each role. The customs' ledger is one file of one process."""

THIEF, FLOODER = "thief", "flooder"
"""The attacker's clients."""
QUOTAS: Mapping[str, Mapping[str, int | None]] = {
    THIEF: {"declarations_per_minute": None, "declarations_per_day": None, "bytes_per_day": None},
    FLOODER: {"declarations_per_minute": 30, "connections": 20, "streams": 4},
}
"""What they may do: one is to be told what is wrong with each document, the other that it sends too many."""
DATABASE = 16 << 10
"""MiB of the database's disk: it grows as it is used, and a release needs several GiB."""


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
    """Process -> its way to the database."""
    detours: dict[str, list[Way]] = field(init=False, default_factory=dict)
    """The first process of a role -> its ways to the brokers; the others go straight."""
    disk: Disk = field(init=False)
    """Of the database's tables and indexes, where one can be had; its write-ahead log is elsewhere."""
    fleet: Fleet = field(init=False)
    clients: dict[str, str] = field(init=False, default_factory=dict)
    """Name of each client that there is -> credit code of its enterprise."""

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()
        self.database = Embedded(self.folder / "postgres")
        self.disk = Disk(self.database.data / "base", DATABASE, self.folder / "database.img")
        self.kafka = None
        if self.brokers:
            detours = len(self._detoured)
            self.kafka = Kafka(self.folder / "kafka", nodes=self.brokers, detours=detours, die_with_parent=True)
        self.spool = Spool(self.folder / "spool")
        self.printer = Printer(self.spool.folder, self.folder / "printer.jsonl")
        self.fleet = Fleet(())

    @property
    def _detoured(self) -> list[str]:
        return [f"{role}-1" for role in ROLES[Kind.DETOUR] if role in self.roles]

    @property
    def data(self) -> Path:
        """Data directory that all processes share: keys, and the customs' own ledger."""
        return self.folder / "data"

    @property
    def hot(self) -> Path:
        """The hot folders' root."""
        return self.folder / "hot"

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
        await asyncio.to_thread(self._move_tables)
        if self.kafka is not None:
            await kafka_topics.apply(Cluster(self.kafka.bootstrap), kafka_topics.declared())
        self.spool.open()
        self.printer.start()

    async def populate(self, enterprises: Sequence[Enterprise]) -> dict[str, str]:
        """The fleet, ready, and its honest clients; credit code -> API key."""
        names = [f"{role}-{n}" for role, many in self.roles.items() for n in range(1, many + 1)]
        slots = []
        for name in names:
            if self.kafka is None and name.startswith("relay"):
                continue
            self.ways[name] = way = Way(self._to_database)
            await way.open()
            if self.kafka is not None and name in self._detoured:
                places = self.kafka.detour(self._detoured.index(name))
                self.detours[name] = [Way(partial(_to_port, one.listener), one.proxy, Unread) for one in places]
                for detour in self.detours[name]:
                    await detour.open()
            slots.append(self._slot(name, way))
        keyfile.read_or_make(self.data / "operator.key")
        keyfile.read_or_make(self.data / "master.key")
        self.fleet = Fleet(slots)
        self.fleet.start()
        keys = await asyncio.to_thread(wallet, self.folder / "keys", enterprises, datetime.now(UTC))
        await self.fleet.ready()
        async with self.visit() as http:
            await onboard(self.operator(http), http, self.folder / "keys", enterprises, keys)
        kept = orjson.loads((self.folder / "keys" / "clients.json").read_bytes())
        self.clients |= {name: code for code, (name, _) in kept.items()}
        return {code: key for code, (_, key) in kept.items()}

    async def let_in(self) -> dict[str, str]:
        """The attacker's clients, which have no leave to declare for anybody; name -> API key."""
        if self.kafka is not None:
            await kafka_topics.apply(Cluster(self.kafka.bootstrap), kafka_topics.declared([THIEF]))
        keys = {}
        async with self.visit() as http:
            operator = self.operator(http)
            for name, quotas in QUOTAS.items():
                keys[name] = await operator.add_client(name, AGENT.code, bus=name == THIEF)
                await operator.set_quotas(name, quotas)
                self.clients[name] = AGENT.code
        return keys

    def visit(self) -> httpx.AsyncClient:
        """To the first door."""
        return httpx.AsyncClient(base_url=self.doors[0], trust_env=False, timeout=30)

    def operator(self, http: httpx.AsyncClient) -> Operator:
        """Whoever runs the gateway."""
        return Operator(http, keyfile.read(self.data / "operator.key"))

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
        for way in (*self.ways.values(), *(way for some in self.detours.values() for way in some)):
            await way.close()
        if self.kafka is not None:
            self.kafka.resume()
            await asyncio.to_thread(self.kafka.stop)
        await asyncio.to_thread(self.database.stop)
        self.disk.close()
        self.printer.stop()
        self.spool.close()

    def _slot(self, name: str, way: Way) -> Slot:
        environment = {
            "ORIGIN_DATA": str(self.data),
            "ORIGIN_SPOOL": str(self.spool.folder),
            "ORIGIN_DATABASE_URL": f"postgresql://origin@127.0.0.1:{way.port}/origin?sslmode=disable",
        }
        if name.startswith("intake"):
            environment["ORIGIN_FOLDER_ROOT"] = str(self.hot)
        if self.kafka is not None:
            detours = ",".join(f"127.0.0.1:{way.port}" for way in self.detours.get(name, ()))
            environment["ORIGIN_KAFKA_BOOTSTRAP"] = detours or self.kafka.bootstrap
            environment["ORIGIN_KAFKA_SESSION_SECONDS"] = str(self.session)
            if name.endswith("-1"):  # both ways of membership: with a name of its own, and without
                environment["ORIGIN_KAFKA_INSTANCE"] = name
        piped = name.startswith("print") and not self.spool.mounted
        return Slot(name, self.folder / "logs", environment, piped=piped)

    def _move_tables(self) -> None:
        """The tables onto the disk of their own, if it can be had: where a page finds no room there, a statement fails
        and the server stays. (A full disk of the write-ahead log ends the server: that is another fault, its kill.)"""
        if os.geteuid() != 0:
            return
        base, aside = self.disk.folder, self.disk.folder.with_name("base.aside")
        self.database.stop()
        owner = base.stat()
        base.rename(aside)
        base.mkdir(mode=0o700)
        os.chown(base, owner.st_uid, owner.st_gid)
        self.disk.open()
        if self.disk.mounted:
            subprocess.run(["cp", "-a", f"{aside}/.", str(base)], check=True)
            base.chmod(0o700)
            shutil.rmtree(aside)
        else:
            base.rmdir()
            aside.rename(base)
        self.database.start()

    async def _to_database(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        path = self.database.sockets / f".s.PGSQL.{postmaster.PORT}"
        return await asyncio.open_unix_connection(str(path))


async def _to_port(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


def clear(folder: Path) -> None:
    """Empty, and nothing of an earlier run that was killed lives on below it."""
    if folder.exists():
        old = Embedded(folder / "postgres")
        if old.pid is not None:
            old.start()
            old.stop()
        Disk(old.data / "base", 0).close()
        Spool(folder / "spool").close()
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / "data").mkdir(mode=0o700)
