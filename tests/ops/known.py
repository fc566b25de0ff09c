"""What the gateway can tell: every metric of the real registries, and the closed lists their labels come from."""

import re
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from adapters.bus.topics import declared
from adapters.inbound.metrics import IntakeMetrics, LinkMetrics
from gateway.core.admission import Verdict
from gateway.core.decision import EventKind
from gateway.core.messages import Reminder
from gateway.core.quotas import Quota
from gateway.metrics import CHANNELS, GROUPS, NEIGHBOURS, STAGES, WHYS, Metrics, about_the_process
from gateway.settings import Role

BUDGET = 3000
"""Series of one process, at most."""

FAMILIES = {*declared(), "origin.intake.submitted.v1", "origin.intake.answered.v1"}
LABELS: Mapping[str, Sequence[str]] = {
    "about": [about.value for about in Reminder],
    "channel": CHANNELS,
    "group": (*GROUPS, "customs-inbox", "start"),
    "kind": [kind.value for kind in EventKind],
    "neighbour": NEIGHBOURS,
    "outcome": ("handled", "repeated", "parked"),
    "quota": [quota.value for quota in Quota],
    "result": [*(verdict.value for verdict in Verdict), "sent", "known", "received", "aside"],
    "stage": STAGES,
    "state": ("open", "idle", "most"),
    "topic": sorted(FAMILIES),
    "why": WHYS,
}


def registry() -> CollectorRegistry:
    """What a process with every role registers (gateway/app.py)."""
    whole = CollectorRegistry()
    about_the_process(whole, tuple(Role))
    Metrics(whole)
    IntakeMetrics(whole)
    LinkMetrics(whole)
    return whole


def samples(found: CollectorRegistry) -> Iterator[Sample]:
    """Every sample of a registry."""
    for family in found.collect():
        yield from family.samples


def names(found: CollectorRegistry) -> dict[str, set[str]]:
    """Sample name -> label names, without those that tell buckets apart; also of metrics that have no series yet."""
    told: dict[str, set[str]] = {}
    for metric, known in found._collector_to_names.items():
        labels = set(getattr(metric, "_labelnames", ()))
        for name in known:
            told[name] = labels
    for sample in samples(found):
        told.setdefault(sample.name, set()).update(set(sample.labels) - {"le"})
    return told | {name: {"job"} for name in OF_PROMETHEUS}


WORDS = {
    "abs", "absent", "and", "bool", "by", "changes", "count", "group_left", "histogram_quantile", "ignoring",
    "increase", "max", "min", "on", "or", "rate", "scalar", "sum", "time", "topk", "unless", "without",
}  # fmt: skip
"""Of PromQL, as far as rules and dashboard use it."""
OF_PROMETHEUS = {"up", "ALERTS"}
"""Series that Prometheus makes itself."""
CLAUSE = re.compile(r"\b(?:by|on|ignoring|without)\s*\([^)]*\)")
SELECTOR = re.compile(r"(?<![\w$])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?")


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Metrics of a PromQL expression, each with the labels it is selected by."""
    plain = re.sub(r"\[[^\]]*\]", "", CLAUSE.sub("", expression))
    found = []
    for match in SELECTOR.finditer(plain):
        metric, chosen = match[1], match[2] or "{}"
        if metric not in WORDS:
            found.append((metric, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", chosen))))
    return found
