"""A broker killed for a while, watched as an operator watches: nothing is lost, and one alert tells of it."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.integration import audit
from tests.integration.erps import Ledger
from tests.integration.kafka_office import STATUS, Office, read_all, told
from tests.integration.watch import Watch, lines

BEFORE, DURING, AFTER = 8, 16, 8
"""Declarations."""
LATEST = 240.0
"""Seconds from the end of the trouble to its last notification."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there was to see of it."""

    pager: Counter[tuple[str, str]]
    """(alert, firing or resolved) -> notifications."""
    fired: set[str]
    """Alerts that fired at all, also those that somebody on call is spared."""
    figures: dict[str, float]


async def killed(office: Office, folder: Path, *, seconds: float, factor: float, seed: int) -> Seen:
    """kill -9 of the broker for `seconds`, with declarations before, meanwhile and afterwards; rules `factor` times as
    fast as they are shipped. Nothing lost, order kept, one alert: that is asserted here."""
    ledger = Ledger(folder / "ledger.jsonl")
    sender, sent = office.sender(ledger), office.parcels(seed, BEFORE + DURING + AFTER)
    async with audit.looking(office.url) as connection:
        clients = {parcel.account.name for parcel in sent}
        before = sum(row["client"] in clients for row in await connection.fetch(audit.CERTIFICATES))
    figures = {}
    with Watch(folder / "watch", office.processes, factor) as watch:
        await asyncio.gather(*(sender.deliver(parcel) for parcel in sent[:BEFORE]))
        began, began_at = time.monotonic(), datetime.now(UTC).isoformat()
        await asyncio.to_thread(office.kafka.kill)
        # Intake goes on, all the time.
        answered = []
        for parcel in sent[BEFORE : BEFORE + DURING]:
            asked = time.monotonic()
            await sender.deliver(parcel)
            answered.append(time.monotonic() - asked)
            await asyncio.sleep(max(0.0, seconds * 0.9 / DURING - answered[-1]))
        await asyncio.sleep(began + seconds - time.monotonic())
        assert sender.retries == 0, "a declaration got no answer at once"
        await asyncio.to_thread(office.kafka.start)
        back = time.monotonic()
        await asyncio.gather(*(sender.deliver(parcel) for parcel in sent[BEFORE + DURING :]))
        await office.rested(ledger, sent, before)
        figures["everything at its end after, s"] = time.monotonic() - back
        assert await asyncio.to_thread(watch.until, "BrokerAway", "resolved", LATEST)
        figures["slowest answer meanwhile, s"] = max(answered)
        for told_of in watch.pager:
            figures[f"{told_of.alert} {told_of.status} at, s"] = told_of.at - began
        seen = Seen(Counter((one.alert, one.status) for one in watch.pager), watch.ever_fired(), figures)
    ledger.close()
    # Order is kept for each certificate, and nothing is missing.
    async with audit.looking(office.url) as connection:
        sequences = {row["id"]: row["sequence"] for row in await connection.fetch(audit.CERTIFICATES)}
    records = await read_all(office.kafka.bootstrap, STATUS)
    assert told(records) == {name: list(range(1, last + 1)) for name, last in sequences.items()}
    # One alert at the start and one at the end: for who is on call, and in every process's log.
    assert [seen.pager["BrokerAway", status] for status in ("firing", "resolved")] == [1, 1], seen
    for roles, process in office.processes.items():
        told_by = [line for line in lines(process, "neighbour.away", "neighbour.back") if line["time"] > began_at]
        said = [(line["event"], line["neighbour"]) for line in told_by]
        assert said == [("neighbour.away", "broker"), ("neighbour.back", "broker")], (roles, told_by)
    return seen
