"""drain: ask a running process for its graceful end."""

import typer

from gateway.cli_common import DATA, URL, DataOption, JsonOption, UrlOption, call, dump, example, operator_key, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=example("origin drain --url http://127.0.0.1:8080"))(drain)


def drain(url: UrlOption = URL, data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """Ask the process at this address to take nothing new, finish what it has in hand (20 s at most), and end.

    SIGTERM asks for the same: that is the way for processes without the role intake, which have no address, and for
    one of several on a shared port, of which any may answer here.
    """
    answer = call("POST", url, "/v1/admin/drain", operator_key(data)).json()
    if as_json:
        dump(answer)
        return
    say(f"Process {answer['pid']} finishes what it has in hand, and ends.")
