"""client: who may speak to the gateway, for which enterprise, and for whom it may declare."""

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
    hint,
    login,
    operator_key,
    quoted,
    say,
    show,
    when,
)

clients = group("Who may declare, and for which enterprises.")

Enterprise = Annotated[str, typer.Option(help="18-character credit code (统一社会信用代码).", show_default=False)]
Name = Annotated[str, typer.Argument(help="See origin client list.", show_default=False)]
By = Annotated[str | None, typer.Option(help="Who does it; kept in the list of acts.", show_default="your login name")]
CLIENT_COLUMNS = ("name", "enterprise", "prefix", "prints itself", "bus", "leave for", "since", "revoked")
QUOTA_COLUMNS = ("quota", "most", "used", "")
LEAVE_COLUMNS = ("client", "exporter", "leave", "given by", "since", "revoked")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(clients, name="client")


# ---------------------------------------------------------------- clients


@clients.command("add", epilog=example("origin client add erp-1 --enterprise 91330100799655058B"))
def client_add(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, '-', '_'.", show_default=False)],
    enterprise: Enterprise,
    prefix: Annotated[str, typer.Option(help="Serial prefix of the numbers it is given, 0 to 3 characters.")] = "",
    on_request: Annotated[
        bool, typer.Option("--print-on-request", help="Print only when asked, not by itself.")
    ] = False,
    bus: Annotated[bool, typer.Option("--bus", help="Give it a pair of topics of its own on the bus.")] = False,
    by: By = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """A new client. Its API key is printed once, on standard output, and kept nowhere."""
    wish = {"name": name, "enterprise": enterprise, "prefix": prefix, "prints_itself": not on_request, "bus": bus}
    wish |= _act(by)
    made = call("POST", url, "/v1/admin/clients", operator_key(data), json=wish).json()
    if as_json:
        dump(made)
        return
    say(made["key"])
    hint(
        f"Client {made['id']} of {made['enterprise']}. Keep the key: it is not shown again. export ORIGIN_API_KEY=<key>"
    )
    if bus:
        hint(f"Its topics on Kafka, where there is one: origin topics apply --client {made['id']}")


@clients.command("list", epilog=example("origin client list --json"))
def client_list(url: UrlOption = URL, data: DataOption = DATA, as_json: JsonOption = False) -> None:
    """Every client, revoked ones too."""
    _clients(get(url, "/v1/admin/clients", operator_key(data)), as_json)


@clients.command("revoke", epilog=example("origin client revoke erp-1"))
def client_revoke(
    name: Name,
    by: By = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """The client's key opens nothing any more, within two seconds. For good."""
    _clients([call("POST", url, f"{_path(name)}/revoke", operator_key(data), json=_act(by)).json()], as_json)


@clients.command("bus", epilog=example("origin client bus erp-1 on"))
def client_bus(
    name: Name,
    wanted: Annotated[Literal["on", "off"], typer.Argument(help="Read its topics?", show_default=False)],
    by: By = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Read the client's topics on the bus, or stop reading them; within seconds."""
    wish = {"bus": wanted == "on"} | _act(by)
    _clients([call("POST", url, f"{_path(name)}/bus", operator_key(data), json=wish).json()], as_json)


def _clients(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        dump(found)
        return
    show(
        CLIENT_COLUMNS,
        [
            (
                c["id"],
                c["enterprise"],
                c["prefix"],
                _yes(c["prints_itself"]),
                _yes(c["bus"]),
                len(c["exporters"]) or "",
                when(c["created_at"]),
                when(c["revoked_at"]),
            )
            for c in found
        ],
    )


# ---------------------------------------------------------------- leave to declare for an exporter


@clients.command("grant", epilog=example("origin client grant agent-1 --exporter 91330100799655058B"))
def client_grant(
    name: Name,
    exporter: Annotated[
        str, typer.Option(help="Credit code (统一社会信用代码) of the exporter (出口商).", show_default=False)
    ],
    revoke: Annotated[bool, typer.Option("--revoke", help="Take it back; to a proposal: no.")] = False,
    by: By = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Leave to declare for an exporter (代理申报) that is not the client's own enterprise; within two seconds.

    Enter it when the exporter has told you so: the client draws that exporter's certificate numbers.
    """
    path = f"{_path(name)}/leaves{'/revoke' if revoke else ''}"
    _leaves([call("POST", url, path, operator_key(data), json={"exporter": exporter} | _act(by)).json()], as_json)


@clients.command("grants", epilog=example("origin client grants", "origin client grants --proposed --accept-all"))
def client_grants(
    name: Annotated[str | None, typer.Argument(help="Only this client's.", show_default="all")] = None,
    proposed: Annotated[
        bool, typer.Option("--proposed", help="Only those that wait for your yes or no after an upgrade.")
    ] = False,
    accept: Annotated[bool, typer.Option("--accept-all", help="Yes to every proposal.")] = False,
    by: By = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """Whom clients may declare for, besides their own enterprise.

    Proposals are exporters that a client declared for before leave was needed. They are accepted with a warning until
    you answer: --accept-all, or for one of them `origin client grant NAME --exporter CODE`, with --revoke for no.
    """
    if accept:
        wish = {"client": name} | _act(by)
        found = call("POST", url, "/v1/admin/leaves/accept", operator_key(data), json=wish).json()
    else:
        asked = {"client": name} if name else {}
        found = get(url, "/v1/admin/leaves", operator_key(data), proposed=proposed, **asked)
    _leaves(found, as_json)


def _leaves(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        dump(found)
        return
    rows = [
        (one["client"], one["exporter"], one["state"], one["given_by"], when(one["since"]), when(one["revoked_at"]))
        for one in found
    ]
    show(LEAVE_COLUMNS, rows)


# ---------------------------------------------------------------- quotas


@clients.command(
    "quota", epilog=example("origin client quota erp-1", "origin client quota erp-1 --set declarations_per_day=20000")
)
def client_quota(
    name: Name,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="QUOTA=N", help="N: a number, `none` for no limit, or `default`. Can be repeated."
        ),
    ] = None,
    by: By = None,
    url: UrlOption = URL,
    data: DataOption = DATA,
    as_json: JsonOption = False,
) -> None:
    """What a client may do before it is told to come again later, and what of that it has done. Changes take effect
    within two seconds."""
    path = f"{_path(name)}/quotas"
    if changes:
        wish = {"set": dict(_quota(change) for change in changes)} | _act(by)
        found = call("POST", url, path, operator_key(data), json=wish).json()
    else:
        found = get(url, path, operator_key(data))
    if as_json:
        dump(found)
        return
    rows = [
        (one["quota"], "none" if one["most"] is None else one["most"], one["used"], "" if one["default"] else "its own")
        for one in found
    ]
    show(QUOTA_COLUMNS, rows)


def _quota(change: str) -> tuple[str, int | str | None]:
    """`name=value`. Raises Stop."""
    from gateway.core.quotas import Quota

    name, _, value = change.partition("=")
    if name not in set(Quota):
        raise Stop(f"--set names one of: {', '.join(Quota)}.", USAGE)
    if value == "default":
        return name, value
    if value == "none":
        return name, None
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 1 << 62:
        raise Stop(f"--set {name}=N: N is a number from 1, `none` or `default`.", USAGE)
    return name, int(value)


def _act(by: str | None) -> dict[str, str]:
    """Who does it, where somebody is named."""
    who = by or login()
    return {"by": who} if who else {}


def _path(name: str) -> str:
    return f"/v1/admin/clients/{quoted(name)}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
