"""The gateway's own metrics. Labels come from closed lists: never an id, a number or a name of a person."""

import asyncio
import os
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Sequence
from typing import ParamSpec

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from gateway.core.decision import EventKind
from gateway.core.messages import Incoming, Reminder
from gateway.ports import Record, Unavailable
from gateway.storage import DeadLetter, Stored

STAGES = ("turn", "render", "print")
NEIGHBOURS = ("database", "broker", "printer", "customs")
THE_LOG = "bus"
"""What a reader calls a bus that is no Kafka: that is the log, and the log is in the database."""
CHANNELS = ("http", "folder", "bus")
WHYS = ("unavailable", "broke")
"""Why the door gives no verdict."""
GROUPS = ("intake", "turn", "render", "print", "relay", "customs-link", "customs-simulator")
"""Those who read topics, by the names of their consumer groups."""
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

P = ParamSpec("P")

log = structlog.get_logger()


class Metrics:
    """Implements `gateway.runtime.observer.Observer`; logs what a person should know."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "origin_events_total", "What happened to certificates, by kind.", ("kind",), registry=registry
        )
        self._messages = Counter(
            "origin_turn_messages_total", "Messages handled by turns.", ("outcome",), registry=registry
        )
        self._seconds = Histogram(
            "origin_stage_duration_seconds", "Work of one stage.", ("stage",), registry=registry, buckets=BUCKETS
        )
        self._away = Gauge("origin_neighbour_away", "1 while a worker backs off.", ("group",), registry=registry)
        self._up = Gauge(
            "origin_neighbour_up", "0 while a worker here can't reach it.", ("neighbour",), registry=registry
        )
        self.news = asyncio.Event()
        """Set when a worker misses a neighbour: who only looks now and then looks at once."""
        self._missed: dict[str, set[str]] = {neighbour: set() for neighbour in NEIGHBOURS}
        for neighbour in NEIGHBOURS:
            self._up.labels(neighbour).set(1)
        self._dead = Counter(
            "origin_dead_letters_total", "Records that nobody could read.", ("group",), registry=registry
        )
        self.waiting = Gauge(
            "origin_queue_oldest_age_seconds",
            "Age of the oldest message this group has not handled.",
            ("group", "topic"),
            registry=registry,
        )
        self.lag = Gauge(
            "origin_consumer_lag_records",
            "Messages this group has not handled.",
            ("group", "topic"),
            registry=registry,
        )
        self.progress = Gauge(
            "origin_consumer_last_progress_timestamp_seconds",
            "When a reader last got messages, or saw that there were none.",
            ("group",),
            registry=registry,
        )
        self.dead_waiting = Gauge(
            "origin_dead_letters_waiting", "Dead letters that wait for a person.", registry=registry
        )
        self.parked_count = Gauge("origin_parked_messages", "Messages that wait for a person.", registry=registry)
        self.in_doubt = Gauge("origin_print_in_doubt", "Prints nobody knows the end of.", registry=registry)
        self.stuck = Gauge(
            "origin_papers_stuck",
            "Certificates of which a paper can't be made or printed until somebody mends something.",
            registry=registry,
        )
        self.numbers_used = Gauge(
            "origin_number_series_used_ratio", "Fullest series of this year's certificate numbers.", registry=registry
        )
        self.numbers_low = Gauge(
            "origin_number_series_low", "Series of this year with less than a tenth left.", registry=registry
        )
        self.numbers_unusual = Gauge(
            "origin_number_series_unusual",
            "Series of this year that empty far faster than their owners ever drew from them.",
            registry=registry,
        )
        self._overdue = Counter(
            "origin_overdue_total", "Due dates that passed, by what was waited for.", ("about",), registry=registry
        )
        self.overdue = Gauge(
            "origin_overdue_certificates", "Certificates that wait too long, by what.", ("about",), registry=registry
        )
        for about in Reminder:
            self._overdue.labels(about.value)
            self.overdue.labels(about.value).set(0)
        self.strays = Counter(
            "origin_receipts_stray_total", "Receipts about certificates that are not here.", registry=registry
        )

        self.pool = Gauge(
            "origin_database_pool_connections",
            "Connections of this process: open, idle among them, and the most there may be.",
            ("state",),
            registry=registry,
        )
        self.disk_free = Gauge("origin_data_free_bytes", "Room on the disk of the data directory.", registry=registry)
        self.clock_offset = Gauge(
            "origin_clock_offset_seconds", "The database's clock minus this machine's.", registry=registry
        )
        self.loop_delay = Gauge(
            "origin_event_loop_delay_seconds", "How late this process came to its last look.", registry=registry
        )
        door_failed = Counter(
            "origin_door_failures_total", "Declarations that got no verdict.", ("channel", "why"), registry=registry
        )
        self._door_failed = {(c, w): door_failed.labels(c, w) for c in CHANNELS for w in WHYS}

    def failed(self, channel: str, error: Exception) -> None:
        """The door gave no verdict: the error rate that whoever is on call looks at first."""
        self._door_failed[channel, "unavailable" if isinstance(error, Unavailable) else "broke"].inc()

    def turned(self, messages: int, events: Sequence[Stored]) -> None:
        """Counted by kind."""
        self._messages.labels("handled").inc(messages)
        kinds = Tally(stored.event.kind.value for stored in events)
        for kind, count in kinds.items():
            self._events.labels(kind).inc(count)
        if EventKind.OVERDUE in kinds:
            self._alarm([stored for stored in events if stored.event.kind is EventKind.OVERDUE])

    def _alarm(self, overdue: Sequence[Stored]) -> None:
        """Counted by what was waited for, and logged, one line a turn for each."""
        for about, count in Tally(str(stored.event.data["about"]) for stored in overdue).items():
            self._overdue.labels(about).inc(count)
            first = next(str(stored.subject_id) for stored in overdue if stored.event.data["about"] == about)
            log.warning("certificate.overdue", about=about, certificates=count, first=first)

    def repeated(self, message: Incoming | None) -> None:
        """Counted."""
        self._messages.labels("repeated").inc()

    def stray(self, message: Incoming) -> None:
        """Counted and logged: somebody should ask customs why."""
        self.strays.inc()
        log.warning("receipt.stray", kind=type(message).__name__, message_id=str(message.message_id))

    def parked(self, record: Record, reason: str) -> None:
        """Counted and logged as an error."""
        self._messages.labels("parked").inc()
        log.error("message.parked", topic=record.topic, offset=record.offset, reason=reason)

    def buried(self, letter: DeadLetter) -> None:
        """Counted and logged as an error."""
        self._dead.labels(letter.group).inc()
        log.error(
            "message.dead",
            id=str(letter.id),
            topic=letter.topic,
            offset=letter.offset,
            code=letter.code,
            attempts=letter.attempts,
        )

    def broke(self, message: Incoming | None, error: Exception) -> None:
        """Logged with the places it passed."""
        log.error("turn.broke", kind=type(message).__name__, exc_info=error)

    def away(self, who: str, neighbour: str, why: str) -> None:
        """A worker backs off."""
        self._away.labels(who).set(1)
        self.seen(neighbour, who, up=False, why=why)
        self.news.set()

    def back(self, who: str, neighbour: str) -> None:
        """It works again."""
        self.seen(neighbour, who, up=True)
        if not any(who in others for others in self._missed.values()):
            self._away.labels(who).set(0)

    def seen(self, neighbour: str, who: str, *, up: bool, why: str = "") -> None:
        """For workers and for those who only look. One alert a process at the start, when the first misses it, and one
        at the end, when nobody misses it any more."""
        neighbour = "database" if neighbour == THE_LOG else neighbour
        missing = self._missed.setdefault(neighbour, set())
        before = bool(missing)
        (missing.discard if up else missing.add)(who)
        self._up.labels(neighbour).set(not missing)
        if missing and not before:
            log.error("neighbour.away", group=who, neighbour=neighbour, reason=why)
        elif before and not missing:
            log.info("neighbour.back", group=who, neighbour=neighbour)

    def worked(self, stage: str, seconds: float) -> None:
        """Stage durations."""
        self._seconds.labels(stage).observe(seconds)

    def timed(self, stage: str, handle: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        """`handle`, each call measured, also one that fails."""

        async def measured(*args: P.args, **kwargs: P.kwargs) -> None:
            begin = time.perf_counter()
            try:
                await handle(*args, **kwargs)
            finally:
                self.worked(stage, time.perf_counter() - begin)

        return measured


def about_the_process(registry: CollectorRegistry, roles: Sequence[str]) -> None:
    """What runs, and what it takes of the machine."""
    Info("origin_build", "What runs.", registry=registry).info({"pid": str(os.getpid()), "roles": ",".join(roles)})
    ProcessCollector(registry=registry)
