"""One client floods the gateway, with the worst documents found or with good ones: what another client notices.

The other declares 25 times a second, and somebody asks `/livez` 20 times a second, in quiet and beside the flood in
turn, without quotas. `bulk` has the documents.
"""

import http.client
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from time import perf_counter, sleep
from typing import TypeAlias

from gateway.dev_kafka.config import free_port
from ops.bench import load
from ops.bench.bulk import worst
from ops.bench.documents import Template, endless, templates
from ops.bench.figures import Figure, Progress, duration, told
from ops.bench.gateway_process import gateways
from ops.bench.ground import FOLDER, Ground
from ops.bench.intake import Wrong

CONNECTIONS = 32
EACH = 1 / 25
"""Seconds between two declarations of the other."""
ASKED = 1 / 20
"""Seconds between two questions whether it is alive."""
GOOD = 2000
"""Good documents of a flood, again and again: fewer than their enterprise has numbers in a year."""
TIMES = 2.0
"""How many times the quiet p99 it may be beside a flood."""
LIVE = 100.0
"""Milliseconds within which /livez answers."""

Noticed: TypeAlias = tuple[list[float], list[float]]
"""Milliseconds of each declaration, and of each question whether it is alive."""
Flooding: TypeAlias = AbstractContextManager[load.Flood]


async def measure(ground: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """p99 and /livez beside each kind of flood."""
    rounds, seconds = (2, 3.0) if quick else (5, 8.0)
    keys = await ground.emptied()
    attacker, other, *_ = templates()
    port, key = free_port(), keys[attacker.enterprise.code]
    good = (document for _, document in islice(endless([attacker]), GOOD))
    floods = {
        "the worst documents": [load.request(*one, key) for one in worst()],
        "good documents": [load.request(attacker.media_type, document, key) for document in good],
    }
    figures: list[Figure] = []
    with gateways(1, port, ground.dsn, FOLDER / "data", "intake", {"ORIGIN_QUOTAS": "off"}):
        stretch = partial(_noticed, port, keys[other.enterprise.code], endless([other]), seconds)
        stretch()
        for name, requests in floods.items():
            await ground.settle()
            figures += _beside(
                name, partial(load.flood, port, requests, seconds + 1.0, CONNECTIONS), stretch, rounds, progress
            )
    return figures


def _beside(
    name: str, flood: Callable[[], Flooding], stretch: Callable[[], Noticed], rounds: int, progress: Progress
) -> list[Figure]:
    """In quiet and beside the flood, in turn."""
    quiet: list[float] = []
    took: list[float] = []
    live: list[float] = []
    answers = 0
    for number in range(1, rounds + 1):
        quiet += stretch()[0]
        with flood() as flooding:
            sleep(0.5)
            late, alive = stretch()
        took, live, answers = took + late, live + alive, answers + len(flooding.answers)
        told_so = f"p99 {_p99(quiet):.1f} ms in quiet, {_p99(took):.1f} ms beside it; /livez at most {max(live):.1f} ms"
        progress.say(f"a flood of {name} {number}/{rounds}: {told_so}")
    return [
        duration(f"p99 beside a flood of {name}", _p99(took), "ms", "twice the quiet p99", TIMES * _p99(quiet)),
        duration(f"/livez beside a flood of {name}, slowest", max(live), "ms", "what a probe waits", LIVE),
        told(f"a flood of {name}", answers / rounds, "answers"),
    ]


def _noticed(port: int, key: str, documents: Iterator[tuple[Template, bytes]], seconds: float) -> Noticed:
    """One stretch of the other's declarations."""
    live: list[float] = []
    over = threading.Event()

    def ask() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not over.is_set():
            live.append(_took(line, "GET", "/livez", {}, b"", 200))
            sleep(ASKED)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        took = []
        for template, document in islice(documents, int(seconds / EACH)):
            head = {"authorization": f"Bearer {key}", "content-type": template.media_type}
            took.append(_took(line, "POST", "/v1/declarations", head, document, 202))
            sleep(max(0.0, EACH - took[-1] / 1e3))
    finally:
        over.set()
        asking.join()
    return took, live


def _took(
    line: http.client.HTTPConnection, method: str, path: str, head: dict[str, str], body: bytes, good: int
) -> float:
    started = perf_counter()
    line.request(method, path, body, head)
    answer = line.getresponse()
    content = answer.read()
    if answer.status != good:
        raise Wrong(f"{path} answered {answer.status}: {content[:300]!r}")
    return (perf_counter() - started) * 1e3


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]
