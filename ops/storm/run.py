"""One storm from its first process to its report."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from adapters.bus.postgres import LEASE
from ops.storm import evidence as found
from ops.storm.attacker import Attacker
from ops.storm.check import CALM, Evidence, Hit, check
from ops.storm.documents import RECEIPTS, endings, parcels
from ops.storm.faults import Faults, Struck
from ops.storm.ground import FLEET, Ground
from ops.storm.load import Answer, Ledger, Load
from ops.storm.plan import Fault, Kind, role_of, schedule
from ops.storm.report import Report, commit, never, tally
from simulators.customs.scenarios import load as scenarios
from simulators.erp.enterprises import AGENT, many

PER_ENTERPRISE = 2500
"""Declarations of one enterprise at most; a series of numbers ends at 9,999."""
PATIENCE = 2 * CALM
"""Seconds after which nobody waits any longer for the end: then it is told what is left."""
TELL = 10.0
"""Seconds between two words about what is left."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    declarations: int
    faults: int
    seed: int
    brokers: int = 1
    """0: no Kafka, the log itself carries messages."""
    session: float = 6.0
    """Seconds until Kafka replaces a silent process; on the log it is the lease's time."""
    paper: float = 0.1
    """Share of declarations that go the whole way to paper."""
    rate: float = 0.0
    """Declarations a second at most; 0: as they go."""
    attacks: float = 3.0
    """Documents a second that the attacker sends at most: a machine with one core has other things to do too."""
    window: int = 400
    """Certificates on their way at most: what stands open when the last fault strikes must be done in time."""
    ready: float = 5.0
    """Seconds in which a killed process must be ready again."""
    kinds: Sequence[Kind] = tuple(Kind)
    fleet: Mapping[str, int] = field(default_factory=lambda: FLEET)


class Storm:
    """Runs one plan below `folder`, which is emptied first."""

    def __init__(self, plan: Plan, folder: Path, ground: type[Ground] = Ground) -> None:
        """`ground`: a test plants its faults there."""
        self._plan = plan
        self._ground = ground(folder, plan.brokers, plan.session, plan.fleet)
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._struck: list[Struck] = []
        self._quiet_since = 0.0
        """When the last fault was over and the last declaration answered; 0: that did not come."""

    async def run(self) -> Report:
        """To the end. Raises what breaks the storm itself."""
        plan = self._plan
        names = [f"{role}-{n}" for role, most in plan.fleet.items() for n in range(1, most + 1)]
        if not plan.brokers:
            names = [name for name in names if not name.startswith("relay")]
        session = plan.session if plan.brokers else LEASE
        try:
            self._say("database, broker and spool")
            await self._ground.open()
            kinds = [kind for kind in plan.kinds if kind is not Kind.DATA or self._ground.disk.mounted]
            left_out = [f"{kind} (only root mounts one)" for kind in plan.kinds if kind not in kinds]
            faults = schedule(plan.seed, plan.faults, names, session=session, brokers=plan.brokers, kinds=kinds)
            evidence = Evidence(endings=endings(scenarios()), ready=plan.ready, attackers=frozenset({AGENT.code}))
            async with self._raging(evidence) as (load, attacker):
                try:
                    await self._strike(faults, load)
                except TimeoutError as trouble:
                    evidence.troubles = [f"the storm broke off: {trouble}"]
                await attacker.end()
                await self._calm(load, evidence)
                await attacker.once_more()
            codes = await self._ground.fleet.stop()
            self._ground.printer.stop()
            self._say("at rest; looking at everything")
            await found.collect(self._ground, evidence)
            verdicts = check(evidence)
        finally:
            await self._ground.close()
        lives = Counter(answer.life for answer in {answer.key: answer for answer in evidence.answers}.values())
        receipts = {name: lives[life] for life, name in RECEIPTS.items()}
        return Report(
            seed=plan.seed,
            commit=commit(),
            declarations=plan.declarations,
            paper=plan.paper,
            bus=f"Kafka, {plan.brokers} node(s)" if plan.brokers else "the log",
            session=plan.session,
            fleet=dict(Counter(role_of(name) for name in names)),
            seconds=time.monotonic() - self._began,
            faults=self._struck,
            attacks=tally(evidence.attacks),
            receipts=receipts,
            missing=never([fault.kind for fault in faults], self._struck) + [n for n, t in receipts.items() if not t],
            verdicts=verdicts,
            told={
                "kinds of fault left out": left_out,
                "tries of clients without an answer": load.retries,
                "attacks without an answer": attacker.unanswered,
                "answers 5xx but 503": load.broken,
                "processes that ended by themselves": sum(s.ended_by_itself for s in self._ground.fleet.slots.values()),
                "ended otherwise than 0 when asked": sorted(name for name, code in codes.items() if code),
                "seconds until calm": round(evidence.calm, 1),
                "papers out": len(evidence.printed),
            },
        )

    @contextlib.asynccontextmanager
    async def _raging(self, evidence: Evidence) -> AsyncIterator[tuple[Load, Attacker]]:
        """The fleet, the load and the attacker; what these two saw goes into the evidence."""
        plan, ground = self._plan, self._ground
        enterprises = tuple(many(max(4, -(-plan.declarations // PER_ENTERPRISE))))
        self._say(f"{sum(plan.fleet.values())} processes, {len(enterprises)} enterprises")
        keys = await ground.populate(enterprises)
        ledger = Ledger(ground.folder / "load.jsonl", Answer)
        load = Load(
            ground.doors,
            keys,
            ledger,
            parcels(plan.seed, enterprises, plan.paper),
            ground.database.dsn,
            plan.seed,
            rate=plan.rate,
            window=plan.window,
            ends=self._ends(evidence),
        )
        hits = Ledger(ground.folder / "attacker.jsonl", Hit)
        attacker = Attacker(ground, await ground.let_in(), hits, enterprises, plan.seed, rate=plan.attacks)
        try:
            await attacker.open()
            async with asyncio.TaskGroup() as group:  # a load or a supervisor that breaks ends the storm
                jobs = (ground.fleet.supervise(), load.run(), attacker.run())
                tasks = [group.create_task(job) for job in jobs]
                yield load, attacker
                for task in tasks:
                    task.cancel()
        finally:
            await load.close()
            await attacker.close()
            evidence.answers, evidence.attacks = ledger.lines(), hits.lines()
            evidence.sent = plan.declarations
            ledger.close()
            hits.close()

    async def _strike(self, faults: Sequence[Fault], load: Load) -> None:
        """Fault after fault, each into its own part of the load."""
        count = self._plan.declarations
        parts = len(faults) + 1
        enterprise = next(many(1))
        striker = Faults(self._ground, load, enterprise)
        for place, fault in enumerate(faults):
            load.release(count * (place + 1) // parts)
            await _until(lambda due=int(count * (place + fault.after) / parts): load.answered >= due)  # type: ignore[misc]
            struck = await striker.strike(fault)
            self._struck.append(struck)
            if fault.kind is Kind.DISK:
                await load.print_again()
            self._say(
                f"{fault.number}/{len(faults)} {fault.kind} {fault.target} {struck.detail}"
                f"{'' if struck.hit else ' MISSED'}: ready {struck.ready:.1f} s, answered {struck.answered:.1f} s;"
                f" {load.answered}/{count} answered, {load.open} on their way"
            )
        load.release(count)
        await _until(lambda: load.answered >= count)
        self._say("all declarations are answered")
        self._quiet_since = time.monotonic()
        self._struck = await striker.all()

    async def _calm(self, load: Load, evidence: Evidence) -> None:
        """Until nothing is on its way; owners of refused prints ask again meanwhile."""
        began = self._quiet_since or time.monotonic()
        ends = self._ends(evidence)
        on_log = not self._plan.brokers
        told = began
        while True:
            evidence.waiting = await found.backlog(self._ground.database.dsn, ends, on_log=on_log)
            refused = await load.print_again()
            evidence.calm = time.monotonic() - began
            if not refused and not any(evidence.waiting.values()):
                break
            if evidence.calm > PATIENCE:
                break
            if time.monotonic() > told + TELL:
                told = time.monotonic()
                left = ", ".join(f"{count} {what}" for what, count in evidence.waiting.items() if count)
                self._say(f"not calm yet: {left}; {refused} refused prints")
            await asyncio.sleep(0.5)
        kills = [(one.target, one.ready) for one in self._struck if one.kind == Kind.KILL]
        evidence.recoveries = kills
        self._say(f"calm after {evidence.calm:.1f} s")

    def _ends(self, evidence: Evidence) -> list[str]:
        return sorted({ending.status for ending in evidence.endings.values()})

    def _say(self, text: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._began:7.1f} s[/dim]  {text}")


async def _until(holds: Callable[[], bool], patience: float = 900.0) -> None:
    """Raises TimeoutError: the load does not get on."""
    end = time.monotonic() + patience
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("the load does not get on")
        await asyncio.sleep(0.02)
