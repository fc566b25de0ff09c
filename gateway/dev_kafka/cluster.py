"""A Kafka of one to three brokers under one directory, on 127.0.0.1 only. Calls block.

<directory>/lock            held (flock) while somebody starts or stops
<directory>/cluster.json    ids and ports; kept, so that a restart has the same address and the same records
<directory>/password        of the SASL_SSL listener's user
<directory>/tls/            certificates of the listeners with TLS, and a client's
<directory>/node-1/         server.properties, server.log, pid, data/ (Kafka's own)
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.dev_kafka import parts, tls, wire
from gateway.dev_kafka.config import USER, Detour, Plan, is_free
from gateway.dev_kafka.node import Node
from gateway.dev_kafka.parts import BrokerError

JVM = (
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)
STOP_SECONDS = 10.0
"""A broker that has not left by then after SIGTERM is killed. What it acknowledged is in its files."""


class Kafka:
    """Brokers that are started, stopped, killed and paused, together or one by one (`node`: from 1)."""

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int | None = None,
        port: int | None = None,
        sasl: bool = False,
        detours: int = 0,
        die_with_parent: bool = False,
        progress: parts.Progress | None = None,
    ) -> None:
        """
        directory: made when missing; one that is there keeps its number of nodes, its ports and its records.
        nodes: 1 to 3 (default: 1). port: of the first node (default: any free one), the others follow.
        sasl: two more listeners: SASL_SSL with PLAIN and SCRAM-SHA-512; SSL that asks for a client's certificate.
        detours: so many more listeners, each with an address that only a fault proxy can have (`detour`).
        die_with_parent: for tests: the kernel kills the brokers when this program ends, in whatever way.
        progress: told of the jars that are fetched the first time.
        Raises BrokerError when the directory holds another number of nodes.
        """
        self.directory = Path(directory).absolute()
        self._port, self._sasl, self._detours = port, sasl, detours
        self._die_with_parent = die_with_parent
        self._progress = progress
        self._plan = Plan.read(self._planfile) or Plan.new(nodes or 1)
        if nodes is not None and nodes != len(self._plan.places):
            raise BrokerError(
                "kafka.other_size",
                f"{self.directory} holds a Kafka of {len(self._plan.places)} node(s), not {nodes}.",
                "Choose another data directory, or remove this one while it is down.",
            )
        self.nodes = tuple(Node(i, self.directory / f"node-{i}") for i in range(1, len(self._plan.places) + 1))
        """Every broker of the cluster, running or not."""

    # ------------------------------------------------------------ what there is

    @property
    def bootstrap(self) -> str:
        """host:port of every broker, comma-separated: what a client is given. Certain once it was started."""
        return ",".join(f"127.0.0.1:{place.client}" for place in self._plan.places)

    def detour(self, number: int) -> tuple[Detour, ...]:
        """Of every node, the port behind the proxy and the proxy's own, to which the node sends its clients."""
        return tuple(place.detours[number] for place in self._plan.places)

    @property
    def sasl_bootstrap(self) -> str | None:
        """The same of the SASL_SSL listeners, None without them."""
        return ",".join(f"127.0.0.1:{place.sasl}" for place in self._plan.places) if self._plan.sasl else None

    @property
    def tls_bootstrap(self) -> str | None:
        """The same of the SSL listeners, which want the client's certificate."""
        return ",".join(f"127.0.0.1:{place.tls}" for place in self._plan.places) if self._plan.sasl else None

    @property
    def username(self) -> str:
        """The user of the SASL_SSL listener."""
        return USER

    @property
    def password_file(self) -> Path:
        """That user's password, for the owner of the directory only."""
        return self.directory / "password"

    @property
    def ca_file(self) -> Path:
        """The certificate (PEM) that vouches for the brokers' own."""
        return self.directory / "tls" / "ca.pem"

    @property
    def client_file(self) -> Path:
        """The key and the certificate (one PEM) of a client, for the SSL listener."""
        return self.directory / "tls" / "client.pem"

    @property
    def running(self) -> bool:
        """Whether every broker is a live process; a paused one is."""
        return all(node.pid is not None for node in self.nodes)

    def answers(self, node: int | None = None, timeout: float = 1.0) -> bool:
        """Whether every broker answers and counts all in; with `node`, whether that one answers and counts itself in.

        It waits `timeout` seconds for each.
        """
        asked = self._numbers(node)
        wanted = {number: self._plan.places[number - 1].client for number in asked}
        return all(wanted.items() <= wire.brokers(port, timeout).items() for port in wanted.values())

    # ------------------------------------------------------------ what can be done to it

    def start(self, node: int | None = None, timeout: float = 120.0) -> bool:
        """Starts the brokers that don't run (or the one named); they answer on return. False: all ran already.

        Raises BrokerError.
        """
        deadline = time.monotonic() + timeout
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            self._settle()
            missing = [number for number in self._numbers(node) if self.nodes[number - 1].pid is None]
            try:
                if missing:
                    self._launch(missing)
                self._wait(self._numbers(node), deadline)
            except BaseException:  # Ctrl-C too: no half-started broker is left
                for number in missing:
                    self.nodes[number - 1].kill()
                raise
        return bool(missing)

    def stop(self, node: int | None = None, timeout: float = STOP_SECONDS) -> bool:
        """SIGTERM, and SIGKILL for what is left after `timeout` seconds. False: nothing ran."""
        if not self.directory.is_dir():
            return False
        with self._locked():
            ending = [one for one in self._chosen(node) if one.pid is not None]
            for one in ending:
                one.terminate()
            deadline = time.monotonic() + timeout
            for one in ending:
                if not one.wait_gone(max(0.0, deadline - time.monotonic())):
                    one.kill()
        return bool(ending)

    def kill(self, node: int | None = None) -> None:
        """kill -9."""
        for one in self._chosen(node):
            one.kill()

    def pause(self, node: int | None = None) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        for one in self._chosen(node):
            one.pause()

    def resume(self, node: int | None = None) -> None:
        """SIGCONT."""
        for one in self._chosen(node):
            one.resume()

    def release(self) -> None:
        """The brokers outlive this program."""
        for one in self.nodes:
            one.release()

    def __enter__(self) -> Self:
        """Starts."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops."""
        self.stop()

    # ------------------------------------------------------------ how

    @property
    def _planfile(self) -> Path:
        return self.directory / "cluster.json"

    def _numbers(self, node: int | None) -> list[int]:
        return [one.number for one in self._chosen(node)]

    def _chosen(self, node: int | None) -> tuple[Node, ...]:
        return self.nodes if node is None else (self.nodes[node - 1],)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.directory / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _settle(self) -> None:
        """The plan, as another program may have made it meanwhile, with what is wanted of it."""
        kept = Plan.read(self._planfile) or self._plan
        self._plan = kept.changed(self._port, self._sasl, self._detours)
        if len(self._plan.places) != len(self.nodes):
            raise BrokerError("kafka.other_size", "Another program has just made another Kafka here.", "Try again.")
        if self._plan != kept and any(one.pid is not None for one in self.nodes):
            raise BrokerError(
                "kafka.runs_otherwise",
                f"The Kafka in {self.directory} runs with another port, without SASL or without detours.",
                "End it first: origin dev kafka down.",
            )
        self._plan.write(self._planfile)

    def _launch(self, numbers: list[int]) -> None:
        program = str(parts.java())
        classpath = f"{parts.jars(self._progress)}/*"
        for number in numbers:
            self._check_ports(number)
        password = self._password()
        if self._plan.sasl:
            tls.make(self.directory / "tls")
        for number in numbers:
            folder = self.nodes[number - 1].directory
            folder.mkdir(exist_ok=True)
            _write_private(folder / "server.properties", self._plan.properties(number, password))
            if not (folder / "formatted").exists():
                self._format(folder, [program, "-XX:TieredStopAtLevel=1", "-cp", classpath], password)
        for number in numbers:
            command = [program, *JVM, "-cp", classpath, "kafka.Kafka", "server.properties"]
            self.nodes[number - 1].launch(command, die_with_parent=self._die_with_parent)

    def _check_ports(self, number: int) -> None:
        place = self._plan.places[number - 1]
        detours = [detour.listener for detour in place.detours]
        for port in (place.client, place.controller, *((place.sasl, place.tls) if self._plan.sasl else ()), *detours):
            if not is_free(port):
                raise BrokerError(
                    "kafka.port_taken",
                    f"Port {port} of 127.0.0.1 is taken by another program.",
                    "End that, or choose another with --port.",
                )

    def _password(self) -> str:
        if not self.password_file.exists():
            _write_private(self.password_file, secrets.token_urlsafe(24))
        return self.password_file.read_text("ascii").strip()

    def _format(self, folder: Path, java: list[str], password: str) -> None:
        """Half a format, of a start that was killed, is done again."""
        shutil.rmtree(folder / "data", ignore_errors=True)
        arguments = folder / "format.args"  # a file, because others see the words of a command
        _write_private(
            arguments,
            f"kafka.tools.StorageTool format -t {self._plan.cluster} -c server.properties "
            f"--initial-controllers {self._plan.controllers()} "
            f"--add-scram SCRAM-SHA-512=[name={USER},password={password}]\n",
        )
        try:
            done = subprocess.run(
                [*java, f"@{arguments.name}"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
            )
        finally:
            arguments.unlink()
        if done.returncode != 0:
            (folder / "server.log").write_text(done.stdout + done.stderr, "utf-8")
            raise BrokerError("kafka.format_failed", "Kafka's storage could not be made.", f"See {folder}/server.log.")
        (folder / "formatted").touch()

    def _wait(self, numbers: list[int], deadline: float) -> None:
        for number in numbers:
            node = self.nodes[number - 1]
            while not self.answers(number):
                if node.pid is None:
                    raise BrokerError("kafka.start_failed", "The broker did not start.", f"See {node.logfile}.")
                if time.monotonic() > deadline:
                    raise BrokerError("kafka.no_answer", "The broker runs but does not answer.", f"See {node.logfile}.")
                time.sleep(0.05)


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.rename(path)
