"""The NOT RUN report: missing parts are named with their remedy, or fail where nothing may be missing."""

import os
import shutil
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


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A small project with our conftest and two tests, on a machine whose PATH is an empty folder."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("tests/conftest.py", "tests/parts.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("fixtures_postgres", "fixtures_kafka"):
        (tmp_path / f"tests/{name}.py").write_text("")
    (tmp_path / "tests/test_sample.py").write_text(SAMPLE)
    return tmp_path


def run(suite: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "ORIGIN_REQUIRE_ALL"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=suite,
        capture_output=True,
        text=True,
        timeout=60,
        env={**kept, "PATH": str(suite / "bin"), **environment},
    )


def test_missing_parts_are_listed(suite: Path) -> None:
    result = run(suite)
    assert result.returncode == 0
    assert "1 passed, 1 skipped" in result.stdout
    line = "NOT RUN: tests/test_sample.py::test_needy needs pdfsig, wrk: apt-get install poppler-utils wrk"
    assert line in result.stdout


def test_missing_parts_fail_where_all_is_required(suite: Path) -> None:
    result = run(suite, ORIGIN_REQUIRE_ALL="1")
    assert result.returncode == 1
    assert "1 passed, 1 error" in result.stdout
    assert "apt-get install poppler-utils wrk" in result.stdout


def test_present_parts_run(suite: Path) -> None:
    for part in ("pdfsig", "wrk"):
        (suite / "bin" / part).write_text("#!/bin/sh\n")
        (suite / "bin" / part).chmod(0o755)
    result = run(suite, ORIGIN_REQUIRE_ALL="1")
    assert result.returncode == 0
    assert "2 passed" in result.stdout
    assert "NOT RUN" not in result.stdout


def test_a_part_outside_the_table_is_an_error_everywhere(suite: Path) -> None:
    sample = suite / "tests/test_sample.py"
    sample.write_text(SAMPLE.replace("pdfsig", "pdfsgi"))
    result = run(suite)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "not in tests/parts.py: pdfsgi" in result.stderr


def test_the_table_speaks() -> None:
    assert remedy(["pdftoppm", "pdfsig"]) == "apt-get install poppler-utils"
    with pytest.raises(KeyError):
        missing(["no-such-part"])
    assert set(missing(list(PACKAGES))) <= set(PACKAGES)
