"""The files of the repository, for the guards to look at."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("gateway", "schemas", "adapters", "renderers", "simulators")
LEFT_OUT = {".git", ".venv", "build", "dist", "__pycache__"}


def files() -> Iterator[Path]:
    """Every file that is tracked or about to be, relative to the root; without git, every file."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout.decode()
        names = [Path(name) for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(ROOT) for path in ROOT.rglob("*") if not path.name.endswith(".pyc")]
    for name in sorted(names):
        if (ROOT / name).is_file() and not LEFT_OUT & {part for part in name.parts if part != name.name}:
            yield name


def modules(*tops: str) -> Iterator[tuple[Path, str]]:
    """Python modules under the top-level folders `tops`, each with its text."""
    for path in files():
        if path.suffix == ".py" and path.parts[0] in tops:
            yield path, (ROOT / path).read_text(encoding="utf-8")
