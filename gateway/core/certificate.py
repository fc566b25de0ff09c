"""A certificate's life: `decide(state, message) -> Decision` and `evolve(state, event) -> state`. Pure and total.

Receipts may come in any order and any number of times. A verdict (approved, returned, failed) counts when its order
key (time of the reply, running number, verdict) is above the last verdict's; progress counts while there is no
verdict. What changes nothing is NOTED, so that the timeline still shows it. Printing is decided in `printing`.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, get_args
from uuid import UUID, uuid5

from gateway.core import printing
from gateway.core.decision import Decision, Event, EventKind, Json, Remind
from gateway.core.declared import CORRECTABLE, opened, opening_data
from gateway.core.life import About, Life, Receipt, TimerDue
from gateway.core.messages import (
    AttachmentReceipt,
    BusinessReceipt,
    ConfirmPrint,
    CustomsDeclaration,
    DeclarationAccepted,
    Incoming,
    LayoutArrived,
    LetterMended,
    PrintResult,
    ReceiptMeaning,
    Reminder,
    RenderResult,
    RequestPrint,
    TechnicalReceipt,
    TechnicalVerdict,
    UnreadableArrived,
)
from gateway.core.state import OPEN, VERSION, Certificate, PrintState, Review, beyond_recall

KIND: Final = "certificate"
FROM_CUSTOMS = (TechnicalReceipt, BusinessReceipt, AttachmentReceipt, LayoutArrived)
PROGRESS = (Review.DRAFT, Review.DECLARED, Review.SENT, Review.RECEIVED, Review.IN_REVIEW)
REVISABLE = frozenset({"draft", "returned"})
"""Statuses in which new content under the same number is a correction (ops/decisions/0040)."""

_REMINDERS = frozenset(Reminder)
LOST_RACE = "correction_overtaken"
"""A correction was accepted, but a verdict of customs came first and left nothing to correct."""


def verdict_key(receipt: BusinessReceipt | TechnicalReceipt) -> str:
    """Reply time, then running number: a text that grows with each reply of customs about one certificate."""
    reply = receipt.reply if isinstance(receipt, BusinessReceipt) else None
    time = (reply.generated_at if reply else "") or receipt.sent_at
    return f"{time:<19.19}#{(reply.running_no or 0) if reply else 0:09d}"


def decide(state: Certificate | None, message: Incoming, now: datetime) -> Decision:
    """What follows from `message` for a certificate in `state` (None: never seen). Total: every pair has an answer."""
    if isinstance(message, DeclarationAccepted):
        return _declared(state, message)
    if state is None:
        return Decision()
    match message:
        case TechnicalReceipt():
            return _remarked(_technical(state, message), message.noticed)
        case BusinessReceipt():
            return _remarked(_business(state, message, now), message.noticed)
        case AttachmentReceipt():
            noted = _noted("attachment_receipt", code=message.code, receipt=message.raw_sha256)
            return _remarked(noted, message.noticed)
        case LayoutArrived():
            return _remarked(_layout(state, message, now), message.noticed)
        case UnreadableArrived():
            return _unreadable(message)
        case LetterMended():
            return _mended(message)
        case RenderResult():
            return printing.rendered(state, message)
        case RequestPrint():
            return printing.requested(state, message, now)
        case PrintResult():
            return printing.result(state, message)
        case ConfirmPrint():
            return printing.confirmation(state, message)
        case TimerDue():
            return _overdue(state, message)


def evolve(state: Certificate | None, event: Event) -> Certificate:
    """The state after `event`, from the event alone: all events in order rebuild it."""
    if state is None:
        state = opened(event)
    changes: dict[str, Any] = {"sequence": state.sequence + 1, "version": max(state.version, VERSION)}
    match event.kind:
        case EventKind.DRAFTED | EventKind.DECLARED:
            changes |= {
                "review": Review.DRAFT if event.kind is EventKind.DRAFTED else Review.DECLARED,
                "revision": event.data["revision"],
                "declared": event.data["revision"] if event.kind is EventKind.DECLARED else 0,
                "resends": 0,
                "papers": printing.anew(state.papers),
            }
            changes |= {name: event.data[told] for name, told in CORRECTABLE.items()}
        case EventKind.SENT | EventKind.RECEIVED | EventKind.IN_REVIEW:
            changes |= {"review": Review(event.kind)}
        case EventKind.APPROVED:
            changes |= {"review": Review.APPROVED, "verdict_at": event.data["order"]}
        case EventKind.RETURNED:
            changes |= {
                "review": Review.RETURNED,
                "verdict_at": event.data["order"],
                "papers": printing.recalled(state.papers),
            }
        case EventKind.NOTED if event.data["what"] == LOST_RACE:
            changes |= {"revision": event.data["revision"]}
        case EventKind.OVERDUE:
            changes |= {"overdue": _with(state.overdue, Reminder(str(event.data["about"])))}
        case EventKind.RESENT:
            changes |= {"resends": event.data["resend"]}
        case _:
            changes |= {"papers": printing.evolve(state.papers, event)}
    after = state.model_copy(update=changes)
    if after.overdue and (left := tuple(about for about in after.overdue if _still(after, about))) != after.overdue:
        return after.model_copy(update={"overdue": left})
    return after


def _with(overdue: tuple[str, ...], about: Reminder) -> tuple[str, ...]:
    """One more, in the order of the life; those of a newer version last."""
    ours = tuple(each for each in Reminder if each in overdue or each is about)
    return (*ours, *(each for each in overdue if each not in ours))


def _noted(what: str, **data: Json) -> Decision:
    return Decision(events=(Event(EventKind.NOTED, {"what": what, **data}),))


def _declared(state: Certificate | None, message: DeclarationAccepted) -> Decision:
    noted: dict[str, Json] = {"revision": message.revision, "content": message.content_sha256}
    if state is not None and message.revision <= state.revision:
        return _noted("revision_out_of_order", **noted)
    if state is not None and state.review not in REVISABLE:
        # The revision moves on, so what is still waited for is due under the new one.
        due = tuple(Remind(about, message.revision, state.resends) for about in Reminder if _waits(state, about))
        return Decision(events=_noted(LOST_RACE, **noted).events, remind=due)
    kind = EventKind.DECLARED if message.applies else EventKind.DRAFTED
    event = Event(kind, {**noted, **opening_data(message)})
    if not message.applies:
        return Decision(events=(event,))
    outbound = _outbound(
        message.certificate_id, message.number, message.revision, message.media_type, message.raw_sha256
    )
    remind = (Remind(Reminder.CUSTOMS_RECEIPT, message.revision), Remind(Reminder.CUSTOMS_VERDICT, message.revision))
    return Decision(events=(event,), send=(outbound,), remind=remind)


def _outbound(certificate_id: UUID, number: str, revision: int, media_type: str, raw_sha256: str) -> CustomsDeclaration:
    """The declaration for customs: of one revision always the same message, however often it is sent."""
    return CustomsDeclaration(
        message_id=uuid5(certificate_id, f"customs/{revision}"),
        certificate_id=certificate_id,
        number=number,
        media_type=media_type,
        raw_sha256=raw_sha256,
    )


def _remarked(decision: Decision, noticed: str) -> Decision:
    """What was odd about a message of customs is told with the first thing that followed from it."""
    if not noticed:
        return decision
    first = decision.events[0]
    told = Event(first.kind, {**first.data, "noticed": noticed})
    return replace(decision, events=(told, *decision.events[1:]))


def _unreadable(message: UnreadableArrived) -> Decision:
    letter = str(message.letter)
    way_on = f"An operator mends it: origin dlt show {letter}, origin dlt replay {letter} --body FILE."
    return _noted("customs_unreadable", code=message.code, detail=message.detail, letter=letter, remedy=way_on)


def _mended(message: LetterMended) -> Decision:
    return _noted(
        "letter_mended",
        letter=str(message.letter),
        was=message.was_sha256,
        mended=message.mended_sha256,
        by=message.by,
        reason=message.reason,
    )


def _technical(state: Certificate, message: TechnicalReceipt) -> Decision:
    data: dict[str, Json] = {"receipt": message.raw_sha256, "code": message.code}
    if message.verdict is TechnicalVerdict.UNKNOWN:
        return _noted("unknown_code", list="fileret_type", **data)
    if message.verdict is TechnicalVerdict.REFUSED:
        return _returned(state, verdict_key(message), {**data, "note": message.note})
    return _progress(state, Review.SENT, verdict_key(message), data)


def _business(state: Certificate, message: BusinessReceipt, now: datetime) -> Decision:
    reply = message.reply
    data: dict[str, Json] = {"receipt": message.raw_sha256, "channel": message.channel}
    if reply is not None:
        data |= {"code": reply.code, "running_no": reply.running_no, "reply_codes": reply.reply_codes}
    key = verdict_key(message)
    match message.meaning:
        case ReceiptMeaning.UNKNOWN:
            return _noted("unknown_code", list="receipt", **data)
        case ReceiptMeaning.RECEIVED:
            return _progress(state, Review.RECEIVED, key, data)
        case ReceiptMeaning.IN_REVIEW:
            return _progress(state, Review.IN_REVIEW, key, data)
        case ReceiptMeaning.APPROVED:
            approval: dict[str, Json] = (
                {"signed_on": reply.signed_on, "valid_until": reply.valid_until} if reply else {}
            )
            return _approved(state, key, data | approval, now)
        case ReceiptMeaning.RETURNED | ReceiptMeaning.FAILED:
            return _returned(state, key, {**data, "note": _reason(message)})


def _reason(message: BusinessReceipt) -> str:
    reply = message.reply
    parts = (message.note, reply.statement, reply.extra_text) if reply else (message.note,)
    return " / ".join(part for part in parts if part)


def _progress(state: Certificate, step: Review, key: str, data: dict[str, Json]) -> Decision:
    """A receipt that only says how far it got: counts while there is no verdict on this revision."""
    late = not _untimed(key) and key <= state.verdict_at
    if state.review is Review.DRAFT:
        return _noted("never_declared", step=step.value, **data)
    if state.review not in PROGRESS or late:
        return _noted("out_of_order", step=step.value, **data)
    if PROGRESS.index(step) <= PROGRESS.index(state.review):
        return _noted("repeated", step=step.value, **data)
    return Decision(events=(Event(EventKind(step.value), data),))


def _order(key: str, verdict: EventKind) -> str:
    """A verdict's place among all: in one and the same reply time and number the careful one, returned, is last."""
    return f"{key}#{verdict.value}"


def _untimed(key: str) -> bool:
    """No time in the reply: only the order of arrival is left to go by."""
    return key.startswith(" ")


def _stale(state: Certificate, verdict: EventKind, order: str, data: dict[str, Json]) -> Decision | None:
    """Why a verdict does not count, or None: the newest reply wins, whatever the order of arrival."""
    if state.review is Review.DRAFT:
        return _noted("never_declared", verdict=verdict.value, **data)
    if _untimed(order) and state.review in PROGRESS:
        return None
    if order <= state.verdict_at:
        what = "repeated" if order == state.verdict_at else "out_of_date"
        return _noted(what, verdict=verdict.value, **data)
    return None


def _returned(state: Certificate, key: str, data: dict[str, Json]) -> Decision:
    order = _order(key, EventKind.RETURNED)
    if stale := _stale(state, EventKind.RETURNED, order, data):
        return stale
    if beyond_recall(state.papers.values()):
        return _noted("returned_after_print", **data)
    return Decision(events=(Event(EventKind.RETURNED, {**data, "order": max(order, state.verdict_at)}),))


def _approved(state: Certificate, key: str, data: dict[str, Json], now: datetime) -> Decision:
    order = _order(key, EventKind.APPROVED)
    if stale := _stale(state, EventKind.APPROVED, order, data):
        return stale
    event = Event(EventKind.APPROVED, {**data, "order": max(order, state.verdict_at)})
    if state.review is Review.APPROVED:
        return Decision(events=(event,))
    ready = printing.ready(state.id, state.number, state.exporter, state.revision, state.papers, now)
    remind = ready.remind or (Remind(Reminder.LAYOUTS, state.revision),)
    return Decision(events=(event, *ready.events), send=ready.send, remind=remind)


def _layout(state: Certificate, message: LayoutArrived, now: datetime) -> Decision:
    paper = state.papers[message.part]
    data: dict[str, Json] = {"part": message.part.value, "layout": message.raw_sha256, "pages": message.pages}
    if paper.layout == message.raw_sha256:
        return _noted("repeated", **data)
    if paper.print is not PrintState.NONE:
        return _noted("layout_after_print", **data)
    event = Event(EventKind.LAYOUT_RECEIVED, data)
    if state.review is not Review.APPROVED:
        return Decision(events=(event,))
    papers = printing.evolve(state.papers, event)
    ready = printing.ready(state.id, state.number, state.exporter, state.revision, papers, now)
    return Decision(events=(event, *ready.events), send=ready.send, remind=ready.remind)


def _still(state: Certificate, about: str) -> bool:
    return about not in _REMINDERS or _waits(state, Reminder(about))


def _waits(state: Certificate, about: Reminder) -> bool:
    """Is this still to come?"""
    match about:
        case Reminder.CUSTOMS_RECEIPT:
            return state.review is Review.DECLARED
        case Reminder.CUSTOMS_VERDICT:
            return state.review in (Review.DECLARED, Review.SENT, Review.RECEIVED, Review.IN_REVIEW)
        case Reminder.LAYOUTS:
            return state.review is Review.APPROVED and any(not paper.layout for paper in state.papers.values())
        case Reminder.FILES:
            layouts = all(paper.layout for paper in state.papers.values())
            return state.review is Review.APPROVED and layouts and any(not p.file for p in state.papers.values())
        case Reminder.PRINT_RESULT:
            return any(paper.print in OPEN for paper in state.papers.values())


def _overdue(state: Certificate, message: TimerDue) -> Decision:
    about = Reminder(message.about)
    if message.revision != state.revision or not _waits(state, about):
        return Decision()
    alarm = Event(EventKind.OVERDUE, {"about": about.value, "resends": state.resends})
    silent = about is Reminder.CUSTOMS_RECEIPT and state.declared and state.raw_sha256
    if not silent or state.resends >= message.resends:
        return Decision(events=(alarm,))
    again = _outbound(state.id, state.number, state.declared, state.media_type, state.raw_sha256)
    count = state.resends + 1
    resent = Event(EventKind.RESENT, {"about": about.value, "resend": count, "of": message.resends})
    remind = Remind(about, state.revision, count)
    return Decision(events=(alarm, resent), send=(again,), remind=(remind,))


def _about(message: Any) -> About:
    """Customs knows certificates by their numbers only."""
    if isinstance(message, FROM_CUSTOMS):
        return About(KIND, key=message.number)
    return About(KIND, message.certificate_id)


def _shown(state: Certificate) -> Mapping[str, Json]:
    return {
        "number": state.number,
        "type": state.certificate_type,
        "reference": state.reference,
        "exporter": state.exporter,
        "applicant": state.applicant,
        "client": state.client,
    }


LIFE: Final = Life(
    kind=KIND,
    messages=frozenset(get_args(Incoming)) - {TimerDue},
    events=EventKind,
    reminders=frozenset(reminder.value for reminder in Reminder),
    about=_about,
    opens=lambda message: None,  # the intake writes it, under its number
    read=Certificate.read,
    decide=decide,
    evolve=evolve,
    told=_shown,
    kept=lambda message: Receipt(message.number, message.raw_sha256) if isinstance(message, FROM_CUSTOMS) else None,
    unreadable=lambda certificate, letter: UnreadableArrived(
        message_id=uuid5(letter.id, "told"),
        certificate_id=certificate,
        letter=letter.id,
        code=letter.code,
        detail=letter.detail,
    ),
)
