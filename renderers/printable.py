"""Whatever the door accepts comes out as paper: a declaration that would take too many sheets is refused there.

How many it takes, only setting it tells, which costs as much as the paper. Nearly all declarations are far from the
limit: the length of their texts says so, or a count of them one by one. What is set to find out is set no further than
to the limit.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from gateway.core.declaration import Declaration
from gateway.core.faults import Fault, Severity
from gateway.core.messages import Part
from gateway.ports import Reading
from gateway.runtime import door_faults
from gateway.runtime.examining import Checks
from renderers.bindings import IssueData
from renderers.compose import compose
from renderers.forms import Form, forms
from renderers.layout import RenderRefused

MOST_SHEETS: Final = 400
"""Sheets of a certificate that may be declared: fewer than a layout may have, since customs adds texts of its own."""
LEAST_LINES: Final = 39
"""Lines on a continuation sheet of any form, at least."""
WIDE: Final = 10
"""Half the characters that a line of the goods' description takes at least, on any form: two lines that follow each
other hold more than one line has room for."""
NARROW_LINES: Final = 24
"""Most lines that invoice, quantity and value of a goods line take in their narrow columns."""
INVOICE_LINES: Final = 18
"""Most lines of an invoice's number and date where the first goods line names all invoices."""
GOODS_LINES: Final = 30
"""Most lines of a goods line, when a line of paper takes no more than one character of its texts."""
ISSUE: Final = IssueData("", Part.ORIGINAL, date(2000, 1, 1))


class PrintableChecks:
    """The rules of the profiles, and the room on paper. Implements the door's `Checks`."""

    def __init__(self, rules: Checks) -> None:
        self._rules = rules

    def faults(self, reading: Reading) -> list[Fault]:
        """What the rules say; of what they would let through, also whether it can be printed."""
        found = self._rules.faults(reading)
        fields = reading.fields
        if (
            not _is_short(reading)
            and fields.get("apply_type") == "1"
            and sheets_at_most(fields) > MOST_SHEETS
            and all(fault.severity is not Severity.REFUSE for fault in found)
            and too_long(reading.declaration)
        ):
            found.append(door_faults.paper_too_long(*reading.locate(("goods",)), MOST_SHEETS))
        return found


def _is_short(reading: Reading) -> bool:
    """Would a line for each character find room? The same bound as `sheets_at_most`, wider and at once."""
    fields = reading.fields
    lines = reading.length + GOODS_LINES * len(fields["goods"]) + INVOICE_LINES * len(fields["invoices"])
    return 2 * lines <= LEAST_LINES * (MOST_SHEETS - 2)


def too_long(declaration: Declaration) -> bool:
    """Does a form of its type take more than `MOST_SHEETS` for it? Stops at the limit."""
    return any(_overflows(form, declaration) for form in forms() if declaration.certificate_type in form.types)


def sheets_at_most(fields: Mapping[str, Any]) -> int:
    """An upper bound of the sheets a declaration takes on any form: no text is set, lengths are counted.

    A row moves to the next sheet when it finds no room, so two sheets that follow each other hold one sheet's lines.
    Texts of the head may run over into the table, in the worst case a character a line.
    """
    lines = 0
    for value in fields.values():  # forty of them in every declaration: written out
        if type(value) is str:
            lines += len(value)
    for block in fields.get("non_parties", ()):
        lines += sum(len(value) for value in block.values() if type(value) is str)
    lines += INVOICE_LINES * len(fields.get("invoices", ()))
    for goods in fields.get("goods", ()):
        get = goods.get
        told = get("description") or get("name") or get("name_zh") or ""
        producer = get("producer") or ""
        wide = 4 + (len(told) + len(producer)) // WIDE + told.count("\n") + producer.count("\n")
        lines += 1 + max(wide, NARROW_LINES + len(get("origin_name") or "") // 2)
    return 2 * lines // LEAST_LINES + 2


def _overflows(form: Form, declaration: Declaration) -> bool:
    try:
        compose(form, declaration, ISSUE, MOST_SHEETS)
    except RenderRefused as refusal:
        return refusal.code == "PAPER-TOO-LONG"
    return False
