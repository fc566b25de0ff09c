"""Which faults strike, in which order, at whom and for how long: one seed, one schedule."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle
from random import Random


class Kind(StrEnum):
    """What can be done to the gateway and its neighbours."""

    KILL = "kill -9"
    PAUSE = "pause beyond the session"
    DATABASE = "postmaster kill -9"
    BROKER = "broker kill -9"
    COMMIT = "cut after COMMIT was sent"
    PARTITION = "one-way partition from the database"
    DETOUR = "one-way partition from the broker"
    DISK = "full disk of the spool"
    DATA = "full disk of the database"


WEIGHTS: Mapping[Kind, float] = {
    Kind.KILL: 62,
    Kind.PAUSE: 10,
    Kind.DATABASE: 7,
    Kind.BROKER: 7,
    Kind.COMMIT: 6,
    Kind.PARTITION: 4,
    Kind.DETOUR: 3,
    Kind.DISK: 1,
    Kind.DATA: 1,
}
"""The share of each kind among the faults after the first round, in which each kind strikes once."""
ROLES: Mapping[Kind, Sequence[str]] = {
    Kind.KILL: ("turn", "relay", "render", "print", "intake", "customs"),
    Kind.PAUSE: ("turn", "relay", "intake", "render", "print"),
    Kind.COMMIT: ("turn", "intake"),
    Kind.PARTITION: ("turn", "relay", "intake", "render", "print"),
    Kind.DETOUR: ("turn", "relay", "render", "print"),
}
"""Whom a kind strikes, in turn: roles that commit often where a commit is waited for."""
OF_KAFKA = frozenset({Kind.BROKER, Kind.DETOUR})
"""Kinds that need a broker."""
BEYOND = 2.0
"""Seconds a pause is longer than the session."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    number: int
    kind: Kind
    target: str
    """The process (role and number), the broker's number, or empty."""
    seconds: float
    """How long it lasts, where that is ours to say."""
    after: float
    """When, as a part of the load that belongs to it."""
    coin: bool
    """Which of the two ways that the kind has."""


def schedule(
    seed: int, count: int, fleet: Iterable[str], *, session: float, brokers: int, kinds: Iterable[Kind] = Kind
) -> tuple[Fault, ...]:
    """`count` faults. The first ones are of each kind once; kills and pauses go through the roles in turn.

    fleet: names of the processes, ``<role>-<n>``. session: seconds after which a silent process is replaced.
    brokers: 0 where there is no Kafka.
    """
    random = Random(f"storm/{seed}")  # noqa: S311 (a schedule, not a secret)
    names = list(fleet)
    possible = [kind for kind in Kind if kind in set(kinds) and (brokers or kind not in OF_KAFKA)]
    first = random.sample(possible, len(possible))
    drawn = random.choices(possible, [WEIGHTS[kind] for kind in possible], k=max(0, count - len(first)))
    first_ones = [name for name in names if name.endswith("-1")]  # a fault proxy stands before these
    turns = {
        kind: _in_turn(random, first_ones if kind is Kind.DETOUR else names, roles) for kind, roles in ROLES.items()
    }
    found = []
    for number, kind in enumerate((first + drawn)[:count], 1):
        if kind is Kind.BROKER:
            target = str(random.randint(1, brokers))
        elif kind in turns:
            target = next(turns[kind])
        else:
            target = ""
        seconds = {
            Kind.PAUSE: session + BEYOND,
            Kind.PARTITION: random.uniform(2.0, session + 4.0),
            Kind.DETOUR: random.uniform(2.0, session + 4.0),
            Kind.DATA: random.uniform(2.0, session),
            Kind.BROKER: random.choice((0.0, 0.0, 2.0, session)),
        }.get(kind, 0.0)
        found.append(Fault(number, kind, target, seconds, random.uniform(0.1, 0.6), random.random() < 0.5))
    return tuple(found)


def _in_turn(random: Random, names: Sequence[str], roles: Sequence[str]) -> Iterator[str]:
    """A process of each role in turn, for ever; roles that nobody has are left out."""
    there = [role for role in roles if any(role_of(name) == role for name in names)]
    return (random.choice([name for name in names if role_of(name) == role]) for role in cycle(there))


def role_of(name: str) -> str:
    """The role of a process by its name."""
    return name.rpartition("-")[0]
