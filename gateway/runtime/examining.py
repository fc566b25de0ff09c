"""What can be said of a document without the database: read it, hold it against the rules. Pure work of the processor.

Most documents are small, plain and good: that costs some 0.2 ms, and the event loop does it itself (`at_once`). All
others may cost a second, however good: they are examined beside the loop (`gateway.examiner`).
"""

from collections.abc import Callable, Mapping, Set
from itertools import islice
from typing import Final, Protocol

from gateway.core.declaration import texts
from gateway.core.faults import MAX_FAULTS, Fault, Refused, Severity, in_order
from gateway.ports import Dialect, Reading
from gateway.runtime import door_faults, ownership
from gateway.runtime.quotas import draft_faults
from gateway.runtime.submission import Examined, Rejected, Submission, content

MAX_BYTES: Final = 1 << 20
"""Largest document unless ORIGIN_MAX_BYTES says otherwise, bytes: 1 MiB."""
MOST_BYTES: Final = 8 << 20
"""The most that ORIGIN_MAX_BYTES may say (ops/decisions/0047). libxml2 reads no text of more than 10 million
characters."""
SMALL: Final = 16 << 10
"""Bytes up to which a plain document is examined at once: the dearest found takes some milliseconds."""


class Checks(Protocol):
    """Judges a reading by the profile of its certificate type."""

    def faults(self, reading: Reading) -> list[Fault]:
        """Every rule that is broken, with the path and line in the sender's document."""
        ...


class Examiner:
    """Examines documents. The cost of any is at most linear in its bytes."""

    def __init__(
        self,
        dialects: Mapping[str, Dialect],
        checks: Checks,
        unprintable: Callable[[str], Set[str]],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """`unprintable`: the characters of a text that the certificate's font has no glyph for."""
        self._dialects = dialects
        self._checks = checks
        self._unprintable = unprintable
        if missing := unprintable("".join(map(chr, range(0x20, 0x7F)))):
            raise ValueError(f"a font without {missing} prints nothing that is declared")
        self._max_bytes = max_bytes

    def examine(self, submission: Submission) -> Examined:
        """Raises Refused with every fault."""
        return self._judged(submission, self._dialect(submission).read(submission.body))

    def at_once(self, submission: Submission) -> Examined | None:
        """The same where it costs little; None: it may cost more. Raises Refused with every fault."""
        dialect = self._dialect(submission)
        reading = dialect.read_plainly(submission.body) if len(submission.body) <= SMALL else None
        return None if reading is None else self._judged(submission, reading)

    def _dialect(self, submission: Submission) -> Dialect:
        if submission.has_reserved_key():
            raise Refused([door_faults.key_reserved()])
        if len(submission.body) > self._max_bytes:
            raise Refused([door_faults.too_large(self._max_bytes)])
        dialect = self._dialects.get(submission.media_type)
        if dialect is None:
            raise Refused([door_faults.unknown_media_type(tuple(self._dialects))])
        return dialect

    def _judged(self, submission: Submission, reading: Reading) -> Examined:
        packed = content(reading.fields)
        faults = [*reading.warnings, *self._text_faults(reading), *self._checks.faults(reading)]
        faults += ownership.faults(reading, submission.client)
        faults += draft_faults(reading, submission.client)
        reference = reading.reference or submission.reference
        if faults and any(fault.severity is Severity.REFUSE for fault in faults):
            raise Rejected(faults, reference)
        return Examined.of(submission, reading.fields, packed, reference, in_order(faults) if faults else ())

    def _text_faults(self, reading: Reading) -> list[Fault]:
        """Characters that can't be printed; most documents have none, and one look at all of it tells."""
        if not self._unprintable(reading.unusual):
            return []
        found = ((place, missing) for place, text in texts(reading.fields) if (missing := self._unprintable(text)))
        return [door_faults.no_glyph(*reading.locate(place), missing) for place, missing in islice(found, MAX_FAULTS)]
