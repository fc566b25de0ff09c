"""Each guard watches the tree, and each is shown a sample it must refuse and one it must let pass."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture import guards
from tests.architecture.tree import PRODUCT, ROOT, files, modules

Guard = Callable[[Path, str], list[str]]
ON_PRODUCT: tuple[Guard, ...] = (
    guards.foreign_xml_parsing,
    guards.dangerous_reportlab,
    guards.impure_core,
    guards.imports_wiring,
    guards.unfinished,
)
ON_EVERY_FILE: tuple[Guard, ...] = (guards.names_an_index, guards.names_a_machine_path)
WITH_README = (
    "gateway",
    "gateway/core",
    "gateway/runtime",
    "schemas",
    "adapters",
    "renderers",
    "simulators",
    "ops",
    "tests",
)


def name(guard: Guard) -> str:
    return guard.__name__


@pytest.mark.parametrize("guard", ON_PRODUCT, ids=name)
def test_product_passes(guard: Guard) -> None:
    assert [fault for path, text in modules(*PRODUCT) for fault in guard(path, text)] == []


def test_no_module_is_too_long() -> None:
    assert [fault for path, text in modules(*PRODUCT, "ops", "tests") for fault in guards.too_long(path, text)] == []


@pytest.mark.parametrize("guard", ON_EVERY_FILE, ids=name)
def test_every_file_passes(guard: Guard) -> None:
    faults = []
    for path in files():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content[:8192]:
            faults += guard(path, content.decode("utf-8", "replace"))
    assert faults == []


@pytest.mark.parametrize("folder", WITH_README)
def test_folder_has_a_short_readme(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    assert 5 <= len(text.splitlines()) <= 30


LOADED = """
import importlib, pkgutil, sys, {package}
for module in pkgutil.walk_packages({package}.__path__, "{package}."):
    importlib.import_module(module.name)
print(*(name for name in sys.modules if name.startswith({dangerous!r})))
"""


def dangerous_modules_loaded_by(package: str, folder: Path) -> list[str]:
    """Which dangerous parts of reportlab are in memory once all of `package` is, however they came."""
    program = LOADED.format(package=package, dangerous=guards.DANGEROUS_REPORTLAB)
    run = [sys.executable, "-c", program]
    return subprocess.run(run, cwd=folder, check=True, capture_output=True, text=True, timeout=60).stdout.split()


def test_nothing_dangerous_is_loaded_behind_our_back() -> None:
    assert dangerous_modules_loaded_by("renderers", ROOT) == []


def test_something_dangerous_loaded_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample/__init__.py").write_text("")
    (tmp_path / "sample/page.py").write_text("__import__('reportlab.platypus')")
    assert "reportlab.platypus" in dangerous_modules_loaded_by("sample", tmp_path)


IN_ADAPTERS = "adapters/feeds/sse.py"
IN_CORE = "gateway/core/numbers.py"
SLASH = "/"
REFUSED = [
    (guards.too_long, IN_CORE, "x = 1\n" * 401),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "from lxml import etree\netree.fromstring(b'<a/>')"),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "from lxml import etree as e\nread = e.parse"),
    (
        guards.foreign_xml_parsing,
        IN_ADAPTERS,
        "import lxml.etree\nlxml.etree.XMLParser(resolve_entities=False)",
    ),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "import lxml.etree as le\nle.iterparse(f)"),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "from lxml.etree import fromstring as read"),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "from xml.etree import ElementTree"),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "import xml.sax"),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "import xmlschema"),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "tree.xinclude()"),
    (guards.foreign_xml_parsing, "adapters/codecs/official.py", "from lxml import etree\netree.XML(b'<a/>')"),
    (guards.dangerous_reportlab, "renderers/page.py", "from reportlab.platypus import SimpleDocTemplate"),
    (guards.dangerous_reportlab, "renderers/page.py", "import reportlab.platypus.paragraph as p"),
    (guards.dangerous_reportlab, "renderers/page.py", "from reportlab import platypus"),
    (guards.dangerous_reportlab, "renderers/fonts.py", "from reportlab.lib.fontfinder import FontFinder"),
    (guards.dangerous_reportlab, "renderers/fonts.py", "from reportlab.lib import extformat"),
    (guards.impure_core, IN_CORE, "from datetime import datetime\nx = datetime.now()"),
    (guards.impure_core, IN_CORE, "import datetime as d\nx = d.date.today()"),
    (guards.impure_core, IN_CORE, "from uuid import uuid4\nx = uuid4()"),
    (guards.impure_core, IN_CORE, "x = open('a').read()"),
    (guards.imports_wiring, "gateway/runtime/door.py", "from gateway.settings import Settings"),
    (guards.imports_wiring, "gateway/core/checks.py", "from gateway import settings"),
    (guards.imports_wiring, IN_ADAPTERS, "import gateway.cli_parked"),
    (guards.imports_wiring, "simulators/erp/load.py", "from gateway.app import Gateway"),
    (guards.unfinished, IN_CORE, "x = 1  # TO" + "DO mend"),
    (guards.unfinished, IN_CORE, "raise NotImplemented" + "Error"),
    (guards.names_an_index, "constraints.txt", "--index" + "-url https://mirror.example/simple"),
    (guards.names_an_index, "constraints.txt", "--find" + "-links wheels"),
    (guards.names_an_index, "README.md", "https://pypi" + ".org/simple"),
    (guards.names_a_machine_path, "Makefile", f"cp x {SLASH}tmp/y"),
    (guards.names_a_machine_path, "ops/bench/run.py", f'ROOT = "{SLASH}root/project"'),
    (guards.names_a_machine_path, "README.md", f"see {SLASH}home/li/notes"),
]
PASSED = [
    (guards.too_long, IN_CORE, "x = 1\n" * 400),
    (
        guards.foreign_xml_parsing,
        "adapters/codecs/xml.py",
        "from lxml import etree\netree.fromstring(b'<a/>')",
    ),
    (guards.foreign_xml_parsing, "adapters/codecs/explain.py", "import xmlschema"),
    (guards.foreign_xml_parsing, IN_ADAPTERS, "from lxml import etree\netree.tostring(x)\njson.parse(y)"),
    (guards.dangerous_reportlab, "renderers/page.py", "from reportlab.pdfgen import canvas"),
    (guards.impure_core, IN_CORE, "from uuid import uuid5\nx = uuid5(a, 'b')\ny = clock.instant"),
    (guards.impure_core, "adapters/clock.py", "x = datetime.now(UTC)"),
    (
        guards.imports_wiring,
        "gateway/runtime/door.py",
        "from gateway.ports import Bus\nfrom gateway import core",
    ),
    (guards.imports_wiring, "gateway/runtime/door.py", "from gateway.storage import Store"),
    (guards.imports_wiring, "gateway/cli.py", "from gateway.settings import Settings"),
    (guards.unfinished, IN_CORE, "return NotImplemented"),
    (guards.names_an_index, "Makefile", "uv pip compile --no-emit-index-url"),
    (
        guards.names_a_machine_path,
        "README.md",
        "https://example.com/work/1 and data/tmp/x and /v1/declarations",
    ),
]


@pytest.mark.parametrize(("guard", "path", "text"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_guard_refuses(guard: Guard, path: str, text: str) -> None:
    assert guard(Path(path), text) != []


@pytest.mark.parametrize(("guard", "path", "text"), PASSED, ids=lambda value: getattr(value, "__name__", ""))
def test_guard_lets_pass(guard: Guard, path: str, text: str) -> None:
    assert guard(Path(path), text) == []
