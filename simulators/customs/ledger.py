"""The register of the simulated customs: which questions came about a number, and the running numbers given away.

RspNo grows per certificate number over all resubmissions, so an answer needs to know what was asked before. A
question asked again (redelivered, or sent again by a gateway that heard nothing) gets the entry it had. This is the
neighbour's own book, not the gateway's database.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

MAX_RUNNING_NUMBER = 99
"""RspNo has two digits; it stays there when they are used up, and the reply's time goes on telling the order."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS question (
    id TEXT PRIMARY KEY, number TEXT NOT NULL, content TEXT NOT NULL,
    first INTEGER NOT NULL, corrected INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS certificate (
    number TEXT PRIMARY KEY, content TEXT NOT NULL, next INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS asked (
    id TEXT PRIMARY KEY, at TEXT NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question, as the register sees it."""

    id: str
    number: str
    content: str
    """Hash of what was declared."""
    replies: int
    """Most running numbers an answer may take."""
    at: datetime
    """When the sender wrote it; the same message sent again bears another time. Aware."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the register says about one question."""

    first: int
    """RspNo of its first reply."""
    corrected: bool
    """Other content came under this number before."""
    at: datetime
    """When it was asked first: all answers go by this time, so that asked again they are the same bytes."""


class Ledger:
    """A file, or memory without one. One process per file; safe to hand from thread to thread, one at a time."""

    def __init__(self, path: Path | None = None) -> None:
        """Opens or makes the file. Raises OSError or sqlite3.Error when it can't be used."""
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)

    def enter(self, inquiries: Iterable[Inquiry]) -> list[Entry]:
        """The entry of each question, made when it is new; durable on return. Raises sqlite3.Error."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            entries = [self._entry(inquiry) for inquiry in inquiries]
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return entries

    def _entry(self, inquiry: Inquiry) -> Entry:
        known = self._db.execute("SELECT first, corrected FROM question WHERE id = ?", (inquiry.id,)).fetchone()
        self._db.execute("INSERT OR IGNORE INTO asked VALUES (?, ?)", (inquiry.id, inquiry.at.isoformat()))
        (first_at,) = self._db.execute("SELECT at FROM asked WHERE id = ?", (inquiry.id,)).fetchone()
        at = datetime.fromisoformat(first_at)
        if known:
            return Entry(known[0], bool(known[1]), at)
        found = self._db.execute("SELECT content, next FROM certificate WHERE number = ?", (inquiry.number,)).fetchone()
        content, first = found or (inquiry.content, 1)
        entry = Entry(first, content != inquiry.content, at)
        self._db.execute(
            "INSERT INTO question VALUES (?, ?, ?, ?, ?)",
            (inquiry.id, inquiry.number, inquiry.content, entry.first, entry.corrected),
        )
        self._db.execute(
            "INSERT INTO certificate VALUES (?, ?, ?) ON CONFLICT (number) DO UPDATE SET next = excluded.next",
            (inquiry.number, content, min(first + inquiry.replies, MAX_RUNNING_NUMBER)),
        )
        return entry

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
