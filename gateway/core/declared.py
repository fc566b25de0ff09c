"""What the first event of a certificate tells, and each correction: all that its state takes from the declaration."""

from collections.abc import Mapping
from types import MappingProxyType

from gateway.core.decision import Event, Json
from gateway.core.life import OlderLife
from gateway.core.messages import DeclarationAccepted
from gateway.core.state import Certificate

CORRECTABLE: Mapping[str, str] = MappingProxyType(
    {
        "certificate_type": "type",
        "exporter": "exporter",
        "reference": "reference",
        "prints_itself": "prints_itself",
        "media_type": "media_type",
        "raw_sha256": "raw",
    }
)
"""What a correction may change, and what its event calls it; number, applicant and client stay."""
OPENING: Mapping[str, str] = MappingProxyType(
    {**CORRECTABLE, "id": "certificate", "number": "number", "applicant": "applicant", "client": "client"}
)
"""What the first event of a life tells."""


def opened(event: Event) -> Certificate:
    """The state that a life begins with. Raises OlderLife."""
    if not event.data.keys() >= set(OPENING.values()):
        raise OlderLife("a life opens with an accepted declaration")
    told = {name: event.data[key] for name, key in OPENING.items()}
    return Certificate.model_validate(told)


def opening_data(message: DeclarationAccepted) -> dict[str, Json]:
    """All that the certificate's state takes from its declaration."""
    return {
        "certificate": str(message.certificate_id),
        "number": message.number,
        "type": message.certificate_type,
        "exporter": message.exporter,
        "applicant": message.applicant,
        "client": message.client,
        "reference": message.reference,
        "prints_itself": message.prints_itself,
        "media_type": message.media_type,
        "raw": message.raw_sha256,
    }
