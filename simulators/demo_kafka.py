"""The demo's own Kafka: a real broker on this machine, with our topics."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console

from adapters.bus import kafka_topics
from adapters.bus.kafka_client import Cluster


class Server(Protocol):
    """What the demo needs of a broker: `gateway.dev_kafka.cluster.Kafka`."""

    @property
    def bootstrap(self) -> str:
        """host:port."""
        ...


Make = Callable[[Path], AbstractContextManager[Server]]
"""`Kafka`, given by the command line, because imports run one way."""


@contextmanager
def broker(make: Make, folder: Path, console: Console) -> Iterator[str]:
    """One broker below `folder`, kept for a repeat, with our topics; its address. Raises Unavailable."""
    console.print("Starting Apache Kafka; the first time its parts are fetched ...")
    with make(folder) as server:
        asyncio.run(kafka_topics.apply(Cluster(server.bootstrap), kafka_topics.declared()))
        console.print(f"Kafka at {server.bootstrap} carries the messages.", highlight=False)
        yield server.bootstrap
