"""The print room's rules: render first, then authorise, then print; at most once (ops/decisions/0035).

A certificate has two papers, original and copy (正本, 副本). Each is rendered from its layout, authorised by the hash
of the signed file, claimed by one print worker and confirmed. Nothing is retried by itself once a byte may have
gone out.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from gateway.core.decision import Decision, Event, EventKind, Json, Remind
from gateway.core.messages import (
    ConfirmPrint,
    Outgoing,
    Part,
    PrintJob,
    PrintOutcome,
    PrintResult,
    Reminder,
    RenderJob,
    RenderResult,
    RequestPrint,
)
from gateway.core.state import OPEN, Certificate, Paper, PrintState, Review


def ready(
    certificate_id: UUID,
    number: str,
    exporter: str,
    revision: int,
    papers: Mapping[Part, Paper],
    now: datetime,
) -> Decision:
    """Ask for the files once both layouts are here; nothing while a layout is missing, or for a paper whose file is
    there or asked for."""
    if not all(paper.layout for paper in papers.values()):
        return Decision()
    jobs: list[Outgoing] = []
    data: dict[str, Json] = {}
    for part, paper in papers.items():
        if paper.file or paper.render_job:
            continue
        job = uuid5(certificate_id, f"render/{revision}/{part}/{paper.layout}/{paper.renders + 1}")
        data[part.value] = str(job)
        jobs.append(
            RenderJob(
                message_id=job,
                job=job,
                certificate_id=certificate_id,
                number=number,
                exporter=exporter,
                part=part,
                layout_sha256=paper.layout,
                at=now.replace(microsecond=0),
            )
        )
    if not jobs:
        return Decision()
    event = Event(EventKind.READY_TO_PRINT, data)
    return Decision(events=(event,), send=tuple(jobs), remind=(Remind(Reminder.FILES, revision),))


def rendered(state: Certificate, message: RenderResult) -> Decision:
    """A render worker's answer."""
    paper = state.papers[message.part]
    data: dict[str, Json] = {"part": message.part.value, "job": str(message.job)}
    if message.job != paper.render_job or paper.file:
        return _noted("render_out_of_date", **data)
    if message.file_sha256 is None:
        way_on = way_on_of(state)
        refusal: dict[str, Json] = {**data, "reason": message.reason, "detail": message.detail, "remedy": way_on}
        return Decision(events=(Event(EventKind.RENDER_REFUSED, refusal),))
    data |= {
        "file": message.file_sha256,
        "pages": message.pages,
        "seal": message.seal,
        "signature": message.signature,
        "key": message.key,
    }
    event = Event(EventKind.RENDERED, data)
    papers = evolve(state.papers, event)
    if state.status != "ready_to_print" or not state.prints_itself or not all(p.file for p in papers.values()):
        return Decision(events=(event,))
    prints = _authorise(state, papers, tuple(papers))
    return Decision(events=(event, *prints.events), send=prints.send, remind=prints.remind)


def requested(state: Certificate, message: RequestPrint, now: datetime) -> Decision:
    """A person asks for a print: authorised once per paper; a refused rendering is tried again."""
    papers = state.papers
    if state.review is not Review.APPROVED:
        return _noted("print_not_approved", by=message.by)
    if not all(paper.layout for paper in papers.values()):
        return _noted("print_no_layout", by=message.by)
    if any(not papers[part].file for part in message.parts):
        again = ready(state.id, state.number, state.exporter, state.revision, papers, now)
        return again if again.events else _noted("print_rendering", by=message.by)
    wanted = tuple(part for part in message.parts if papers[part].print is PrintState.NONE)
    if not wanted:
        return _noted("print_already_used", by=message.by)
    return _authorise(state, papers, wanted)


def way_on_of(state: Certificate) -> str:
    """What a person does about a paper that stands still."""
    return f"Mend what the reason names, then: origin print {state.number}."


def _authorise(state: Certificate, papers: Mapping[Part, Paper], parts: Iterable[Part]) -> Decision:
    events: list[Event] = []
    jobs: list[Outgoing] = []
    for part in parts:
        paper = papers[part]
        if paper.print is not PrintState.NONE:
            continue
        job = uuid5(state.id, f"print/{part}/{paper.prints + 1}")
        events.append(Event(EventKind.PRINT_AUTHORISED, {"part": part.value, "job": str(job), "file": paper.file}))
        jobs.append(
            PrintJob(
                message_id=job,
                job=job,
                certificate_id=state.id,
                number=state.number,
                exporter=state.exporter,
                part=part,
                file_sha256=paper.file,
                pages=paper.pages,
            )
        )
    remind = (Remind(Reminder.PRINT_RESULT, state.revision),) if jobs else ()
    return Decision(events=tuple(events), send=tuple(jobs), remind=remind)


def result(state: Certificate, message: PrintResult) -> Decision:
    """What the printer said."""
    paper = state.papers[message.part]
    data: dict[str, Json] = {"part": message.part.value, "job": str(message.job), "printer": message.printer}
    if message.job != paper.print_job or paper.print not in (*OPEN, PrintState.IN_DOUBT):
        return _noted("print_out_of_date", outcome=message.outcome.value, **data)
    match message.outcome:
        case PrintOutcome.CLAIMED if paper.print is PrintState.AUTHORISED:
            return Decision(events=(Event(EventKind.PRINTING, data),))
        case PrintOutcome.PRINTED:
            events = [Event(EventKind.PRINTED, data)]
            if message.confirmed:
                events.append(Event(EventKind.CONFIRMED, {"part": message.part.value, "by": message.printer}))
            return Decision(events=tuple(events))
        case PrintOutcome.REFUSED if paper.print in OPEN:
            refusal: dict[str, Json] = {**data, "detail": message.detail, "remedy": way_on_of(state)}
            return Decision(events=(Event(EventKind.PRINT_REFUSED, refusal),))
        case PrintOutcome.IN_DOUBT if paper.print in OPEN:
            return Decision(events=(Event(EventKind.IN_DOUBT, {**data, "detail": message.detail}),))
        case _:
            return _noted("repeated", outcome=message.outcome.value, **data)


def confirmation(state: Certificate, message: ConfirmPrint) -> Decision:
    """A person's yes or no, for those papers it is about that wait for it."""
    kind = EventKind.CONFIRMED if message.printed else EventKind.MISPRINTED
    open_ = (PrintState.PRINTED, PrintState.IN_DOUBT)
    waiting = (part for part, paper in state.papers.items() if part in message.parts and paper.print in open_)
    events = tuple(Event(kind, {"part": part.value, "by": message.by}) for part in waiting)
    return Decision(events=events) if events else _noted("nothing_to_confirm", by=message.by)


def anew(papers: Mapping[Part, Paper]) -> dict[Part, Paper]:
    """The papers of corrected content: nothing is left but the counts, so that no job is ever named twice."""
    return {part: Paper(renders=paper.renders, prints=paper.prints) for part, paper in papers.items()}


def recalled(papers: Mapping[Part, Paper]) -> dict[Part, Paper]:
    """The papers of a withdrawn approval, none of them printed: the layouts stay, the files made of them do not."""
    gone: dict[str, Any] = {"file": "", "pages": 0, "render_job": None, "trouble": ""}
    return {part: paper.model_copy(update=gone) for part, paper in papers.items()}


def evolve(papers: Mapping[Part, Paper], event: Event) -> dict[Part, Paper]:
    """The papers after `event`; events about other things change nothing."""
    after = dict(papers)
    for part, changes in _changes(papers, event):
        after[part] = papers[part].model_copy(update=changes)
    return after


def _changes(papers: Mapping[Part, Paper], event: Event) -> Iterable[tuple[Part, dict[str, Any]]]:
    data = event.data
    if event.kind is EventKind.READY_TO_PRINT:
        for part in papers:
            if job := data.get(part.value):
                yield part, {"render_job": UUID(str(job)), "renders": papers[part].renders + 1, "trouble": ""}
        return
    if "part" not in data:
        return
    part = Part(str(data["part"]))
    match event.kind:
        case EventKind.LAYOUT_RECEIVED:
            yield part, {"layout": data["layout"], "file": "", "pages": 0, "render_job": None, "trouble": ""}
        case EventKind.RENDERED:
            yield part, {"file": data["file"], "pages": data["pages"]}
        case EventKind.RENDER_REFUSED:
            yield part, {"render_job": None, "trouble": data["reason"] or "RENDER-REFUSED"}
        case EventKind.PRINT_AUTHORISED:
            authorised = {"print": PrintState.AUTHORISED, "print_job": UUID(str(data["job"])), "trouble": ""}
            yield part, {**authorised, "prints": papers[part].prints + 1}
        case EventKind.PRINTING:
            yield part, {"print": PrintState.CLAIMED}
        case EventKind.PRINTED:
            yield part, {"print": PrintState.PRINTED}
        case EventKind.PRINT_REFUSED:
            yield part, {"print": PrintState.NONE, "print_job": None, "trouble": "PRINT-REFUSED"}
        case EventKind.IN_DOUBT:
            yield part, {"print": PrintState.IN_DOUBT}
        case EventKind.CONFIRMED:
            yield part, {"print": PrintState.CONFIRMED}
        case EventKind.MISPRINTED:
            yield part, {"print": PrintState.MISPRINTED}
        case _:
            return


def _noted(what: str, **data: Json) -> Decision:
    return Decision(events=(Event(EventKind.NOTED, {"what": what, **data}),))
