"""Reads every record the turn listens to; pictures that travel inside a layout document become blobs of their own."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters.codecs.bundles import apart
from adapters.codecs.encodings import as_utf8
from adapters.codecs.gateway_xml import GatewayCodec, certificate_of
from gateway.core.certificate import FROM_CUSTOMS
from gateway.core.life import About
from gateway.core.messages import Incoming, LayoutArrived
from gateway.ports import Blob, Record, Unreadable
from gateway.runtime.inputs import FROM_STRANGERS
from renderers.layout import RenderRefused
from renderers.layout_xml import split

CAME_IN: Final = "origin_came_in"
"""Header of a record that was taken from a larger one: the SHA-256 of that."""
SHA256: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class GatewayInlet:
    """See `gateway.ports.Inlet`."""

    codec: GatewayCodec

    def apart(self, record: Record) -> tuple[Sequence[Record], Sequence[Blob]]:
        """A record for each receipt and layout in it; the whole is stored too. Raises Unreadable."""
        parts = apart(record.body) if record.topic in FROM_STRANGERS else (record.body,)
        if parts == (record.body,):
            return (record,), ()
        sha256 = hashlib.sha256(record.body).hexdigest()
        headers = {**record.headers, CAME_IN: sha256}
        return (
            [record._replace(body=part, headers=headers) for part in parts],
            [Blob(sha256, "receipt", "application/xml", record.body)],
        )

    def about(self, record: Record) -> About:
        """See `adapters.codecs.gateway_xml.certificate_of`."""
        return certificate_of(record)

    def read(self, record: Record) -> tuple[Incoming, Sequence[Blob]]:
        """The message, and what customs sent as bytes to keep. Raises Unreadable."""
        message = self.codec.decode(record.topic, record.body)
        if not isinstance(message, FROM_CUSTOMS):
            return message, ()
        if SHA256.fullmatch(whole := record.headers.get(CAME_IN, "")):
            message = message.model_copy(update={"came_in": whole})
        if isinstance(message, LayoutArrived):
            return _layout(message, record.body)
        return message, [Blob(message.raw_sha256, "receipt", "application/xml", record.body)]


def _layout(message: LayoutArrived, body: bytes) -> tuple[Incoming, Sequence[Blob]]:
    """A layout refers to its pictures by hash: they are stored once, however many layouts carry them."""
    try:
        layout, pictures = split(as_utf8(body)[0])
    except RenderRefused as refusal:
        raise Unreadable(refusal.code, refusal.detail) from refusal
    sha256 = hashlib.sha256(layout).hexdigest()
    blobs = [Blob(sha256, "layout", "application/xml", layout)]
    blobs += [Blob(name, "picture", "image/png", picture) for name, picture in pictures.items()]
    return message.model_copy(update={"raw_sha256": sha256}), blobs
