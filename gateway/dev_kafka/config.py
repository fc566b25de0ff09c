"""What the brokers are told: ports, ids and `server.properties`. Paths are relative to a node's directory."""

import base64
import json
import random
import socket
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

from gateway.dev_kafka.parts import BrokerError

USER = "origin"
"""The one user of the SASL_SSL listener, by PLAIN and by SCRAM-SHA-512."""
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Detour(NamedTuple):
    """A listener whose clients are sent to another port, where a fault proxy stands before it."""

    listener: int
    proxy: int


@dataclass(frozen=True, slots=True)
class Place:
    """One node's ports on 127.0.0.1 and the id of its data directory."""

    client: int
    controller: int
    sasl: int
    tls: int
    directory: str
    detours: tuple[Detour, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A cluster that keeps its ids and ports over restarts: clients hold on to its addresses."""

    cluster: str
    sasl: bool
    """Whether the listeners with TLS are open too."""
    places: tuple[Place, ...]

    @classmethod
    def new(cls, nodes: int) -> Self:
        """Random ids and free ports."""
        free = iter(free_ports(4 * nodes))
        places = tuple(Place(next(free), next(free), next(free), next(free), random_id()) for _ in range(nodes))
        return cls(cluster=random_id(), sasl=False, places=places)

    def changed(self, port: int | None, sasl: bool, detours: int = 0) -> Self:
        """The same cluster with clients at `port`, `port` + 1 and so on, with TLS, or with so many detours, where
        wanted."""
        places = self.places
        if port is not None:
            places = tuple(replace(place, client=port + i) for i, place in enumerate(places))
        if detours and any(len(place.detours) != detours for place in places):
            free = iter(free_ports(2 * detours * len(places)))
            fresh = [tuple(Detour(next(free), next(free)) for _ in range(detours)) for _ in places]
            places = tuple(replace(place, detours=some) for place, some in zip(places, fresh, strict=True))
        return replace(self, places=places, sasl=self.sasl or sasl)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The plan kept in `path`, None when there is none. Raises BrokerError when it can't be read."""
        try:
            kept = json.loads(path.read_text("utf-8"))
            places = tuple(
                Place(**place | {"detours": tuple(Detour(*one) for one in place.get("detours", ()))})
                for place in kept["places"]
            )
            return cls(kept["cluster"], kept["sasl"], places)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise BrokerError("kafka.plan_unreadable", f"{path} is not what we wrote.", "Remove its folder.") from None

    def write(self, path: Path) -> None:
        """Keeps the plan."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")
        fresh.rename(path)

    def controllers(self) -> str:
        """The first quorum, as `StorageTool format --initial-controllers` wants it."""
        return ",".join(
            f"{number}@127.0.0.1:{place.controller}:{place.directory}" for number, place in enumerate(self.places, 1)
        )

    def properties(self, number: int, password: str) -> str:
        """`server.properties` of the node `number`; `password` is that of USER."""
        place, nodes = self.places[number - 1], len(self.places)
        listeners = {"CLIENT": place.client} | ({"SASL": place.sasl, "TLS": place.tls} if self.sasl else {})
        detours = {f"DETOUR{n}": detour for n, detour in enumerate(place.detours)}
        behind = {name: detour.listener for name, detour in detours.items()}
        protocols = {"CLIENT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", "SASL": "SASL_SSL", "TLS": "SSL"}
        protocols |= dict.fromkeys(detours, "PLAINTEXT")
        copies = min(nodes, 3)
        settings = {
            "process.roles": "broker,controller",
            "node.id": number,
            "log.dirs": "data",
            "controller.quorum.bootstrap.servers": ",".join(f"127.0.0.1:{p.controller}" for p in self.places),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "listeners": _addresses(listeners | behind | {"CONTROLLER": place.controller}),
            "advertised.listeners": _addresses(listeners | {name: detour.proxy for name, detour in detours.items()}),
            "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
            # A broker that was killed may come back only after its old session: by default that takes 9 s.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 300,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": copies - copies // 2,
            "offsets.topic.replication.factor": copies,
            "offsets.topic.num.partitions": 4,
            # Closed segments are compacted; by default one is closed at 100 MB. A coordinator that takes long to read
            # its offsets after a kill may be asked to read them again meanwhile: Kafka 4.3 then loses its groups until
            # the next start ("context is in FAILED state").
            "offsets.topic.segment.bytes": 1 << 20,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": copies - copies // 2,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": copies - copies // 2,
            "share.coordinator.state.topic.num.partitions": 4,
            "log.cleaner.dedupe.buffer.size": 8 << 20,  # 128 MB by default, of the heap's 384
        }
        settings |= {f"listener.name.{name.lower()}.num.network.threads": 1 for name in detours}
        if self.sasl:
            settings |= _secure(password)
        return "".join(f"{name}={value}\n" for name, value in settings.items())


def _addresses(listeners: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())


def _secure(password: str) -> dict[str, str]:
    package, sasl = "org.apache.kafka.common.security", "listener.name.sasl"
    keys = {
        f"listener.name.{listener}.ssl.{name}": value
        for listener in ("sasl", "tls")
        for name, value in {"keystore.type": "PEM", "keystore.location": "../tls/server.pem"}.items()
    }
    return keys | {
        f"{sasl}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{sasl}.plain.sasl.jaas.config": f'{package}.plain.PlainLoginModule required user_{USER}="{password}";',
        f"{sasl}.scram-sha-512.sasl.jaas.config": f"{package}.scram.ScramLoginModule required;",
        "listener.name.tls.ssl.client.auth": "required",
        "listener.name.tls.ssl.truststore.type": "PEM",
        "listener.name.tls.ssl.truststore.location": "../tls/ca.pem",
    }


def random_id() -> str:
    """A Kafka id: a UUID in URL-safe base64. Not with a leading '-', which the format tool takes for an option."""
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def free_ports(count: int) -> list[int]:
    """Free TCP ports below those the system gives to connections.

    Above, while a broker is down, a client that tries again and again may be given the broker's own port and
    connect to itself: the broker then finds its port taken.
    """
    try:
        top = int(EPHEMERAL.read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        top = 32768
    top = top if top > 12000 else 65536
    found: list[int] = []
    for port in random.SystemRandom().sample(range(10000, top), min(2000, top - 10000)):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free TCP ports on 127.0.0.1")


def free_port() -> int:
    """One of them."""
    (port,) = free_ports(1)
    return port


def is_free(port: int) -> bool:
    """Whether a broker could listen on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
