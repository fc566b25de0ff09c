"""The gateway's own messages as XML (namespace ``urn:origin-gateway:messages:v1``), and who reads which topic."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar
from uuid import UUID

from lxml import etree
from pydantic import ValidationError

from adapters.codecs import fast
from adapters.codecs.bundles import leaves
from adapters.codecs.catalog import catalog
from adapters.codecs.encodings import as_utf8
from adapters.codecs.receipts import (
    local_name,
    message_id,
    open_tolerantly,
    read_fileret,
    read_receipt,
    unknown_elements,
)
from adapters.codecs.texts import escaped, presentable
from adapters.codecs.xml import parse, parse_own
from gateway.core.certificate import KIND
from gateway.core.faults import Refused
from gateway.core.life import About
from gateway.core.messages import (
    CustomsDeclaration,
    DeclarationAccepted,
    Incoming,
    LayoutArrived,
    Part,
    PrintJob,
    PrintResult,
    RenderJob,
    RenderResult,
)
from gateway.core.value import Value
from gateway.ports import Encodable, Record, Unreadable

NAMESPACE: Final = "urn:origin-gateway:messages:v1"
SCHEMA: Final = "messages"

ACCEPTED: Final = "origin.declaration.accepted.v1"
INBOUND: Final = "origin.customs.inbound.v1"
RENDER_RESULT: Final = "origin.render.result.v1"
PRINT_RESULT: Final = "origin.print.result.v1"

_NUMBER: Final = re.compile(
    rb"<(?:[A-Za-z0-9_]{1,20}:)?CertNo>\s{0,100}([A-Za-z0-9/_-]{1,30})\s{0,100}</"
    rb"|<(?:[A-Za-z0-9_]{1,20}:)?LayoutDocument\s[^>]{0,500}?\bnumber=[\"']([A-Za-z0-9/_-]{1,30})[\"']"
)
"""A certificate number where a receipt or a layout has it."""
LOOKED_THROUGH: Final = 64 << 10
"""Bytes of an unreadable body in which a number is looked for."""
_MAX_DETAIL: Final = 2000
"""Most characters of `detail`, a text of our own making; longer ones are cut."""

M = TypeVar("M", bound=Value)


class GatewayCodec:
    """Implements `gateway.ports.MessageCodec`; also reads the jobs of the render and print workers."""

    def encode(self, message: Encodable) -> bytes:
        """The XML body, validated. Raises TypeError for a CustomsDeclaration: its body is the official message."""
        if isinstance(message, CustomsDeclaration):
            raise TypeError("a CustomsDeclaration's body is the official message, made by the CustomsXml dialect")
        name, values = type(message).__name__, _values(message)
        body = fast.write_message(name, values) or written(name, values)
        return body if fast.is_valid(message) else _validated(name, body)

    def encode_closely(self, message: Encodable) -> bytes:
        """The whole way of the same: written field by field, then through the parser and the XSD."""
        name = type(message).__name__
        return _validated(name, written(name, _values(message)))

    def decode(self, topic: str, body: bytes) -> Incoming:
        """The message in a body read from `topic`. Raises Unreadable."""
        if topic == INBOUND:
            return _from_customs(body)
        if topic == ACCEPTED:
            return _decode(DeclarationAccepted, body)
        if topic == RENDER_RESULT:
            return _decode(RenderResult, body)
        if topic == PRINT_RESULT:
            return _decode(PrintResult, body)
        raise Unreadable("MESSAGE-TOPIC", f"nothing that is read here comes on the topic {topic}")

    def render_job(self, body: bytes) -> RenderJob:
        """A body of origin.render.job.v1. Raises Unreadable."""
        return _decode(RenderJob, body)

    def print_job(self, body: bytes) -> PrintJob:
        """A body of origin.print.job.v1. Raises Unreadable."""
        return _decode(PrintJob, body)


def read_layout_head(root: etree._Element, body: bytes, noticed: str = "") -> LayoutArrived:
    """What the turn needs of a layout document (版式文件): number, part, pages. Raises Unreadable."""
    number, part, pages = root.get("number", ""), root.get("part", ""), root.get("pages", "")
    if not number or part not in set(Part) or not (pages.isascii() and pages.isdigit() and len(pages) < 5):
        raise Unreadable("LAYOUT-HEAD", "the layout document lacks number, part (original, copy) or pages")
    return LayoutArrived(
        message_id=message_id(body),
        raw_sha256=hashlib.sha256(body).hexdigest(),
        number=number,
        noticed=noticed,
        part=Part(part),
        pages=int(pages),
    )


def certificate_of(record: Record) -> About:
    """The certificate that a record names which can't be read: customs by its number, our own topics by their keys."""
    if record.topic == INBOUND:
        return About(KIND, key=number_in(record.body))
    try:
        return About(KIND, UUID(record.key))
    except ValueError:
        return About(KIND)


def number_in(body: bytes) -> str:
    """The certificate number that a body of customs names, though it can't be read; "": none, or several."""
    with contextlib.suppress(Unreadable):  # a number is ASCII: it may stand there all the same
        body = as_utf8(body)[0]
    found = {(first or second).decode() for first, second in _NUMBER.findall(body, 0, LOOKED_THROUGH)}
    return found.pop() if len(found) == 1 else ""


def _from_customs(body: bytes) -> Incoming:
    root, odd = open_tolerantly(body)
    if local_name(root) == "LayoutDocument":
        return read_layout_head(root, body, odd)
    # A receipt may come wrapped in an envelope.
    found = leaves(root)
    if len(found) > 1:
        raise Unreadable("INBOUND-SEVERAL", "there are several receipts in one document")
    for element in found:
        noticed = " ".join(filter(None, (odd, unknown_elements(root))))
        return (read_receipt if local_name(element) == "Receipt" else read_fileret)(element, body, noticed)
    raise Unreadable("INBOUND-ROOT", "neither a receipt nor a layout document")


@cache
def _by_tag(kind: type[Value]) -> dict[str, str]:
    return {f"{{{NAMESPACE}}}{_pascal(field)}": field for field in kind.model_fields}


def _pascal(field: str) -> str:
    return "".join(word.capitalize() for word in field.split("_"))


def _values(message: Value) -> dict[str, Any]:
    """Its fields that are there."""
    values = {field: value for field, value in vars(message).items() if value is not None}
    if "detail" in values:
        values["detail"] = values["detail"][:_MAX_DETAIL]
    return values


def written(name: str, values: Mapping[str, Any]) -> bytes:
    """The body of the message `name` with these fields; not validated yet."""
    elements = "".join(
        f"<{tag}>{_text(value)}</{tag}>" for tag, value in zip(map(_pascal, values), values.values(), strict=True)
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{NAMESPACE}">{elements}</{name}>\n'.encode()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return escaped(presentable(str(value.value if isinstance(value, Enum) else value)))


def _validated(name: str, body: bytes) -> bytes:
    schema, root = catalog()[SCHEMA], parse_own(body)
    if not schema.valid(root):
        first = schema.errors(root)[0]
        raise ValueError(f"{name} is not valid: error {first.kind} at {first.path}")
    return body


def _decode(kind: type[M], body: bytes) -> M:
    try:
        root = parse(body)
    except Refused as refused:
        raise Unreadable(refused.faults[0].code, f"line {refused.faults[0].line or '?'}") from None
    if root.tag != f"{{{NAMESPACE}}}{kind.__name__}":
        raise Unreadable("MESSAGE-ROOT", f"this is no {kind.__name__}")
    errors = catalog()[SCHEMA].errors(root)
    if errors:
        raise Unreadable("MESSAGE-INVALID", f"schema error {errors[0].kind} on line {errors[0].line}")
    by_tag = _by_tag(kind)
    content = {by_tag[str(child.tag)]: child.text or "" for child in root}
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        places = ", ".join(".".join(map(str, one["loc"])) for one in error.errors(include_input=False))
        raise Unreadable("MESSAGE-INVALID", f"wrong: {places}") from None
