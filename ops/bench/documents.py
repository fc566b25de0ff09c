"""Declarations for the load: one real document an enterprise and dialect, every copy with its own invoice number.

About 4.2 kB of XML (certificate type C, three goods lines), the size of the documents in the notes on limits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from random import Random
from uuid import UUID

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.ports import Dialect
from gateway.runtime.submission import Submission
from ops.bench.load import WIDTH
from simulators.erp.enterprises import Enterprise, many
from simulators.erp.generator import declaration

ENTERPRISES = 200
"""Numbers are counted per enterprise, 9,999 a year: load is spread, or a series is full in seconds."""
GOODS = 3
_SERIAL = "BENCHSERIAL0"
assert len(_SERIAL) == WIDTH


@dataclass(frozen=True, slots=True)
class Template:
    """A document with room for a serial, which is part of its invoice number."""

    enterprise: Enterprise
    media_type: str
    parts: tuple[bytes, ...]

    def document(self, serial: int) -> bytes:
        """The document with this serial; all have the same length."""
        return (b"%0*d" % (WIDTH, serial)).join(self.parts)


@cache
def templates(media_type: str = "application/xml", enterprises: int = ENTERPRISES) -> tuple[Template, ...]:
    """One an enterprise."""
    dialect: Dialect = CustomsXml() if media_type == "application/xml" else EnterpriseJson()
    found = []
    for number, enterprise in enumerate(many(enterprises)):
        content = declaration(Random(number), "C", enterprise, 0, size=GOODS)
        content = content.model_copy(update={"invoice_no": _SERIAL, "contract_no": f"CT-{_SERIAL}", "marks": "N/M"})
        found.append(Template(enterprise, media_type, tuple(dialect.write(content).split(_SERIAL.encode()))))
    return tuple(found)


def endless(given: Sequence[Template], start: int = 1) -> Iterator[tuple[Template, bytes]]:
    """Documents of all templates in turn, each one new."""
    for serial in count(start):
        template = given[serial % len(given)]
        yield template, template.document(serial)


async def break_off(submission: Submission, error: Exception) -> UUID:
    """A document that breaks the door ends a benchmark."""
    raise error
