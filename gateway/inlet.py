"""Reads every record the turn listens to; pictures that travel inside a layout document become blobs of their own."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.codecs.gateway_xml import GatewayCodec
from gateway.core.messages import Incoming, LayoutArrived
from gateway.ports import Blob, Record, Unreadable
from gateway.runtime.turn import FROM_CUSTOMS
from renderers.layout import RenderRefused
from renderers.layout_xml import split


@dataclass(frozen=True, slots=True)
class GatewayInlet:
    """See `gateway.ports.Inlet`."""

    codec: GatewayCodec

    def read(self, record: Record) -> tuple[Incoming, Sequence[Blob]]:
        """The message, and what customs sent as bytes to keep. Raises Unreadable."""
        message = self.codec.decode(record.topic, record.body)
        if isinstance(message, LayoutArrived):
            return _layout(message, record.body)
        if isinstance(message, FROM_CUSTOMS):
            return message, [Blob(message.raw_sha256, "receipt", "application/xml", record.body)]
        return message, ()


def _layout(message: LayoutArrived, body: bytes) -> tuple[Incoming, Sequence[Blob]]:
    """A layout refers to its pictures by hash: they are stored once, however many layouts carry them."""
    try:
        layout, pictures = split(body)
    except RenderRefused as refusal:
        raise Unreadable(refusal.code, refusal.detail) from refusal
    sha256 = hashlib.sha256(layout).hexdigest()
    blobs = [Blob(sha256, "layout", "application/xml", layout)]
    blobs += [Blob(name, "picture", "image/png", picture) for name, picture in pictures.items()]
    return message.model_copy(update={"raw_sha256": sha256}), blobs
