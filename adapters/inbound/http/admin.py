"""The operator's routes, /v1/admin: what the command line speaks. Another key than the clients', kept in a file."""

import base64
import binascii
import os
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from adapters.inbound.http.credentials import opens
from adapters.inbound.http.problem import Problem, unauthorized
from gateway.operations import (
    ClientItem,
    DeadItem,
    DeadMessage,
    DeadState,
    Finding,
    ImageFacts,
    MarkItem,
    NewClient,
    Operations,
    ParkedItem,
    ParkedMessage,
    Ruling,
)

PREFIX = "/v1/admin"
MAX_FILE = 4 << 20
"""Largest seal image or key file, bytes."""


class Wish(BaseModel):
    """What an operator asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClientWish(Wish):
    """A new client."""

    name: Annotated[str, Field(max_length=63, examples=["erp-1"])]
    enterprise: Annotated[str, Field(max_length=18, description="18-character credit code")]
    prefix: Annotated[str, Field(max_length=3, description="serial prefix of the numbers it is given")] = ""
    prints_itself: Annotated[bool, Field(description="print as soon as the files are there")] = True
    bus: Annotated[bool, Field(description="has a pair of topics of its own on the bus")] = False


class BusWish(Wish):
    """Shall a client's topics be read?"""

    bus: bool


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


class ReplayWish(Wish):
    """Which parked messages to handle again; None: all."""

    certificate: UUID | None = None


class Replayed(BaseModel):
    """How many went through."""

    replayed: int


class Draining(BaseModel):
    """A process that is about to end."""

    pid: Annotated[int, Field(description="its number on its machine")]


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
        return await operations.client_add(wish.name, wish.enterprise, wish.prefix, wish.prints_itself, wish.bus)

    @routes.post("/clients/{name}/bus")
    async def client_bus(name: str, wish: BusWish) -> ClientItem:
        """Read its topics on the bus, or stop reading them."""
        return await operations.client_bus(name, wish.bus)

    @routes.post("/clients/{name}/revoke")
    async def client_revoke(name: str) -> ClientItem:
        """Its key opens nothing any more."""
        return await operations.client_revoke(name)

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
    async def dead_replay(identity: UUID, ruling: RulingWish) -> DeadItem:
        """Send it to its topic once more."""
        return await operations.dead_replay(identity, ruling)

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
