"""What all tests share: the parts of a machine they need, and the report of what was not run without them.

A test says ``@pytest.mark.needs("pdfsig", "pdftoppm")``. Where a part is missing the test is skipped and
listed at the end as NOT RUN with the command that gets it; with ``ORIGIN_REQUIRE_ALL=1`` it fails instead.
"""

import os

import pytest

from tests.parts import missing, remedy

pytest_plugins = ["tests.fixtures_postgres", "tests.fixtures_kafka"]

NOT_RUN = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """An empty report."""
    config.stash[NOT_RUN] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A part nobody knows how to get is an error of the test, seen on every machine."""
    for item in items:
        try:
            missing(needed(item))
        except KeyError as error:
            raise pytest.UsageError(f"{item.nodeid}: {error.args[0]}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips, or fails, a test whose parts are missing."""
    absent = missing(needed(item))
    if not absent:
        return
    line = f"{item.nodeid} needs {', '.join(absent)}: {remedy(absent)}"
    if os.environ.get("ORIGIN_REQUIRE_ALL") == "1":
        pytest.fail(f"ORIGIN_REQUIRE_ALL=1, but {line}", pytrace=False)
    item.config.stash[NOT_RUN].append(line)
    pytest.skip(f"needs {', '.join(absent)}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The tests that this machine could not run, and how to make it able to."""
    lines = config.stash[NOT_RUN]
    if lines:
        terminalreporter.section("NOT RUN", sep="=", yellow=True)
        for line in lines:
            terminalreporter.write_line(f"NOT RUN: {line}")


def needed(item: pytest.Item) -> list[str]:
    """The parts named by the test's ``needs`` markers (also those of its class and module)."""
    return [part for marker in item.iter_markers("needs") for part in marker.args]
