"""What each kind of fault does, and how it is seen that it struck."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import asyncpg

from ops.storm.documents import DRAFT, PAPER
from ops.storm.ground import Ground
from ops.storm.load import Load
from ops.storm.plan import Fault, Kind
from ops.storm.proxy import Way
from simulators.erp.enterprises import Enterprise

COMMIT_PATIENCE = 15.0
DISK_PATIENCE = 20.0
PATIENCE = 120.0
"""Seconds after which a gateway counts as one that does not recover."""
REFUSALS = "SELECT count(*) FROM origin.event WHERE kind = 'print_refused'"


@dataclass(frozen=True, slots=True)
class Struck:
    """What became of one fault."""

    kind: str
    target: str
    detail: str
    hit: bool
    """It did what it is for; a cut that found no commit did not."""
    lasted: float
    """Seconds from its begin to its end."""
    ready: float = 0.0
    """Seconds from its end until every process said that it is ready."""
    answered: float = 0.0
    """Seconds from its end until every intake process had answered a fresh declaration, too."""
    through: float | None = None
    """Seconds from its end until the turn had worked these; the faults after it may have come between. None: never."""


class Faults:
    """Strikes. Each kind returns what it did when the fault is over, not when the gateway has recovered."""

    def __init__(self, ground: Ground, load: Load, enterprise: Enterprise) -> None:
        """`enterprise`: whose declarations test the way after a fault."""
        self._ground, self._load, self._enterprise = ground, load, enterprise
        self._following: list[tuple[Struck, asyncio.Task[Struck]]] = []
        self._kinds: dict[Kind, Callable[[Fault], Awaitable[tuple[str, bool]]]] = {
            Kind.KILL: self._kill,
            Kind.PAUSE: self._pause,
            Kind.DATABASE: self._database,
            Kind.BROKER: self._broker,
            Kind.COMMIT: self._commit,
            Kind.PARTITION: self._partition,
            Kind.DETOUR: self._detour,
            Kind.DISK: self._disk,
            Kind.DATA: self._data,
        }

    async def strike(self, fault: Fault) -> Struck:
        """From its begin to the gateway's recovery. Raises TimeoutError when it does not recover."""
        began = time.monotonic()
        detail, hit = await self._kinds[fault.kind](fault)
        ended = time.monotonic()
        own = [fault.target] if fault.kind is Kind.KILL else None
        ready = await self._ground.fleet.ready(own)
        if own:
            await self._ground.fleet.ready()
        try:
            async with asyncio.timeout(PATIENCE):
                canaries = await self._load.canary(self._enterprise, DRAFT, self._ground.doors)
        except TimeoutError:
            raise TimeoutError(f"an intake process does not answer {PATIENCE:g} s after {fault.kind}") from None
        struck = Struck(fault.kind, fault.target, detail, hit, ended - began, ready, time.monotonic() - ended)
        self._following.append((struck, asyncio.create_task(self._follow(struck, ended, canaries))))
        return struck

    async def all(self) -> list[Struck]:
        """Every fault with its last figure, as far as there is one in time."""
        if not self._following:
            return []
        done, late = await asyncio.wait([task for _, task in self._following], timeout=PATIENCE)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return [task.result() if task in done else struck for struck, task in self._following]

    async def _follow(self, struck: Struck, ended: float, canaries: Sequence[str]) -> Struck:
        await self._load.through(canaries)
        return replace(struck, through=time.monotonic() - ended)

    async def _kill(self, fault: Fault) -> tuple[str, bool]:
        slot = self._ground.fleet.slots[fault.target]
        slot.kill()
        slot.spawn()
        return "", True

    async def _pause(self, fault: Fault) -> tuple[str, bool]:
        slot = self._ground.fleet.slots[fault.target]
        slot.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            slot.send(signal.SIGCONT)
        return f"{fault.seconds:.0f} s", True

    async def _database(self, fault: Fault) -> tuple[str, bool]:
        await asyncio.to_thread(self._ground.kill_database)
        await asyncio.to_thread(self._ground.database.start)
        return "", True

    async def _broker(self, fault: Fault) -> tuple[str, bool]:
        kafka = self._ground.kafka
        if kafka is None:
            return "there is none", False
        node = int(fault.target)
        await asyncio.to_thread(kafka.kill, node)
        await asyncio.sleep(fault.seconds)
        await asyncio.to_thread(kafka.start, node)
        return f"away for {fault.seconds:.0f} s more", True

    async def _commit(self, fault: Fault) -> tuple[str, bool]:
        way = self._ground.ways[fault.target]
        hit = await way.cut_next_commit(answered=fault.coin, patience=COMMIT_PATIENCE)
        return "when it was done" if fault.coin else "at once", hit

    async def _partition(self, fault: Fault) -> tuple[str, bool]:
        return await _hold([self._ground.ways[fault.target]], fault)

    async def _detour(self, fault: Fault) -> tuple[str, bool]:
        return await _hold(self._ground.detours[fault.target], fault)

    async def _disk(self, fault: Fault) -> tuple[str, bool]:
        spool = self._ground.spool
        pids = [slot.pid for slot in self._ground.fleet.of("print")]
        before = await self._refusals()
        await asyncio.to_thread(spool.fill, pids)
        hit = False
        try:
            await self._load.canary(self._enterprise, next(iter(PAPER)))
            end = time.monotonic() + DISK_PATIENCE
            while not hit and time.monotonic() < end:
                await asyncio.sleep(0.2)
                hit = await self._refusals() > before
        finally:
            await asyncio.to_thread(spool.empty, pids)
        return spool.how, hit

    async def _data(self, fault: Fault) -> tuple[str, bool]:
        """It struck when somebody who declared was sent away with a 503: the server said that it has no room."""
        disk, load = self._ground.disk, self._load
        before, broken = load.refused, load.broken
        await asyncio.to_thread(disk.fill)
        sending: set[asyncio.Task[list[str]]] = set()
        end = time.monotonic() + DISK_PATIENCE
        try:
            while load.refused == before and time.monotonic() < end:
                sending.add(asyncio.create_task(load.canary(self._enterprise, DRAFT, self._ground.doors)))
                await asyncio.sleep(0.2)
            await asyncio.sleep(fault.seconds)
        finally:
            await asyncio.to_thread(disk.empty)
            await asyncio.gather(*sending)
        return f"{disk.how}, {fault.seconds:.0f} s", load.refused > before and load.broken == broken

    async def _refusals(self) -> int:
        connection = await asyncpg.connect(self._ground.database.dsn, timeout=10)
        try:
            return int(await connection.fetchval(REFUSALS))
        finally:
            await connection.close()


async def _hold(ways: Sequence[Way], fault: Fault) -> tuple[str, bool]:
    """One direction of all of them, for a while; then they are cut, or what was held arrives late."""
    gates = [way.to_server if fault.coin else way.to_client for way in ways]
    held = sum(way.held for way in ways)
    for gate in gates:
        gate.clear()
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        for way, gate in zip(ways, gates, strict=True):
            if fault.number % 2:
                way.cut()
            gate.set()
    where = "to the server" if fault.coin else "to the process"
    then = "cut" if fault.number % 2 else "late"
    return f"{where}, {fault.seconds:.0f} s, then {then}", sum(way.held for way in ways) > held
