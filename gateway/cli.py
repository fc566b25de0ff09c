"""The command `origin`. Each noun has its own ``cli_*.py``; what is heavy is imported where it is used."""

import os
import sys
from typing import Annotated

import typer

from gateway import (
    cli_audit,
    cli_certificates,
    cli_clients,
    cli_customs,
    cli_declare,
    cli_dev,
    cli_dlt,
    cli_documents,
    cli_drain,
    cli_operator,
    cli_serve,
    cli_simulate,
    cli_topics,
)
from gateway.cli_common import FAULTY, Stop, plain

app = typer.Typer(
    name="origin",
    help="Declare certificates of origin, follow them, sign, stamp and print them. "
    "Exit codes: 0 done, 1 refused or faulty, 2 wrong call, 3 gateway not reachable.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

for register in (
    cli_audit,
    cli_serve,
    cli_documents,
    cli_declare,
    cli_certificates,
    cli_clients,
    cli_operator,
    cli_dlt,
    cli_drain,
    cli_topics,
    cli_customs,
    cli_dev,
    cli_simulate,
):
    register.register(app)


def version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        try:
            number = installed("origin-gateway")
        except PackageNotFoundError:
            number = "from source"
        typer.echo(f"origin-gateway {number}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")] = (
        False
    ),
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run a command. Whatever happens, a person reads sentences, not stack traces."""
    try:
        app(prog_name="origin")
    except Stop as stop:
        _end("\n".join(plain(line) for line in stop.message.splitlines()), stop.code)
    except KeyboardInterrupt:
        _end("Stopped.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAULTY)
    except Exception as error:
        _end(f"Our mistake, please report it: {type(error).__name__} at {_place(error)}.", FAULTY)


def _end(text: str, code: int) -> None:
    sys.stderr.write(f"origin: {text}\n")
    sys.exit(code)


def _place(error: BaseException) -> str:
    """Where it broke: file and line, no values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{'/'.join(trace.tb_frame.f_code.co_filename.split('/')[-2:])}:{trace.tb_lineno}"


if __name__ == "__main__":
    main()
