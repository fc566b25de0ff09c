"""The operator's desk: what `gateway.operations.Operations` asks, done with the gateway's own parts."""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from unicodedata import category
from uuid import UUID, uuid5

import orjson

from adapters.store.clients import Clients
from adapters.store.dead_letters import Kept, PostgresDeadLetters
from adapters.store.leaves import Leaves
from adapters.store.quotas import PostgresQuotas
from adapters.store.vault import Vault
from gateway.core.certificate import KIND
from gateway.core.life import About
from gateway.core.lives import LIVES
from gateway.core.messages import LetterMended
from gateway.core.predicates import valid_uscc
from gateway.kept_documents import KeptDocuments
from gateway.operations import (
    ClientItem,
    DeadItem,
    DeadMessage,
    DeadState,
    Finding,
    ImageFacts,
    LeaveItem,
    MarkItem,
    NewClient,
    ParkedItem,
    ParkedMessage,
    QuotaChanges,
    QuotaItem,
    Refusal,
    Ruling,
)
from gateway.ports import Bus, Clock, Inlet, Message, UnknownTopic
from gateway.runtime import dead_letters
from gateway.runtime.inputs import FROM_STRANGERS, read_all
from gateway.runtime.turn import NotHandled, Turn
from gateway.storage import Parked, Store
from renderers.layout import RenderRefused
from renderers.sign import Signer
from renderers.stamp import Shape, enrol_handwriting, enrol_seal, size_in_mm

MOST_DEAD = 500
"""Dead letters in one list."""
VALID_FOR = timedelta(days=3650)
"""A seal without an end of validity: ten years (ours; the manual ties it to the operator's card certificate)."""
FIRST_DAY, LAST_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Of a validity that is given."""
T = TypeVar("T")


class Desk:
    """See `gateway.operations.Operations`."""

    def __init__(
        self,
        documents: KeptDocuments,
        clients: Clients,
        leaves: Leaves,
        quotas: PostgresQuotas,
        vault: Vault,
        store: Store,
        turn: Turn,
        clock: Clock,
        examine: Callable[[], Awaitable[Sequence[Finding]]],
        dead: PostgresDeadLetters,
        bus: Bus,
        inlet: Inlet,
        end: Callable[[], None],
    ) -> None:
        """`end` asks this process for its end."""
        self._documents = documents
        self._clients = clients
        self._leaves = leaves
        self._quotas = quotas
        self._vault = vault
        self._store = store
        self._turn = turn
        self._clock = clock
        self._examine = examine
        self._dead = dead
        self._bus = bus
        self._inlet = inlet
        self._end = end
        self._enrolling = ThreadPoolExecutor(1, "enrolling")

    async def client_add(
        self, name: str, enterprise: str, prefix: str, prints_itself: bool, bus: bool, by: str
    ) -> NewClient:
        """A new client with its key."""
        return await self._clients.add(name, enterprise, prefix, prints_itself, bus, by)

    async def client_bus(self, name: str, wanted: bool, by: str) -> ClientItem:
        """Its topics are read, or not any more."""
        return await self._clients.bus(name, wanted, by)

    async def client_list(self) -> Sequence[ClientItem]:
        """Every client."""
        return await self._clients.list()

    async def client_revoke(self, name: str, by: str) -> ClientItem:
        """Its key opens nothing any more."""
        return await self._clients.revoke(name, by)

    async def leave_list(self, client: str | None, proposed: bool) -> Sequence[LeaveItem]:
        """Whom clients may declare for besides their own enterprise."""
        return await self._leaves.list(client, proposed)

    async def leave_grant(self, client: str, exporter: str, by: str) -> LeaveItem:
        """The client may declare for the exporter."""
        given = await self._leaves.grant(client, exporter, by)
        self._clients.forget()
        return given

    async def leave_revoke(self, client: str, exporter: str, by: str) -> LeaveItem:
        """It may not any more."""
        over = await self._leaves.revoke(client, exporter, by)
        self._clients.forget()
        return over

    async def leave_accept(self, client: str | None, by: str) -> Sequence[LeaveItem]:
        """Yes to every proposal."""
        given = await self._leaves.accept(client, by)
        self._clients.forget()
        return given

    async def quota_show(self, client: str) -> Sequence[QuotaItem]:
        """Each quota of a client."""
        return await self._quotas.show(client, self._clock.now())

    async def quota_set(self, client: str, changes: QuotaChanges, by: str) -> Sequence[QuotaItem]:
        """Change some."""
        set_now = await self._quotas.set(client, changes, by, self._clock.now())
        self._clients.forget()
        return set_now

    async def seal_add(self, image: bytes, facts: ImageFacts) -> MarkItem:
        """Check the picture, keep the rewritten one, encrypted, as the enterprise's default."""
        enterprise, name, now = _enterprise(facts.enterprise), _name(facts.name), self._clock.now()
        # A file's time has whole seconds: what is enrolled now must be good for a print that is asked for at once.
        start, end = facts.valid_from or now.replace(microsecond=0), facts.valid_to or now + VALID_FOR
        _period(start, end)
        try:
            png, known = await self._aside(_enrolled, image, facts)
        except RenderRefused as refusal:
            raise _told(refusal, "See the scanning rules: origin seal add --help.") from refusal
        return await self._vault.add(enterprise, facts.kind, name, known, png, start, end, now)

    async def seal_list(self) -> Sequence[MarkItem]:
        """Seals and handwriting."""
        return await self._vault.list("seal", "signature")

    async def seal_stop(self, mark: UUID) -> MarkItem:
        """Never used again."""
        return await self._vault.stop(mark, self._clock.now())

    async def key_add(self, enterprise: str, name: str, p12: bytes, password: str) -> MarkItem:
        """Check the key and its certificate, keep both encrypted as the enterprise's default."""
        owner, called, now = _enterprise(enterprise), _name(name), self._clock.now()
        try:
            signer = await self._aside(Signer, p12, password)
            signer.check(now)
        except RenderRefused as refusal:
            remedy = "Give a PKCS#12 file with one RSA or P-256 key, its certificate, and the password of the file."
            raise _told(refusal, remedy) from refusal
        secret = orjson.dumps({"p12": signer.rewritten.hex(), "password": ""})
        return await self._vault.add(owner, "key", called, {}, secret, signer.valid_from, signer.valid_to, now)

    async def key_list(self) -> Sequence[MarkItem]:
        """Signing keys."""
        return await self._vault.list("key")

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        """Away from the event loop, one after the other: a picture or a key takes up to a second of work."""
        return await asyncio.get_running_loop().run_in_executor(self._enrolling, work, *given)

    async def parked_list(self) -> Sequence[ParkedItem]:
        """What waits, oldest first."""
        return [_row(parked) for parked in await self._store.parked()]

    async def parked_show(self, message_id: UUID) -> ParkedMessage:
        """One parked message, whole."""
        for parked in await self._store.parked():
            if parked.message_id == message_id:
                body = base64.b64encode(parked.body).decode()
                return ParkedMessage(**dict(_row(parked)), headers=parked.headers, body=body)
        raise Refusal("PARKED-UNKNOWN", "No such message is parked.", "See origin parked list.")

    async def parked_replay(self, certificate_id: UUID | None) -> int:
        """Handle parked messages again."""
        return await self._turn.replay(certificate_id)

    async def dead_list(self, state: DeadState | None) -> Sequence[DeadItem]:
        """Dead letters, oldest first."""
        return [_dead(kept) for kept in await self._dead.list(state, MOST_DEAD)]

    async def dead_show(self, identity: UUID) -> DeadMessage:
        """One dead letter, whole."""
        kept = await self._found(identity)
        body = base64.b64encode(kept.letter.body).decode()
        mended = None if kept.mended is None else base64.b64encode(kept.mended).decode()
        known = dict(_dead(kept))
        return DeadMessage(**known, key=kept.letter.key, headers=kept.letter.headers, body=body, mended=mended)

    async def dead_replay(self, identity: UUID, ruling: Ruling, mended: bytes | None = None) -> DeadItem:
        """Published first, then written down: a crash in between publishes it twice, which is in effect once."""
        kept = await self._found(identity)
        if kept.state != "waiting":
            raise _decided()
        if mended is None and await self._documents.declare(kept.letter):
            return await self._decide(identity, "replayed", ruling)
        messages = [dead_letters.again(kept.letter)] if mended is None else await self._mended(kept, mended, ruling)
        try:
            await self._bus.publish(messages)
        except UnknownTopic:
            raise Refusal("DLT-TOPIC", "Its topic is not there any more.", "Declare it, or discard this.") from None
        return await self._decide(identity, "replayed", ruling, mended)

    async def _mended(self, kept: Kept, mended: bytes, ruling: Ruling) -> list[Message]:
        """What is to be read instead; the certificates that it is about are told who says so, and why. Raises Refusal
        where it is not about what the letter was about, or can't be read either."""
        letter = kept.letter
        if letter.topic not in FROM_STRANGERS:
            raise Refusal(
                "DLT-NOT-CUSTOMS", "Only what customs sent can be mended.", "Have the sender mend it and send it again."
            )
        record = letter.record(mended)
        read = await read_all([record], self._inlet)
        for item in read:
            if item.poison or item.unreadable:
                why = str(item.poison or item.unreadable)
                raise Refusal("DLT-BODY", f"The mended bytes can't be read either: {why}.", "Mend them, and try again.")
        numbers = {item.subject(LIVES).key for item in read}
        if (named := self._inlet.about(letter.record(letter.body)).key) and numbers != {named}:
            raise Refusal(
                "DLT-OTHER",
                "The mended bytes are about another certificate than the dead letter.",
                "What is about another certificate must come from customs.",
            )
        async with self._store.turn() as transaction:
            loaded = await transaction.load([], [About(KIND, key=number) for number in sorted(numbers)])
        was, now = (hashlib.sha256(body).hexdigest() for body in (letter.body, mended))
        for certificate in loaded.keys.values():
            told = LetterMended(
                message_id=uuid5(letter.id, f"{certificate}/{now}"),
                certificate_id=certificate,
                letter=letter.id,
                was_sha256=was,
                mended_sha256=now,
                by=ruling.by,
                reason=ruling.reason,
            )
            try:
                await self._turn.command(told)
            except NotHandled:
                raise Refusal(
                    "DLT-PARKED", "The certificate waits behind a parked message.", "origin parked replay, then this."
                ) from None
        return [dead_letters.again(letter)._replace(key=min(numbers), body=mended)]

    async def dead_discard(self, identity: UUID, ruling: Ruling) -> DeadItem:
        """The row stays, with the reason."""
        await self._found(identity)
        return await self._decide(identity, "discarded", ruling)

    async def _found(self, identity: UUID) -> Kept:
        kept = await self._dead.get(identity)
        if kept is None:
            raise Refusal("DLT-UNKNOWN", "There is no such dead letter.", "See origin dlt list.")
        return kept

    async def _decide(self, identity: UUID, state: DeadState, ruling: Ruling, mended: bytes | None = None) -> DeadItem:
        kept = await self._dead.decide(identity, state, ruling.by, ruling.reason, self._clock.now(), mended)
        if kept is None:
            raise _decided()
        return _dead(kept)

    async def doctor(self) -> Sequence[Finding]:
        """What is reachable, what is missing, what to do."""
        return await self._examine()

    async def drain(self) -> None:
        """As SIGTERM does."""
        self._end()


def _told(refusal: RenderRefused, remedy: str) -> Refusal:
    """The renderer's reason as a sentence of its own."""
    return Refusal(refusal.code, f"{refusal.detail[:1].upper()}{refusal.detail[1:]}.", remedy)


def _enterprise(code: str) -> str:
    cleaned = code.strip().upper()
    if not valid_uscc(cleaned):
        raise Refusal(
            "ENTERPRISE-CODE",
            "This is not a unified social credit code (统一社会信用代码).",
            "Give its 18 characters; the last is a check digit.",
        )
    return cleaned


def _name(text: str) -> str:
    """A name for people, as a database and a terminal can show it. Raises Refusal MARK-NAME."""
    if any(category(character) in ("Cc", "Cs") for character in text):
        raise Refusal("MARK-NAME", "The name holds characters that can't be shown.", "Give it a name of plain text.")
    return text.strip()


def _enrolled(image: bytes, facts: ImageFacts) -> tuple[bytes, dict[str, Any]]:
    """The picture written anew and what is known of it. Raises RenderRefused."""
    width, height = size_in_mm(image, facts.width_mm)
    size = {"width_mm": width, "height_mm": height}
    if facts.kind == "seal":
        return enrol_seal(image, Shape(facts.shape), width, height).png, {"shape": facts.shape, **size}
    return enrol_handwriting(image, width, height).png, size


def _period(start: datetime, end: datetime) -> None:
    """A validity that every zone's calendar can show. Raises Refusal MARK-PERIOD."""
    given = start.tzinfo is not None and end.tzinfo is not None
    if not given or not FIRST_DAY <= start < end <= LAST_DAY:
        raise Refusal(
            "MARK-PERIOD",
            f"The validity does not end after it starts, or not between {FIRST_DAY:%Y} and {LAST_DAY:%Y}.",
            "Give times with an offset, e.g. 2026-01-01T00:00:00+08:00.",
        )


def _row(parked: Parked) -> ParkedItem:
    return ParkedItem(
        message_id=parked.message_id,
        certificate_id=parked.subject_id,
        topic=parked.topic,
        reason=parked.reason,
        at=parked.at,
        size=len(parked.body),
    )


def _dead(kept: Kept) -> DeadItem:
    letter = kept.letter
    return DeadItem(
        id=letter.id,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        group=letter.group,
        code=letter.code,
        detail=letter.detail,
        attempts=letter.attempts,
        at=letter.at,
        size=kept.size,
        state=kept.state,
        decided_at=kept.decided_at,
        decided_by=kept.decided_by,
        reason=kept.reason,
        was_mended=kept.was_mended,
    )


def _decided() -> Refusal:
    return Refusal(
        "DLT-DECIDED",
        "Somebody has decided about this dead letter already.",
        "origin dlt show tells who, when and why; one that died again has a new id.",
    )
