"""What `decide` answers: facts to remember, messages to send, due dates to set. Values, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from gateway.core.value import Value

Json: TypeAlias = str | int | bool | None


class EventKind(StrEnum):
    """Everything that can happen to a certificate. Names are public: they are CloudEvents types and timeline rows."""

    DRAFTED = "drafted"
    """Stored as a draft (暂存); customs hears nothing."""
    DECLARED = "declared"
    """Declared (申报); the message for customs is on the log."""
    SENT = "sent"
    """The import side took the message (技术回执)."""
    RECEIVED = "received"
    """Received by the customs system."""
    IN_REVIEW = "in_review"
    """Waiting for manual review (转人工审核)."""
    APPROVED = "approved"
    """Approved (审批通过)."""
    RETURNED = "returned"
    """Returned (退证/审核不通过): correct it and declare the same number again."""
    LAYOUT_RECEIVED = "layout_received"
    """One of the two layouts is here (版式接收成功)."""
    READY_TO_PRINT = "ready_to_print"
    """Approved and both layouts here (待打印)."""
    RENDERED = "rendered"
    """The signed file of one part is stored."""
    RENDER_REFUSED = "render_refused"
    """No signed file could be made; the reason says what is missing."""
    PRINT_AUTHORISED = "print_authorised"
    """This file, by its hash, may be printed once."""
    PRINTING = "printing"
    """A print worker claimed the job."""
    PRINTED = "printed"
    """The printer says it is printed (已打印)."""
    PRINT_REFUSED = "print_refused"
    """The printer took nothing; the print may be asked for again."""
    IN_DOUBT = "in_doubt"
    """Nobody knows whether it was printed: a person looks and confirms yes or no."""
    CONFIRMED = "confirmed"
    """A person, or a printer that may, said yes: done."""
    MISPRINTED = "misprinted"
    """A person said no: only an approved exception (打印异常申请) prints it again."""
    OVERDUE = "overdue"
    """Something that was due did not come."""
    RESENT = "resent"
    """The same declaration was sent to customs again, because customs was silent."""
    NOTED = "noted"
    """A message that changed nothing: repeated, out of date, out of order, or with a code nobody told us."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `data` is flat and holds no personal data and no image."""

    kind: StrEnum
    """One of its life's; a certificate's are `EventKind`."""
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Remind:
    """Set a due date: unless the state moved on, `about` is overdue when the rule's time is over."""

    about: StrEnum
    revision: int
    resends: int = 0
    """How often the declaration was sent again by now; the rule may give it another time after that."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of `decide` to one message."""

    events: tuple[Event, ...] = ()
    send: tuple[Value, ...] = ()
    remind: tuple[Remind, ...] = ()
