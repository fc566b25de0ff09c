"""The wiring: settings in, a running gateway out. The only place, with the command line, that knows every part.

What only one role needs is imported where that role is wired: after a kill -9 a process is back a third sooner.
"""

import asyncio
import contextlib
import ipaddress
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import asyncpg
import structlog
from prometheus_client import CollectorRegistry

from adapters.bus.kafka import KafkaBus
from adapters.bus.kafka_lag import Lags
from adapters.bus.postgres import PostgresBus
from adapters.codecs.dialects import dialects
from adapters.codecs.gateway_xml import GatewayCodec
from adapters.inbound.metrics import IntakeMetrics, LinkMetrics
from adapters.postgres.pool import connect, create_pool
from adapters.printers.spool import SpoolPrinter
from adapters.store.audit import PostgresDays
from adapters.store.blobs import PostgresBlobs
from adapters.store.clients import Clients
from adapters.store.dead_letters import PostgresDeadLetters
from adapters.store.leaves import Leaves
from adapters.store.postgres import PostgresStore
from adapters.store.rooms import Files, PrintClaims
from adapters.store.vault import Vault
from gateway import broker, keyfile, operator_files
from gateway.core.overdue import RulesRefused
from gateway.core.quotas import QuotasRefused
from gateway.database import Database, database, patiently
from gateway.gauges import watch, watch_broker
from gateway.health import examine, troubles
from gateway.inlet import GatewayInlet
from gateway.jobs import HARD_END, Jobs
from gateway.metrics import GROUPS, Metrics, about_the_process
from gateway.number_pace import watch_paces
from gateway.operations import Refusal
from gateway.ports import Bus, Unavailable
from gateway.probes import Probes
from gateway.runtime.consume import consume
from gateway.runtime.dead_letters import Opener
from gateway.runtime.door import Door
from gateway.runtime.kept import Keeper
from gateway.runtime.print_room import JOBS as PRINT_JOBS
from gateway.runtime.print_room import PrintRoom
from gateway.runtime.relay import Relay
from gateway.runtime.sealing import seal_days
from gateway.runtime.shared import Shared
from gateway.runtime.turn import LISTENS, Turn
from gateway.settings import Role, Settings
from gateway.storage import Collision

if TYPE_CHECKING:
    from adapters.inbound.http.app import Application

log = structlog.get_logger()

TICK = 1.0
"""Seconds between two looks at the due dates."""
READY_KEPT = 1.0
"""Seconds in which everybody who asks for readiness gets the same answer: it takes a connection of the pool."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Now, UTC."""
        return datetime.now(UTC)


class Gateway:
    """A gateway process with its roles. Use as an async context manager; `run` returns when `stop` was asked for."""

    def __init__(
        self, settings: Settings, *, shared_port: bool = False, last_resort: Callable[[], None] | None = None
    ) -> None:
        """`last_resort` ends the process; called, from a thread, when `stop` has not led to the end in HARD_END."""
        self.settings = settings
        self._last_resort = last_resort
        self._hard_end: threading.Timer | None = None
        self.port = settings.port
        self.metrics_port = settings.metrics_port
        self._shared_port = shared_port
        self._stack = contextlib.AsyncExitStack()
        self._stopping = asyncio.Event()
        self._jobs = Jobs(self._stopping)
        self._ready: Callable[[], Awaitable[Sequence[str]]] = _not_yet

    async def __aenter__(self) -> Self:
        """Everything connected and wired; nothing runs yet."""
        settings = self.settings
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            registry = CollectorRegistry()
            about_the_process(registry, settings.roles)
            metrics = Metrics(registry)
            self._probe(registry)
            place = await self._stack.enter_async_context(database(settings, metrics, self._stopping))
            pooled = place.pooled != place.direct
            connected = partial(create_pool, place.pooled, largest=10, pooled=pooled)
            pool = await patiently(connected, metrics, self._stopping)
            self._stack.push_async_callback(_close, pool)
            bus = await self._stack.enter_async_context(PostgresBus(pool, partial(connect, place.direct)))
            await patiently(partial(_proposals, pool), metrics, self._stopping)
            carrier = await self._carrier(pool, bus, metrics)
            vault = Vault(pool, keyfile.read_or_make(settings.master_key_path))
            await patiently(partial(_checked, vault), metrics, self._stopping)
            self._ready = Shared(partial(troubles, pool), READY_KEPT)
            self._wire(pool, bus, carrier, place, vault, registry, metrics)
            self._watch(pool, carrier, metrics)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Everything disconnected; the embedded database stopped."""
        await self._stack.aclose()

    async def _carrier(self, pool: asyncpg.Pool, log_bus: PostgresBus, metrics: Metrics) -> Bus:
        """What consumers read: the log itself, or the Kafka cluster that the relay carries it to."""
        cluster = broker.cluster(self.settings)
        if cluster is None:
            return log_bus
        # The client tells every try, ten a second while a broker is away; we tell the start and the end of it.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        kafka = KafkaBus(
            cluster, PostgresBlobs(pool), progress=lambda group: metrics.progress.labels(group).set_to_current_time()
        )
        return await self._stack.enter_async_context(kafka)

    def _wire(
        self,
        pool: asyncpg.Pool,
        bus: PostgresBus,
        carrier: Bus,
        place: Database,
        vault: Vault,
        registry: CollectorRegistry,
        metrics: Metrics,
    ) -> None:
        """`bus`: the log, which every writer writes to in its transaction; `carrier`: what every consumer reads."""
        readers = self._jobs.readers(carrier)
        settings, clock, codec = self.settings, SystemClock(), GatewayCodec()
        self.bus, self.clock = bus, clock
        store = PostgresStore(pool, bus.wake)
        blobs = PostgresBlobs(pool)
        dead = PostgresDeadLetters(pool, bus.wake)
        inlet = GatewayInlet(codec)
        turn = Turn(store, inlet, codec, dialects(), clock, metrics, operator_files.overdue_rules(settings))
        roles = set(settings.roles)
        if Role.TURN in roles:
            alone, ahead = metrics.timed("turn", turn.handle), metrics.timed("turn", turn.ahead)
            self._jobs.add("turn", lambda: consume(readers, "turn", LISTENS, alone, metrics, ahead=ahead))
            self._jobs.add("timers", lambda: _timers(turn, self._stopping), end=lambda: None)
            self._jobs.add("number pace", lambda: watch_paces(pool, metrics))
            self._jobs.add("day seal", lambda: seal_days(PostgresDays(pool), clock))
        if Role.RELAY in roles and carrier is not bus:
            self._jobs.add("relay", Relay(self._jobs.readers(bus), carrier, bus.on_the_log, metrics).run)
        if Role.RENDER in roles:
            from renderers.render import Renderer
            from renderers.worker import JOBS as RENDER_JOBS
            from renderers.worker import RenderRoom

            renderer = Renderer()
            renderer.warm()
            files = Files(pool, bus.wake)
            studio = RenderRoom(renderer, vault, files, blobs, codec, codec, clock, metrics, dead)
            self._jobs.add(
                "render", lambda: consume(readers, "render", (RENDER_JOBS,), studio.handle, metrics, max_records=20)
            )
        if Role.PRINT in roles:
            claims = PrintClaims(pool, bus.wake)
            printer = SpoolPrinter(settings.spool_path)
            room = PrintRoom(printer.name, printer, claims, blobs, codec, codec, clock, metrics, dead)
            self._jobs.add(
                "print", lambda: consume(readers, "print", (PRINT_JOBS,), room.handle, metrics, max_records=20)
            )
        if Role.CUSTOMS_LINK in roles and settings.customs_folder is not None:
            from adapters.inbound.customs_link import GROUP as LINK_GROUP
            from adapters.inbound.customs_link import CustomsIn, CustomsOut

            boxes, counted = settings.customs_folder, LinkMetrics(registry)
            opener = Opener(LINK_GROUP, dead, clock, metrics)
            self._jobs.add("customs-link", CustomsOut(boxes, readers, opener, clock, metrics, counted).run)
            settle = settings.folder_settle_seconds
            inbox = CustomsIn(boxes, carrier, codec, clock, metrics, counted, settle=settle)
            self._jobs.add("customs-inbox", inbox.run, end=inbox.stop)
        if Role.CUSTOMS_SIMULATOR in roles:
            from simulators.customs.ledger import Ledger
            from simulators.customs.simulator import CustomsSimulator

            ledger = Ledger(settings.data / "customs-register.sqlite")
            self._stack.callback(ledger.close)
            self._jobs.add("customs-simulator", CustomsSimulator(readers, clock, ledger=ledger).run)
        if Role.INTAKE in roles:
            from adapters.bus.kafka_listing import on_the_cluster
            from adapters.feeds.sse import StatusStream
            from adapters.inbound.bus import BusIntake
            from adapters.inbound.folder import HotFolders
            from adapters.inbound.http.app import Deps, create_app
            from adapters.store.quotas import PostgresQuotas
            from adapters.store.views import Views
            from gateway.desk import Desk
            from gateway.examiner import ExaminerProcess, new_examiner
            from gateway.kept_documents import KeptDocuments
            from gateway.runtime.quotas import Quotas

            most, beside, keep = settings.max_bytes, ExaminerProcess(settings.max_bytes), Keeper(dead, clock, metrics)
            door = Door(store, new_examiner(most), codec, clock, keep, beside=beside, failed=metrics.failed)
            limits = operator_files.limits(settings)
            table = PostgresQuotas(pool, limits)
            feed = StatusStream(pool, keyfile.read(settings.master_key_path))
            intake = IntakeMetrics(registry)
            quotas = Quotas(clock, table, uuid4(), intake.over)
            clients = Clients(pool, limits, met=quotas.meet)
            leaves = Leaves(pool)
            doctor = partial(examine, settings, pool, place.embedded, vault, clients, leaves)
            rows = (clients, leaves, table, vault, store)
            documents = KeptDocuments(door, beside, clients, dead)
            desk = Desk(documents, *rows, turn, clock, doctor, dead, carrier, inlet, self.stop)
            there = partial(on_the_cluster, carrier.cluster) if isinstance(carrier, KafkaBus) else bus.on_the_log
            on_bus = BusIntake(readers, door, clients, quotas, dead, clock, intake, metrics, there)
            deps = Deps(
                door=door,
                clients=clients,
                quotas=quotas,
                reader=Views(pool),
                feed=feed,
                command=turn.command,
                operations=desk,
                operator_key=keyfile.read_or_make(settings.operator_key_path),
                observer=intake,
                registry=registry,
                ready=self._ready,
                clock=clock,
                max_bytes=settings.max_bytes,
            )
            self._listen(create_app(deps))
            for name, run in (
                ("examiner", beside.run),
                ("door", door.run),
                ("quotas", quotas.run),
                ("feed", feed.run),
                ("bus", on_bus.run),
            ):
                self._jobs.add(name, run)
            if settings.folder_root:
                folders = HotFolders(
                    settings.folder_root,
                    door,
                    clients.by_id,
                    quotas,
                    intake,
                    max_bytes=settings.max_bytes,
                    settle=settings.folder_settle_seconds,
                )
                self._jobs.add("folder", folders.run, end=folders.stop)

    def _watch(self, pool: asyncpg.Pool, carrier: Bus, metrics: Metrics) -> None:
        """What whoever is on call looks at, in every process whatever its roles."""
        settings, on_kafka = self.settings, isinstance(carrier, KafkaBus)
        self._jobs.add("gauges", lambda: watch(pool, metrics, settings.data, on_kafka=on_kafka))
        if isinstance(carrier, KafkaBus):
            lags = Lags(carrier.cluster, [group for group in GROUPS if group != "relay"])
            self._stack.push_async_callback(lags.close)
            self._jobs.add("lags", lambda: watch_broker(lags, metrics))

    def _probe(self, registry: CollectorRegistry) -> None:
        """The listener of its own; it tells from the beginning, so that a process that waits is seen to wait."""
        settings = self.settings
        if settings.metrics_port is None:
            return

        async def ready() -> Sequence[str]:
            return ["The gateway is closing."] if self._stopping.is_set() else await self._ready()

        probes = Probes(settings.host, settings.metrics_port, registry, ready)
        self._stack.push_async_callback(asyncio.to_thread, probes.close)
        self.metrics_port = probes.port
        log.info("probes.listening", host=settings.host, port=probes.port)

    def _listen(self, app: "Application") -> None:
        from adapters.inbound.http.server import HttpServer, listen

        sock = listen(self.settings.host, self.settings.port, shared=self._shared_port)
        self.port = sock.getsockname()[1]
        if not ipaddress.ip_address(sock.getsockname()[0]).is_loopback:
            # Without TLS, and with /metrics and the operator's routes: a person should have meant it.
            log.warning("http.exposed", host=self.settings.host, port=self.port)
        most = self.settings.max_connections_per_address
        server = HttpServer(app, sock, strangers_per_address=most)
        # On a port of its own it goes on telling that it is not ready; on a shared one others answer at once.
        self._jobs.add("http", server.run, end=server.stop if self._shared_port else server.drain, close=server.stop)

    def stop(self) -> None:
        """Ask for the end: drain, then leave. What is cut off is done again after the next start."""
        self._stopping.set()
        if self._last_resort is not None and self._hard_end is None:
            self._hard_end = threading.Timer(HARD_END, self._last_resort)
            self._hard_end.daemon = True
            self._hard_end.start()

    async def run(self) -> None:
        """Run every role until `stop`. A part that breaks ends the process: it starts again clean."""
        log.info("gateway.started", roles=[str(role) for role in self.settings.roles], port=self.port)
        try:
            await self._jobs.run()
        finally:
            log.info("gateway.stopped")


async def _proposals(pool: asyncpg.Pool) -> None:
    """Said at each start until the operator has answered."""
    if waiting := await Leaves(pool).proposed():
        log.warning("leave.proposed", waiting=waiting, answer="origin client grants --proposed")


async def _not_yet() -> Sequence[str]:
    """Before there is a database."""
    return ["The database does not answer."]


async def _checked(vault: Vault) -> None:
    """Every process of one gateway has the same master key. Raises KeyFileRefused, Unavailable."""
    try:
        await vault.check()
    except Refusal as refusal:
        raise keyfile.KeyFileRefused(f"{refusal.message} {refusal.remedy}") from refusal


async def _timers(turn: Turn, ending: asyncio.Event) -> None:
    """Work the due dates, again and again, until the end is asked for."""
    while not ending.is_set():
        try:
            worked = await turn.work_timers()
        except (Unavailable, Collision):
            worked = 0
        if not worked:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await ending.wait()


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

    refused = (broker.BrokerRefused, keyfile.KeyFileRefused, RulesRefused, QuotasRefused)
    return EmbeddedError, MigrationRefused, ServerRefused, Unavailable, *refused, OSError
