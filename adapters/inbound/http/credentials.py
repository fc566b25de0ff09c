"""Who asks: a client, the operator, or nobody. A connection on which a valid key was shown is told so."""

import hmac
from typing import Final

from adapters.inbound.http.problem import Scope, unauthorized
from gateway.reading import Authenticator
from gateway.runtime.door import Client

KNOWN: Final = "origin.known"
"""The extension of the ASGI scope by which the server hears that a request showed a valid key."""


async def authenticated(clients: Authenticator, header: bytes) -> Client:
    """The client whose key is in the Authorization header. Raises Problem 401, Unavailable."""
    if header[:7].lower() != b"bearer ":
        raise unauthorized()
    client = await clients.authenticate(header[7:].strip().decode("latin-1"))
    if client is None:
        raise unauthorized()
    return client


def opens(header: bytes, operator_key: str) -> bool:
    """Is the operator's key in this Authorization header?"""
    right = hmac.compare_digest(header[7:].strip(), operator_key.encode())
    return bool(operator_key) and header[:7].lower() == b"bearer " and right


def known(scope: Scope) -> None:
    """Tells the server that this request may hold its connection."""
    told = scope.get("extensions", {}).get(KNOWN)
    if told is not None:
        told["tell"]()
