"""topics: what the gateway needs on a Kafka cluster, compared and made. Speaks to the cluster, not to a gateway."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gateway.cli_common import FAULTY, UNREACHABLE, USAGE, JsonOption, Stop, dump, example, group, hint, show

if TYPE_CHECKING:
    from adapters.bus.kafka_topics import Difference, Wanted

T = TypeVar("T")
topics = group("Topics on the Kafka cluster that ORIGIN_KAFKA_BOOTSTRAP names.")
COLUMNS = ("topic", "what", "declared", "found", "remedy")
ClientOption = Annotated[
    list[str] | None, typer.Option("--client", help="Also the topics of this client on the bus; may be repeated.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(topics, name="topics")


@topics.command("list", epilog=example("origin topics list"))
def topics_list(client: ClientOption = None, as_json: JsonOption = False) -> None:
    """What is declared. Needs no cluster."""
    rows = [(topic.name, topic.partitions, dict(topic.config)) for topic in _declared(client)]
    if as_json:
        dump([{"name": name, "partitions": count, "config": config} for name, count, config in rows])
        return
    show(
        ("topic", "partitions", "configuration"),
        [(name, count, " ".join(f"{key}={value}" for key, value in config.items())) for name, count, config in rows],
    )


@topics.command("diff", epilog=example("origin topics diff --json"))
def topics_diff(client: ClientOption = None, as_json: JsonOption = False) -> None:
    """What differs on the cluster. Exit code 1 when something does."""
    from adapters.bus.kafka_topics import differences

    cluster, replicas = _cluster()
    found = _run(differences(cluster, _declared(client), replicas))
    _show(found, as_json)
    if found:
        raise typer.Exit(FAULTY)
    hint("All topics are as declared.")


@topics.command("apply", epilog=example("origin topics apply", "origin topics apply --dry-run"))
def topics_apply(
    client: ClientOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make what is missing and mend what can be mended without harm; nothing is deleted, and a topic that carries
    messages keeps its partitions. Exit code 1 when something is left for a person."""
    from adapters.bus.kafka_topics import apply, differences

    cluster, replicas = _cluster()
    wanted = _declared(client)
    if dry_run:
        found = _run(differences(cluster, wanted, replicas))
        done, left = [d for d in found if d.mendable], [d for d in found if not d.mendable]
    else:
        done, left = _run(apply(cluster, wanted, replicas))
    _show([*done, *left], as_json)
    hint(f"{len(done)} {'to be mended' if dry_run else 'mended'}, {len(left)} left for a person.")
    if left:
        raise typer.Exit(FAULTY)


def _show(found: "list[Difference]", as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        dump([asdict(difference) for difference in found])
        return
    show(COLUMNS, [(d.topic, d.what, d.declared, d.found, d.remedy) for d in found])


def _declared(clients: list[str] | None) -> "tuple[Wanted, ...]":
    from adapters.bus.kafka_topics import declared

    try:
        return declared(clients or ())
    except ValueError:
        raise Stop("--client: no client has such a name.", USAGE) from None


def _cluster() -> tuple[Any, int | None]:
    from gateway.broker import BrokerRefused, cluster
    from gateway.settings import SettingsRefused, load

    try:
        settings = load()
        found = cluster(settings)
    except (SettingsRefused, BrokerRefused) as refusal:
        raise Stop(str(refusal), USAGE) from None
    if found is None:
        raise Stop("No cluster: set ORIGIN_KAFKA_BOOTSTRAP to host:port.", USAGE)
    return found, settings.kafka_replication_factor


def _run(work: Coroutine[Any, Any, T]) -> T:
    import asyncio
    import logging

    from adapters.bus.kafka_topics import TopicsRefused
    from gateway.ports import Unavailable

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # the command says it, in one sentence
    try:
        return asyncio.run(work)
    except Unavailable as trouble:
        raise Stop(f"The cluster can't be reached or refuses us ({trouble}).", UNREACHABLE) from None
    except TopicsRefused as refusal:
        raise Stop(f"The cluster refused: {refusal}.", FAULTY) from None
