"""Everything that crosses the bus, plus the commands people give and the clock's reminders, as frozen values.

Names are ours; the official spellings stay in the codecs. Times are aware UTC unless the field says that it is the
customs' own text. Content travels by reference: a declaration, a layout and a signed file are named by SHA-256.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeAlias
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from gateway.core.life import TimerDue
from gateway.core.value import Value

Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of some bytes, lower-case hex."""


class Part(StrEnum):
    """What customs makes two layouts of (版式文件)."""

    ORIGINAL = "original"
    """正本: printed at most once, never offered for download."""
    COPY = "copy"
    """副本: may be previewed and downloaded."""


class DeclarationAccepted(Value):
    """A declaration passed the door. Revision 1 opens a certificate's life, a higher one corrects it.

    Its constraints are those of the schema (``DeclarationAccepted`` in messages.xsd): one that can be made is valid.
    """

    message_id: UUID
    certificate_id: UUID
    number: Annotated[str, StringConstraints(min_length=1, max_length=30)]
    """Certificate number (证书编号)."""
    revision: Annotated[int, Field(ge=1)]
    certificate_type: Annotated[str, StringConstraints(pattern="^[A-Z]{1,2}$")]
    applies: bool
    """True: declared (申报, ApplyType 1); False: stored as a draft (暂存, 0)."""
    exporter: Annotated[str, StringConstraints(min_length=1, max_length=18)]
    """CiqRegNo, 18-character credit code of the exporter, whose seal will be used."""
    applicant: Annotated[str, StringConstraints(min_length=1, max_length=18)]
    """AplRegNo, 18-character credit code of the enterprise that declares: itself or an agent."""
    client: Annotated[str, StringConstraints(max_length=200)]
    reference: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    """The ERP's own reference, echoed everywhere."""
    media_type: Annotated[str, StringConstraints(pattern="^application/(xml|json)$")]
    """Of the stored bytes: application/xml or application/json."""
    raw_sha256: Sha256
    """The bytes as received, in the blob store."""
    content_sha256: Sha256
    """Of the canonical content: equal for XML and JSON of the same declaration."""
    prints_itself: bool = True
    """Print as soon as the files are there (自助打印 without a click); else on request."""
    accepted_at: AwareDatetime


class TechnicalVerdict(StrEnum):
    """What a technical receipt (FileRet RetType) means; the code's meaning is data."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class ReceiptMeaning(StrEnum):
    """What a business receipt (Receipt Channel and RepType) means; the codes' meaning is data."""

    RECEIVED = "received"
    FAILED = "failed"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    RETURNED = "returned"
    UNKNOWN = "unknown"
    """A code nobody told us: kept, shown and raised, never taken for a failure."""


class TechnicalReceipt(Value):
    """FileRet: the import side took the file or did not (技术回执)."""

    message_id: UUID
    raw_sha256: Sha256
    number: str
    noticed: str = ""
    """What was odd about it, in sentences of ours; "": nothing."""
    came_in: str = ""
    """SHA-256 of the document in which it came together with others; "": alone."""
    code: str
    verdict: TechnicalVerdict
    note: str = ""
    sent_at: str = ""
    """The customs' own text, yyyy-MM-dd hh:mm:ss."""


class AttachmentReceipt(Value):
    """FileRet with FileType and FileName: the answer to an attachment (随附单据回执)."""

    message_id: UUID
    raw_sha256: Sha256
    number: str
    noticed: str = ""
    """What was odd about it, in sentences of ours; "": nothing."""
    came_in: str = ""
    """SHA-256 of the document in which it came together with others; "": alone."""
    code: str
    verdict: TechnicalVerdict
    note: str = ""
    sent_at: str = ""
    file_type: str = ""
    file_name: str = ""


class CustomsReply(Value):
    """CusRespData: one reply of customs. All texts are the customs' own."""

    running_no: int | None = None
    """RspNo; screens sort by it, newest first."""
    code: str = ""
    """RepType as sent."""
    company_no: str = ""
    bar_code: str = ""
    statement: str = ""
    office_name: str = ""
    check_place: str = ""
    office_address: str = ""
    office_phone: str = ""
    office_fax: str = ""
    organisation_code: str = ""
    signed_on: str = ""
    reply_codes: str = ""
    extra_text: str = ""
    issued_retroactively: bool = False
    generated_at: str = ""
    valid_until: str = ""
    """ChkVaildDate, misspelt so in the interface."""
    certificate_type: str = ""


class BusinessReceipt(Value):
    """Receipt: what customs says about the declaration (业务回执)."""

    message_id: UUID
    raw_sha256: Sha256
    number: str
    noticed: str = ""
    """What was odd about it, in sentences of ours; "": nothing."""
    came_in: str = ""
    """SHA-256 of the document in which it came together with others; "": alone."""
    channel: str
    meaning: ReceiptMeaning
    note: str = ""
    received_at: str = ""
    sent_at: str = ""
    reply: CustomsReply | None = None


class LayoutArrived(Value):
    """A layout document (版式文件) came in and is stored."""

    message_id: UUID
    raw_sha256: Sha256
    """The layout's bytes in the blob store."""
    number: str
    noticed: str = ""
    came_in: str = ""
    part: Part
    pages: int


class UnreadableArrived(Value):
    """Customs sent something about this certificate that nobody can read: it is kept with the dead letters."""

    message_id: UUID
    certificate_id: UUID
    letter: UUID
    """The dead letter."""
    code: str
    detail: str


class LetterMended(Value):
    """An operator mended what customs sent and had it read: who, why, and which bytes instead of which."""

    message_id: UUID
    certificate_id: UUID
    letter: UUID
    was_sha256: Sha256
    mended_sha256: Sha256
    by: str
    reason: str


class RenderJob(Value):
    """Make the signed, stamped file of one layout; the result is stored once per job."""

    message_id: UUID
    job: UUID
    certificate_id: UUID
    number: str
    exporter: str
    """Whose seal, handwriting and key are used."""
    part: Part
    layout_sha256: Sha256
    at: datetime
    """Signing time: fixed by the job, so that the same job gives the same bytes before the signature."""


class RenderResult(Value):
    """The signed file of a job, or why there is none."""

    message_id: UUID
    job: UUID
    certificate_id: UUID
    part: Part
    file_sha256: Sha256 | None = None
    pages: int = 0
    seal: str = ""
    signature: str = ""
    key: str = ""
    """Which seal, handwriting and key were used (their ids): every use is an event."""
    reason: str = ""
    """Stable code when there is no file, e.g. SEAL-MISSING."""
    detail: str = ""


class PrintJob(Value):
    """Print this authorised file, once."""

    message_id: UUID
    job: UUID
    certificate_id: UUID
    number: str
    exporter: str
    part: Part
    file_sha256: Sha256
    pages: int


class PrintOutcome(StrEnum):
    """What became of a print job."""

    CLAIMED = "claimed"
    """A print worker took the job; the claim is never transferred."""
    PRINTED = "printed"
    REFUSED = "refused"
    """The printer took no byte; the job may be given again."""
    IN_DOUBT = "in_doubt"
    """Bytes went out and no answer came: a person decides."""


class PrintResult(Value):
    """What the printer said."""

    message_id: UUID
    job: UUID
    certificate_id: UUID
    part: Part
    outcome: PrintOutcome
    confirmed: bool = False
    """The printer's word counts as a person's yes (the spool default)."""
    printer: str = ""
    detail: str = ""


class RequestPrint(Value):
    """A person asks for the print (打印正本/副本)."""

    message_id: UUID
    certificate_id: UUID
    parts: tuple[Part, ...]
    by: str


class ConfirmPrint(Value):
    """A person's answer to "was it printed?" (打印是否成功)."""

    message_id: UUID
    certificate_id: UUID
    printed: bool
    parts: tuple[Part, ...] = tuple(Part)
    """The papers that were looked at. The other may have come to be in doubt since."""
    by: str


class Reminder(StrEnum):
    """What a due date is about."""

    CUSTOMS_RECEIPT = "customs_receipt"
    CUSTOMS_VERDICT = "customs_verdict"
    LAYOUTS = "layouts"
    FILES = "files"
    """The signed files, once both layouts are here."""
    PRINT_RESULT = "print_result"


class CustomsDeclaration(Value):
    """The official Certificate message for customs; its body is made from the stored declaration."""

    message_id: UUID
    certificate_id: UUID
    number: str
    media_type: str
    raw_sha256: Sha256


Incoming: TypeAlias = (
    DeclarationAccepted
    | TechnicalReceipt
    | AttachmentReceipt
    | BusinessReceipt
    | LayoutArrived
    | UnreadableArrived
    | RenderResult
    | PrintResult
    | RequestPrint
    | ConfirmPrint
    | LetterMended
    | TimerDue
)
"""Everything a certificate's life reacts to."""

Outgoing: TypeAlias = CustomsDeclaration | RenderJob | PrintJob
"""Everything a certificate's life asks for, besides status events."""
