"""What customs writes back: the bytes of one step of a scenario. The same question gives the same bytes."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib import resources

from adapters.codecs.receipts import message_id, write_fileret, write_receipt
from gateway.core.envelope import headers
from gateway.core.messages import CustomsReply, Part
from gateway.core.numbers import SHANGHAI
from gateway.ports import Message
from renderers import layout_xml
from renderers.bindings import IssueData
from renderers.compose import compose
from renderers.forms import form_for
from renderers.layout import RenderRefused
from simulators.customs.examiner import findings
from simulators.customs.ledger import Entry
from simulators.customs.marks import Marks
from simulators.customs.question import Question
from simulators.customs.scenarios import Scenario, Scenarios, Step

INBOUND = "origin.customs.inbound.v1"
SOURCE = "/customs-simulator"
VALID_FOR = {"RC": timedelta(days=365)}
"""Validity of a certificate by type (guide-validity); others name no end."""
APPROVED, RETURNED = "5", "3"
"""RepType."""
LAST = 99
"""Highest running number of a reply."""
MAX_NOTE, MAX_STATEMENT, MAX_TECHNICAL_NOTE = 4000, 500, 1000


@dataclass(frozen=True, slots=True)
class Office:
    """One issuing customs. Names say that it is simulated."""

    name: str
    seal: str
    """Its Chinese name, on the arc of its seal."""
    place: str
    address: str
    phone: str
    fax: str
    officer: str


class Answers:
    """Writes answers for one seed and one set of marks."""

    def __init__(self, scenarios: Scenarios, seed: int, marks: Marks, pace: float = 1.0) -> None:
        self._scenarios = scenarios
        self._seed = seed
        self._marks = marks
        self._pace = pace

    def write(self, question: Question, entry: Entry, scenario: Scenario, step: Step) -> Message:
        """The message of a step. Raises RenderRefused or FormError when no layout can be made."""
        written = self._written(question, step)
        match step.answer:
            case "technical":
                body = self._technical(question, step, written)
            case "receipt":
                body = write_receipt(
                    question.number,
                    step.code,
                    note=self._reasons(question, step)[:MAX_NOTE],
                    received_at=_text(question.at),
                    sent_at=_text(written),
                )
            case "reply":
                running = min(entry.first + scenario.replies.index(step.bears), LAST)
                body = self._reply(question, running, step, written)
            case "layout":
                body = self._layout(question, step.part or Part.ORIGINAL, written)
            case "raw":
                body = step.body.replace("{number}", question.number).encode()
        return self._sent(question, step, body)

    def withdrawal(self, question: Question, step: Step, reason: str) -> Message:
        """In place of a layout that can't be made: returned with the reason. Its number is the last there can be, so
        that it counts after an approval of the same second."""
        back = Step(answer="reply", after=step.after, written=step.written, code=RETURNED, notes=(reason,))
        return self._sent(question, back, self._reply(question, LAST, back, self._written(question, back)))

    def _written(self, question: Question, step: Step) -> datetime:
        return (question.at + timedelta(seconds=step.bears * self._pace)).astimezone(SHANGHAI)

    def _sent(self, question: Question, step: Step, body: bytes) -> Message:
        sent = question.at + timedelta(seconds=step.after * self._pace)
        attributes = headers("customs.inbound", message_id(body), question.number, sent, "application/xml")
        return Message(INBOUND, question.number, body, {**attributes, "ce_source": SOURCE})

    def _technical(self, question: Question, step: Step, written: datetime) -> bytes:
        return write_fileret(
            question.number,
            step.code,
            note=self._reasons(question, step)[:MAX_TECHNICAL_NOTE],
            received_at=_text(question.at),
            sent_at=_text(written),
        )

    def _reply(self, question: Question, running: int, step: Step, written: datetime) -> bytes:
        fields = question.fields
        office = offices(str(fields.get("issuing_office", "")))
        reasons = self._reasons(question, step)
        reply = CustomsReply(
            running_no=running,
            code=step.code,
            company_no=str(fields.get("owner_filing_no", "")),
            reply_codes=";".join(self._codes(question, step)),
            statement=step.statement[:MAX_STATEMENT],
            organisation_code=str(fields.get("exporter_code", ""))[8:17],
            generated_at=_text(written),
            certificate_type=str(fields.get("certificate_type", "")),
        )
        if step.code == APPROVED:
            reply = reply.model_copy(update=self._approval(question, office, written))
        return write_receipt(
            question.number,
            "6",
            note=reasons[:MAX_NOTE],
            received_at=_text(question.at),
            sent_at=_text(written),
            reply=reply,
        )

    def _approval(self, question: Question, office: Office, written: datetime) -> Mapping[str, object]:
        term = VALID_FOR.get(str(question.fields.get("certificate_type")))
        return {
            "bar_code": self.bar_code(question),
            "office_name": office.name,
            "check_place": office.place,
            "office_address": office.address,
            "office_phone": office.phone,
            "office_fax": office.fax,
            "signed_on": f"{written:%Y-%m-%d}",
            "valid_until": f"{written + term:%Y-%m-%d}" if term else "",
            "issued_retroactively": _retroactive(question, written),
        }

    def _layout(self, question: Question, part: Part, written: datetime) -> bytes:
        if question.declaration is None:
            raise RenderRefused("LAYOUT-INVALID", "there is no layout of a document that is not valid")
        office = offices(question.declaration.issuing_office or "")
        marks, images = self._marks.of(office.seal, office.officer)
        issue = IssueData(
            number=question.number,
            part=part,
            signed_on=written.date(),
            office_name=office.name,
            office_address=office.address,
            office_phone=office.phone,
            office_fax=office.fax,
            place=office.place,
            bar_code=self.bar_code(question),
            retroactive=_retroactive(question, written),
            marks=marks,
        )
        form = form_for(question.declaration.certificate_type, written.date())
        return layout_xml.write(compose(form, question.declaration, issue), images)

    def bar_code(self, question: Question) -> str:
        """Verification code of a certificate: twelve digits that belong to seed, number and content."""
        digest = sha256(f"{self._seed}/{question.number}/{question.content}".encode()).digest()
        return f"{int.from_bytes(digest[:8], 'big') % 10**12:012d}"

    def _codes(self, question: Question, step: Step) -> list[str]:
        if not step.findings:
            return []
        return [self._scenarios.reasons[name].code for name in findings(question.fields)]

    def _reasons(self, question: Question, step: Step) -> str:
        """The notes of the step, then what was found; of an invalid document its faults, by code and place."""
        texts = list(step.notes)
        if step.findings:
            texts += [self._scenarios.reasons[name].text for name in findings(question.fields)]
            texts += [f"{fault.code} {fault.path}".strip() for fault in question.faults]
        return " ".join(texts)


def _retroactive(question: Question, written: datetime) -> bool:
    """Signed after shipment (补发)."""
    shipped = str(question.fields.get("shipment_date", ""))
    return bool(shipped) and shipped < f"{written:%Y-%m-%d}"


def _text(at: datetime) -> str:
    """A time as customs writes it, in Shanghai's time."""
    return f"{at.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"


def offices(code: str) -> Office:
    """The office with this 4-digit code; one made up for a code that the list does not have."""
    return _offices().get(code) or Office(
        f"SIMULATED CUSTOMS OFFICE {code}".strip(), "模拟海关", "CHINA", "EXAMPLE ROAD, CHINA", "", "", "Jia Ming"
    )


@cache
def _offices() -> Mapping[str, Office]:
    text = resources.files("simulators.customs").joinpath("offices.csv").read_text(encoding="utf-8")
    return {row.pop("code"): Office(**row) for row in csv.DictReader(text.splitlines())}
