"""An audit that holds: each event carries the hash of the one before it on its certificate, each day's events a root.

An event's hash is SHA-256 over the canonical JSON (RFC 8785: sorted names, no blanks, UTF-8) of all that is stored
about it: ``at``, ``data``, ``id``, ``kind``, ``message``, ``previous``, ``sequence``, and the subject's id under the
name of its kind, ``certificate``. The first event of a subject follows `GENESIS`. The status topic carries the same
eight members, so anybody who reads it can check.

A day's root is SHA-256 over the canonical JSON of ``day``, ``events`` (how many), ``leaves`` (SHA-256 over the day's
event hashes, ordered by certificate id, then sequence) and ``previous`` (the root of the day before). A root kept
outside the database pins everything before it. Events from before the audit have no hash; nothing vouches for them.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import orjson

GENESIS = "0" * 64
"""What the first event of a certificate, and the first day, follow."""
DAY = timedelta(days=1)


def event_hash(
    life: str, subject: UUID, sequence: int, identity: UUID, kind: str, data: Any, message: UUID, at: str, previous: str
) -> str:
    """SHA-256 of one event of a `life`, hex. `at`: RFC 3339, UTC, milliseconds (microseconds where it has such)."""
    members = {
        "at": at,
        life: str(subject),
        "data": data,
        "id": str(identity),
        "kind": kind,
        "message": str(message),
        "previous": previous,
        "sequence": sequence,
    }
    return hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).hexdigest()


def day_root(day: date, events: int, leaves: str, previous: str) -> str:
    """The root of one day, hex."""
    members = {"day": day.isoformat(), "events": events, "leaves": leaves, "previous": previous}
    return hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Leaves:
    """The event hashes of one day, as they are added: in the order of certificate id, then sequence."""

    def __init__(self) -> None:
        self.events = 0
        self._digest = hashlib.sha256()

    def add(self, event: str) -> None:
        """One more hash, hex."""
        self.events += 1
        self._digest.update(bytes.fromhex(event))

    def root(self, day: date, previous: str) -> str:
        """The day's root after that of the day before."""
        return day_root(day, self.events, self._digest.hexdigest(), previous)


# ---------------------------------------------------------------- is it still whole?


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is not as it was written."""

    code: str
    what: str
    certificate: UUID | None = None
    sequence: int | None = None
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One event as the database has it now; whatever it says is doubted."""

    life: str
    """Kind of subject; "": its subject is gone."""
    certificate: UUID
    """The subject, of whatever kind."""
    sequence: int
    id: UUID
    kind: str
    data: str
    """JSON."""
    message: UUID
    at: str
    """RFC 3339, UTC, microseconds."""
    hash: str | None
    """None: it says that it is older than the audit."""
    day: date | None
    """The day whose root counts it."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The root of one day as the database has it now."""

    day: date
    root: str
    events: int


class Walk:
    """Goes through rows in the order of certificate id, then sequence, and collects the leaves of each day."""

    def __init__(self, since: str) -> None:
        """`since`: when the audit began, RFC 3339, UTC, microseconds."""
        self.leaves: dict[date, Leaves] = {}
        self.events = 0
        self.unaudited = 0
        self._since = since

    def life(self, certificate: UUID, sequence: int, head: str, rows: Iterable[Row]) -> Iterator[Flaw]:
        """All `rows` of one certificate, which says that it has `sequence` events and that the last hash is `head`."""
        previous, expected = GENESIS, 1
        for row in rows:
            if row.sequence > expected:
                yield _missing(certificate, expected, row.sequence)
            yield from self.row(row, previous, follows=row.sequence == expected)
            previous, expected = row.hash or GENESIS, row.sequence + 1
        if expected <= sequence:
            yield _missing(certificate, expected, sequence + 1)
        elif expected > sequence + 1:
            what = f"its certificate knows of {sequence} events only: rows were put in, or the certificate was changed"
            yield Flaw("event.surplus", what, certificate, sequence + 1)
        elif previous != head:
            what = "its hash is not the last one that its certificate remembers: one of the two was changed"
            yield Flaw("event.head", what, certificate, sequence)

    def row(self, row: Row, previous: str, *, follows: bool) -> Iterator[Flaw]:
        """One row after the hash `previous`; `follows`: the row before it is there, so that its hash can be made."""
        self.events += 1
        place = (row.certificate, row.sequence, row.day)
        if row.hash is None:
            self.unaudited += 1
            if previous != GENESIS or row.at >= self._since:
                yield Flaw("event.unhashed", "its hash is gone, and it is not from before the audit", *place)
            return
        if follows and hash_of(row, previous) != row.hash:
            what = "it does not match its hash: the row, its hash or the hash before it was changed, or it was put in"
            yield Flaw("event.changed", what, *place)
        if row.day is None or row.day.isoformat() < row.at[:10]:
            yield Flaw("event.day", "the day whose root counts it was changed", *place)
        else:
            self.leaves.setdefault(row.day, Leaves()).add(row.hash)


def hash_of(row: Row, previous: str) -> str:
    """The hash that a row ought to have; empty when it holds what no event of ours does."""
    at = f"{row.at[:-4]}Z" if row.at.endswith("000Z") else row.at
    try:
        data = orjson.loads(row.data)
        return event_hash(row.life, row.certificate, row.sequence, row.id, row.kind, data, row.message, at, previous)
    except (TypeError, ValueError):
        return ""


def _missing(certificate: UUID, first: int, beyond: int) -> Flaw:
    """One flaw for a run of rows that are not there."""
    more = f", and all up to {beyond - 1}" if beyond - first > 1 else ""
    return Flaw("event.missing", f"the row is gone{more}", certificate, first)


def check_days(sealed: Sequence[Sealed], leaves: Mapping[date, Leaves], over: date, today: date) -> Iterator[Flaw]:
    """All roots against all leaves; `over`: the last day that ought to be sealed by now.

    Where a root does not fit, the next day tells what was changed: it was made after the true root of the day before.
    """
    roots = {one.day: one for one in sealed if one.day <= today}
    for day in sorted({one.day for one in sealed} - set(roots)):
        yield Flaw("day.early", "the day is not over and has a root already", day=day)
    known = {*roots, *(day for day in leaves if day <= over)}
    if not known:
        return
    told = made = GENESIS  # the root of the day before: as the database has it, and as its events make it
    doubted: date | None = None
    gone: date | None = None
    day, last = min(known), max(*roots, over) if roots else over
    while day <= last:
        found, own = roots.get(day), leaves.get(day) or Leaves()
        fresh = own.root(day, told)
        if doubted is not None:
            if found is not None and found.root == own.root(day, made):
                yield Flaw("day.root", "the root was changed; the events are those that were sealed", day=doubted)
                fresh = found.root
            elif found is not None and found.root == fresh:
                yield Flaw("day.events", EVENTS_CHANGED, day=doubted)
            else:
                yield Flaw("day.root", ROOT_OR_EVENTS, day=doubted)
            doubted = None
        if found is None:
            gone = gone or day
        else:
            if gone is not None:
                yield _rootless(gone, day)
                gone = None
            if found.root != fresh:
                doubted = day
            elif found.events != own.events:
                yield Flaw("day.count", f"{own.events} events are sealed, the row says {found.events}", day=day)
        told, made = (found.root if found is not None else fresh), fresh
        day += DAY
    if doubted is not None:
        yield Flaw("day.root", ROOT_OR_EVENTS, day=doubted)
    if gone is not None:
        yield _rootless(gone, day)


def _rootless(first: date, beyond: date) -> Flaw:
    """One flaw for a run of days."""
    more = f"; the same for all days before {beyond}" if beyond - first > DAY else ""
    return Flaw("day.missing", f"{NO_ROOT}{more}", day=first)


NO_ROOT = "it has no root: the row is gone, or no turn role ran since the day ended"
EVENTS_CHANGED = (
    "its events are not those that were sealed, or the root of the day before was changed and so was its own"
)
ROOT_OR_EVENTS = "root and events do not fit: one of them was changed, or the root of the day before"
