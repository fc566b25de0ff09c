"""The guards: each takes one file (path relative to the root, text) and returns what is wrong with it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

MOST_LINES = 400
XML_HOME = Path("adapters/codecs/xml.py")
PARSE_CALLS = {
    "parse",
    "parseid",
    "fromstring",
    "fromstringlist",
    "XML",
    "XMLID",
    "XMLDTDID",
    "HTML",
    "iterparse",
    "XMLParser",
    "ETCompatXMLParser",
    "HTMLParser",
    "XMLPullParser",
    "HTMLPullParser",
    "XSLT",
    "XInclude",
    "DTD",
}
DANGEROUS_REPORTLAB = ("reportlab.platypus", "reportlab.lib.fontfinder", "reportlab.lib.extformat")
WIRING_FREE = (
    "gateway/core/",
    "gateway/runtime/",
    "gateway/ports.py",
    "gateway/storage.py",
    "schemas/",
    "adapters/",
    "renderers/",
    "simulators/",
)
BELOW_THE_WIRING = {"core", "runtime", "ports", "storage", "reading", "operations"}
OF_A_PROCESS = {"settings", "logs", "keyfile"}
"""They know nobody: a simulator, which may be a process of its own, uses them too."""
IMPURE_CALLS = {
    "open",
    "input",
    "print",
    "now",
    "utcnow",
    "today",
    "uuid1",
    "uuid4",
    "urandom",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
}
INDEX = re.compile(r"pypi" r"\.org|python" r"hosted|(?<![\w-])--(extra-)?index" r"-url|(?<![\w-])--find" r"-links")
MACHINE_PATH = re.compile(r"(?<![\w.:/}\]*-])/(tmp|work|root|home)/\w")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|NotImplemented" r"Error)\b|pytest\.sk" r"ip")


def too_long(path: Path, text: str) -> list[str]:
    """Small modules read top-down."""
    lines = text.count("\n") + (not text.endswith("\n"))
    return [f"{path}: {lines} lines, at most {MOST_LINES}"] if lines > MOST_LINES else []


def foreign_xml_parsing(path: Path, text: str) -> list[str]:
    """One hardened parser factory; nobody else turns bytes into a tree, with lxml or anything else."""
    if path == XML_HOME:
        return []
    tree = ast.parse(text)
    names = dict(bound_names(tree))
    found = [
        f"{path}:{line}: imports {name}; XML is read by {XML_HOME} only"
        for line, name in imported(tree)
        if name.startswith(("xml.", "defusedxml", "lxml.html", "lxml.objectify"))
        or (name.startswith("lxml.etree.") and name.split(".")[2] in PARSE_CALLS)
        or (name.split(".")[0] == "xmlschema" and path.parts[:2] != ("adapters", "codecs"))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in PARSE_CALLS:
            whole = names.get(dotted(node.value).split(".")[0], "")
            if whole == "lxml" or whole.startswith("lxml.etree"):
                found.append(f"{path}:{node.lineno}: {dotted(node)}; XML is read by {XML_HOME} only")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "xinclude":
            found.append(f"{path}:{node.lineno}: xinclude reads files")
    return found


def dangerous_reportlab(path: Path, text: str) -> list[str]:
    """The canvas only: Paragraph reads local files, the font finder walks the disk, extformat evaluates."""
    return [
        f"{path}:{line}: imports {name}"
        for line, name in imported(ast.parse(text))
        if name.startswith(DANGEROUS_REPORTLAB) or (name.startswith("reportlab") and name.endswith(".Paragraph"))
    ]


def impure_core(path: Path, text: str) -> list[str]:
    """The core reads no clock, draws no number and touches no file (its imports are import-linter's job)."""
    if path.parts[:2] != ("gateway", "core"):
        return []
    return [
        f"{path}:{node.lineno}: calls {dotted(node.func)}"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in IMPURE_CALLS
    ]


def imports_wiring(path: Path, text: str) -> list[str]:
    """settings, app, cli and what else stands beside them put the parts together; no part knows them."""
    if not path.as_posix().startswith(WIRING_FREE):
        return []
    allowed = BELOW_THE_WIRING | (OF_A_PROCESS if path.parts[0] == "simulators" else set())
    return [
        f"{path}:{line}: imports {name}, which is wiring"
        for line, name in imported(ast.parse(text))
        if name.startswith("gateway.") and name.split(".")[1] not in allowed
    ]


def names_an_index(path: Path, text: str) -> list[str]:
    """Packages come from whatever index pip is configured with; no file of ours names one."""
    return [f"{path}:{line}: names a package index" for line in lines_with(INDEX, text)]


def names_a_machine_path(path: Path, text: str) -> list[str]:
    """A folder of the machine this was written on means nothing on another."""
    return [f"{path}:{line}: a path of one machine" for line in lines_with(MACHINE_PATH, text)]


def unfinished(path: Path, text: str) -> list[str]:
    """Product code has no placeholders."""
    return [f"{path}:{line}: unfinished" for line in lines_with(UNFINISHED, text)]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything a module imports; ``from a import b`` counts as ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def bound_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(name in the module, what it stands for) of its imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain; the parts that are not names are empty."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def lines_with(pattern: re.Pattern[str], text: str) -> list[int]:
    """Numbers of the lines that hold `pattern`."""
    return [number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]
