"""The operator's routes, /v1/admin: what the command line speaks. Another key than the clients', kept in a file."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from adapters.inbound.http.problem import Problem, unauthorized
from gateway.operations import (
    ClientItem,
    Finding,
    ImageFacts,
    MarkItem,
    NewClient,
    Operations,
    ParkedItem,
    ParkedMessage,
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


class ReplayWish(Wish):
    """Which parked messages to handle again; None: all."""

    certificate: UUID | None = None


class Replayed(BaseModel):
    """How many went through."""

    replayed: int


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
        return await operations.client_add(wish.name, wish.enterprise, wish.prefix, wish.prints_itself)

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

    @routes.get("/doctor")
    async def doctor() -> Sequence[Finding]:
        """What is reachable, what is missing, what to do."""
        return await operations.doctor()

    return routes


def opens(header: bytes, operator_key: str) -> bool:
    """Is the operator's key in this Authorization header?"""
    right = hmac.compare_digest(header[7:].strip(), operator_key.encode())
    return bool(operator_key) and header[:7].lower() == b"bearer " and right


def decoded(text: str) -> bytes:
    """The bytes of a base64 text. Raises Problem 400."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Problem("bad-request", "The file is not written in base64.") from None
