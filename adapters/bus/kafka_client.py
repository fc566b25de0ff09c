"""Where a Kafka cluster is and how it is spoken to: the one factory of clients, because aiokafka's defaults lose data.

Its defaults read from the newest record, commit by themselves, read what was rolled back, resend without a sequence
and are thrown out of their group after 10 s (reliability notes on aiokafka 0.14).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from gateway.runtime.patience import Away

BROKER = "broker"
"""What Kafka is called where somebody is told that it is away (see `gateway.metrics.NEIGHBOURS`)."""
SESSION = 45.0
"""Seconds without a heartbeat until the broker gives a member's partitions to others."""
PATIENCE = 30.0
"""Seconds a member may go on with records of a partition that is to change hands (see `gateway.ports.Consumer`)."""
REBALANCE = PATIENCE + 5
"""Seconds the broker waits for all members of a group to come back."""
REQUEST = REBALANCE + 5
"""Seconds until a request counts as lost. Joining a group is one, and lasts as long as the slowest other member."""
MOST_IDLE = 600.0
"""Seconds between two polls until a member counts as hung; more than the slowest batch (20 prints) takes."""
MOST_RECORDS = 500
FETCH = 8 << 20
"""Bytes in one answer; aiokafka asks for 50 MiB."""
LONG_POLL = 0.25
"""Seconds the broker holds an empty fetch. Other requests on its connection wait that long."""
MOST_BODY = 256 << 10
"""Bytes of a body that travels on the topic; larger ones by claim check. A broker takes 1 MiB unless told otherwise."""
BATCH = 512 << 10
"""Bytes written at once to one partition, and fetched ahead from it by a reader that is busy."""
STOP = 3.0
"""Seconds for what is under way when a client is put away."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster and our way in. The password is in no text form of it."""

    bootstrap: str
    """host:port, comma-separated."""
    protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    mechanism: str = "PLAIN"
    """PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """Who signs the brokers' certificates; None: those the system trusts."""
    certificate_file: Path | None = None
    """Our own certificate, PEM, and its key; None: the brokers ask for none."""
    key_file: Path | None = None
    session: float = SESSION
    instance: str | None = None
    """Static membership: a process that comes back under this name within `session` keeps its partitions."""

    def connection(self) -> dict[str, Any]:
        """What every client is told. Raises OSError for a file that can't be read or is no certificate."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "request_timeout_ms": int(REQUEST * 1000),
            "metadata_max_age_ms": 60_000,
            "security_protocol": self.protocol,
        }
        if "SSL" in self.protocol:
            options["ssl_context"] = create_ssl_context(
                cafile=self.ca_file, certfile=self.certificate_file, keyfile=self.key_file
            )
        if self.protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return options


def producer(cluster: Cluster) -> AIOKafkaProducer:
    """Writes each message once and in order, on every replica that must have it. Not started."""
    return AIOKafkaProducer(
        **cluster.connection(),
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=BATCH,
        max_request_size=BATCH * 2 - 4096,
    )


def consumer(cluster: Cluster, group: str) -> AIOKafkaConsumer:
    """Reads from the earliest record and acknowledges nothing by itself. Not started, not subscribed."""
    return AIOKafkaConsumer(
        **cluster.connection(),
        group_id=group,
        group_instance_id=cluster.instance,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        session_timeout_ms=int(cluster.session * 1000),
        heartbeat_interval_ms=int(cluster.session * 1000 / 15),
        rebalance_timeout_ms=int(REBALANCE * 1000),
        max_poll_interval_ms=int(MOST_IDLE * 1000),
        max_poll_records=MOST_RECORDS,
        fetch_max_bytes=FETCH,
        max_partition_fetch_bytes=BATCH,
        fetch_max_wait_ms=int(LONG_POLL * 1000),
        # Equal numbers of equal topics go to the same member: one subject's topics meet in one turn.
        partition_assignment_strategy=(RangePartitionAssignor,),
    )


def admin(cluster: Cluster) -> AIOKafkaAdminClient:
    """Looks at topics and makes them. Not started."""
    return AIOKafkaAdminClient(**cluster.connection() | {"request_timeout_ms": 10_000})


async def end(way: Callable[[], Awaitable[None]]) -> bool:
    """Stops something of aiokafka's, whatever state it is in; False when that took more than `STOP` seconds, or failed.

    In a task of its own: where a broker is away, closing ends in whatever the client's own tasks were cancelled with.
    """
    task = asyncio.ensure_future(way())
    await asyncio.wait({task}, timeout=STOP)
    in_time = task.done()
    if not in_time:
        task.cancel()
        await asyncio.wait({task}, timeout=STOP)
    return task.done() and not task.cancelled() and task.exception() is None and in_time


@contextlib.contextmanager
def unavailable(what: str) -> Iterator[None]:
    """Turns the client's errors into `Unavailable`; it says that the broker is away, and names `what` and the kind of
    error, no values.

    A refused login or a missing permission is one of them: a person mends it at the cluster while we try again.
    """
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise Away(BROKER, f"{what}: {type(error).__name__}") from error
