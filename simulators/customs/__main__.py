"""The simulated customs in a process of its own, beside a running gateway: ``python -m simulators.customs``."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from adapters.bus.postgres import PostgresBus
from adapters.postgres.embedded import running_dsn
from adapters.postgres.pool import connect, create_pool
from gateway import logs
from gateway.ports import Unavailable
from simulators.customs.ledger import Ledger
from simulators.customs.scenarios import ScenarioError, Scenarios, load
from simulators.customs.simulator import CustomsSimulator

EXAMPLE = """examples:
  python -m simulators.customs --data origin-data            beside `origin serve --data origin-data`
  python -m simulators.customs --pace 60 --seed 7            a minute where the scenario says a second
  python -m simulators.customs --list                        what it can do, and the words that ask for it
"""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Now, UTC."""
        return datetime.now(UTC)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m simulators.customs",
        description="Plays customs for a gateway. Never in production: it approves certificates.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--database-url",
        default=os.environ.get("ORIGIN_DATABASE_URL", ""),
        help="the gateway's PostgreSQL (ORIGIN_DATABASE_URL); else the embedded one of --data",
    )
    options.add_argument(
        "--data", type=Path, default=Path("origin-data"), help="data directory of a gateway that runs on this machine"
    )
    options.add_argument("--scenarios", type=Path, help="scenario file instead of the one that comes along")
    options.add_argument("--seed", type=int, default=1, help="other numbers, other draws (default: 1)")
    options.add_argument("--pace", type=float, default=1.0, help="factor on every delay; 0: at once (default: 1)")
    options.add_argument("--register", type=Path, help="file that remembers reply numbers over restarts")
    options.add_argument("--list", action="store_true", help="list the scenarios and leave")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """0 after SIGTERM or SIGINT, 2 for options that can't be used, 3 when there is no database."""
    chosen = parser().parse_args(arguments)
    try:
        scenarios = load(chosen.scenarios)
    except (ScenarioError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.list:
        for scenario in scenarios.scenario:
            print(f"{scenarios.marker}{scenario.name:<20} {scenario.about}")
        return 0
    if chosen.pace < 0:
        print("--pace is 0 or more.", file=sys.stderr)
        return 2
    dsn = chosen.database_url or running_dsn(chosen.data / "postgres")
    if not dsn:
        print(
            f"No gateway runs on {chosen.data}. Start one (origin serve --data DIR), or give --database-url.",
            file=sys.stderr,
        )
        return 3
    logs.configure()
    try:
        asyncio.run(serve(dsn, scenarios, chosen.seed, chosen.pace, chosen.register))
    except Unavailable as error:
        print(f"The database can't be reached: {error}", file=sys.stderr)
        return 3
    return 0


async def serve(dsn: str, scenarios: Scenarios, seed: int, pace: float, register: Path | None) -> None:
    """Until a signal comes. Raises Unavailable when the database is not there at the start."""
    pool = await create_pool(dsn, largest=4, application="customs-simulator")
    try:
        with Ledger(register) as ledger:
            async with PostgresBus(pool, partial(connect, dsn, application="customs-simulator")) as bus:
                customs = CustomsSimulator(bus, SystemClock(), scenarios, seed, pace=pace, ledger=ledger)
                work = asyncio.create_task(customs.run())
                for number in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(number, work.cancel)
                with contextlib.suppress(asyncio.CancelledError):
                    await work
    finally:
        pool.terminate()


if __name__ == "__main__":
    sys.exit(main())
