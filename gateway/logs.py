"""Structured logs: JSON lines, or coloured ones on a terminal. Only fields on the list get out, never a document's
values: an exception is named by its type and the places it passed, not by its text, which may quote data.

Modules log through ``structlog.get_logger()`` or the standard library; `configure` is called once, by the wiring.
"""

import logging
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

ALLOWED = frozenset(
    {
        "event", "level", "time", "logger", "pid", "role", "roles", "version",
        "id", "number", "type", "client", "enterprise", "channel", "verdict", "http", "method", "route", "codes",
        "topic", "group", "partition", "offset", "count", "batch", "attempt", "seconds", "bytes", "lines", "faults",
        "job", "part", "outcome", "printer", "message_id", "kind", "reason", "code",
        "host", "port", "signal", "error", "places", "url_host", "neighbour",
    }
)  # fmt: skip
"""Names of fields that may be logged. A name not here is dropped: add it with a thought to what it may hold."""

OURS = ("gateway", "adapters", "renderers", "simulators")
LONGEST = 300
"""Characters of one text."""

_Trouble = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(level: str = "info", *, stream: TextIO | None = None, json: bool | None = None) -> None:
    """Log to `stream` (standard error) from `level` up; as JSON lines unless the stream is a terminal."""
    out = sys.stderr if stream is None else stream
    as_json = not out.isatty() if json is None else json
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _exceptions,
        _allow,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Processor = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_foreign, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for chatty in (
        "uvicorn",
        "uvicorn.error",
        "asyncio",
        "httpx",
        "httpcore",
        "fontTools",
    ):
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))
    for noisy in ("pyhanko", "pyhanko_certvalidator"):  # what it does not like comes with a stack trace; we say it
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    # It warns of each request that is none: whoever reaches the port would write our log, as fast as they like.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _foreign(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """A standard-library record. Others' texts are reduced to the first line of their template, without arguments."""
    record: logging.LogRecord | None = event.get("_record")
    if record is None:
        return event
    event["logger"] = record.name
    if not record.name.startswith(OURS):
        event["event"] = str(record.msg).split("\n", 1)[0]
    if record.exc_info and record.exc_info[1] is not None:
        event["exc_info"] = record.exc_info
    record.exc_info = record.exc_text = None
    return event


def _exceptions(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """An exception becomes its type and the places it passed."""
    trouble = event.pop("exc_info", None)
    if trouble is True:
        trouble = sys.exc_info()
    if isinstance(trouble, BaseException):
        trouble = (type(trouble), trouble, trouble.__traceback__)
    if isinstance(trouble, tuple) and trouble[1] is not None:
        event["error"], event["places"] = _described(trouble)
    return event


def _described(trouble: _Trouble) -> tuple[str, Sequence[str]]:
    kind, error, where = trouble
    names = [kind.__name__]
    cause = error.__cause__ or error.__context__
    while cause is not None and len(names) < 5:
        names.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    frames = traceback.extract_tb(where)[-12:]
    return " from ".join(names), [f"{'/'.join(f.filename.split('/')[-3:])}:{f.lineno} {f.name}" for f in frames]


def _allow(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Only known names; one line each; `_record` and `_from_structlog` belong to structlog."""
    return {
        name: _short(value)
        for name, value in event.items()
        if name in ALLOWED or name in ("_record", "_from_structlog")
    }


def _short(value: Any) -> Any:
    if isinstance(value, str):
        flat = value if value.isprintable() else "".join(c if c.isprintable() else " " for c in value)
        return flat if len(flat) <= LONGEST else f"{flat[:LONGEST]}..."
    return value
