"""The operator's routes, /v1/admin: what the command line speaks. Another key than the clients', kept in a file."""

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from adapters.inbound.http.credentials import opens
from adapters.inbound.http.problem import Problem, unauthorized
from gateway.core.quotas import Quota
from gateway.operations import (
    OPERATOR,
    ClientItem,
    DeadItem,
    DeadMessage,
    DeadState,
    Finding,
    ImageFacts,
    LeaveItem,
    MarkItem,
    NewClient,
    Operations,
    ParkedItem,
    ParkedMessage,
    Person,
    QuotaItem,
    Ruling,
    Text,
)

PREFIX = "/v1/admin"
NAME = r"^[a-z0-9_-]{1,63}$"
"""What a client's name looks like."""
MAX_FILE = 4 << 20
"""Largest seal image or key file, bytes."""


class Wish(BaseModel):
    """What an operator asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Act(Wish):
    """Something that is kept with the name of who did it."""

    by: Person = OPERATOR


class ClientWish(Act):
    """A new client."""

    name: Annotated[str, Field(max_length=63, examples=["erp-1"])]
    enterprise: Annotated[str, Field(max_length=18, description="18-character credit code")]
    prefix: Annotated[str, Field(max_length=3, description="serial prefix of the numbers it is given")] = ""
    prints_itself: Annotated[bool, Field(description="print as soon as the files are there")] = True
    bus: Annotated[bool, Field(description="has a pair of topics of its own on the bus")] = False


class BusWish(Act):
    """Shall a client's topics be read?"""

    bus: bool


class LeaveWish(Act):
    """Which exporter a client may declare for, or may not any more."""

    exporter: Annotated[str, Field(max_length=18, description="18-character credit code")]


class QuotaWish(Act):
    """A client's own quotas; those that are not named stay as they are."""

    set: Annotated[
        Mapping[Quota, Annotated[int, Field(ge=1, le=1 << 62)] | Literal["default"] | None],
        Field(description="quota -> a number, null for no limit, or default"),
    ]


class AcceptWish(Act):
    """Whose proposals to say yes to; None: everybody's."""

    client: Annotated[str | None, Field(pattern=NAME)] = None


class ImageWish(ImageFacts):
    """A seal or handwriting image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    png: Annotated[str, Field(description="base64", max_length=MAX_FILE * 4 // 3 + 4)]


class KeyWish(Wish):
    """A signing key."""

    enterprise: Annotated[str, Field(max_length=18)]
    name: Annotated[str, Field(max_length=100)]
    p12: Annotated[SecretStr, Field(description="PKCS#12 file, base64", max_length=MAX_FILE * 4 // 3 + 4)]
    password: SecretStr = SecretStr("")


class RulingWish(Ruling):
    """A person's decision about a dead letter."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MendingWish(RulingWish):
    """The same about a replay; of what customs sent, also the bytes that are to be read instead."""

    body: Annotated[str | None, Field(description="base64 of the mended bytes", max_length=MAX_FILE * 4 // 3 + 4)] = (
        None
    )


class ReplayWish(Wish):
    """Which parked messages to handle again; None: all."""

    certificate: UUID | None = None


class Replayed(BaseModel):
    """How many went through."""

    replayed: int


class Draining(BaseModel):
    """A process that is about to end."""

    pid: Annotated[int, Field(description="its number on its machine")]


Of = Annotated[str | None, Query(pattern=NAME, description="only this client's")]


def router(operations: Operations, operator_key: str) -> APIRouter:
    """The routes of the operator; every one asks for the operator's key."""

    async def operator(request: Request) -> None:
        if not opens(request.headers.get("authorization", "").encode("latin-1"), operator_key):
            raise unauthorized()

    routes = APIRouter(prefix=PREFIX, dependencies=[Depends(operator)], tags=["operator"])

    @routes.get("/clients")
    async def clients() -> Sequence[ClientItem]:
        """Every client; keys are never shown again."""
        return await operations.client_list()

    @routes.post("/clients", status_code=201)
    async def client_add(wish: ClientWish) -> NewClient:
        """A new client; the answer shows its key, once."""
        return await operations.client_add(
            wish.name, wish.enterprise, wish.prefix, wish.prints_itself, wish.bus, wish.by
        )

    @routes.post("/clients/{name}/bus")
    async def client_bus(name: Text, wish: BusWish) -> ClientItem:
        """Read its topics on the bus, or stop reading them."""
        return await operations.client_bus(name, wish.bus, wish.by)

    @routes.post("/clients/{name}/revoke")
    async def client_revoke(name: Text, act: Act | None = None) -> ClientItem:
        """Its key opens nothing any more."""
        return await operations.client_revoke(name, act.by if act else OPERATOR)

    @routes.get("/leaves")
    async def leaves(client: Of = None, proposed: bool = False) -> Sequence[LeaveItem]:
        """Whom clients may declare for besides their own enterprise; those that are over too."""
        return await operations.leave_list(client, proposed)

    @routes.post("/leaves/accept")
    async def leave_accept(wish: AcceptWish) -> Sequence[LeaveItem]:
        """Say yes to every proposal."""
        return await operations.leave_accept(wish.client, wish.by)

    @routes.post("/clients/{name}/leaves")
    async def leave_grant(name: Text, wish: LeaveWish) -> LeaveItem:
        """It may declare for this exporter."""
        return await operations.leave_grant(name, wish.exporter, wish.by)

    @routes.post("/clients/{name}/leaves/revoke")
    async def leave_revoke(name: Text, wish: LeaveWish) -> LeaveItem:
        """It may not any more; of a proposal: no."""
        return await operations.leave_revoke(name, wish.exporter, wish.by)

    @routes.get("/clients/{name}/quotas")
    async def quotas(name: Text) -> Sequence[QuotaItem]:
        """What it may do, and what of that it has done."""
        return await operations.quota_show(name)

    @routes.post("/clients/{name}/quotas")
    async def quota_set(name: Text, wish: QuotaWish) -> Sequence[QuotaItem]:
        """Change some of its quotas."""
        return await operations.quota_set(name, wish.set, wish.by)

    @routes.get("/seals")
    async def seals() -> Sequence[MarkItem]:
        """Seals and handwriting."""
        return await operations.seal_list()

    @routes.post("/seals", status_code=201)
    async def seal_add(wish: ImageWish) -> MarkItem:
        """Enrol an image as the enterprise's default."""
        facts = ImageFacts(**wish.model_dump(exclude={"png"}))
        return await operations.seal_add(decoded(wish.png), facts)

    @routes.post("/seals/{mark}/stop")
    async def seal_stop(mark: UUID) -> MarkItem:
        """Never used again."""
        return await operations.seal_stop(mark)

    @routes.get("/keys")
    async def keys() -> Sequence[MarkItem]:
        """Signing keys, without the keys."""
        return await operations.key_list()

    @routes.post("/keys", status_code=201)
    async def key_add(wish: KeyWish) -> MarkItem:
        """Enrol a PKCS#12 file as the enterprise's signing key."""
        content = decoded(wish.p12.get_secret_value())
        return await operations.key_add(wish.enterprise, wish.name, content, wish.password.get_secret_value())

    @routes.get("/parked")
    async def parked() -> Sequence[ParkedItem]:
        """Messages that wait for a person."""
        return await operations.parked_list()

    @routes.get("/parked/{message_id}")
    async def parked_show(message_id: UUID) -> ParkedMessage:
        """One of them, with its original bytes."""
        return await operations.parked_show(message_id)

    @routes.post("/parked/replay")
    async def parked_replay(wish: ReplayWish) -> Replayed:
        """Handle them again."""
        return Replayed(replayed=await operations.parked_replay(wish.certificate))

    @routes.get("/dead-letters")
    async def dead(state: DeadState | None = None) -> Sequence[DeadItem]:
        """Records that nobody could read."""
        return await operations.dead_list(state)

    @routes.get("/dead-letters/{identity}")
    async def dead_show(identity: UUID) -> DeadMessage:
        """One of them, with its original bytes."""
        return await operations.dead_show(identity)

    @routes.post("/dead-letters/{identity}/replay")
    async def dead_replay(identity: UUID, wish: MendingWish) -> DeadItem:
        """Send it to its topic once more, or what it should have been."""
        mended = None if wish.body is None else decoded(wish.body)
        return await operations.dead_replay(identity, Ruling(by=wish.by, reason=wish.reason), mended)

    @routes.post("/dead-letters/{identity}/discard")
    async def dead_discard(identity: UUID, ruling: RulingWish) -> DeadItem:
        """It is not needed; the row stays."""
        return await operations.dead_discard(identity, ruling)

    @routes.get("/doctor")
    async def doctor() -> Sequence[Finding]:
        """What is reachable, what is missing, what to do."""
        return await operations.doctor()

    @routes.post("/drain", status_code=202)
    async def drain() -> Draining:
        """The process that answers takes nothing new, finishes what it has in hand, and ends; as on SIGTERM."""
        await operations.drain()
        return Draining(pid=os.getpid())

    return routes


def decoded(text: str) -> bytes:
    """The bytes of a base64 text. Raises Problem 400."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem("bad-request", "The file is not written in base64.") from None
