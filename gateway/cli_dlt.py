"""dlt: records that nobody can read, and what a person decides about them."""

import base64
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import typer

from gateway.cli_common import (
    DATA,
    URL,
    USAGE,
    DataOption,
    JsonOption,
    Stop,
    UrlOption,
    call,
    dump,
    example,
    get,
    group,
    login,
    operator_key,
    read_bytes,
    say,
    show,
    when,
)

dlt = group("Dead letters: records that nobody can read, kept with their bytes. All others flow.")

PATH = "/v1/admin/dead-letters"
COLUMNS = ("id", "since", "topic", "code", "why", "attempts", "state")
Identity = Annotated[str, typer.Argument(metavar="ID", help="See origin dlt list.", show_default=False)]
By = Annotated[str | None, typer.Option(help="Who decides.", show_default="your login name")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(dlt, name="dlt")


@dlt.command("list", epilog=example("origin dlt list", "origin dlt list --state all --json"))
def dlt_list(
    state: Annotated[
        Literal["waiting", "replayed", "discarded", "all"], typer.Option(help="What became of them.")
    ] = "waiting",
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Dead letters, oldest first, at most 500."""
    asked = {} if state == "all" else {"state": state}
    _dead(get(url, PATH, operator_key(data), **asked), as_json)


@dlt.command("show", epilog=example("origin dlt show 019ab3c0-7d1e-5c55-8d3a-5d5a3f1c2b11"))
def dlt_show(
    letter: Identity,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """One of them with its headers and its original bytes."""
    found = get(url, f"{PATH}/{_uuid(letter)}", operator_key(data))
    if as_json:
        dump(found)
        return
    apart = ("headers", "body", "mended")
    rows = [(name, value) for name, value in found.items() if name not in apart and value is not None]
    show(("", ""), [*rows, *found["headers"].items()])
    _bytes(found["body"])
    if found["mended"] is not None:
        say("--- mended:")
        _bytes(found["mended"])


@dlt.command(
    "replay",
    epilog=example(
        "origin dlt replay 019ab3c0-7d1e-5c55-8d3a-5d5a3f1c2b11",
        "origin dlt replay ID --body mended.xml --reason 'customs left the end off; asked Ms Li, 0574-1'",
    ),
)
def dlt_replay(
    letter: Identity,
    reason: Annotated[str | None, typer.Option(help="Why; kept with it.", show_default="tried again")] = None,
    body: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The mended bytes, of what customs sent; kept beside the original. Needs --reason."
        ),
    ] = None,
    by: By = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Send the original bytes to the original topic once more. What still can't be read comes back under a new id."""
    if body is not None and not reason:
        raise Stop("Say why these bytes are right: --reason.", USAGE)
    mended = {} if body is None else {"body": base64.b64encode(read_bytes(body)).decode()}
    _decide(letter, "replay", reason or "tried again", by, url, operator_key(data), as_json, mended)


@dlt.command("discard", epilog=example("origin dlt discard ID --reason 'a test message of the broker team'"))
def dlt_discard(
    letter: Identity,
    reason: Annotated[str, typer.Option(help="Why; kept with it.", show_default=False)],
    by: By = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """It is not needed. It stays on file, with the reason."""
    _decide(letter, "discard", reason, by, url, operator_key(data), as_json)


def _decide(
    letter: str,
    what: Literal["replay", "discard"],
    reason: str,
    by: str | None,
    url: str,
    key: str,
    as_json: bool,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    ruling = {"by": _person(by), "reason": reason, **more}
    _dead([call("POST", url, f"{PATH}/{_uuid(letter)}/{what}", key, json=ruling).json()], as_json)


def _bytes(text: str) -> None:
    for line in base64.b64decode(text).decode("utf-8", "replace").splitlines():
        say(line)


def _dead(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        dump(found)
        return
    rows = [(d["id"], when(d["at"]), d["topic"], d["code"], d["detail"], d["attempts"], d["state"]) for d in found]
    show(COLUMNS, rows)


def _person(by: str | None) -> str:
    person = by or login()
    if person is None:
        raise Stop("Nobody is logged in by name: say who decides, --by NAME.", USAGE)
    return person


def _uuid(text: str) -> str:
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        raise Stop("This is not an id; origin dlt list shows them.", USAGE) from None
