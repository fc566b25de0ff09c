"""What lives send, as messages on the log: the topic of each, and its body.

The declaration for customs is made from the bytes that were declared.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from gateway.core.envelope import headers
from gateway.core.messages import CustomsDeclaration, PrintJob, RenderJob
from gateway.core.value import Value
from gateway.ports import Dialect, Message, MessageCodec

OUTBOUND: Final = "origin.customs.outbound.v1"
JOBS: Final[Mapping[type[Value], tuple[str, str]]] = {
    RenderJob: ("origin.render.job.v1", "render.job"),
    PrintJob: ("origin.print.job.v1", "print.job"),
}
"""A job -> its topic, and what it is called."""


class OutgoingMessages:
    """Makes them. Pure work of the processor."""

    def __init__(self, codec: MessageCodec, dialects: Mapping[str, Dialect]) -> None:
        self._codec = codec
        self._dialects = dialects

    def wants(self, send: Value) -> str:
        """The SHA-256 of the stored bytes that it is made from; "": of none."""
        return send.raw_sha256 if isinstance(send, CustomsDeclaration) else ""

    def message(self, subject: UUID, send: Value, raw: bytes, now: datetime) -> Message:
        """`raw`: the bytes that it `wants`. Raises KeyError for what nobody sends."""
        if isinstance(send, CustomsDeclaration):
            topic, kind, body = OUTBOUND, "customs.outbound", self._official(send, raw)
        elif isinstance(send, RenderJob | PrintJob):
            topic, kind = JOBS[type(send)]
            body = self._codec.encode(send)
        else:
            raise KeyError(type(send).__name__)
        attributes = headers(kind, send.message_id, str(subject), now, "application/xml")
        return Message(topic, str(subject), body, attributes)

    def _official(self, outgoing: CustomsDeclaration, raw: bytes) -> bytes:
        """The official Certificate message: the stored declaration under its number.

        The door has judged it: no model is made again of its canonical data, and the message is validated as it leaves.
        """
        fields = self._dialects[outgoing.media_type].read(raw).fields
        invoices = tuple({**invoice, "certificate_number": outgoing.number} for invoice in fields.get("invoices", ()))
        numbered = {**fields, "number": outgoing.number, "invoices": invoices}
        return self._dialects["application/xml"].write(numbered)
