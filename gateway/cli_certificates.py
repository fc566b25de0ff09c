"""status, timeline, print, confirm: one certificate, by id or number."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from gateway.cli_common import (
    URL,
    JsonOption,
    KeyOption,
    UrlOption,
    api_key,
    call,
    dump,
    example,
    facts,
    get,
    quoted,
    say,
    show,
    when,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="Our id, or the certificate number.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=example("origin status RC26ABCDEFGHI0001"))(status)
    app.command(epilog=example("origin timeline RC26ABCDEFGHI0001"))(timeline)
    app.command("print", epilog=example("origin print RC26ABCDEFGHI0001 --what copy"))(print_)
    app.command(
        epilog=example("origin confirm RC26ABCDEFGHI0001 yes", "origin confirm RC26ABCDEFGHI0001 no --what copy")
    )(confirm)


def status(id: Id, url: UrlOption = URL, key_file: KeyOption = None, as_json: JsonOption = False) -> None:
    """Where a certificate is now."""
    found = get(url, f"/v1/certificates/{quoted(id)}", api_key(key_file))
    if as_json:
        dump(found)
        return
    found["overdue"] = ", ".join(found["overdue"]) or None
    rows = [(name, when(value) if name.endswith("_at") else value) for name, value in found.items() if name != "papers"]
    for part, paper in found["papers"].items():
        told = f"{paper['pages']} page(s), print: {paper['print']}" if paper["file_sha256"] else "not rendered"
        if paper["trouble"]:
            told += f"; stands still: {paper['trouble']}. See origin timeline; mend it, then origin print."
        rows.append((part, told))
    show(("", ""), [row for row in rows if row[1] is not None])


def _told(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is new in an event: with a declaration it repeats what `origin status` says."""
    data: Mapping[str, Any] = event["data"]
    if event["kind"] not in ("drafted", "declared"):
        return data
    return {name: data[name] for name in ("revision", "reference", "content") if name in data}


def timeline(id: Id, url: UrlOption = URL, key_file: KeyOption = None, as_json: JsonOption = False) -> None:
    """What happened to a certificate, in order."""
    found = get(url, f"/v1/certificates/{quoted(id)}/timeline", api_key(key_file))
    if as_json:
        dump(found)
        return
    rows = [(e["sequence"], when(e["at"]), e["kind"], facts(_told(e))) for e in found["events"]]
    show(("#", "when", "what", "facts"), rows, title=f"{found['number']}: {found['status']}")


def print_(
    id: Id,
    what: Annotated[Literal["original", "copy", "both"], typer.Option(help="Which papers.")] = "both",
    url: UrlOption = URL,
    key_file: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print it: each paper once. Exit 1 when that is not possible, with the reason."""
    path = f"/v1/certificates/{quoted(id)}/print"
    _tell(call("POST", url, path, api_key(key_file), json={"what": what}).json(), as_json)


def confirm(
    id: Id,
    printed: Annotated[Literal["yes", "no"], typer.Argument(help="Is the paper in your hands?", show_default=False)],
    what: Annotated[Literal["original", "copy", "both"], typer.Option(help="Which papers you looked at.")] = "both",
    url: UrlOption = URL,
    key_file: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether it was printed: yes ends its life well; after a no only an approved exception prints it again."""
    path = f"/v1/certificates/{quoted(id)}/confirm"
    _tell(call("POST", url, path, api_key(key_file), json={"printed": printed == "yes", "what": what}).json(), as_json)


def _tell(outcome: dict[str, Any], as_json: bool) -> None:
    if as_json:
        dump(outcome)
        return
    certificate = outcome["certificate"]
    say(f"{certificate['number']}: {certificate['status']}")
    show(("what", "facts"), [(event["kind"], facts(event["data"])) for event in outcome["events"]])
