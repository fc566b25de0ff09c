"""``make storm``: faults and load together, then the invariants. Exit 1 when one of them does not hold."""

import argparse
import asyncio
import logging
import secrets
import shutil
import signal
import sys
from pathlib import Path

from ops.storm.plan import Kind
from ops.storm.report import Report
from ops.storm.run import Plan, Storm

FOLDER = Path("build/storm")


def main() -> int:
    """0: all held. 1: something did not, or a kind of fault never struck; the seed is told."""
    options = parser().parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers are killed on purpose
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    kinds = tuple(Kind(kind) for kind in options.only) if options.only else tuple(Kind)
    plan = Plan(
        options.declarations,
        options.faults,
        seed,
        brokers=options.brokers if options.bus == "kafka" else 0,
        session=options.session,
        paper=options.paper,
        rate=options.rate,
        attacks=options.attacks,
        window=options.window,
        ready=options.ready,
        kinds=kinds,
    )
    try:
        report = asyncio.run(run(Storm(plan, options.folder / "run")))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"The storm was ended. Again: --seed {seed}", file=sys.stderr)
        return 130
    except BaseException:
        print(f"The storm itself broke. Again: --seed {seed}", file=sys.stderr)
        raise
    report.write(options.folder / "report.json")
    report.show()
    if report.holds and not options.keep:
        shutil.rmtree(options.folder / "run")
    return 0 if report.holds else 1


async def run(storm: Storm) -> Report:
    """To the end; SIGTERM ends it as Ctrl-C does, and nothing is left behind."""
    task = asyncio.ensure_future(storm.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def parser() -> argparse.ArgumentParser:
    """The options; their defaults are the release size."""
    options = argparse.ArgumentParser(prog="python -m ops.storm", description=__doc__)
    options.add_argument("--declarations", type=int, default=100_000)
    options.add_argument("--faults", type=int, default=400)
    options.add_argument("--seed", type=int, help="the same schedule again (default: a new one, which is told)")
    options.add_argument("--bus", choices=("kafka", "log"), default="kafka")
    options.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="nodes of the Kafka")
    options.add_argument("--session", type=float, default=6.0, help="seconds until a silent process is replaced")
    options.add_argument(
        "--paper", type=float, default=0.1, help="share of declarations that go the whole way to paper"
    )
    options.add_argument("--rate", type=float, default=22.0, help="declarations a second at most; 0: as they go")
    options.add_argument("--attacks", type=float, default=3.0, help="the attacker's documents a second at most")
    options.add_argument("--window", type=int, default=400, help="certificates on their way at most")
    options.add_argument(
        "--only", action="append", choices=[str(kind) for kind in Kind], help="only this kind of fault"
    )
    options.add_argument("--ready", type=float, default=5.0, help="seconds in which a killed process is ready again")
    options.add_argument("--keep", action="store_true", help="keep database, topics and logs of a run that held")
    options.add_argument("--folder", type=Path, default=FOLDER)
    return options


if __name__ == "__main__":
    sys.exit(main())
