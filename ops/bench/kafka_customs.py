"""The simulated customs on a Kafka cluster, answering at once: ``python -m ops.bench.kafka_customs BOOTSTRAP DSN``."""

import asyncio
import contextlib
import signal
import sys

from adapters.bus.kafka import KafkaBus
from adapters.bus.kafka_client import Cluster
from adapters.postgres.pool import create_pool
from adapters.store.blobs import PostgresBlobs
from gateway.app import SystemClock
from simulators.customs.simulator import CustomsSimulator


async def serve(bootstrap: str, dsn: str) -> None:
    """Until a signal comes. `dsn`: where large bodies stay."""
    pool = await create_pool(dsn, largest=2)
    try:
        async with KafkaBus(Cluster(bootstrap), PostgresBlobs(pool)) as bus:
            work = asyncio.create_task(CustomsSimulator(bus, SystemClock(), pace=0).run())
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, work.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await work
    finally:
        pool.terminate()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
