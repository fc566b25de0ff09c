"""The command `origin` in a process of its own, as a person and a script meet it.

Loading what commands need takes longer than most of them take: so one process loads it once, and is forked for each
call. Whatever depends on how an interpreter starts is tried in a new one, by `tests.cli.test_cli`.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.architecture.tree import ROOT

EXAMPLES = ROOT / "schemas" / "examples"


def origin(*arguments: str | Path, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it in `folder`, with these settings and no others."""
    words = [str(argument) for argument in arguments]
    settings = {**without_settings(), "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1", **environment}
    return _loaded().run(words, folder or ROOT, settings)


def without_settings() -> dict[str, str]:
    """The environment without settings of a gateway."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ORIGIN_")}


class Loaded:
    """The process that has loaded everything."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.command"],
            cwd=ROOT,
            env=without_settings(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._process.communicate)

    def run(self, words: list[str], folder: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """One call of the command, to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            job = {"words": words, "folder": str(folder), "settings": dict(settings)}
            job |= {"out": _reached(out.fileno()), "errors": _reached(errors.fileno())}
            print(json.dumps(job), file=self._process.stdin, flush=True)
            status = int(self._process.stdout.readline())
            texts = []
            for file in (out, errors):
                file.seek(0)
                texts.append(file.read())
        return subprocess.CompletedProcess(words, status, *texts)


@cache
def _loaded() -> Loaded:
    return Loaded()


def _reached(descriptor: int) -> str:
    """How another process of ours reaches an open file that has no name."""
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _serve() -> None:
    from gateway import app, cli
    from gateway.core.faults import Refused
    from gateway.examiner import new_examiner
    from gateway.runtime.submission import Client, Submission

    assert app
    with suppress(Refused):  # what is made when it is first needed, is made here
        body = (EXAMPLES / "C-faulty.xml").read_bytes()
        new_examiner().examine(Submission(Client("any", "any"), "application/xml", body, "any"))
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(job)
            cli.main()
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(job: dict[str, object]) -> None:
    """The process of one call: its files, its folder, its settings."""
    os.chdir(str(job["folder"]))
    os.environ.clear()
    os.environ.update(job["settings"])  # type: ignore[call-overload]
    places = ((0, os.devnull, os.O_RDONLY), (1, str(job["out"]), os.O_WRONLY), (2, str(job["errors"]), os.O_WRONLY))
    for number, path, mode in places:
        descriptor = os.open(path, mode)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["origin", *map(str, job["words"])]  # type: ignore[call-overload]


if __name__ == "__main__":
    _serve()
