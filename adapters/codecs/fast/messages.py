"""The gateway's own messages, written into forms that are made once for the fields that are there; most of what goes in
is a code, a number or a hash, which is told by one look and goes in as it is."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from adapters.codecs.catalog import catalog
from adapters.codecs.texts import escaped, presentable
from gateway.core.messages import DeclarationAccepted
from gateway.core.value import Value


def written(name: str, values: Mapping[str, Any]) -> bytes:
    """The body of the message `name` with these fields."""
    texts = [
        value if type(value) is str and value.isalnum() and value.isascii() else _TEXTS.get(type(value), _text)(value)
        for value in values.values()
    ]
    return (_form(name, tuple(values)) % tuple(texts)).encode()


def is_valid(message: Value) -> bool:
    """A declaration's acceptance is, by its own constraints, which a test holds to the schema; of these there are most.
    Only in UTC: another zone's offset may be one that XML can't say."""
    return type(message) is DeclarationAccepted and message.accepted_at.tzinfo is UTC


@cache
def _form(name: str, fields: tuple[str, ...]) -> str:
    """A message of these fields, with a place for the text of each."""
    tags = ["".join(word.capitalize() for word in field.split("_")) for field in fields]
    elements = "".join(f"<{tag}>%s</{tag}>" for tag in tags)
    namespace = catalog()["messages"].namespace
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{namespace}">{elements}</{name}>\n'


def _text(value: Any) -> str:
    return escaped(presentable(str(value.value if isinstance(value, Enum) else value)))


_TEXTS: Final[Mapping[type, Callable[[Any], str]]] = MappingProxyType(
    {bool: lambda value: "true" if value else "false", datetime: datetime.isoformat, int: str, UUID: str}
)
"""How values become texts that need no escaping; all others go through `_text`."""
