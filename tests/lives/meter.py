"""A kind of subject that the gateway never heard of: a meter, with readings. All that it takes to give it a life."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from gateway.core.decision import Decision, Event, Remind
from gateway.core.life import About, Life, Opening, TimerDue
from gateway.core.state import Kept
from gateway.core.value import Value


class Kind(StrEnum):
    """What can happen to a meter."""

    INSTALLED = "installed"
    READ = "read"
    NOTED = "noted"
    OVERDUE = "overdue"


class Due(StrEnum):
    """What a due date is about."""

    READING = "reading"


class Installed(Value):
    """It hangs on the wall."""

    message_id: UUID
    meter: UUID
    serial: str
    owner: str


class Taken(Value):
    """Somebody read it."""

    message_id: UUID
    meter: UUID
    value: int


class Meter(Kept):
    """What is known of one meter."""

    id: UUID
    serial: str
    sequence: int = 0
    revision: int = 1
    value: int = 0
    overdue: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        return "late" if self.overdue else "read" if self.value else "installed"


def decide(state: Meter | None, message: Installed | Taken | TimerDue, now: datetime) -> Decision:
    """A meter never runs backwards, and is read once a month."""
    match message:
        case Installed():
            if state is not None:
                return _noted("installed_before")
            event = Event(Kind.INSTALLED, {"meter": str(message.meter), "serial": message.serial})
            return Decision(events=(event,), remind=(Remind(Due.READING, 1),))
        case _ if state is None:
            return Decision()
        case Taken():
            if message.value < 0:
                raise ZeroDivisionError("a bug")
            if message.value < state.value:
                return _noted("runs_backwards")
            return Decision(events=(Event(Kind.READ, {"value": message.value}),), remind=(Remind(Due.READING, 1),))
        case TimerDue():
            return Decision(events=(Event(Kind.OVERDUE, {"about": message.about}),))


def evolve(state: Meter | None, event: Event) -> Meter:
    """The state after `event`."""
    if state is None:
        state = Meter(id=UUID(str(event.data["meter"])), serial=str(event.data["serial"]))
    changes: dict[str, object] = {"sequence": state.sequence + 1}
    if event.kind is Kind.READ:
        changes |= {"value": event.data["value"], "overdue": ()}
    elif event.kind is Kind.OVERDUE:
        changes |= {"overdue": (str(event.data["about"]),)}
    return state.model_copy(update=changes)


def _noted(what: str) -> Decision:
    return Decision(events=(Event(Kind.NOTED, {"what": what}),))


def _opens(message: object) -> Opening | None:
    if isinstance(message, Installed):
        return Opening("meter", message.meter, message.serial, message.owner)
    return None


LIFE: Final = Life(
    kind="meter",
    messages=frozenset({Installed, Taken}),
    events=Kind,
    reminders=frozenset(due.value for due in Due),
    about=lambda message: About("meter", message.meter),
    opens=_opens,
    read=Meter.model_validate_json,
    decide=decide,
    evolve=evolve,
    told=lambda state: {"serial": state.serial, "value": state.value},
)
