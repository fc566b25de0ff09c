"""Answers that are no success, as problem+json (RFC 9457), and the headers every answer carries."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

TYPE: Final = "urn:origin-gateway:problem:"
SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"

TITLES: Final = {
    "bad-request": (400, "The request can't be understood"),
    "unauthorized": (401, "No valid API key"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not here"),
    "method-not-allowed": (405, "Not this method"),
    "timeout": (408, "The request took too long to arrive"),
    "declaration-conflict": (409, "The declaration contradicts what is on file"),
    "nothing-changed": (409, "Not possible in this state"),
    "too-large": (413, "Too large"),
    "unsupported-media-type": (415, "A content type the gateway does not read"),
    "declaration-refused": (422, "The declaration has faults"),
    "refused": (422, "This can't be done"),
    "too-many": (429, "Too many at once"),
    "unavailable": (503, "Not now"),
    "internal": (500, "Our mistake"),
}
"""Kind -> (status, title); the kind is the last part of the problem's type and is stable."""


class Problem(Exception):
    """Why a request was not granted. `detail` is one sentence without any value of the sender."""

    def __init__(
        self,
        kind: str,
        detail: str,
        more: Mapping[str, Any] = MappingProxyType({}),
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        """`kind`: a key of TITLES; `more`: further members of the document; `headers`: of the answer."""
        self.kind = kind
        self.detail = detail
        self.more = more
        self.headers = headers
        super().__init__(f"{kind}: {detail}")

    @property
    def status(self) -> int:
        """HTTP status."""
        return TITLES[self.kind][0]

    def body(self, instance: str) -> bytes:
        """The document; `instance` is the path that was asked."""
        status, title = TITLES[self.kind]
        return orjson.dumps(
            {
                "type": TYPE + self.kind,
                "title": title,
                "status": status,
                "detail": self.detail,
                "instance": instance,
                **self.more,
            }
        )


def unauthorized() -> Problem:
    """No key, or one that opens nothing."""
    return Problem(
        "unauthorized",
        "Send your API key as 'Authorization: Bearer ok_...'.",
        headers=((b"www-authenticate", b'Bearer realm="origin-gateway"'),),
    )


def unavailable(seconds: int = 2) -> Problem:
    """The database is away, or we are closing: nothing was accepted."""
    return Problem(
        "unavailable",
        "Nothing was accepted. Send the same again in a moment.",
        headers=((b"retry-after", str(seconds).encode()),),
    )


def internal() -> Problem:
    """Our bug. What it was stands in our log, never in the answer."""
    return Problem(
        "internal",
        "This is our mistake; it is in our log. The same would most likely meet it again: tell the operator first.",
    )


async def respond(send: Send, status: int, media_type: bytes, body: bytes, more: Headers = ()) -> None:
    """One whole answer."""
    headers = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        *SECURITY,
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_problem(send: Send, problem: Problem, instance: str, *, close: bool = False) -> None:
    """A problem; `close`: and nothing more on this connection."""
    more = (*problem.headers, (b"connection", b"close")) if close else problem.headers
    await respond(send, problem.status, PROBLEM, problem.body(instance), more)
