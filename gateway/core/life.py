"""A life: what a kind of subject takes in, decides and becomes.

The turn, the stores, parked messages and the audit know subjects only through the register of lives: a new kind is one
life, one line in the register, and its own projection.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from gateway.core.decision import Decision, Event, Json
from gateway.core.value import Value

RESERVED: Final = frozenset({"at", "data", "id", "kind", "message", "previous", "sequence", "hash"})
"""Members of a hashed event: no kind may be called so, for an event names its subject by its kind."""


class NewerState(Exception):
    """A newer version wrote a state that this one can't carry on."""


class OlderLife(ValueError):
    """The first event of a life does not tell all: it opens none, or is older than the rule that events alone make a
    state."""


class TimerDue(Value):
    """A due date passed."""

    message_id: UUID
    kind: str
    """Of subject, e.g. certificate."""
    subject_id: UUID
    about: str
    """A reminder of its life."""
    revision: int
    resends: int = 0
    """How often the rule in force lets its life send the same again, all in all."""


class About(NamedTuple):
    """Which subject a message is about: by its id, or by a business key that is unique within its kind."""

    kind: str
    id: UUID | None = None
    key: str = ""


class Opening(NamedTuple):
    """A subject that is not there yet, as its first message makes it."""

    kind: str
    id: UUID
    key: str
    owner: str
    """Credit code of the enterprise whose it is."""


class Receipt(NamedTuple):
    """What somebody else sent, by reference to its stored bytes."""

    key: str
    """The business key that it names."""
    raw_sha256: str


class Letter(NamedTuple):
    """A record that nobody can read: where it is kept, and why."""

    id: UUID
    code: str
    detail: str


class State(Protocol):
    """What is known of one subject."""

    @property
    def id(self) -> UUID:
        """The subject's own."""
        ...

    @property
    def sequence(self) -> int:
        """Number of events so far: the next one is sequence + 1, gapless."""
        ...

    @property
    def revision(self) -> int:
        """Of its content; 1 where that never changes."""
        ...

    @property
    def status(self) -> str:
        """One word for people."""
        ...

    @property
    def overdue(self) -> tuple[str, ...]:
        """What was due and is still missing."""
        ...

    def model_dump_json(self) -> str:
        """As it is stored."""
        ...

    def known(self) -> dict[str, Any]:
        """What this version knows of it: what its events make again."""
        ...


S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class Life(Generic[S]):
    """One kind of subject. All of it is pure."""

    kind: str
    messages: frozenset[type]
    """What it reacts to; no two lives share one. Due dates are not among them: each life has its own."""
    events: type[StrEnum]
    """What can happen to it."""
    reminders: frozenset[str]
    """What its due dates are about."""
    about: Callable[[Any], About]
    opens: Callable[[Any], Opening | None]
    """The subject that a message may begin; None: it begins none, or the intake has written it already."""
    read: Callable[[str], S]
    """A stored state. Raises NewerState; ValidationError for what no version wrote."""
    decide: Callable[[S | None, Any, datetime], Decision]
    evolve: Callable[[S | None, Event], S]
    told: Callable[[S], Mapping[str, Json]]
    """What a status event says of the subject, besides what every event has."""
    kept: Callable[[Any], Receipt | None] = lambda message: None
    """What of a message is kept as a receipt, because somebody else sent it."""
    unreadable: Callable[[UUID, Letter], Value] | None = None
    """The message that tells a subject of something that is about it and that nobody can read."""

    def apply(self, state: S | None, message: Any, now: datetime) -> tuple[S | None, Decision]:
        """Decide and evolve in one step."""
        decision = self.decide(state, message, now)
        for event in decision.events:
            state = self.evolve(state, event)
        return state, decision

    def fold(self, events: Iterable[Event]) -> S | None:
        """The state that these events, in order and from the first on, leave behind. Raises OlderLife."""
        state: S | None = None
        for event in events:
            state = self.evolve(state, event)
        return state


class Register:
    """The lives that there are."""

    def __init__(self, *lives: Life[Any]) -> None:
        """Raises ValueError for two lives of one kind, or with one message."""
        self._by_kind = {life.kind: life for life in lives}
        self._by_message = {message: life for life in lives for message in life.messages}
        if len(self._by_kind) < len(lives) or RESERVED & self._by_kind.keys():
            raise ValueError("a kind of subject has a name of its own")
        if len(self._by_message) < sum(len(life.messages) for life in lives):
            raise ValueError("a message belongs to one life")

    def __iter__(self) -> Iterator[Life[Any]]:
        """All of them."""
        return iter(self._by_kind.values())

    def __getitem__(self, kind: str) -> Life[Any]:
        """Raises KeyError."""
        return self._by_kind[kind]

    def __contains__(self, kind: object) -> bool:
        """Is it one of ours?"""
        return kind in self._by_kind

    def of(self, message: object) -> Life[Any]:
        """Whose message it is. Raises KeyError."""
        return self._by_kind[message.kind] if isinstance(message, TimerDue) else self._by_message[type(message)]

    def about(self, message: object) -> About:
        """Which subject it is about. Raises KeyError."""
        if isinstance(message, TimerDue):
            return About(message.kind, message.subject_id)
        return self._by_message[type(message)].about(message)
