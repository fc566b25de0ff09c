"""audit verify, root, acts: is what happened still what is stored? Straight on the database, without the gateway.

An auditor need not trust the process that wrote the rows: the command reads the database that the gateway uses, in one
unchanging picture, also while it runs. The embedded database is started for it when no gateway runs.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli_common import (
    FAULTY,
    NO_TEXT,
    UNREACHABLE,
    USAGE,
    JsonOption,
    Stop,
    dump,
    example,
    facts,
    group,
    say,
    show,
    when,
)

if TYPE_CHECKING:
    import asyncpg

    from adapters.store.audit import Report
    from gateway.core.audit import Sealed
    from gateway.operations import ActItem

audit = group("An audit that holds: every event carries the hash of the one before it, every day has a root.")
Audited = Annotated[
    Path | None, typer.Option("--data", envvar="ORIGIN_DATA", help="Data directory.", show_default="origin-data")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(audit, name="audit")


@audit.command(
    epilog=example("origin audit verify", "origin audit verify --expect ROOT", "origin audit verify --day 2026-11-22")
)
def verify(
    day: Annotated[str | None, typer.Option(help="Only this UTC day's events and root, e.g. 2026-11-22.")] = None,
    certificate: Annotated[str | None, typer.Option(help="Only this certificate's chain: id or number.")] = None,
    expect: Annotated[
        str | None, typer.Option(help="A root that was kept outside: it must be one of the roots, unchanged.")
    ] = None,
    data: Audited = None,
    as_json: JsonOption = False,
) -> None:
    """Find changed, deleted or inserted events and roots. Exit 0: all holds; 1: something does not; 3: no database.

    Keep the newest root outside the database (it is printed, and in the log): with --expect it pins everything before.
    Who can write the database and compute hashes can change what no kept root pins.
    """
    if certificate is not None and (day is not None or expect is not None):
        raise Stop("--certificate stands alone: a root is about a day.", USAGE)
    wanted = _date(day) if day is not None else None
    root = _root(expect) if expect is not None else None

    async def look(connection: "asyncpg.Connection") -> "tuple[Report, list[Sealed]]":
        from adapters.store.audit import Auditor, overdue_seal

        auditor, now = Auditor(connection), datetime.now(UTC)
        with _progress(as_json) as told:
            if certificate is not None:
                report = await auditor.certificate(certificate)
                if report is None:
                    raise Stop("There is no such certificate.", FAULTY)
            elif wanted is not None:
                report = await auditor.day(wanted, overdue_seal(now), told)
            else:
                report = await auditor.everything(overdue_seal(now), now.date(), told)
            return report, list(await auditor.sealed())

    report, sealed = _ask(data, look)
    if root is not None:
        _expected(report, sealed, root, wanted)
    if as_json:
        dump(_content(report))
    else:
        _tell(report)
    raise typer.Exit(FAULTY if report.flaws else 0)


@audit.command(epilog=example("origin audit root", "origin audit root 2026-11-22"))
def root(
    day: Annotated[str | None, typer.Argument(help="UTC day.", show_default="the newest that is sealed")] = None,
    data: Audited = None,
    as_json: JsonOption = False,
) -> None:
    """The root of a day, to be kept outside the database. Exit 1: that day has none (yet)."""
    wanted = _date(day) if day is not None else None

    async def look(connection: "asyncpg.Connection") -> "list[Sealed]":
        from adapters.store.audit import Auditor

        return list(await Auditor(connection).sealed())

    found = [one for one in _ask(data, look) if wanted in (None, one.day)]
    if not found:
        raise Stop("This day has no root: it is sealed a few minutes after it is over, by the turn role.", FAULTY)
    if as_json:
        dump(asdict(found[-1]))
        return
    say(found[-1].root)


@audit.command(epilog=example("origin audit acts", "origin audit acts --client agent-1 --json"))
def acts(
    client: Annotated[str | None, typer.Option(help="Only what was done to this client.", show_default="all")] = None,
    data: Audited = None,
    as_json: JsonOption = False,
) -> None:
    """What operators did to clients and their leave to declare: who, when, what. Newest first, at most 500."""

    async def look(connection: "asyncpg.Connection") -> "Sequence[ActItem]":
        from adapters.store.acts import acts as noted

        return await noted(connection, client)

    found = [act.model_dump(mode="json") for act in _ask(data, look, "origin.operator_act")]
    if as_json:
        dump(found)
        return
    show(
        ("when", "who", "what", "client", ""),
        [(when(a["at"]), a["who"], a["what"], a["client"], facts(a["detail"])) for a in found],
    )


# ---------------------------------------------------------------- what was found


def _expected(report: "Report", sealed: "list[Sealed]", root: str, day: date | None) -> None:
    """A root that was kept outside, and the day where it should be."""
    from gateway.core.audit import Flaw

    if root not in {one.root for one in sealed if day in (None, one.day)}:
        what = "the expected root is not there: that day, or one before it, was changed and sealed anew"
        report.tell(Flaw("root.expected", what, day=day))


def _content(report: "Report") -> dict[str, Any]:
    return {
        "holds": not report.flaws,
        "certificates": report.certificates,
        "events": report.events,
        "before_the_audit": report.unaudited,
        "not_folded": report.unfolded,
        "days": report.days,
        "newest": None if report.newest is None else asdict(report.newest),
        "flaws": [asdict(flaw) for flaw in report.flaws],
        "more_flaws": report.more,
    }


def _tell(report: "Report") -> None:
    flaws = len(report.flaws) + report.more
    verdict = f"{flaws} flaw(s)" if flaws else "all holds"
    say(f"{report.events} events of {report.certificates} certificates, {report.days} sealed days: {verdict}.")
    if report.unaudited:
        say(f"{report.unaudited} events are from before the audit: nothing vouches for them.")
    if report.unfolded:
        say(f"{report.unfolded} certificates are older than the check that their events make their state.")
    if report.newest is not None:
        say(f"Newest root, of {report.newest.day}; keep it outside, for --expect: {report.newest.root}")
    rows = [(flaw.certificate, flaw.sequence, flaw.day, flaw.code, flaw.what) for flaw in report.flaws]
    if rows:
        show(("certificate", "event", "day", "code", "what is wrong"), rows)
    if report.more:
        say(f"... and {report.more} more.")


@contextmanager
def _progress(as_json: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar for people, on standard error; nothing when piped."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if as_json or not console.is_terminal:
        yield lambda done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


# ---------------------------------------------------------------- the database


def _ask(data: Path | None, question: "Callable[[asyncpg.Connection], Any]", table: str = "origin.audit_day") -> Any:
    """Put a question to the database, which must have this table. Raises Stop."""
    from asyncpg import DataError

    from adapters.postgres.install import EmbeddedError
    from adapters.postgres.pool import ServerRefused
    from gateway.ports import Unavailable

    async def run() -> Any:
        async with _database(data) as connection:
            if await connection.fetchval("SELECT to_regclass($1)", table) is None:
                raise Stop("The database is of an older version: start the gateway once.", FAULTY)
            return await question(connection)

    try:
        return asyncio.run(run())
    except DataError:
        raise Stop(NO_TEXT, USAGE) from None
    except (EmbeddedError, ServerRefused, Unavailable, OSError) as trouble:
        raise Stop(f"The database can't be read: {trouble}", UNREACHABLE) from None


@asynccontextmanager
async def _database(data: Path | None) -> "AsyncIterator[asyncpg.Connection]":
    """On the database of the settings, of a running gateway, or of one that stands still."""
    from adapters.postgres.embedded import Embedded, running_dsn
    from adapters.postgres.pool import connect
    from gateway.settings import SettingsRefused, load

    try:
        settings = load(data=data)
    except SettingsRefused as refusal:
        raise Stop(str(refusal), USAGE) from None
    directory = settings.data / "postgres"
    dsn = settings.database_direct_url or settings.database_url or running_dsn(directory)
    server = None
    if dsn is None:
        if not (directory / "lock").exists():
            raise Stop(f"There is no database in {settings.data}: give --data or ORIGIN_DATABASE_URL.", USAGE)
        server = Embedded(directory)
        await asyncio.to_thread(server.start)
        dsn = server.dsn
    try:
        connection = await connect(dsn, application="origin audit")
        try:
            yield connection
        finally:
            await connection.close()
    finally:
        if server is not None:
            await asyncio.to_thread(server.stop)


def _date(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise Stop("A day is written like 2026-11-22.", USAGE) from None
    if found > datetime.now(UTC).date() + timedelta(days=1):
        raise Stop("This day is still to come.", USAGE)
    return found


def _root(text: str) -> str:
    root = text.strip().lower()
    if len(root) != 64 or set(root) - set("0123456789abcdef"):
        raise Stop("A root has 64 hexadecimal digits; `origin audit root` prints it.", USAGE)
    return root
