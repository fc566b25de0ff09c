"""The open connections of a listener, and which of them have to go when there are too many.

A connection belongs to a *stranger* until a request on it has shown a valid key, and again when that request has its
answer. Strangers hold no place against others: past a limit for each address, or when the listener is full, one of
them goes, first those that have had an answer, then those that never asked, each in the order they came. A newcomer
always gets in, and needs only the moment its request takes.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Generic, TypeVar

YOUNG: Final = 5.0
"""Seconds a newcomer may take to show its key before it counts against its address: many may arrive in one moment."""
MELTING: Final = 2
"""Strangers of an address that go when one more of it comes: the surplus of a burst melts."""

T = TypeVar("T")


@dataclass(slots=True)
class _Strangers(Generic[T]):
    """Those of one address, of each kind the oldest first."""

    answered: OrderedDict[T, None] = field(default_factory=OrderedDict)
    asking: OrderedDict[T, float] = field(default_factory=OrderedDict)
    """With the moment it came."""

    def __len__(self) -> int:
        return len(self.answered) + len(self.asking)

    def __iter__(self) -> Iterator[T]:
        """In the order in which they go."""
        yield from self.answered
        yield from self.asking

    def late(self, since: float) -> Iterator[T]:
        """In that order, without those that asked for nothing yet and came after `since`."""
        yield from self.answered
        for one, came in self.asking.items():
            if came > since:
                return
            yield one

    def forget(self, one: T) -> None:
        self.answered.pop(one, None)
        self.asking.pop(one, None)


class Connections(Generic[T]):
    """Who is connected, and from where. Not for several threads."""

    def __init__(self, most: int, most_of_one: int, monotonic: Callable[[], float]) -> None:
        """`most`: connections in all; `most_of_one`: strangers of one address. `monotonic` gives seconds."""
        self._most = most
        self._most_of_one = most_of_one
        self._monotonic = monotonic
        self._addresses: dict[T, str] = {}
        self._strangers: dict[str, _Strangers[T]] = {}

    def enter(self, connection: T, address: str) -> list[T]:
        """A new connection, of a stranger. Returns those that must be ended now; the new one too, where all others
        are known."""
        now = self._monotonic()
        own = self._strangers.setdefault(network(address), _Strangers())
        own.asking[connection] = now
        self._addresses[connection] = network(address)
        surplus = max(0, min(len(own) - self._most_of_one, MELTING))
        gone = list(islice(own.late(now - YOUNG), surplus))
        if not gone and len(self._addresses) > self._most:
            crowd = max(self._strangers.values(), key=lambda strangers: len(strangers))
            gone = [next(iter(crowd))]
        for one in gone:
            self.leave(one)
        return gone

    def known(self, connection: T) -> None:
        """A valid key was shown on it: it stays."""
        own = self._strangers.get(self._addresses.get(connection, ""))
        if own is not None:
            own.forget(connection)

    def answered(self, connection: T) -> None:
        """Its request has its answer: it is anybody's again."""
        address = self._addresses.get(connection)
        if address is not None:
            own = self._strangers.get(address)
            if own is None:
                own = self._strangers[address] = _Strangers()
            own.forget(connection)
            own.answered[connection] = None

    def leave(self, connection: T) -> None:
        """It is gone."""
        address = self._addresses.pop(connection, "")
        own = self._strangers.get(address)
        if own is not None:
            own.forget(connection)
            if not own:
                del self._strangers[address]

    def __len__(self) -> int:
        return len(self._addresses)


def network(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which a single host has for itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
