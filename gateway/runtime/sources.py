"""The shipped register of sources, read from `schemas` once."""

from functools import cache

import schemas
from gateway.core.sources import Sources, load_sources, told


@cache
def load_register() -> Sources:
    """Every source by its id. Raises SourceError."""
    return load_sources(schemas.read_texts("sources", ".toml").values())


@cache
def source(citation: str) -> str:
    """What a fault says of where it comes from; each citation is looked up once. Raises SourceError."""
    return told(citation, load_register())
