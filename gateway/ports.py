"""What the runtime needs from the world: small protocols, implemented in `adapters` and `renderers`.

Each port has one contract suite under ``tests/contract`` that every implementation passes.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from gateway.core.declaration import Declaration
from gateway.core.faults import Fault
from gateway.core.life import About
from gateway.core.messages import (
    DeclarationAccepted,
    Incoming,
    Outgoing,
    PrintResult,
    RenderResult,
)

Headers: TypeAlias = Mapping[str, str]


class Unavailable(Exception):
    """A neighbour (database, broker, printer, customs link) can't be reached now.

    Nothing was acknowledged; the caller backs off and tries again. Never the sender's fault, never our bug.
    """


class Fenced(Exception):
    """This reader's lease on a partition was taken over: it may not move the offset any more."""


class Message(NamedTuple):
    """One message to be sent: CloudEvents attributes in `headers` (binary mode), the document in `body`."""

    topic: str
    key: str
    body: bytes
    headers: Headers = MappingProxyType({})


class Record(NamedTuple):
    """One message as read: where it stands, and its bytes as written. A poisoned body is still a record.

    Strangers may write to a broker's topic: a missing key or body reads as empty, header bytes that are not UTF-8
    are replaced, of two headers with one name the last counts.
    """

    topic: str
    partition: int
    offset: int
    key: str
    body: bytes
    headers: Headers

    @property
    def place(self) -> tuple[str, int]:
        """(topic, partition)."""
        return self.topic, self.partition


Positions: TypeAlias = Mapping[tuple[str, int], int]
"""(topic, partition) -> the next offset to read, i.e. last handled + 1."""


class Consumer(Protocol):
    """One member of one consumer group; used by one task.

    Promises: records of one key come in the order they were written; a record is handed out again until its
    position was committed; after a crash the group goes on from the last committed positions; a reader that was
    replaced can't move a position. Offsets of a partition rise (other brokers leave gaps).
    Does not promise: that a record is handed out once. When members come and go, records that were not committed
    come again, here or elsewhere; a member gives a partition back when all it was handed of it is committed or
    rewound, and loses it when that takes more than 30 seconds.
    """

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """Up to `max_records` records, in order within a partition; empty after `timeout` seconds.

        Goes on where the last poll ended, whether or not that was committed, as long as the partition stays ours.
        Poll steadily, also when idle. While the neighbour is away: raises Unavailable, or gives nothing (Kafka's
        client can't tell the two apart).
        """
        ...

    async def commit(self, positions: Positions) -> None:
        """Acknowledge everything before `positions`; never moves one back. Durable on return.

        Raises Fenced: some partitions are ours no more and did not move, of the others any may have; rewind and go
        on. Raises Unavailable, within 30 seconds: each may have moved or not.
        """
        ...

    async def rewind(self) -> None:
        """Forget what was handed out since the last commit: the next poll starts at the committed positions."""
        ...


class Bus(Protocol):
    """Carries messages: the PostgreSQL log, Apache Kafka, or memory. An async context manager: enter before use."""

    async def __aenter__(self) -> Self:
        """Connects; a neighbour that is away is waited for in the background, calls raise Unavailable till then."""
        ...

    async def __aexit__(self, *_: object) -> None:
        """Disconnects. Its consumers must have been left before."""
        ...

    async def publish(self, messages: Sequence[Message]) -> None:
        """Durable on return, order kept per (topic, key). Raises UnknownTopic, before anything is written.

        Raises Unavailable, within 30 seconds: some may have been written, or may be later; the caller sends all
        again, and readers drop doubles by id.
        """
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        """A member of `group` reading `topics` from the earliest record the group has not committed.

        Entering raises UnknownTopic, and Unavailable. Leaving gives the partitions back.
        """
        ...


class UnknownTopic(Exception):
    """A topic that is not declared in ``schemas/topics.toml``."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Some bytes to be stored under their hash."""

    sha256: str
    kind: str
    """What it is: declaration, receipt, layout, image or file; retention goes by kind."""
    media_type: str
    content: bytes


class Inlet(Protocol):
    """Reads a record of any topic the turn listens to."""

    def apart(self, record: Record) -> tuple[Sequence[Record], Sequence[Blob]]:
        """The records in one, and the bytes to store besides: customs may write several receipts into one document.
        Raises Unreadable."""
        ...

    def about(self, record: Record) -> About:
        """The subject that a record names which can't be read: by a number in it, or by its key where it is ours."""
        ...

    def read(self, record: Record) -> tuple[Incoming, Sequence[Blob]]:
        """The message, and the bytes to store with it. Raises Unreadable."""
        ...


class Blobs(Protocol):
    """Content-addressed bytes: raw input, layouts, signed files, marks."""

    async def put(self, content: bytes, *, kind: str, media_type: str) -> str:
        """Store once; returns the SHA-256 in lower-case hex."""
        ...

    async def get(self, sha256: str) -> bytes:
        """The bytes, hash re-checked. Raises KeyError when unknown, Unavailable."""
        ...


class Printer(Protocol):
    """Takes a finished, signed file. At most once, and asked again after a crash (ops/decisions/0035)."""

    async def submit(self, job: str, pdf: bytes) -> None:
        """Hand the file over under the job's name. Raises PrintRefused (no byte was taken) or PrintUnknown."""
        ...

    async def was_printed(self, job: str) -> bool | None:
        """Did this job reach the printer? None when the printer can't tell: a person decides."""
        ...

    @property
    def confirms(self) -> bool:
        """True when the printer's word counts as a person's yes."""
        ...


class PrintRefused(Exception):
    """The printer took nothing: the job may be offered again."""


class PrintUnknown(Exception):
    """Bytes went out and no answer came: the job is in doubt."""


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Now, aware, UTC."""
        ...


Place: TypeAlias = tuple[str | int, ...]
"""A place in the model, e.g. ``("goods", 2, "hs_code")`` (counted from 0); a dialect turns it into its own path."""


Locate: TypeAlias = Callable[[Place], tuple[str, int | None]]
"""Place -> (XPath or JSON pointer in the sender's document, line from 1 where known). Many questions about one document
cost no more than one reading of it."""


@dataclass(eq=False)
class Reading:
    """A document read whole and found valid by its schema: canonical data, and how to find a place again.

    Nobody changes it; to be frozen would cost a microsecond of each document.
    """

    fields: Mapping[str, Any]
    """`canonical(declaration)`: what profile checks and the content hash look at. No text in it is blank."""
    reference: str | None
    """The ERP's own reference, where the dialect carries one."""
    locate: Locate
    unusual: str
    """All characters of its texts that are not ASCII; some that are may be among them."""
    length: int
    """Characters of its texts together, the promise left out; rather more than fewer."""
    warnings: Sequence[Fault] = ()
    """What the reading says of a document that can be accepted all the same."""

    @cached_property
    def declaration(self) -> Declaration:
        """The same as a model. Made when first asked for: the door needs only the data."""
        return Declaration.model_validate(self.fields)


class Dialect(Protocol):
    """One way to write a declaration: the official XML, or the enterprise JSON. Lossless both ways."""

    @property
    def media_type(self) -> str:
        """application/xml or application/json."""
        ...

    def read(self, raw: bytes) -> Reading:
        """Raises `gateway.core.faults.Refused` with every fault of form at once (never of business)."""
        ...

    def read_plainly(self, raw: bytes) -> Reading | None:
        """The same for a document in the plainest form, which costs little; None: it has to be looked at closely."""
        ...

    def write(self, content: Declaration | Mapping[str, Any]) -> bytes:
        """The document of a declaration, or of its canonical data, valid against its schema. Raises Refused for a text
        the dialect can't carry."""
        ...


class Unreadable(Exception):
    """A message body that no reading makes sense of: kept aside with its bytes, never lost, never retried by itself."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


Encodable: TypeAlias = DeclarationAccepted | Outgoing | RenderResult | PrintResult


class MessageCodec(Protocol):
    """Typed messages <-> what crosses a topic. What it encodes always validates against our XSDs."""

    def encode(self, message: Encodable) -> bytes:
        """The XML body; a CustomsDeclaration can't be encoded here (its body is the official message)."""
        ...

    def decode(self, topic: str, body: bytes) -> Incoming:
        """The message in a body read from `topic`. Raises Unreadable."""
        ...
