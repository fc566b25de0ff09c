"""The shipped register of sources, read from `schemas` once."""

from functools import cache

import schemas
from gateway.core.sources import Sources, load_sources, told


@cache
def load_register() -> Sources:
    """Every source by its id. Raises SourceError."""
    files = sorted(schemas.path("sources").iterdir(), key=lambda entry: entry.name)
    return load_sources(entry.read_text(encoding="utf-8") for entry in files if entry.name.endswith(".toml"))


@cache
def source(citation: str) -> str:
    """What a fault says of where it comes from; each citation is looked up once. Raises SourceError."""
    return told(citation, load_register())
