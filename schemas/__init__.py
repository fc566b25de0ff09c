"""Data only: XSDs, profiles, forms, code lists, examples and generated contracts. Nothing here decides anything."""

from importlib.resources import files
from importlib.resources.abc import Traversable


def path(*parts: str) -> Traversable:
    """The packaged file or folder at `parts`, e.g. ``path("profiles", "RC.toml")``."""
    return files(__name__).joinpath(*parts)


def read_texts(folder: str, ending: str) -> dict[str, str]:
    """The texts of a packaged folder's files whose names have this ending, by name, sorted."""
    entries = sorted(path(folder).iterdir(), key=lambda entry: entry.name)
    return {entry.name: entry.read_text(encoding="utf-8") for entry in entries if entry.name.endswith(ending)}


def read_bytes(*parts: str) -> bytes:
    """The bytes of one packaged file."""
    return path(*parts).read_bytes()


def read_text(*parts: str) -> str:
    """The text of one packaged file, UTF-8."""
    return path(*parts).read_text(encoding="utf-8")
