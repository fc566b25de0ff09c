"""What is known of one certificate: the state that `decide` looks at and `evolve` moves."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator

from gateway.core.life import NewerState
from gateway.core.messages import Part, Reminder


class Review(StrEnum):
    """How far the declaration got with customs. The order of the members is the order of progress."""

    DRAFT = "draft"
    DECLARED = "declared"
    SENT = "sent"
    RECEIVED = "received"
    IN_REVIEW = "in_review"
    RETURNED = "returned"
    APPROVED = "approved"


class PrintState(StrEnum):
    """How far one paper got in the print room; the comment is the way out of each state."""

    NONE = "none"  # -> authorised
    AUTHORISED = "authorised"  # -> claimed | none (refused) | in_doubt
    CLAIMED = "claimed"  # -> printed | none (refused) | in_doubt
    PRINTED = "printed"  # -> confirmed | misprinted
    IN_DOUBT = "in_doubt"  # -> confirmed | misprinted, by a person
    CONFIRMED = "confirmed"  # final
    MISPRINTED = "misprinted"  # an approved exception only


class Kept(BaseModel):
    """A stored state, or a part of one. What a newer version added to it is kept, though this one knows nothing of it:
    processes of two versions may work side by side."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def known(self) -> dict[str, Any]:
        """What this version knows of it, without what a newer one added: what events can make again."""
        return {name: _known(getattr(self, name)) for name in type(self).model_fields}


def _known(value: Any) -> Any:
    if isinstance(value, Kept):
        return value.known()
    return {name: _known(one) for name, one in value.items()} if isinstance(value, dict) else value


class Paper(Kept):
    """One of the two papers of a certificate."""

    layout: str = ""
    """SHA-256 of the layout document."""
    render_job: UUID | None = None
    renders: int = 0
    file: str = ""
    """SHA-256 of the signed file."""
    pages: int = 0
    print: PrintState = PrintState.NONE
    print_job: UUID | None = None
    prints: int = 0
    """Authorised prints so far (打印次数)."""
    trouble: str = ""
    """Why it stands still until somebody mends something and asks for it again: a stable code, e.g. SEAL-MISSING."""


OPEN = (PrintState.AUTHORISED, PrintState.CLAIMED)


def print_room(papers: Mapping[Part, Paper]) -> str:
    """The certificate's status once approved: what most needs a look, else what is furthest behind."""
    if not all(paper.layout for paper in papers.values()):
        return "layout_arriving" if any(paper.layout for paper in papers.values()) else "approved"
    if not all(paper.file for paper in papers.values()):
        return "ready_to_print"
    states = {paper.print for paper in papers.values()} - {PrintState.NONE}
    for telling in (PrintState.IN_DOUBT, PrintState.MISPRINTED):
        if telling in states:
            return telling
    if states & set(OPEN):
        return "printing"
    if papers[Part.ORIGINAL].print is PrintState.NONE:
        return "rendered"
    return "confirmed" if states == {PrintState.CONFIRMED} else "printed"


def beyond_recall(papers: Iterable[Paper]) -> bool:
    """True once a print was authorised: customs can no longer take the approval back by itself."""
    return any(paper.print is not PrintState.NONE for paper in papers)


VERSION: Final = 1
"""Of the state of a certificate. A version that changes what is stored in a way that older ones can't carry on has the
next one: they leave such a certificate to it."""


_REMINDERS: Final = frozenset(Reminder)


class Certificate(Kept):
    """The state of one certificate: all that `decide` needs to know."""

    id: UUID
    version: int = VERSION
    """The newest that wrote it."""
    number: str
    certificate_type: str
    exporter: str
    applicant: str
    client: str
    reference: str | None = None
    revision: int = 1
    sequence: int = 0
    """Number of events so far: the next one is sequence + 1, gapless."""
    review: Review = Review.DRAFT
    verdict_at: str = ""
    """Order key of the last verdict: reply time (customs' own text), running number, verdict; such texts compare."""
    prints_itself: bool = True
    media_type: str = ""
    """Of the stored declaration of this revision."""
    raw_sha256: str = ""
    """Its bytes, by hash: what is sent to customs, and again when customs is silent."""
    declared: int = 0
    """The revision that customs was told of."""
    resends: int = 0
    """How often it was sent to customs again."""
    overdue: tuple[str, ...] = ()
    """What was due and is still missing: a `Reminder`, or one that only a newer version knows."""
    papers: dict[Part, Paper] = Field(default_factory=lambda: {part: Paper() for part in Part})
    other_papers: dict[str, Any] = Field(default_factory=dict, exclude=True)
    """Those that only a newer version knows."""

    @field_validator("papers")
    @classmethod
    def _in_order(cls, papers: dict[Part, Paper]) -> dict[Part, Paper]:
        """Original first: a database's JSON forgets the order, and jobs are asked for in it."""
        return {part: papers.get(part) or Paper() for part in Part}

    @field_serializer("papers")
    def _all_papers(self, papers: dict[Part, Paper]) -> dict[str, Any]:
        return {**{part.value: paper.model_dump(mode="json") for part, paper in papers.items()}, **self.other_papers}

    @classmethod
    def read(cls, text: str) -> "Certificate":
        """A stored state. Raises NewerState; ValidationError for what no version wrote."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            stored = orjson.loads(text)
            if not isinstance(stored, dict):
                raise
        if isinstance(papers := stored.get("papers"), dict):
            stored["other_papers"] = {part: papers.pop(part) for part in set(papers) - set(Part)}
        try:
            return cls.model_validate_json(orjson.dumps(stored))
        except ValidationError:
            version = stored.get("version")
            if isinstance(version, int) and version > VERSION:
                raise NewerState from None
            raise

    def known(self) -> dict[str, Any]:
        """See `Kept.known`; who wrote it last is no part of it."""
        ours = {**Kept.known(self), "overdue": [about for about in self.overdue if about in _REMINDERS]}
        return {name: value for name, value in ours.items() if name not in ("version", "other_papers")}

    @property
    def status(self) -> str:
        """The one word for people: the review until approved, then what is furthest behind in the print room."""
        if self.review is not Review.APPROVED:
            return self.review
        return print_room(self.papers)
