"""What every message does in every status, worked out by asking `decide` itself: for people, and for the test that no
pair is forgotten."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from uuid import UUID

from gateway.core.certificate import LIFE
from gateway.core.decision import Event, EventKind
from gateway.core.life import TimerDue
from gateway.core.messages import (
    AttachmentReceipt,
    BusinessReceipt,
    ConfirmPrint,
    CustomsDeclaration,
    CustomsReply,
    DeclarationAccepted,
    Incoming,
    LayoutArrived,
    LetterMended,
    Part,
    PrintJob,
    PrintOutcome,
    PrintResult,
    ReceiptMeaning,
    Reminder,
    RenderJob,
    RenderResult,
    RequestPrint,
    TechnicalReceipt,
    TechnicalVerdict,
    UnreadableArrived,
)
from gateway.core.state import Certificate
from gateway.core.value import Value

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ID = UUID("00000000-0000-7000-8000-000000000001")
SHA = "0" * 64
ENTERPRISE = "91330299MA9XYD0C2A"
NUMBER = "C26MA9XYD0C20001"
EARLIER, SOONER, LATER = ("2026-01-02 10:00:00", "2026-01-02 11:00:00", "2026-01-02 12:00:00")

STATUSES: Mapping[str, str] = MappingProxyType(
    {
        "draft": "暂存",
        "declared": "已申报",
        "sent": "已发送 (技术回执)",
        "received": "系统接收",
        "in_review": "转人工审核",
        "returned": "退证/审核不通过",
        "approved": "审批通过",
        "layout_arriving": "版式接收中",
        "ready_to_print": "待打印",
        "rendered": "版式已签章",
        "printing": "打印中",
        "printed": "已打印",
        "in_doubt": "打印存疑",
        "confirmed": "打印确认",
        "misprinted": "打印异常",
    }
)
"""Every status with its Chinese term; ours where the customs' screens have none."""

Make = Callable[[Certificate], Incoming]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of message, as it concerns a certificate in a given state."""

    name: str
    zh: str
    make: Make


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cell of the table."""

    events: tuple[Event, ...]
    sent: tuple[Value, ...]
    status: str


def _declared(state: Certificate | None, *, applies: bool = True, prints_itself: bool = True) -> DeclarationAccepted:
    return DeclarationAccepted(
        message_id=ID,
        certificate_id=ID,
        number=NUMBER,
        revision=state.revision + 1 if state else 1,
        certificate_type="C",
        applies=applies,
        exporter=ENTERPRISE,
        applicant=ENTERPRISE,
        client="erp",
        media_type="application/xml",
        raw_sha256=SHA,
        content_sha256=SHA,
        prints_itself=prints_itself,
        accepted_at=NOW,
    )


def _technical(verdict: TechnicalVerdict) -> Make:
    return lambda _: TechnicalReceipt(
        message_id=ID, raw_sha256=SHA, number=NUMBER, code="", verdict=verdict, sent_at=LATER
    )


def _business(meaning: ReceiptMeaning, at: str = LATER) -> Make:
    reply = CustomsReply(generated_at=at, running_no=1)
    return lambda _: BusinessReceipt(
        message_id=ID, raw_sha256=SHA, number=NUMBER, channel="6", meaning=meaning, reply=reply
    )


def _layout(part: Part, version: str = "a") -> Make:
    sha256 = (version if part is Part.ORIGINAL else version.replace("a", "b").replace("c", "d")) * 64
    return lambda _: LayoutArrived(message_id=ID, raw_sha256=sha256, number=NUMBER, part=part, pages=1)


def _next_layout(state: Certificate) -> Incoming:
    """The layout that is still missing, else the original's again."""
    missing = [part for part, paper in state.papers.items() if not paper.layout]
    return _layout(missing[0] if missing else Part.ORIGINAL)(state)


def _rendered(part: Part | None = None, *, good: bool = True) -> Make:
    def make(state: Certificate) -> Incoming:
        wanted = part or next((p for p in Part if not state.papers[p].file), Part.ORIGINAL)
        return RenderResult(
            message_id=ID,
            job=state.papers[wanted].render_job or ID,
            certificate_id=ID,
            part=wanted,
            file_sha256=SHA if good else None,
            pages=1,
            reason="" if good else "SEAL-MISSING",
        )

    return make


def _printing(outcome: PrintOutcome, part: Part = Part.ORIGINAL, *, confirmed: bool = False) -> Make:
    return lambda state: PrintResult(
        message_id=ID,
        job=state.papers[part].print_job or ID,
        certificate_id=ID,
        part=part,
        outcome=outcome,
        confirmed=confirmed,
    )


def _request(_: Certificate) -> Incoming:
    return RequestPrint(message_id=ID, certificate_id=ID, parts=tuple(Part), by="desk")


def _confirm(printed: bool) -> Make:
    return lambda _: ConfirmPrint(message_id=ID, certificate_id=ID, printed=printed, by="desk")


def _unreadable(_: Certificate) -> Incoming:
    return UnreadableArrived(message_id=ID, certificate_id=ID, letter=ID, code="XML-SYNTAX", detail="")


def _mended(_: Certificate) -> Incoming:
    return LetterMended(
        message_id=ID, certificate_id=ID, letter=ID, was_sha256=SHA, mended_sha256=SHA, by="desk", reason=""
    )


def _due(about: Reminder, resends: int = 0) -> Make:
    return lambda state: TimerDue(
        message_id=ID, kind=LIFE.kind, subject_id=ID, about=about, revision=state.revision, resends=resends
    )


KINDS = (
    Kind("declaration, corrected", "申报 (更正内容)", _declared),
    Kind("draft, corrected", "暂存 (更正内容)", lambda state: _declared(state, applies=False)),
    Kind("technical receipt: taken", "技术回执: 导入成功", _technical(TechnicalVerdict.TAKEN)),
    Kind("technical receipt: refused", "技术回执: 导入失败", _technical(TechnicalVerdict.REFUSED)),
    Kind("technical receipt: unknown code", "技术回执: 未知代码", _technical(TechnicalVerdict.UNKNOWN)),
    Kind(
        "attachment receipt",
        "随附单据回执",
        lambda _: AttachmentReceipt(
            message_id=ID, raw_sha256=SHA, number=NUMBER, code="1", verdict=TechnicalVerdict.TAKEN
        ),
    ),
    Kind("receipt: received", "业务回执: 系统接收", _business(ReceiptMeaning.RECEIVED)),
    Kind("receipt: manual review", "业务回执: 转人工审核", _business(ReceiptMeaning.IN_REVIEW)),
    Kind("receipt: approved", "业务回执: 审批通过", _business(ReceiptMeaning.APPROVED)),
    Kind("receipt: returned", "业务回执: 退证", _business(ReceiptMeaning.RETURNED)),
    Kind("receipt: failed", "业务回执: 处理失败", _business(ReceiptMeaning.FAILED)),
    Kind(
        "receipt: approved, older than the last verdict", "较早的审批回执", _business(ReceiptMeaning.APPROVED, EARLIER)
    ),
    Kind("receipt: unknown code", "业务回执: 未知代码", _business(ReceiptMeaning.UNKNOWN)),
    Kind("something of customs that nobody can read", "无法识别的回执", _unreadable),
    Kind("an operator mended what nobody could read", "回执已修正重读", _mended),
    Kind("layout", "版式文件", _next_layout),
    Kind("another layout of the original", "正本版式文件更新", _layout(Part.ORIGINAL, "c")),
    Kind("render result: signed file", "签章文件已生成", _rendered()),
    Kind("render result: refused", "签章文件未生成", _rendered(good=False)),
    Kind("print requested", "申请打印", _request),
    Kind("print result: claimed", "打印已领取", _printing(PrintOutcome.CLAIMED)),
    Kind("print result: printed", "打印完成", _printing(PrintOutcome.PRINTED)),
    Kind("print result: refused", "打印机拒绝", _printing(PrintOutcome.REFUSED)),
    Kind("print result: in doubt", "打印结果未知", _printing(PrintOutcome.IN_DOUBT)),
    Kind("a person says: printed", "打印确认: 是", _confirm(True)),
    Kind("a person says: not printed", "打印确认: 否", _confirm(False)),
    Kind("due: technical receipt, may be sent again", "到期: 技术回执 (可重发)", _due(Reminder.CUSTOMS_RECEIPT, 1)),
    Kind("due: technical receipt, sent again enough", "到期: 技术回执 (不再重发)", _due(Reminder.CUSTOMS_RECEIPT)),
    Kind("due: verdict", "到期: 审核结果", _due(Reminder.CUSTOMS_VERDICT)),
    Kind("due: layouts", "到期: 版式文件", _due(Reminder.LAYOUTS)),
    Kind("due: signed files", "到期: 签章文件", _due(Reminder.FILES)),
    Kind("due: print result", "到期: 打印结果", _due(Reminder.PRINT_RESULT)),
)


def states() -> Mapping[str, Certificate]:
    """One certificate in each status, brought there by messages."""
    found: dict[str, Certificate] = {}

    def live(*steps: Make, applies: bool = True, prints_itself: bool = True) -> Certificate:
        state, _ = LIFE.apply(None, _declared(None, applies=applies, prints_itself=prints_itself), NOW)
        for step in steps:
            if state is not None:
                state, _ = LIFE.apply(state, step(state), NOW)
        if state is None:
            raise AssertionError("a declaration opens a life")
        found.setdefault(state.status, state)
        return state

    approved = _business(ReceiptMeaning.APPROVED, SOONER)
    layouts = (_layout(Part.ORIGINAL), _layout(Part.COPY))
    files = (_rendered(Part.ORIGINAL), _rendered(Part.COPY))
    printed = tuple(_printing(PrintOutcome.PRINTED, part) for part in Part)
    live(applies=False)
    live()
    live(_technical(TechnicalVerdict.TAKEN))
    live(_business(ReceiptMeaning.RECEIVED, SOONER))
    live(_business(ReceiptMeaning.IN_REVIEW, SOONER))
    live(_business(ReceiptMeaning.RETURNED, SOONER))
    live(approved)
    live(approved, layouts[0])
    live(approved, *layouts)
    live(approved, *layouts, *files, prints_itself=False)
    live(approved, *layouts, *files)
    live(approved, *layouts, *files, *printed)
    live(approved, *layouts, *files, _printing(PrintOutcome.IN_DOUBT))
    live(approved, *layouts, *files, *printed, _confirm(True))
    live(approved, *layouts, *files, *printed, _confirm(False))
    return MappingProxyType({status: found[status] for status in STATUSES})


def cells() -> Iterator[tuple[str, Kind, Outcome]]:
    """Every status with every kind of message."""
    for status, state in states().items():
        for kind in KINDS:
            after, decision = LIFE.apply(state, kind.make(state), NOW)
            yield status, kind, Outcome(decision.events, decision.send, after.status if after else "")


SENT: Mapping[type[Value], str] = MappingProxyType(
    {
        CustomsDeclaration: "the declaration to customs",
        RenderJob: "a render job",
        PrintJob: "a print job",
    }
)
NOTES: Mapping[str, str] = MappingProxyType(
    {
        "attachment_receipt": "noted: it concerns an attachment",
        "customs_unreadable": "noted: it is with the dead letters; an operator mends it",
        "letter_mended": "noted: who mended it, why, and which bytes count",
        "correction_overtaken": "noted: customs has it or has decided, the correction is not used",
        "layout_after_print": "noted: a print is authorised already, the new layout is not used",
        "never_declared": "noted: this draft was never declared",
        "nothing_to_confirm": "noted: nothing waits for a confirmation",
        "out_of_date": "noted: a newer verdict counts",
        "out_of_order": "noted: a later step or a verdict is known already",
        "print_already_used": "noted: its one print is used",
        "print_no_layout": "noted: a layout is missing",
        "print_not_approved": "noted: it is not approved",
        "print_out_of_date": "noted: no such print is under way",
        "print_rendering": "noted: its files are being made",
        "render_out_of_date": "noted: no such file is wanted any more",
        "repeated": "noted: known already",
        "returned_after_print": "noted: a print is authorised already, a person must decide",
        "revision_out_of_order": "noted: an older revision",
        "unknown_code": "noted: nobody told us this code; nothing follows from it",
    }
)


def words(outcome: Outcome) -> str:
    """What follows, in words."""
    told = [
        NOTES[str(event.data["what"])]
        if event.kind is EventKind.NOTED
        else f"{str(event.kind).replace('_', ' ')}{f' ({part})' if (part := event.data.get('part')) else ''}"
        for event in outcome.events
    ]
    return "; ".join(told) if told else "nothing"


def sends(outcome: Outcome) -> str:
    """What goes out, in words."""
    return ", ".join(
        f"{SENT[type(one)]}{f' ({one.part})' if isinstance(one, RenderJob | PrintJob) else ''}" for one in outcome.sent
    )
