"""customs: the simulated customs behind an import client's folder, to practise with the role customs-link."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli_common import USAGE, Stop, example, group, hint

customs = group("Customs, played: never in production, it approves certificates.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(customs, name="customs")


@customs.command("play", epilog=example("origin customs play --folder ./customs-folder"))
def play(
    folder: Annotated[Path, typer.Option(help="The import client's folder: ORIGIN_CUSTOMS_FOLDER of the gateway.")],
    scenarios: Annotated[
        Path | None, typer.Option(help="Scenario file.", show_default="the one that comes along")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Other numbers, other draws.")] = 1,
    pace: Annotated[float, typer.Option(min=0, help="Factor on every delay; 0: at once.")] = 1.0,
    register: Annotated[
        Path | None, typer.Option(help="File that remembers reply numbers.", show_default="in the folder")
    ] = None,
) -> None:
    """Take declarations from OutBox and put receipts and layouts into InBox, as the import client would.

    The boxes are made when they are missing. Until SIGTERM or Ctrl-C; what has no answer yet is answered after the
    next start.
    """
    import asyncio

    from gateway import logs
    from simulators.customs.play import serve
    from simulators.customs.scenarios import ScenarioError, load

    try:
        known = load(scenarios)
    except (ScenarioError, OSError) as error:
        raise Stop(str(error), USAGE) from None
    logs.configure()
    try:
        hint(f"origin: plays customs on {folder}")
        asyncio.run(serve(folder, known, seed, pace, register or folder / "customs-register.sqlite"))
    except OSError as error:
        raise Stop(f"The folder can't be used: {error.strerror}.", USAGE) from None
