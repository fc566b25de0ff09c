"""What may go wrong, where, and how often: drawn from the seed, counted by kind."""

from collections import Counter
from enum import StrEnum
from random import Random


class Bug(Exception):
    """Our own mistake, played."""


class Fault(StrEnum):
    """Every kind of trouble. A run in which one of them never happened proves nothing about it."""

    CRASH = "crash before a call took effect"
    CRASH_AFTER = "crash after a call took effect"
    STALL = "process stands still longer than its session"
    DATABASE_REFUSED = "database refuses a connection"
    READ_CUT = "connection cut while reading"
    DEADLOCK = "deadlock: somebody else was first"
    COMMIT_REFUSED = "transaction lost before COMMIT"
    COMMIT_MADE = "COMMIT made, outcome unknown"
    COMMIT_LOST = "COMMIT lost, outcome unknown"
    SESSION_ENDED = "process stands still in a transaction, its session is ended"
    COMMIT_LATE = "COMMIT made after its sender gave up"
    BUS_REFUSED = "bus refuses a call"
    REDELIVERED = "records handed out again"
    REORDERED = "partitions read in another order"
    ACK_LOST = "acknowledgement lost before it took effect"
    ACK_UNKNOWN = "acknowledgement made, answer lost"
    PUBLISH_UNKNOWN = "published, answer lost"
    PUBLISH_TWICE = "published twice"
    REQUEST_LOST = "request lost on its way in"
    ANSWER_LOST = "answer lost on its way out"
    PRINTER_REFUSED = "printer takes nothing"
    PRINTER_AWAY = "printer can't be reached"
    PRINTED_UNKNOWN = "printed, answer lost"
    BLANK_UNKNOWN = "bytes sent, answer lost, nothing printed"
    RENDER_REFUSED = "no signed file can be made"
    KILLED = "a process is killed"
    STOPPED = "a process is stopped in good order"
    REBALANCED = "a reader loses its partitions"
    FENCED = "a replaced reader tries to acknowledge"
    DATABASE_OUTAGE = "database away for a while"
    BUS_OUTAGE = "bus away for a while"
    CLOCK_FORWARD = "clock jumps forward, due dates come"
    CLOCK_BACK = "one host's clock jumps back"
    BUG_READING = "our bug while reading"
    BUG_DECIDING = "our bug while deciding"
    BUG_SAVING = "our bug while saving"
    BUG_AT_DOOR = "our bug at the door"
    REPLAYED = "a parked message is handled again"
    DEAD_REPLAYED = "a dead letter is sent again"
    DEAD_AGAIN = "a dead letter that was sent again dies again"
    RECEIPT_TWICE = "receipt sent twice"
    RECEIPT_LATE = "receipt late, after later ones"
    LAYOUT_FIRST = "layout before approval"
    CODE_UNKNOWN = "receipt with a code nobody told us"
    GARBAGE = "unreadable message from customs"
    STRAY = "receipt about no certificate of ours"
    WITHDRAWN = "approval withdrawn"
    SILENCE = "customs says nothing"
    OVERDUE = "something due did not come"
    RESENT = "declaration sent to customs again"
    CORRECTED = "returned certificate corrected"
    SAME_AGAIN = "declaration sent again"
    CLAIMED = "body too large for the broker"
    ANSWERED_AGAIN = "declaration on the bus answered again"
    TRESPASS = "declaration for another enterprise, or under its number"


AT: dict[str, tuple[Fault, ...]] = {
    "store.begin": (Fault.CRASH, Fault.STALL, Fault.DATABASE_REFUSED),
    "store.read": (Fault.CRASH, Fault.READ_CUT, Fault.DEADLOCK),
    "store.commit": (
        Fault.CRASH,
        Fault.CRASH_AFTER,
        Fault.COMMIT_REFUSED,
        Fault.COMMIT_MADE,
        Fault.COMMIT_LOST,
        Fault.COMMIT_LATE,
        Fault.SESSION_ENDED,
    ),
    "bus.join": (Fault.CRASH, Fault.BUS_REFUSED),
    "bus.poll": (Fault.CRASH, Fault.STALL, Fault.BUS_REFUSED, Fault.REDELIVERED, Fault.REORDERED, Fault.REORDERED),
    "bus.ack": (Fault.CRASH, Fault.CRASH_AFTER, Fault.STALL, Fault.ACK_LOST, Fault.ACK_UNKNOWN),
    "bus.publish": (
        Fault.CRASH,
        Fault.CRASH_AFTER,
        Fault.BUS_REFUSED,
        Fault.PUBLISH_UNKNOWN,
        Fault.PUBLISH_TWICE,
        Fault.PUBLISH_TWICE,
    ),
    "erp.publish": (Fault.BUS_REFUSED, Fault.PUBLISH_UNKNOWN, Fault.PUBLISH_TWICE),
    "http.request": (Fault.REQUEST_LOST,),
    "http.answer": (Fault.ANSWER_LOST,),
    "printer.submit": (
        Fault.CRASH,
        Fault.CRASH_AFTER,
        Fault.CRASH_AFTER,
        Fault.STALL,
        Fault.STALL,
        Fault.PRINTER_REFUSED,
        Fault.PRINTER_AWAY,
        Fault.PRINTED_UNKNOWN,
        Fault.BLANK_UNKNOWN,
    ),
    "printer.ask": (Fault.CRASH, Fault.PRINTER_AWAY),
    "render": (Fault.CRASH, Fault.STALL, Fault.RENDER_REFUSED),
}
"""Where -> what may go wrong there. Every awaited call of a port passes one of these points."""

OFTEN = {"bus.poll": 0.125, "printer.submit": 6.0, "printer.ask": 3.0, "render": 3.0}
"""Where calls fail more or less often than elsewhere: polls are many, prints are few."""
MOST = 0.5
"""No call fails more often than this: else nothing would ever come through."""


class Faults:
    """Draws trouble. A seed has its own rate and its own set of kinds, so that some worlds know few troubles well."""

    def __init__(self, dice: Random) -> None:
        self.counted: Counter[Fault] = Counter()
        self.calm = False
        self.burst = 0.0
        """A bad moment: calls fail at least this often."""
        self._dice = dice
        self._rate = dice.choice((0.01, 0.02, 0.04, 0.08, 0.15))
        kinds = list(Fault)
        share = dice.choice((0.4, 0.7, 1.0))
        self._kinds = frozenset(kind for kind in kinds if dice.random() < share)

    def has(self, fault: Fault) -> bool:
        """Does this world know that trouble, and is it still a time of troubles?"""
        return not self.calm and fault in self._kinds

    def draw(self, point: str) -> Fault | None:
        """What goes wrong at this point, now: mostly nothing."""
        if self.calm:
            return None
        if self._dice.random() >= min(max(self._rate, self.burst) * OFTEN.get(point, 1.0), MOST):
            return None
        known = [fault for fault in AT[point] if fault in self._kinds]
        return self._dice.choice(known) if known else None

    def chance(self, fault: Fault, probability: float) -> bool:
        """True when `fault` is to happen; counted then."""
        if self.has(fault) and self._dice.random() < probability:
            self.count(fault)
            return True
        return False

    def count(self, fault: Fault) -> None:
        """It happened."""
        self.counted[fault] += 1
