"""Every setting, read from ``ORIGIN_<NAME>``; the command line's options go first. An unknown name is an error."""

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "ORIGIN_"
READ_BY_OTHERS = frozenset({"ORIGIN_API_KEY", "ORIGIN_URL", "ORIGIN_REQUIRE_ALL"})
"""Names that are not settings of the gateway: the command line's own two, and the test suite's."""


class Role(StrEnum):
    """What one process does; by default everything but the simulator."""

    INTAKE = "intake"
    """HTTP and hot folder: the ways in, the read interface, the event stream."""
    TURN = "turn"
    """Decides, and works due dates."""
    RENDER = "render"
    """Makes signed files."""
    PRINT = "print"
    """Claims print jobs and hands files to the printer."""
    CUSTOMS_SIMULATOR = "customs-simulator"
    """Plays customs. Never in production: it approves certificates."""


class SettingsRefused(Exception):
    """Settings that can't be used; one line for each, none with a value."""


class Settings(BaseSettings):
    """How this gateway runs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data: Annotated[Path, Field(description="data directory: embedded database, keys, spool")] = Path("origin-data")
    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="TCP port; 0: any free one")] = 8080
    roles: Annotated[tuple[Role, ...], NoDecode, Field(min_length=1, description="comma-separated")] = (
        Role.INTAKE,
        Role.TURN,
        Role.RENDER,
        Role.PRINT,
    )
    database_url: Annotated[
        str | None, Field(description="an external PostgreSQL, 15 or newer; empty: the embedded one")
    ] = None
    database_direct_url: Annotated[
        str | None, Field(description="the same database without pgbouncer, for LISTEN and session locks")
    ] = None
    master_key_file: Annotated[
        Path | None, Field(description="key that encrypts seals and signing keys; default: master.key in `data`")
    ] = None
    operator_key_file: Annotated[
        Path | None, Field(description="key of the operator's commands; default: operator.key in `data`")
    ] = None
    folder_root: Annotated[
        Path | None, Field(description="hot folders, <root>/<client>/in and so on; empty: no hot folders")
    ] = None
    folder_settle_seconds: Annotated[
        float, Field(ge=0, le=600, description="a file whose size and time stand still this long is whole")
    ] = 0.5
    spool: Annotated[Path | None, Field(description="where the spool printer puts files; default: spool in `data`")] = (
        None
    )
    max_bytes: Annotated[int, Field(ge=1024, le=64 << 20, description="largest declaration, bytes")] = 1 << 20
    log_level: Annotated[
        str, Field(pattern="^(debug|info|warning|error)$", description="debug, info, warning or error")
    ] = "info"

    @field_validator("roles", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("database_url", "database_direct_url", "folder_root", "spool", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    @property
    def master_key_path(self) -> Path:
        """Where the key that encrypts seals is."""
        return self.master_key_file or self.data / "master.key"

    @property
    def operator_key_path(self) -> Path:
        """Where the operator's key is."""
        return self.operator_key_file or self.data / "operator.key"

    @property
    def spool_path(self) -> Path:
        """Where the spool printer puts files."""
        return self.spool or self.data / "spool"


def load(**options: Any) -> Settings:
    """Settings from the environment, `options` (None: not given) first. Raises SettingsRefused with every mistake."""
    troubles = _unknown(os.environ)
    try:
        settings = Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        troubles += [_sentence(one) for one in error.errors(include_input=False, include_url=False)]
    if troubles:
        raise SettingsRefused("\n".join(troubles))
    return settings


def _sentence(error: Mapping[str, Any]) -> str:
    name = str(error["loc"][0]) if error["loc"] else "settings"
    return f"{PREFIX}{name.upper()}: {error['msg']}."


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | READ_BY_OTHERS
    troubles = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            troubles.append(f"{name} is not a setting{f'; is {near[0]} meant?' if near else '.'}")
    return troubles
