"""What all tests share: the parts of a machine they need, the order of a run in parallel, and what it must not leave.

A test says ``@pytest.mark.needs("pdfsig", "pdftoppm")``. Where a part is missing the test is skipped and
listed at the end as NOT RUN with the command that gets it; with ``ORIGIN_REQUIRE_ALL=1`` it fails instead.
"""

import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.leftovers import left_behind
from tests.parts import missing, remedy

pytest_plugins = ["tests.fixtures_postgres", "tests.fixtures_kafka"]

NOT_RUN = "not run"
"""The property of a report that carries the line; properties come home from a worker of a parallel run too."""
LONGEST = ("tests/storm/test_storm.py",)
"""Files that begin first: one that began last would keep one worker while the others have nothing left."""
PATIENCE = 3.0
"""Seconds in which what was killed last has gone."""


def pytest_configure() -> None:
    """No logger remembers how logging was set up when it was first used: `capture_logs` would see nothing of it, and
    what a test says is not logged would hold whatever is."""
    configure = structlog.configure

    def without_memory(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    structlog.configure = without_memory


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """How a test sets logging up ends with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first."""
    items.sort(key=lambda item: place(item.nodeid.partition("::")[0]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, or fails, a test whose parts are missing. One that nobody knows how to get is an error everywhere."""
    try:
        absent = missing(needed(item))
    except KeyError as error:
        pytest.fail(error.args[0], pytrace=False)
    if not absent:
        return
    line = f"{item.nodeid} needs {', '.join(absent)}: {remedy(absent)}"
    if os.environ.get("ORIGIN_REQUIRE_ALL") == "1":
        pytest.fail(f"ORIGIN_REQUIRE_ALL=1, but {line}", pytrace=False)
    item.user_properties.append((NOT_RUN, line))
    pytest.skip(f"needs {', '.join(absent)}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that outlives the run fails it. Looked for once, when the workers of a parallel run have ended."""
    if hasattr(session.config, "workerinput"):
        return
    folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # no public way outside a test
    end = time.monotonic() + PATIENCE
    while (left := left_behind(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.stats.setdefault("error", []).extend(map(outliving, left))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The tests that this machine could not run, and how to make it able to."""
    skipped = terminalreporter.stats.get("skipped", [])
    properties = [pair for report in skipped for pair in getattr(report, "user_properties", ())]
    lines = [line for name, line in properties if name == NOT_RUN]
    if lines:
        terminalreporter.section("NOT RUN", sep="=", yellow=True)
        for line in sorted(lines):
            terminalreporter.write_line(f"NOT RUN: {line}")


def needed(item: pytest.Item) -> list[str]:
    """The parts named by the test's ``needs`` markers (also those of its class and module)."""
    return [part for marker in item.iter_markers("needs") for part in marker.args]


def place(file: str) -> int:
    """Where in the order a file's tests stand; what is not named keeps its order."""
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)


def outliving(process: str) -> pytest.TestReport:
    """The error that names a process, as a report that pytest counts and tells with the others."""
    told = f"left behind: {process}"
    return pytest.TestReport("the end of the run", ("", None, ""), {}, "failed", told, "teardown")
