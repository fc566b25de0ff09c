"""What an operator asks of a running gateway: one protocol, spoken over HTTP by the command line.

The embedded database belongs to the serving process, so the commands never open it themselves.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from gateway.core.quotas import Quota


def _storable(text: str) -> str:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise PydanticCustomError("text_unstorable", "Text has no NUL and no half character (surrogate)")
    return text


Text = Annotated[str, AfterValidator(_storable), Field(json_schema_extra={"pattern": r"^[^\x00]*$"})]
"""What PostgreSQL can hold as text."""
Person = Annotated[Text, Field(min_length=1, max_length=100, description="a person, e.g. the login name")]

Kind = Literal["seal", "signature"]
"""What an image is: the enterprise's seal (印章) or the applicant's handwriting (手签)."""


LeaveState = Literal["proposed", "given", "over"]
"""Of a client's leave to declare for an exporter."""

QuotaChanges: TypeAlias = Mapping[Quota, int | Literal["default"] | None]
"""Quota -> how much; None: no limit; "default": as for everybody."""

OPERATOR = "operator"
"""Who did it, where no person is named."""

DeadState = Literal["waiting", "replayed", "discarded"]


class Refusal(Exception):
    """An operator's wish that can't be granted: a stable code, one sentence, what to do."""

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        self.code = code
        self.message = message
        self.remedy = remedy
        super().__init__(f"{code}: {message}")


class Item(BaseModel):
    """One row of an answer: frozen."""

    model_config = ConfigDict(frozen=True)


class ClientItem(Item):
    """A client of an enterprise. The key is not here: only its SHA-256 is kept."""

    id: str
    enterprise: str
    prefix: str
    prints_itself: bool
    bus: Annotated[bool, Field(description="has topics of its own on the bus")] = False
    exporters: Annotated[
        Sequence[str], Field(description="credit codes of the other enterprises it has leave to declare for")
    ] = ()
    created_at: datetime
    revoked_at: datetime | None = None


class NewClient(Item):
    """A client just made, with its key: this is the only time it is shown."""

    id: str
    enterprise: str
    key: str


class LeaveItem(Item):
    """A client's leave to declare for an exporter that is not its own enterprise."""

    client: str
    exporter: Annotated[str, Field(description="18-character credit code")]
    state: Annotated[
        LeaveState,
        Field(description="proposed: in use from before leave was needed, and waits for the operator's yes or no"),
    ]
    proposed_at: datetime | None = None
    given_by: Annotated[str | None, Field(description="who may give it: operator")] = None
    since: datetime | None = None
    revoked_at: datetime | None = None


class QuotaItem(Item):
    """One quota of a client."""

    quota: Quota
    most: Annotated[int | None, Field(description="None: no limit")]
    default: Annotated[bool, Field(description="as for everybody; else the client's own")]
    used: Annotated[
        int | None, Field(description="now, as far as the processes have told; None: each process counts its own")
    ] = None


class ActItem(Item):
    """What an operator did to the registry of clients."""

    at: datetime
    who: Annotated[str, Field(description="as the operator's command names its user")]
    what: Annotated[
        str,
        Field(
            description="client.add, .revoke, .bus or .quota; leave.grant, .revoke or .reject",
            examples=["leave.grant"],
        ),
    ]
    client: str
    detail: Mapping[str, Any]


class MarkItem(Item):
    """A seal, a handwriting image or a signing key, without its content."""

    id: UUID
    enterprise: str
    kind: Annotated[str, Field(examples=["seal", "signature", "key"])]
    name: str
    valid_from: datetime
    valid_to: datetime
    stopped_at: datetime | None = None
    facts: Mapping[str, Any] = {}


class ImageFacts(Item):
    """What is said of an image when it is enrolled."""

    enterprise: Annotated[str, Field(description="18-character credit code")]
    kind: Kind = "seal"
    name: Annotated[str, Field(description="for people", max_length=100)]
    shape: Annotated[
        Literal["round", "rectangle", "oval"], Field(description="of a seal; its size limits go by it")
    ] = "round"
    width_mm: Annotated[float | None, Field(description="printed width, mm; None: from the image's resolution")] = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


class ParkedItem(Item):
    """A message that waits for a person."""

    message_id: UUID
    certificate_id: UUID | None
    topic: str
    reason: str
    at: datetime
    size: Annotated[int, Field(description="bytes")]


class ParkedMessage(ParkedItem):
    """A parked message with its headers and its original bytes."""

    headers: Mapping[str, str]
    body: Annotated[str, Field(description="base64 of the original bytes")]


class DeadItem(Item):
    """A record that nobody could read, and what became of it."""

    id: UUID
    topic: Annotated[str, Field(description="where it came from")]
    partition: int
    offset: int
    group: Annotated[str, Field(description="the consumer group that could not read it")]
    code: Annotated[str, Field(examples=["RECEIPT-NO-NUMBER"])]
    detail: Annotated[str, Field(description="one sentence")]
    attempts: Annotated[int, Field(description="1, and one more with each replay")]
    at: datetime
    size: Annotated[int, Field(description="bytes")]
    state: DeadState
    decided_at: datetime | None = None
    decided_by: str | None = None
    reason: str | None = None
    was_mended: Annotated[bool, Field(description="it was replayed with other bytes")] = False


class DeadMessage(DeadItem):
    """A dead letter with its key, its headers, its original bytes, and those it was mended to."""

    key: str
    headers: Mapping[str, str]
    body: Annotated[str, Field(description="base64 of the original bytes")]
    mended: Annotated[str | None, Field(description="base64 of the bytes that were read instead")] = None


class Ruling(Item):
    """Who decided about a dead letter, and why."""

    by: Person
    reason: Annotated[Text, Field(min_length=1, max_length=500)]


class Finding(Item):
    """One line of the doctor's report."""

    about: Annotated[str, Field(examples=["database"])]
    ok: bool
    detail: Annotated[str, Field(description="what was found, one sentence")]
    remedy: Annotated[str, Field(description="what to do, when it is not ok")] = ""


class Operations(Protocol):
    """Everything raises Refusal for a wish that can't be granted and Unavailable when the database is away."""

    async def client_add(
        self, name: str, enterprise: str, prefix: str, prints_itself: bool, bus: bool, by: str
    ) -> NewClient:
        """A new client; its key is in the answer and nowhere else."""
        ...

    async def client_bus(self, name: str, wanted: bool, by: str) -> ClientItem:
        """Its topics on the bus are read within seconds, or not any more."""
        ...

    async def client_list(self) -> Sequence[ClientItem]:
        """Every client, revoked ones too."""
        ...

    async def client_revoke(self, name: str, by: str) -> ClientItem:
        """Its key opens nothing any more, within two seconds."""
        ...

    async def leave_list(self, client: str | None, proposed: bool) -> Sequence[LeaveItem]:
        """Whom clients may declare for besides their own enterprise; `proposed`: only what waits for an answer."""
        ...

    async def leave_grant(self, client: str, exporter: str, by: str) -> LeaveItem:
        """The client may declare for the exporter, within two seconds."""
        ...

    async def leave_revoke(self, client: str, exporter: str, by: str) -> LeaveItem:
        """It may not any more, within two seconds; of a proposal: no."""
        ...

    async def leave_accept(self, client: str | None, by: str) -> Sequence[LeaveItem]:
        """Yes to every proposal, of one client or all; those that were accepted."""
        ...

    async def quota_show(self, client: str) -> Sequence[QuotaItem]:
        """Each quota of a client."""
        ...

    async def quota_set(self, client: str, changes: QuotaChanges, by: str) -> Sequence[QuotaItem]:
        """Change some, within two seconds: a number, None for no limit, or as for everybody."""
        ...

    async def seal_add(self, image: bytes, facts: ImageFacts) -> MarkItem:
        """Enrol a PNG as the enterprise's default seal or handwriting."""
        ...

    async def seal_list(self) -> Sequence[MarkItem]:
        """Every seal and handwriting image."""
        ...

    async def seal_stop(self, mark: UUID) -> MarkItem:
        """Never used again; never deleted."""
        ...

    async def key_add(self, enterprise: str, name: str, p12: bytes, password: str) -> MarkItem:
        """Enrol a PKCS#12 file as the enterprise's signing key."""
        ...

    async def key_list(self) -> Sequence[MarkItem]:
        """Every signing key."""
        ...

    async def parked_list(self) -> Sequence[ParkedItem]:
        """What waits, oldest first."""
        ...

    async def parked_show(self, message_id: UUID) -> ParkedMessage:
        """One parked message, whole."""
        ...

    async def parked_replay(self, certificate_id: UUID | None) -> int:
        """Handle parked messages again (of one certificate, or all); how many went through."""
        ...

    async def dead_list(self, state: DeadState | None) -> Sequence[DeadItem]:
        """Dead letters, oldest first, at most 500; of one state or all."""
        ...

    async def dead_show(self, identity: UUID) -> DeadMessage:
        """One dead letter, whole."""
        ...

    async def dead_replay(self, identity: UUID, ruling: Ruling, mended: bytes | None = None) -> DeadItem:
        """Send the original bytes to the original topic once more; or, of what customs sent, `mended` ones."""
        ...

    async def dead_discard(self, identity: UUID, ruling: Ruling) -> DeadItem:
        """It is not needed. The row stays, with the reason."""
        ...

    async def doctor(self) -> Sequence[Finding]:
        """What is reachable, what is missing, what to do."""
        ...

    async def drain(self) -> None:
        """The process that answers takes nothing new, finishes what it has in hand, and ends."""
        ...
