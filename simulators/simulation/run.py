"""One seed is one world: a time of troubles, then calm, then the invariants. Many seeds make a run."""

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gateway.core.decision import EventKind
from simulators.simulation.bus_way import answered, answers
from simulators.simulation.faults import Fault
from simulators.simulation.invariants import Scene, Violation, claimed, violations
from simulators.simulation.loop import SimulatedLoop, Stuck
from simulators.simulation.people import CLIENTS, People, wish
from simulators.simulation.roles import INTAKES, House, Kit
from simulators.simulation.world import SESSION, World

CALM = 600.0
"""Simulated seconds after the last fault in which everything must come to rest."""
ENOUGH = 100_000
"""Steps after which every kind of trouble must have happened."""
JUMPS = (timedelta(minutes=16), timedelta(minutes=31), timedelta(hours=5), timedelta(days=3))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed."""

    seed: int
    steps: int
    """Awaited calls at which something could go wrong, each decided by the seed."""
    resumed: int
    """Callbacks that the event loop ran for them."""
    faults: Counter[Fault]
    checked: Counter[str]
    violations: tuple[Violation, ...]
    trace: tuple[str, ...] = ()


@dataclass(slots=True)
class Summary:
    """What became of a run over many seeds."""

    first: int
    seeds: int = 0
    steps: int = 0
    resumed: int = 0
    faults: Counter[Fault] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """One more seed."""
        self.seeds += 1
        self.steps += outcome.steps
        self.resumed += outcome.resumed
        self.faults += outcome.faults
        self.checked += outcome.checked
        if outcome.violations:
            self.failed.append(outcome)

    @property
    def never(self) -> list[Fault]:
        """Kinds of trouble that never happened: of them this run proves nothing."""
        return [fault for fault in Fault if not self.faults[fault]]

    @property
    def holds(self) -> bool:
        """No invariant was broken, and in a run that is long enough every kind of trouble happened."""
        return not self.failed and (self.steps < ENOUGH or not self.never)


def simulate(seed: int, kit: Kit | None = None, *, traced: bool = False) -> Outcome:
    """The world of one seed, from its start to its end. The same seed gives the same trace, byte for byte."""
    before = random.getstate()
    random.seed(seed)  # the pauses between tries are drawn from Python's own dice
    try:
        return copy_context().run(_simulate, seed, kit or Kit(), traced)
    finally:
        random.setstate(before)


def outcomes(first: int, steps: int, kit: Kit | None = None) -> Iterator[Outcome]:
    """Seed after seed from `first`, until so many steps were made."""
    seed, made = first, 0
    while made < steps:
        outcome = simulate(seed, kit)
        made += outcome.steps
        seed += 1
        yield outcome


def _simulate(seed: int, kit: Kit, traced: bool) -> Outcome:
    loop = SimulatedLoop()
    world = World(seed, loop, traced=traced)
    scene = Scene(House(world, kit, relayed=world.dice.random() < 0.5))
    try:
        loop.run_until_complete(_life(scene))
    except Stuck as stuck:
        scene.unrest = str(stuck)
    _count_told(scene)
    found = violations(scene)
    for one in found:
        world.note(one)
    outcome = Outcome(
        seed, world.points, loop.steps, world.faults.counted, scene.checked, tuple(found), tuple(world.trace or ())
    )
    world.end()
    return outcome


def _count_told(scene: Scene) -> None:
    """Troubles that show only in what the gateway told."""
    faults = scene.house.world.faults
    for stored in scene.house.database.tables.events.values():
        if stored.event.kind is EventKind.OVERDUE:
            faults.count(Fault.OVERDUE)
        if stored.event.kind is EventKind.RESENT:
            faults.count(Fault.RESENT)
    if any(claimed(scene.house.broker)):
        faults.count(Fault.CLAIMED)
    for client in CLIENTS:
        times = Counter(answered(record) for record in answers(scene.house.broker, client))
        if any(count > 1 for count in times.values()):
            faults.count(Fault.ANSWERED_AGAIN)


async def _life(scene: Scene) -> None:
    house, world = scene.house, scene.house.world
    people = People(world, house.database, house.tray, INTAKES, house.producer)
    scene.books = people.books
    for log in house.logs:
        world.loop.create_task(log.watch())
    house.open()
    count = world.dice.randrange(2, 9)
    spread = world.dice.choice((0.02, 2.0, 15.0))  # all at once, or one by one
    lives: list[asyncio.Future[None]] = []
    for serial in range(1, count + 1):
        life = asyncio.ensure_future(_later(spread * world.dice.random(), people.declare(serial)))
        lives.append(life)
    for serial in range(count + 1, count + 1 + world.dice.randrange(3)):
        lives.append(asyncio.ensure_future(_later(spread * world.dice.random(), people.trespass(serial))))
    trouble = 10 + 20 * world.dice.random()
    nemesis = world.loop.create_task(_nemesis(house, people))
    await asyncio.sleep(trouble)
    nemesis.cancel()
    await asyncio.wait([nemesis])
    await _calm(scene, people, count)


async def _later(seconds: float, job: Coroutine[Any, Any, None]) -> None:
    await asyncio.sleep(seconds)
    await job


async def _nemesis(house: House, people: People) -> None:
    """Troubles that belong to no call: kills, outages, rebalances, clocks, an operator at work meanwhile."""
    world = house.world
    dice, faults = world.dice, world.faults
    while True:
        await asyncio.sleep(4 * dice.random())
        match dice.randrange(8):
            case 0 if faults.has(Fault.KILLED):
                _end(house, Fault.KILLED)
            case 1 if faults.has(Fault.STOPPED):
                _end(house, Fault.STOPPED)
            case 2 if faults.has(Fault.REBALANCED):
                for log in house.logs:
                    for reader in log.readers[dice.randrange(len(log.readers) or 1) :][:1]:
                        world.struck(Fault.REBALANCED, reader.process.name)
                        log.remove(reader)
            case 3 if faults.has(Fault.DATABASE_OUTAGE):
                await _outage(house, Fault.DATABASE_OUTAGE)
            case 4 if faults.has(Fault.BUS_OUTAGE):
                await _outage(house, Fault.BUS_OUTAGE)
            case 5 if faults.has(Fault.CLOCK_FORWARD):
                world.struck(Fault.CLOCK_FORWARD, "clock")
                world.jump(dice.choice(JUMPS))
                await _bad_moment(house)
            case 6 if faults.has(Fault.CLOCK_BACK):
                name = dice.choice(sorted(world.living) or ["turn-1"])
                world.struck(Fault.CLOCK_BACK, name)
                world.skew[name] = -timedelta(seconds=3600 * dice.random())
            case 7 if (house.database.tables.parked or people.waiting()) and dice.random() < 0.5:
                house.bugs.mend()
                await people.mend()


async def _bad_moment(house: House) -> None:
    """Many calls fail while the due dates are worked."""
    faults = house.world.faults
    faults.burst = house.world.dice.choice((0.0, 0.2))
    try:
        await asyncio.sleep(1.5)
    finally:
        faults.burst = 0.0


def _end(house: House, fault: Fault) -> None:
    world = house.world
    if world.living:
        process = world.living[world.dice.choice(sorted(world.living))]
        world.struck(fault, process.name)
        world.crash(process, dead=fault is Fault.KILLED)


async def _outage(house: House, fault: Fault) -> None:
    world = house.world
    for who in ("print", "turn"):
        world.troubled[who] = world.loop.time()
    world.struck(fault, "nemesis")
    try:
        _away(house, fault, away=True)
        await asyncio.sleep(SESSION * 2 * world.dice.random())
    finally:
        _away(house, fault, away=False)
        world.troubled["print"] = world.loop.time()


def _away(house: House, fault: Fault, *, away: bool) -> None:
    if fault is Fault.BUS_OUTAGE:
        house.broker.away = away
    else:
        house.database.away = away


async def _calm(scene: Scene, people: People, count: int) -> None:
    """No more faults: bugs are mended, people look after what waits for them, and everything comes to rest."""
    world, house = scene.house.world, scene.house
    world.faults.calm = True
    world.note("CALM")
    house.bugs.mend()
    world.skew.clear()
    end = world.loop.time() + CALM
    rest = 0
    while rest < 3:
        if world.loop.time() > end:
            scene.unrest = f"not at rest {CALM:.0f} s after the last fault: {', '.join(busy(scene, count))}"
            return
        await asyncio.sleep(2.0)
        if house.database.tables.parked or people.waiting():
            await people.mend()
        await people.look()
        rest = 0 if busy(scene, count) else rest + 1


def busy(scene: Scene, count: int) -> list[str]:
    """What is not at rest."""
    house = scene.house
    now = house.world.wall()
    found = []
    states = house.database.tables.states
    wishes = (wish(promise, states[promise.id]) for promise in scene.books.promises if promise.id in states)
    if scene.books.busy or len(scene.books.promises) + len(scene.books.wrong) < count or any(wishes):
        found.append("an enterprise waits")
    if house.register.agenda:
        found.append("customs has answers to send")
    if house.database.tables.parked:
        found.append("parked messages")
    if house.database.tables.dead.keys() - scene.books.decided:
        found.append("dead letters")
    if any(timer.due <= now for timer in house.database.tables.timers.values()):
        found.append("due dates")
    for log in house.logs:
        for name, group in log.groups.items():
            read = {topic for topics in group.members.values() for topic in topics}
            behind = [p for p, line in log.records.items() if p[0] in read and group.positions.get(p, 0) < len(line)]
            if behind or not group.members:
                found.append(f"group {name} is behind")
    return found
