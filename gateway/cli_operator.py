"""seal, key, parked, doctor: the operator's commands, over HTTP with the operator's key."""

import base64
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway.cli_common import (
    DATA,
    FAULTY,
    MAX_TEXT,
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
    operator_key,
    read_bytes,
    say,
    show,
    text_of,
    when,
)

seals = group("Seals and handwriting: images that are put on certificates.")
keys = group("Signing keys of enterprises.")
parked = group("Messages that broke our own code and wait for a person; all others flow.")

Enterprise = Annotated[str, typer.Option(help="18-character credit code (统一社会信用代码).", show_default=False)]
MARK_COLUMNS = ("id", "enterprise", "kind", "name", "valid from", "valid to", "stopped")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(seals, name="seal")
    app.add_typer(keys, name="key")
    app.add_typer(parked, name="parked")
    app.command(epilog=example("origin doctor"))(doctor)


# ---------------------------------------------------------------- seals and keys


@seals.command("add", epilog=example("origin seal add seal.png --enterprise 91330100799655058B --width-mm 42"))
def seal_add(
    image: Annotated[Path, typer.Argument(help="PNG, 600 dpi or better.", show_default=False)],
    enterprise: Enterprise,
    kind: Annotated[Literal["seal", "signature"], typer.Option(help="Seal (印章) or handwriting (手签).")] = "seal",
    name: Annotated[str | None, typer.Option(help="For people.", show_default="the file's name")] = None,
    shape: Annotated[
        Literal["round", "rectangle", "oval"], typer.Option(help="Of a seal: up to 45 mm; 55 x 40 mm; 55 x 45 mm.")
    ] = "round",
    width_mm: Annotated[
        float | None, typer.Option(help="Printed width in mm.", show_default="by the file's resolution")
    ] = None,
    valid_from: Annotated[str | None, typer.Option(help="e.g. 2026-01-01T00:00:00+08:00", show_default="now")] = None,
    valid_to: Annotated[str | None, typer.Option(help="The end of its validity.", show_default="ten years")] = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Enrol an image as the enterprise's default. It is kept encrypted and used for this enterprise only."""
    wish = {
        "enterprise": enterprise,
        "kind": kind,
        "name": name or image.stem,
        "shape": shape,
        "width_mm": width_mm,
        "valid_from": valid_from,
        "valid_to": valid_to,
        "png": base64.b64encode(read_bytes(image)).decode(),
    }
    _marks([call("POST", url, "/v1/admin/seals", operator_key(data), json=wish).json()], as_json)


@seals.command("list", epilog=example("origin seal list"))
def seal_list(url: UrlOption = URL, data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """Seals and handwriting, stopped ones too."""
    _marks(get(url, "/v1/admin/seals", operator_key(data)), as_json)


@seals.command("stop", epilog=example("origin seal stop 019ab3c0-7d1e-7c55-8d3a-5d5a3f1c2b11"))
def seal_stop(
    mark: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Never used again; never deleted."""
    _marks([call("POST", url, f"/v1/admin/seals/{_uuid(mark)}/stop", operator_key(data)).json()], as_json)


@keys.command("add", epilog=example("origin key add enterprise.p12 --enterprise 91330100799655058B"))
def key_add(
    file: Annotated[Path, typer.Argument(help="PKCS#12.", show_default=False)],
    enterprise: Enterprise,
    name: Annotated[str | None, typer.Option(help="For people.", show_default="the file's name")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the password; asked for otherwise.", show_default=False)
    ] = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Enrol the enterprise's signing key. The password is never given on the command line, where others see it."""
    content = read_bytes(file)
    wish = {
        "enterprise": enterprise,
        "name": name or file.stem,
        "p12": base64.b64encode(content).decode(),
        "password": _password(password_file),
    }
    _marks([call("POST", url, "/v1/admin/keys", operator_key(data), json=wish).json()], as_json)


@keys.command("list", epilog=example("origin key list"))
def key_list(url: UrlOption = URL, data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """Signing keys, stopped ones too, without the keys themselves."""
    _marks(get(url, "/v1/admin/keys", operator_key(data)), as_json)


def _password(file: Path | None) -> str:
    """One line. Raises Stop, which never quotes it."""
    if file is None and sys.stdin.isatty():
        answer: str = typer.prompt(
            "Password of the key file", hide_input=True, default="", show_default=False, err=True
        )
        return answer
    name = "The password on standard input" if file is None else str(file)
    content = sys.stdin.buffer.readline(MAX_TEXT) if file is None else read_bytes(file, MAX_TEXT)
    line = text_of(content, name).rstrip("\r\n")
    if any(ord(character) < 0x20 for character in line):
        raise Stop(f"{name} is not one line of plain text. Save it as UTF-8.", USAGE)
    return line


def _marks(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        dump(found)
        return
    rows = [
        (
            m["id"],
            m["enterprise"],
            m["kind"],
            m["name"],
            when(m["valid_from"]),
            when(m["valid_to"]),
            when(m["stopped_at"]),
        )
        for m in found
    ]
    show(MARK_COLUMNS, rows)


# ---------------------------------------------------------------- parked, doctor


@parked.command("list", epilog=example("origin parked list"))
def parked_list(url: UrlOption = URL, data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """What waits, oldest first."""
    found = get(url, "/v1/admin/parked", operator_key(data))
    if as_json:
        dump(found)
        return
    rows = [(p["message_id"], when(p["at"]), p["certificate_id"], p["topic"], p["reason"]) for p in found]
    show(("message", "since", "certificate", "topic", "why"), rows)


@parked.command("show", epilog=example("origin parked show 019ab3c0-7d1e-7c55-8d3a-5d5a3f1c2b11"))
def parked_show(
    message: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """One message with its headers and its original bytes."""
    found = get(url, f"/v1/admin/parked/{_uuid(message)}", operator_key(data))
    if as_json:
        dump(found)
        return
    rows = [(name, value) for name, value in found.items() if name not in ("headers", "body")]
    show(("", ""), [*rows, *found["headers"].items()])
    for line in base64.b64decode(found["body"]).decode("utf-8", "replace").splitlines():
        say(line)


@parked.command("replay", epilog=example("origin parked replay", "origin parked replay --certificate ID"))
def parked_replay(
    certificate: Annotated[str | None, typer.Option(help="Only this certificate's.", show_default="all")] = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Handle parked messages again, with their original bytes, once what broke is mended."""
    wish = {"certificate": None if certificate is None else _uuid(certificate)}
    done = call("POST", url, "/v1/admin/parked/replay", operator_key(data), json=wish).json()
    if as_json:
        dump(done)
        return
    say(f"{done['replayed']} message(s) went through.")


def doctor(url: UrlOption = URL, data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """What is reachable, what is missing, what to do. Exit 0: all well; 1: something is missing; 3: no gateway."""
    found = get(url, "/v1/admin/doctor", operator_key(data))
    if as_json:
        dump(found)
    else:
        rows = [(f["about"], "ok" if f["ok"] else "MISSING", f["detail"], f["remedy"]) for f in found]
        show(("about", "", "found", "what to do"), [("gateway", "ok", f"answers at {url}.", ""), *rows])
    raise typer.Exit(0 if all(f["ok"] for f in found) else FAULTY)


def _uuid(text: str) -> str:
    from uuid import UUID

    try:
        return str(UUID(text))
    except ValueError:
        raise Stop("This is not an id; the list command shows them.", USAGE) from None
