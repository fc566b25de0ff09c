"""What the door answers, the same on every way in: HTTP body, folder result file, bus answer."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from gateway.core.admission import Known, Verdict
from gateway.core.faults import Fault, in_order
from gateway.core.quotas import Over
from gateway.runtime.door_faults import our_mistake, over_quota
from gateway.runtime.sources import source

ON_FILE = (Verdict.ACCEPTED, Verdict.DUPLICATE)
"""The declaration is there."""


class Answer(NamedTuple):
    """A verdict and its JSON body. The body of a repeated submission is byte for byte the one given before."""

    verdict: Verdict
    body: bytes

    @property
    def content(self) -> dict[str, Any]:
        """The body as data."""
        content: dict[str, Any] = orjson.loads(self.body)
        return content

    @classmethod
    def accepted(
        cls,
        certificate_id: UUID,
        number: str,
        revision: int,
        certificate_type: str,
        reference: str | None,
        warnings: tuple[Fault, ...],
    ) -> "Answer":
        """Accepted: durable, and on its way."""
        body = _on_file(Verdict.ACCEPTED, certificate_id, number, revision, certificate_type, reference, warnings)
        return cls(Verdict.ACCEPTED, body)

    def numbered(self, blank: str, number: str) -> "Answer":
        """The same answer with the number that was drawn, in place of the `blank` it was written with."""
        return Answer(self.verdict, self.body.replace(blank.encode(), number.encode(), 1))

    @classmethod
    def duplicate(
        cls, known: Known, certificate_type: str, reference: str | None, warnings: tuple[Fault, ...]
    ) -> "Answer":
        """The same content is on file already: here it is."""
        body = _on_file(
            Verdict.DUPLICATE,
            known.certificate_id,
            known.number,
            known.revision,
            certificate_type,
            reference,
            warnings,
        )
        return cls(Verdict.DUPLICATE, body)

    @classmethod
    def replay(cls, body: bytes) -> "Answer":
        """The answer given before to the same key and bytes."""
        return cls(Verdict(orjson.loads(body)["status"]), body)

    @classmethod
    def refused(cls, faults: Iterable[Fault], reference: str | None) -> "Answer":
        """Every fault at once; nothing was kept."""
        return cls(Verdict.REFUSED, _faulty(Verdict.REFUSED, faults, reference, None))

    @classmethod
    def conflict(cls, fault: Fault, certificate_id: UUID | None, reference: str | None) -> "Answer":
        """It contradicts what is on file."""
        return cls(Verdict.CONFLICT, _faulty(Verdict.CONFLICT, [fault], reference, certificate_id))

    @classmethod
    def internal(cls, kept: UUID, reference: str | None) -> "Answer":
        """It broke us, and is kept as the dead letter `kept`."""
        content = {
            "status": Verdict.INTERNAL.value,
            "reference": reference,
            "kept": str(kept),
            "faults": [fault_data(our_mistake(kept))],
        }
        return cls(Verdict.INTERNAL, orjson.dumps(content))

    @classmethod
    def later(cls, found: Over, reference: str | None) -> "Answer":
        """The client has its quota: nothing was looked at; `retry_after` is in seconds."""
        content = {
            "status": Verdict.LATER.value,
            "reference": reference,
            "retry_after": found.seconds,
            "faults": [fault_data(over_quota(found))],
        }
        return cls(Verdict.LATER, orjson.dumps(content))


def _on_file(
    verdict: Verdict,
    certificate_id: UUID,
    number: str,
    revision: int,
    certificate_type: str,
    reference: str | None,
    warnings: tuple[Fault, ...],
) -> bytes:
    return orjson.dumps(
        {
            "status": verdict.value,
            "id": str(certificate_id),
            "number": number,
            "revision": revision,
            "type": certificate_type,
            "reference": reference,
            "warnings": [fault_data(fault) for fault in warnings],
        }
    )


def _faulty(verdict: Verdict, faults: Iterable[Fault], reference: str | None, certificate_id: UUID | None) -> bytes:
    content: dict[str, Any] = {"status": verdict.value, "reference": reference}
    if certificate_id:
        content["id"] = str(certificate_id)
    content["faults"] = [fault_data(fault) for fault in in_order(faults)]
    return orjson.dumps(content)


def fault_data(fault: Fault) -> dict[str, Any]:
    """A fault as JSON data, without what is not known: `Fault.model_dump` at a fifth of its price."""
    data: dict[str, Any] = {"code": fault.code, "path": fault.path, "message": fault.message, "remedy": fault.remedy}
    if fault.line is not None:
        data["line"] = fault.line
    data["severity"] = fault.severity.value
    data["source"] = fault.source
    return data


CLASHES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "KEY-REUSED": (
            "Other bytes were sent under this idempotency key before.",
            "Use a new key for new content; send the same bytes to repeat.",
        ),
        "NUMBER-TAKEN": (
            "This certificate number is not free.",
            "Leave the number empty to be given one, or use another.",
        ),
        "NUMBER-IN-USE": (
            "This certificate number is in use with other content, and it is neither a draft nor returned.",
            "Wait for the verdict of customs, or declare an amended certificate (更改证) under a new number.",
        ),
    }
)
"""Code -> sentence and remedy of each conflict."""


def clash_fault(code: str) -> Fault:
    """What a conflict says. It never tells whose the number is."""
    message, remedy = CLASHES[code]
    return Fault(code=code, message=message, remedy=remedy, source=source("decision-0040"))
