"""The import contracts of pyproject.toml hold, and each one notices when it is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import PRODUCT, ROOT

BROKEN = {
    "Imports run one way": ("gateway/runtime/x.py", "import adapters.bus"),
    "Imports run one way ": ("gateway/core/x.py", "import gateway.ports"),
    "Imports run one way  ": ("schemas/x.py", "import gateway.core"),
    "Imports run one way   ": ("renderers/x.py", "import simulators.erp"),
    "Adapters don't know each other": ("adapters/store/x.py", "import adapters.bus"),
    "Only the codecs' front modules know of a fast way": ("adapters/codecs/x.py", "import adapters.codecs.fast"),
    "Only the codecs' front modules know of a fast way ": ("simulators/x.py", "import adapters.codecs.fast"),
    "The fast ways have one door": ("adapters/codecs/customs_xml.py", "import adapters.codecs.fast.xml_read"),
    "Renderers and adapters know each other through the codecs only": (
        "renderers/x.py",
        "import adapters.bus",
    ),
    "The core is pure: no I/O, no clock, no randomness, no event loop": (
        "gateway/core/x.py",
        "import asyncio",
    ),
    "The core is pure: no I/O, no clock, no randomness, no event loop ": (
        "gateway/core/x.py",
        "import lxml.etree",
    ),
    "The turn, the store's port, parked messages and the audit know no single life: ops/decisions/0048": (
        "gateway/runtime/turn.py",
        "import gateway.core.certificate",
    ),
    "Runtime and ports know no database, broker, web framework or XML library": (
        "gateway/runtime/x.py",
        "import asyncpg",
    ),
    "schemas holds data: it imports nothing of ours or of others": ("schemas/x.py", "import pydantic"),
}
PACKAGES = (
    "gateway",
    "gateway/core",
    "gateway/runtime",
    "schemas",
    "adapters",
    "adapters/bus",
    "adapters/codecs",
    "adapters/codecs/fast",
    "adapters/feeds",
    "adapters/inbound",
    "adapters/printers",
    "adapters/store",
    "renderers",
    "simulators",
    "simulators/customs",
    "simulators/erp",
)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program is not None
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=100)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """The skeleton of the tree with our contracts and nothing in it that breaks one."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    for module in ("ports", "storage", "reading", "operations", "app", "cli"):
        (tmp_path / f"gateway/{module}.py").write_text("")
    (tmp_path / "adapters/codecs/fast/xml_read.py").write_text("")
    (tmp_path / "adapters/codecs/fast/__init__.py").write_text("import adapters.codecs.fast.xml_read")
    for module in ("customs_xml", "enterprise_json", "gateway_xml"):
        (tmp_path / f"adapters/codecs/{module}.py").write_text("import adapters.codecs.fast")
    for module in ("life", "audit", "decision", "certificate", "declared", "messages", "printing", "state"):
        (tmp_path / f"gateway/core/{module}.py").write_text("")
    for path in ("gateway/runtime/turn", "gateway/runtime/history", "gateway/runtime/inputs"):
        (tmp_path / f"{path}.py").write_text("")
    for module in ("postgres", "sql", "audit"):
        (tmp_path / f"adapters/store/{module}.py").write_text("")
    (tmp_path / "gateway/cli.py").write_text("import gateway.app, simulators.erp, adapters.bus, gateway.core")
    (tmp_path / "adapters/store/codec.py").write_text("import adapters.codecs, gateway.ports")
    (tmp_path / "renderers/worker.py").write_text("import adapters.codecs, gateway.ports")
    return tmp_path


def test_the_tree_keeps_its_contracts() -> None:
    assert all((ROOT / package).is_dir() for package in PRODUCT)
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_the_sample_keeps_them(sample: Path) -> None:
    result = lint(sample)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("contract", BROKEN)
def test_a_broken_contract_is_noticed(contract: str, sample: Path) -> None:
    path, text = BROKEN[contract]
    (sample / path).write_text(text)
    result = lint(sample)
    assert result.returncode == 1
    assert f"{contract.strip()} BROKEN" in " ".join(result.stdout.split())
