"""Where what is known comes from: the register of sources, and how a citation of it is told. Pure.

The shipped register is ``schemas/sources``; `gateway.runtime.sources` reads it. A citation is one text with the ids of
one or more sources, ``;`` between.
"""

import tomllib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from gateway.core.value import Value

Sure = Literal["V", "H", "M-H", "M", "L-M", "L", "mem", "ours"]
"""V seen, H official or several sources, M one decent source, L weak, mem from memory, ours this project's own."""

Kind = Literal["notice", "standard", "agreement", "manual", "interface", "guide", "program", "decision"]


class SourceError(Exception):
    """The register can't be used, or a citation names a source that it does not have."""


class Text(Value):
    """The same in English and Chinese."""

    en: Annotated[str, Field(min_length=1)]
    zh: Annotated[str, Field(min_length=1)]


class Source(Value):
    """One source."""

    kind: Kind
    title: Text
    published: Annotated[str, Field(min_length=1)]
    """An address, or in words where it can be had."""
    date: Annotated[str, Field(pattern=r"^([0-9]{4}(-[0-9]{2}){0,2})?$")]
    """YYYY, YYYY-MM or YYYY-MM-DD; empty: not known."""
    sure: Sure
    says: Text
    """What it says, in one sentence."""
    background: bool = False
    """Good to know, and cited by nothing yet."""


Sources = Mapping[str, Source]
"""Id -> source."""


def load_sources(texts: Iterable[str]) -> Sources:
    """The register, from the texts of its TOML files, each with a table for each source. Raises SourceError."""
    found: dict[str, Source] = {}
    for text in texts:
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SourceError(f"a file of sources is not TOML: {error}") from None
        for identity, table in tables.items():
            if identity in found:
                raise SourceError(f"the source {identity} stands twice")
            try:
                found[identity] = Source.model_validate(table)
            except ValidationError as error:
                one = error.errors(include_url=False)[0]
                raise SourceError(f"source {identity}: {'.'.join(map(str, one['loc']))}: {one['msg']}") from None
    return MappingProxyType(found)


def cited(citation: str) -> tuple[str, ...]:
    """The ids that a citation names."""
    return tuple(part.strip() for part in citation.split(";"))


def told(citation: str, sources: Sources, language: Literal["en", "zh"] = "en") -> str:
    """A citation for a reader: of each source its title, and where it is published. Raises SourceError."""
    parts = []
    for identity in cited(citation):
        source = sources.get(identity)
        if source is None:
            raise SourceError(f"there is no source {identity!r}; schemas/sources has them all")
        parts.append(f"{getattr(source.title, language)} ({source.published})")
    return "; ".join(parts)
