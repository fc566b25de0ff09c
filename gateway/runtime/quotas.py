"""Counts what each client does and says when it is as much as it may (`gateway.core.quotas`, ops/decisions/0024).

Counted in memory, so that a declaration costs no statement and a flood over its quota next to nothing. Once a second
the processes of one gateway tell each other, through one small table, what they counted.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from gateway.core.faults import Fault
from gateway.core.quotas import MINUTE, Over, Quota, Used, over, windows
from gateway.ports import Clock, Reading, Unavailable
from gateway.runtime import door_faults
from gateway.runtime.held import Held
from gateway.runtime.submission import Client

PAUSE: Final = 1.0
"""Seconds between two exchanges."""
STEADY: Final = 2 * MINUTE
"""Seconds after its last declaration for which the others are asked about a client."""
_DAILY: Final = (Quota.DECLARATIONS_PER_DAY, Quota.BYTES_PER_DAY)


class Count(NamedTuple):
    """What one process, or several together, counted of a client."""

    client: str
    used: Used


class QuotaTable(Protocol):
    """Where the processes of one gateway tell each other what they counted."""

    async def exchange(
        self, process: UUID, own: Sequence[Count], asked: Sequence[str], minute: int, day: int
    ) -> Mapping[str, Used]:
        """Write what `process` counted, in place of what it wrote before, and return what all other processes together
        counted of the clients `asked` in this minute and day. Raises Unavailable."""
        ...


Told = Callable[[str, Over, bool], None]
"""Told of a client that may do no more: its id, why, and whether this is the first time in this minute or day."""


@dataclass(slots=True)
class _Account:
    own: Used
    others: Used
    asked: float
    """When it last sent something, seconds since 1970."""
    changed: bool = True
    """Not told to the others yet."""
    over_in: dict[Quota, int] = field(default_factory=dict)
    """Quota -> the minute or day in which its first refusal was told."""


class Quotas:
    """One object per process. Start `run` as a task; it is right without, but for what other processes count."""

    def __init__(self, clock: Clock, table: QuotaTable, process: UUID, told: Told) -> None:
        """`process`: a name that no other process of this gateway has, nor an earlier one."""
        self._clock = clock
        self._table = table
        self._process = process
        self._told = told
        self._accounts: dict[str, _Account] = {}
        self._held = Held[tuple[str, Quota]]()
        self._day = 0

    async def meet(self, clients: Sequence[str]) -> None:
        """Hear, before it counts anything of them, what is used of clients it has not heard of in this process: one
        that starts anew must not give them the day's quota again. Asks once for each. Raises Unavailable."""
        new = [name for name in clients if name not in self._accounts]
        if not new:
            return
        now = self._clock.now().timestamp()
        minute, day = windows(now)
        others = await self._table.exchange(self._process, [], new, minute, day)
        for name in new:
            used = others.get(name) or Used(minute, day)
            self._accounts.setdefault(name, _Account(Used(minute, day), used, now, changed=False))

    def enter(self, client: Client, size: int = 0) -> Over | None:
        """Count one more declaration of `size` bytes; Over: the client may send none now, and nothing was counted."""
        now, account = self._account(client)
        found = over(client.limits, account.own, account.others, now)
        if found is None:
            account.own.add(1, size)
            account.changed = True
        else:
            self.refused(client, found)
        return found

    def room(self, client: Client) -> Over | None:
        """What keeps the client from sending one more declaration now; None: nothing."""
        now, account = self._account(client)
        return over(client.limits, account.own, account.others, now)

    def count(self, client: Client, size: int, declarations: int = 1) -> None:
        """Count what is taken anyway; `declarations` 0: only its bytes."""
        _, account = self._account(client)
        account.own.add(declarations, size)
        account.changed = True

    def uncount(self, client: Client, size: int, declarations: int = 1) -> None:
        """They had no verdict, because of us, and come again: they are counted then."""
        _, account = self._account(client)
        account.own.take_back(declarations, size)
        account.changed = True

    def held(self, client: Client, quota: Quota) -> contextlib.AbstractContextManager[None]:
        """One more request or stream at the same time, for as long as the block lasts."""
        return self._held.one((client.id, quota))

    def full(self, client: Client, quota: Quota) -> Over | None:
        """What keeps the client from one more request or stream now; None: nothing. A refusal is told."""
        most: int | None = getattr(client.limits, quota)
        if most is None or self._held.of((client.id, quota)) < most:
            return None
        found = Over(quota, most, 1)
        self.refused(client, found)
        return found

    def refused(self, client: Client, found: Over, *, waits: bool = False) -> None:
        """The client was told to come again; `waits`: what it sent stays where it is, which is said once."""
        _, account = self._account(client)
        window = account.own.day if found.quota in _DAILY else account.own.minute
        first = account.over_in.get(found.quota) != window
        account.over_in[found.quota] = window
        if first or not waits:
            self._told(client.id, found, first)

    async def run(self) -> None:
        """Exchange what was counted, once a second, until cancelled. While the database is away each counts alone."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.exchange()
            await asyncio.sleep(PAUSE)

    async def exchange(self) -> None:
        """Tell the others, and hear of them. Nothing is asked where nobody has sent anything. Raises Unavailable."""
        now = self._clock.now().timestamp()
        minute, day = windows(now)
        if day != self._day:
            self._accounts = {name: one for name, one in self._accounts.items() if one.own.day == day}
            self._day = day
        changed = [(name, one) for name, one in self._accounts.items() if one.changed]
        asked = [name for name, one in self._accounts.items() if now - one.asked < STEADY]
        if not changed and not asked:
            return
        told = []
        for name, one in changed:
            one.changed = False
            told.append(Count(name, one.own))
        try:
            others = await self._table.exchange(self._process, told, asked, minute, day)
        except BaseException:
            for _, one in changed:
                one.changed = True
            raise
        for name in asked:
            if (account := self._accounts.get(name)) is not None:
                account.others = others.get(name) or Used(minute, day)
                account.others.turn_to(account.own.minute, account.own.day)

    def _account(self, client: Client) -> tuple[float, _Account]:
        now = self._clock.now().timestamp()
        account = self._accounts.get(client.id)
        if account is None:
            minute, day = windows(now)
            account = self._accounts[client.id] = _Account(Used(minute, day), Used(minute, day), now)
        account.asked = now
        if account.own.minute != now // MINUTE:
            minute, day = windows(now)
            account.own.turn_to(minute, day)
            account.others.turn_to(minute, day)
        return now, account


def draft_faults(reading: Reading, client: Client) -> list[Fault]:
    """One more draft than the client may have open. A declaration (ApplyType 1) is never kept from its place."""
    most = client.limits.open_drafts
    if most is None or client.open_drafts < most or reading.fields["apply_type"] == "1":
        return []
    return [door_faults.too_many_drafts(*reading.locate(("apply_type",)), most)]
