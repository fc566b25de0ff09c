"""kill -9, then ready again: the gateway alone (its database lives on), and the gateway with its database."""

import asyncio
import os
import signal
import time

from adapters.postgres.embedded import Embedded
from gateway.dev_kafka.config import free_port
from ops.bench.figures import Figure, Progress, duration
from ops.bench.gateway_process import start, wait_ready
from ops.bench.ground import FOLDER, Ground

DATA = FOLDER / "rescue"
AIM = 5.0
ROLES = "intake,turn,render,print"


async def measure(_: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """The slowest of some tries, both ways."""
    return await asyncio.to_thread(_measure, progress, 1 if quick else 3)


def _measure(progress: Progress, tries: int) -> list[Figure]:
    server, port = Embedded(DATA / "postgres"), free_port()
    environment = {"ORIGIN_DATA": str(DATA), "ORIGIN_ROLES": ROLES}
    process = start(port, environment)
    slowest = {"the gateway": 0.0, "the gateway and its database": 0.0}
    try:
        wait_ready(port, process)
        for number in range(1, tries + 1):
            for victim in slowest:
                if victim != "the gateway" and (database := server.pid) is not None:
                    os.kill(database, signal.SIGKILL)
                process.kill()
                process.wait()
                begin = time.monotonic()
                process = start(port, environment)
                wait_ready(port, process)
                took = time.monotonic() - begin
                slowest[victim] = max(slowest[victim], took)
                progress.say(f"kill -9 of {victim} {number}/{tries}: ready again after {took:.2f} s")
    finally:
        process.terminate()
        process.wait(60)
    return [
        duration(f"kill -9 of {victim} -> ready again", took, "s", "asked for", AIM) for victim, took in slowest.items()
    ]
