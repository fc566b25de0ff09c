"""What a run tells of itself, one process or several: parts that were missing, and what it left behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT
from tests.parts import PACKAGES, missing, remedy

SAMPLE = """
import pytest

def test_plain():
    pass

@pytest.mark.needs("pdfsig", "wrk")
def test_needy():
    pass
"""
FORGETFUL = """
import subprocess

def test_starts_one(tmp_path):
    with (tmp_path / "log").open("w") as log:
        subprocess.Popen([%r, "60"], stdout=log, start_new_session=True)._child_created = False  # forgotten
"""
ALONE, PARALLEL = "-n0", "-n1"
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "xdist.plugin")
"""What pyproject.toml and the command line name."""


@pytest.fixture(params=[ALONE, pytest.param(PARALLEL, marks=pytest.mark.long)])
def workers(request: pytest.FixtureRequest) -> str:
    """Whether the tests run in the process that tells of them, or in a worker of it."""
    return str(request.param)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A small project with our conftest and two tests, on a machine whose PATH is an empty folder."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("tests/conftest.py", "tests/leftovers.py", "tests/parts.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("fixtures_postgres", "fixtures_kafka"):
        (tmp_path / f"tests/{name}.py").write_text("")
    (tmp_path / "tests/test_sample.py").write_text(SAMPLE)
    return tmp_path


def run(suite: Path, workers: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "ORIGIN_REQUIRE_ALL"}
    only = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": ",".join(PLUGINS)}  # others take seconds to load
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", workers, "--basetemp", "own"],
        cwd=suite,
        capture_output=True,
        text=True,
        env={**kept, **only, "PATH": str(suite / "bin"), **environment},
    )


def test_missing_parts_are_listed(suite: Path, workers: str) -> None:
    result = run(suite, workers)
    assert result.returncode == 0
    assert "1 passed, 1 skipped" in result.stdout
    line = "NOT RUN: tests/test_sample.py::test_needy needs pdfsig, wrk: apt-get install poppler-utils wrk"
    assert line in result.stdout


def test_missing_parts_fail_where_all_is_required(suite: Path) -> None:
    result = run(suite, ALONE, ORIGIN_REQUIRE_ALL="1")
    assert result.returncode == 1
    assert "1 passed, 1 error" in result.stdout
    assert "apt-get install poppler-utils wrk" in result.stdout


def test_present_parts_run(suite: Path) -> None:
    for part in ("pdfsig", "wrk"):
        (suite / "bin" / part).write_text("#!/bin/sh\n")
        (suite / "bin" / part).chmod(0o755)
    result = run(suite, ALONE, ORIGIN_REQUIRE_ALL="1")
    assert result.returncode == 0
    assert "2 passed" in result.stdout
    assert "NOT RUN" not in result.stdout


def test_a_part_outside_the_table_is_an_error_everywhere(suite: Path) -> None:
    sample = suite / "tests/test_sample.py"
    sample.write_text(SAMPLE.replace("pdfsig", "pdfsgi"))
    result = run(suite, ALONE)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "not in tests/parts.py: pdfsgi" in result.stdout


def test_a_process_that_outlives_the_run_fails_it_and_is_named(suite: Path, workers: str) -> None:
    (suite / "tests/test_sample.py").write_text(FORGETFUL % shutil.which("sleep"))
    result = run(suite, workers)
    (named,) = re.findall(r"^ERROR .*left behind: (\d+) .*sleep 60$", result.stdout, re.MULTILINE)
    os.kill(int(named), signal.SIGKILL)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 passed, 1 error" in result.stdout.splitlines()[-1]


def test_the_table_speaks() -> None:
    assert remedy(["pdftoppm", "pdfsig"]) == "apt-get install poppler-utils"
    with pytest.raises(KeyError):
        missing(["no-such-part"])
    assert set(missing(list(PACKAGES))) <= set(PACKAGES)
