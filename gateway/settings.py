"""Every setting, read from ``ORIGIN_<NAME>``; the command line's options go first. An unknown name is an error."""

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
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
    RELAY = "relay"
    """Carries the log to Kafka, where ORIGIN_KAFKA_BOOTSTRAP names one; else it has nothing to do."""
    RENDER = "render"
    """Makes signed files."""
    PRINT = "print"
    """Claims print jobs and hands files to the printer."""
    CUSTOMS_LINK = "customs-link"
    """Writes messages for customs into the import client's OutBox, and reads what customs sends from its InBox."""
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
    metrics_port: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            description="TCP port for /metrics, /livez and /readyz alone, for processes without intake, or that share"
            " `port`; 0: any free one; empty: none",
        ),
    ] = None
    roles: Annotated[tuple[Role, ...], NoDecode, Field(min_length=1, description="comma-separated")] = (
        Role.INTAKE,
        Role.TURN,
        Role.RELAY,
        Role.RENDER,
        Role.PRINT,
    )
    database_url: Annotated[
        str | None, Field(description="an external PostgreSQL, 15 or newer; empty: the embedded one")
    ] = None
    database_direct_url: Annotated[
        str | None, Field(description="the same database without pgbouncer, for LISTEN and session locks")
    ] = None
    kafka_bootstrap: Annotated[
        str | None,
        Field(
            pattern=r"^[^\s,]+:\d{1,5}(,[^\s,]+:\d{1,5})*$",
            description="a Kafka cluster, host:port,host:port; empty: the log itself carries messages",
        ),
    ] = None
    kafka_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Field(description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    ] = "PLAINTEXT"
    kafka_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        Field(description="how to log in with SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    ] = "SCRAM-SHA-512"
    kafka_username: Annotated[str | None, Field(description="user for SASL")] = None
    kafka_password: Annotated[SecretStr | None, Field(description="its password; better in a file")] = None
    kafka_password_file: Annotated[Path | None, Field(description="file with the password, and nothing else")] = None
    kafka_ca_file: Annotated[
        Path | None, Field(description="who signs the brokers' certificates, PEM; empty: those the system trusts")
    ] = None
    kafka_certificate_file: Annotated[Path | None, Field(description="our own certificate for TLS, PEM")] = None
    kafka_key_file: Annotated[Path | None, Field(description="the key of our own certificate, PEM")] = None
    kafka_instance: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z0-9._-]{1,200}$",
            description="name of this process among its like, e.g. the host's: it keeps its partitions over a restart",
        ),
    ] = None
    kafka_session_seconds: Annotated[
        float, Field(ge=1, le=1800, description="a process that Kafka hears nothing of for so long is replaced")
    ] = 45.0
    kafka_replication_factor: Annotated[
        int | None, Field(ge=1, le=100, description="copies of each partition; empty: 3, or as many as brokers")
    ] = None
    master_key_file: Annotated[
        Path | None, Field(description="key that encrypts seals and signing keys; default: master.key in `data`")
    ] = None
    operator_key_file: Annotated[
        Path | None, Field(description="key of the operator's commands; default: operator.key in `data`")
    ] = None
    quotas: Annotated[
        Path | None,
        Field(description="what a client may do before it is told to come later; off: all; empty: schemas/quotas.toml"),
    ] = None
    overdue_rules: Annotated[
        Path | None, Field(description="what is overdue when, and what is sent again; empty: schemas/overdue.toml")
    ] = None
    folder_root: Annotated[
        Path | None, Field(description="hot folders, <root>/<client>/in and so on; empty: no hot folders")
    ] = None
    folder_settle_seconds: Annotated[
        float, Field(ge=0, le=600, description="a file whose size and time stand still this long is whole")
    ] = 0.5
    customs_folder: Annotated[
        Path | None,
        Field(description="folder of the single-window import client that has OutBox and InBox; for customs-link"),
    ] = None
    spool: Annotated[Path | None, Field(description="where the spool printer puts files; default: spool in `data`")] = (
        None
    )
    max_bytes: Annotated[
        int, Field(ge=1024, le=8 << 20, description="largest declaration, bytes, on every way in (ops/decisions/0047)")
    ] = 1 << 20
    max_connections_per_address: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="connections of one address that stay open without a request with a valid key in hand, between"
            " two requests too; beyond it the oldest is closed. Behind a reverse proxy all come from its address",
        ),
    ] = 256
    fast: Annotated[
        Literal["on", "off"],
        Field(description="off: documents and messages are read and written the plain way only, which takes longer"),
    ] = "on"
    """`adapters.codecs.fast` reads it itself, also in processes that read no other setting."""
    log_level: Annotated[
        str, Field(pattern="^(debug|info|warning|error)$", description="debug, info, warning or error")
    ] = "info"

    @field_validator("roles", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _customs(self) -> Self:
        if Role.CUSTOMS_LINK in self.roles and self.customs_folder is None:
            raise ValueError("ORIGIN_ROLES has customs-link, which needs ORIGIN_CUSTOMS_FOLDER")
        if {Role.CUSTOMS_LINK, Role.CUSTOMS_SIMULATOR} <= set(self.roles):
            raise ValueError("ORIGIN_ROLES has customs-link and customs-simulator: both would answer as customs")
        return self

    @model_validator(mode="after")
    def _kafka(self) -> Self:
        passwords = [self.kafka_password, self.kafka_password_file]
        if self.kafka_protocol.startswith("SASL") and (not self.kafka_username or passwords.count(None) != 1):
            raise ValueError(
                "ORIGIN_KAFKA_PROTOCOL needs ORIGIN_KAFKA_USERNAME and one of ORIGIN_KAFKA_PASSWORD_FILE and"
                " ORIGIN_KAFKA_PASSWORD"
            )
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            raise ValueError("ORIGIN_KAFKA_CERTIFICATE_FILE and ORIGIN_KAFKA_KEY_FILE go together")
        return self

    @field_validator(
        "metrics_port", "database_url", "database_direct_url", "quotas", "overdue_rules", "folder_root", "spool",
        "customs_folder", "kafka_bootstrap", "kafka_password_file",
        "kafka_ca_file", "kafka_certificate_file", "kafka_key_file", "kafka_instance", mode="before",
    )  # fmt: skip
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
    if not error["loc"]:  # about several settings, which it names
        return f"{str(error['msg']).removeprefix('Value error, ')}."
    return f"{PREFIX}{str(error['loc'][0]).upper()}: {error['msg']}."


def _unknown(environment: Mapping[str, str]) -> list[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | READ_BY_OTHERS
    troubles = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            troubles.append(f"{name} is not a setting{f'; is {near[0]} meant?' if near else '.'}")
    return troubles
