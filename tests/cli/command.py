"""The command `origin` in a process of its own, as a person and a script meet it.

Loading what commands need takes longer than most of them take: so one process loads it once, and is forked for each
call. Whatever depends on how an interpreter starts is tried in a new one, by `tests.cli.test_cli`.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.architecture.tree import ROOT

EXAMPLES = ROOT / "schemas" / "examples"
STREAMS = ("out", "errors")
"""Files that a call writes its standard output and standard error to."""


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
            start_new_session=True,
        )
        atexit.register(self.end)

    def run(self, words: list[str], folder: Path, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """One call of the command, to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as place:
            job = {"words": words, "folder": str(folder), "settings": dict(settings), "place": place}
            try:
                print(json.dumps(job), file=self._process.stdin, flush=True)
                status = int(self._process.stdout.readline())
            except BaseException:  # its answer would be taken for that of the next call
                self.end()
                raise
            texts = [Path(place, name).read_text() for name in STREAMS]
        return subprocess.CompletedProcess(words, status, *texts)

    def end(self) -> None:
        """And whatever it runs."""
        _loaded.cache_clear()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


@cache
def _loaded() -> Loaded:
    return Loaded()


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


def _become(job: dict[str, Any]) -> None:
    """The process of one call: its files, its folder, its settings."""
    place = job["place"]
    for number, path in enumerate((os.devnull, *(os.path.join(place, name) for name in STREAMS))):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["settings"])
    time.tzset()
    sys.argv = ["origin", *job["words"]]


if __name__ == "__main__":
    _serve()
