"""The one door to the fast ways of reading and writing: what is fast and hard to read stands behind it.

Each has a plain twin in front of the door, which says the same of everything, and what the fast way leaves to it:

    fast                      plain
    read_xml                  CustomsXml.read_closely
    write_xml                 CustomsXml.write_closely
    read_json                 EnterpriseJson.read_closely
    write_message, is_valid   gateway_xml.written, and the schema

With ``ORIGIN_FAST=off`` nothing is read or written fast, in any process: everything works, and takes longer.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from adapters.codecs.fast import json_read, messages, xml_read, xml_write
from adapters.codecs.fast.xml_places import PlainPlaces
from gateway.core.declaration import Declaration
from gateway.core.value import Value
from gateway.ports import Locate, Reading

SETTING: Final = "ORIGIN_FAST"
"""Read here and not passed down, because codecs are made everywhere, also by commands that read no other setting."""
ON: Final = os.environ.get(SETTING, "on") == "on"


def read_xml(raw: bytes) -> Reading | None:
    """An official document in the plainest form, without a tree; None: it has to be looked at closely."""
    if not ON:
        return None
    try:
        found = xml_read.plain(raw.decode())
    except UnicodeDecodeError:
        return None
    return None if found is None else Reading(found[0], None, PlainPlaces(raw).of, *found[1:])


def write_xml(content: Declaration | Mapping[str, Any]) -> bytes | None:
    """The official document of a declaration, valid; None: it has to be looked at closely."""
    return xml_write.written(content) if ON else None


def read_json(raw: bytes, content: Mapping[str, Any], reference: str | None, locate: Locate) -> Reading | None:
    """An enterprise's object without a fault, loaded from `raw`; None: it has to be looked at closely.

    Nothing is said of its reference, which the caller has judged.
    """
    found = json_read.plain(content, raw) if ON else None
    return None if found is None else Reading(found[0], reference, locate, *found[1:])


def write_message(name: str, values: Mapping[str, Any]) -> bytes | None:
    """The body of the gateway's own message `name` with these fields, not validated; None: it is written plainly."""
    return messages.written(name, values) if ON else None


def is_valid(message: Value) -> bool:
    """Is a message valid by the way it was made, so that its body needs no look by the schema? False: perhaps."""
    return ON and messages.is_valid(message)
