"""A command line of ours, parsed as the program would and not run."""

import shlex

from typer.main import get_command

from gateway.cli import app


class Refused(Exception):
    """There is no such command, or it does not take this."""


def parse(line: str) -> None:
    """`line` begins with `origin`. Raises Refused."""
    words = shlex.split(line)[1:]
    command, name = get_command(app), "origin"
    try:
        while True:
            command.make_context(name, list(words))
            children = getattr(command, "commands", None)
            if children is None:
                return
            name, words = words[0], words[1:]
            if name not in children:
                raise Refused(f"no command {name}")
            command = children[name]
    except Refused:
        raise
    except Exception as error:  # the parser's errors have no public base
        raise Refused(f"{type(error).__name__}: {error}") from error
