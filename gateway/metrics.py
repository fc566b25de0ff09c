"""The gateway's own metrics. Labels come from closed lists: never an id, a number or a name of a person."""

from collections import Counter as Tally
from collections.abc import Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.core.messages import Incoming
from gateway.ports import Record
from gateway.storage import Stored

STAGES = ("turn", "render", "print")
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

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
        self.waiting = Gauge(
            "origin_queue_oldest_age_seconds", "Age of the oldest unread message.", ("topic",), registry=registry
        )
        self.parked_count = Gauge("origin_parked_messages", "Messages that wait for a person.", registry=registry)
        self.in_doubt = Gauge("origin_print_in_doubt", "Prints nobody knows the end of.", registry=registry)
        self.numbers_used = Gauge(
            "origin_number_series_used_ratio", "Fullest series of certificate numbers.", registry=registry
        )
        self.strays = Counter(
            "origin_receipts_stray_total", "Receipts about certificates that are not here.", registry=registry
        )

    def turned(self, messages: int, events: Sequence[Stored]) -> None:
        """Counted by kind."""
        self._messages.labels("handled").inc(messages)
        for kind, count in Tally(stored.event.kind.value for stored in events).items():
            self._events.labels(kind).inc(count)

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

    def broke(self, message: Incoming | None, error: Exception) -> None:
        """Logged with the places it passed."""
        log.error("turn.broke", kind=type(message).__name__, exc_info=error)

    def away(self, who: str, why: str) -> None:
        """One alert at the start."""
        self._away.labels(who).set(1)
        log.error("neighbour.away", group=who, reason=why)

    def back(self, who: str) -> None:
        """One at the end."""
        self._away.labels(who).set(0)
        log.info("neighbour.back", group=who)

    def worked(self, stage: str, seconds: float) -> None:
        """Stage durations."""
        self._seconds.labels(stage).observe(seconds)
