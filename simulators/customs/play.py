"""The simulated customs at work behind an import client's folder, until a signal comes."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime
from pathlib import Path

from simulators.customs.boxes import BoxBus
from simulators.customs.ledger import Ledger
from simulators.customs.scenarios import Scenarios
from simulators.customs.simulator import CustomsSimulator


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Now, UTC."""
        return datetime.now(UTC)


async def serve(folder: Path, scenarios: Scenarios, seed: int, pace: float, register: Path) -> None:
    """Until SIGTERM or SIGINT. Raises OSError when `folder` can't be used."""
    bus = BoxBus(folder)
    with Ledger(register) as ledger:
        work = asyncio.create_task(
            CustomsSimulator(bus, SystemClock(), scenarios, seed, pace=pace, ledger=ledger).run()
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await work
