"""The wiring: settings in, a running gateway out. The only place, with the command line, that knows every part."""

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Self

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Info

from adapters.bus.log import declare
from adapters.bus.postgres import PostgresBus
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.codecs.gateway_xml import GatewayCodec
from adapters.feeds.sse import StatusStream
from adapters.inbound.folder import HotFolders
from adapters.inbound.http.app import Application, Deps, create_app
from adapters.inbound.http.server import HttpServer, listen
from adapters.inbound.metrics import IntakeMetrics
from adapters.postgres.embedded import Embedded
from adapters.postgres.migrate import migrate
from adapters.postgres.pool import check_server, connect, create_pool
from adapters.printers.spool import SpoolPrinter
from adapters.store.blobs import PostgresBlobs
from adapters.store.clients import Clients
from adapters.store.postgres import PostgresStore
from adapters.store.rooms import Files, PrintClaims
from adapters.store.vault import Vault
from adapters.store.views import Views
from gateway import keyfile
from gateway.desk import Desk
from gateway.gauges import watch
from gateway.health import examine, troubles
from gateway.inlet import GatewayInlet
from gateway.metrics import Metrics
from gateway.ports import Dialect, Unavailable
from gateway.runtime.catalog import ProfileChecks
from gateway.runtime.consume import consume
from gateway.runtime.door import Door
from gateway.runtime.print_room import JOBS as PRINT_JOBS
from gateway.runtime.print_room import PrintRoom
from gateway.runtime.turn import LISTENS, Turn
from gateway.settings import Role, Settings
from gateway.storage import Collision
from renderers import fonts
from renderers.render import Renderer
from renderers.worker import JOBS as RENDER_JOBS
from renderers.worker import RenderRoom

log = structlog.get_logger()

TICK = 1.0
"""Seconds between two looks at the due dates."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Now, UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Database:
    """Where PostgreSQL is: `pooled` may go through pgbouncer, `direct` never does."""

    pooled: str
    direct: str
    embedded: bool


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The database, running and migrated. The embedded one is started, and stopped at the end. Raises EmbeddedError,
    ServerRefused, MigrationRefused, Unavailable."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.database_url:
            direct = settings.database_direct_url or settings.database_url
            place = Database(settings.database_url, direct, embedded=False)
        else:
            server = Embedded(settings.data / "postgres")
            await asyncio.to_thread(server.start)
            stack.push_async_callback(asyncio.to_thread, server.stop)
            place = Database(server.dsn, server.dsn, embedded=True)
        connection = await connect(place.direct)
        try:
            await check_server(connection)
            await migrate(connection)
            await declare(connection)
        finally:
            await connection.close()
        yield place


class Gateway:
    """A gateway process with its roles. Use as an async context manager; `run` returns when `stop` was asked for."""

    def __init__(self, settings: Settings, *, shared_port: bool = False) -> None:
        self.settings = settings
        self.port = settings.port
        self._shared_port = shared_port
        self._stack = contextlib.AsyncExitStack()
        self._stopping = asyncio.Event()
        self._jobs: list[tuple[str, Callable[[], Coroutine[None, None, None]]]] = []

    async def __aenter__(self) -> Self:
        """Everything connected and wired; nothing runs yet."""
        settings = self.settings
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            place = await self._stack.enter_async_context(database(settings))
            pooled = place.pooled != place.direct
            pool = await create_pool(place.pooled, largest=10, pooled=pooled)
            self._stack.push_async_callback(_close, pool)
            bus = await self._stack.enter_async_context(PostgresBus(pool, partial(connect, place.direct)))
            self._wire(pool, bus, place)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Everything disconnected; the embedded database stopped."""
        await self._stack.aclose()

    def _wire(self, pool: asyncpg.Pool, bus: PostgresBus, place: Database) -> None:
        settings, clock, codec = self.settings, SystemClock(), GatewayCodec()
        self.bus, self.clock = bus, clock
        registry = CollectorRegistry()
        Info("origin_build", "What runs.", registry=registry).info({"pid": str(os.getpid())})
        metrics = Metrics(registry)
        store = PostgresStore(pool, bus.wake)
        blobs = PostgresBlobs(pool)
        dialects: dict[str, Dialect] = {dialect.media_type: dialect for dialect in (CustomsXml(), EnterpriseJson())}
        turn = Turn(store, GatewayInlet(codec), codec, dialects, clock, metrics)
        vault = Vault(pool, keyfile.read_or_make(settings.master_key_path))
        roles = set(settings.roles)
        if Role.TURN in roles:
            self._jobs.append(("turn", lambda: consume(bus, "turn", LISTENS, turn.handle, metrics)))
            self._jobs.append(("timers", lambda: _timers(turn)))
        if Role.RENDER in roles:
            renderer = Renderer()
            renderer.warm()
            files = Files(pool, bus.wake)
            studio = RenderRoom(renderer, vault, files, blobs, codec, codec, clock, metrics)
            self._jobs.append(
                ("render", lambda: consume(bus, "render", (RENDER_JOBS,), studio.handle, metrics, max_records=20))
            )
        if Role.PRINT in roles:
            claims = PrintClaims(pool, bus.wake)
            printer = SpoolPrinter(settings.spool_path)
            room = PrintRoom(printer.name, printer, claims, blobs, codec, codec, clock, metrics)
            self._jobs.append(
                ("print", lambda: consume(bus, "print", (PRINT_JOBS,), room.handle, metrics, max_records=20))
            )
        if Role.CUSTOMS_SIMULATOR in roles:
            from simulators.customs.ledger import Ledger
            from simulators.customs.simulator import CustomsSimulator

            ledger = Ledger(settings.data / "customs-register.sqlite")
            self._stack.callback(ledger.close)
            self._jobs.append(("customs-simulator", CustomsSimulator(bus, clock, ledger=ledger).run))
        if Role.INTAKE in roles:
            door = Door(store, dialects, ProfileChecks(), codec, clock, fonts.missing, settings.max_bytes)
            clients = Clients(pool)
            feed = StatusStream(pool)
            intake = IntakeMetrics(registry)
            desk = Desk(
                clients, vault, store, turn, clock, partial(examine, settings, pool, place.embedded, vault, clients)
            )
            deps = Deps(
                door=door,
                clients=clients,
                reader=Views(pool),
                feed=feed,
                command=turn.command,
                operations=desk,
                operator_key=keyfile.read_or_make(settings.operator_key_path),
                observer=intake,
                registry=registry,
                ready=partial(troubles, pool),
                clock=clock,
                max_bytes=settings.max_bytes,
            )
            self._listen(create_app(deps))
            self._jobs += [("door", door.run), ("feed", feed.run)]
            if settings.folder_root:
                folders = HotFolders(
                    settings.folder_root,
                    door,
                    clients.by_id,
                    intake,
                    max_bytes=settings.max_bytes,
                    settle=settings.folder_settle_seconds,
                )
                self._jobs.append(("folder", folders.run))
        self._jobs.append(("gauges", lambda: watch(pool, metrics)))

    def _listen(self, app: Application) -> None:
        sock = listen(self.settings.host, self.settings.port, shared=self._shared_port)
        self.port = sock.getsockname()[1]
        if not ipaddress.ip_address(sock.getsockname()[0]).is_loopback:
            # Without TLS, and with /metrics and the operator's routes: a person should have meant it.
            log.warning("http.exposed", host=self.settings.host, port=self.port)
        server = HttpServer(app, sock)

        async def serve() -> None:
            task = asyncio.create_task(server.run())
            await self._stopping.wait()
            server.stop()
            await task

        self._jobs.append(("http", serve))

    def stop(self) -> None:
        """Ask for the end: drain, then leave. What is cut off is done again after the next start."""
        self._stopping.set()

    async def run(self) -> None:
        """Run every role until `stop`. A part that breaks ends the process: it starts again clean."""
        log.info("gateway.started", roles=[str(role) for role in self.settings.roles], port=self.port)
        tasks = {asyncio.create_task(job(), name=name): name for name, job in self._jobs}
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            broken = [task for task in tasks if task in done and task.exception() is not None]
            self._stopping.set()
            if broken:
                log.error("gateway.part_broke", role=tasks[broken[0]], exc_info=broken[0].exception())
            http = [task for task, name in tasks.items() if name == "http" and not task.done()]
            if http:
                await asyncio.wait(http, timeout=25)
            if broken:
                error = broken[0].exception()
                if error is not None:
                    raise error
        finally:
            stopping.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            log.info("gateway.stopped")


async def _timers(turn: Turn) -> None:
    """Work the due dates, again and again."""
    while True:
        try:
            worked = await turn.work_timers()
        except (Unavailable, Collision):
            worked = 0
        if not worked:
            await asyncio.sleep(TICK)


async def _close(pool: asyncpg.Pool) -> None:
    """A pool whose server hangs must not hang us."""
    try:
        async with asyncio.timeout(5):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def problems_at_start() -> tuple[type[Exception], ...]:
    """What a start may fail with that is told to a person in one line, without a trace."""
    from adapters.postgres.install import EmbeddedError
    from adapters.postgres.migrate import MigrationRefused
    from adapters.postgres.pool import ServerRefused

    return EmbeddedError, MigrationRefused, ServerRefused, Unavailable, keyfile.KeyFileRefused, OSError
