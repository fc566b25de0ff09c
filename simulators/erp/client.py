"""What an ERP and an operator say to a gateway over HTTP: thin, typed, no retries of its own."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

ON_FILE = (200, 202)
REFUSED = (400, 409, 413, 415, 422)


class Unexpected(Exception):
    """The gateway answered something that this client has no use for; says what, with the status."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The door's answer to one declaration, the same over HTTP and in a folder's result file."""

    accepted: bool
    id: str | None
    number: str | None
    faults: Sequence[Mapping[str, Any]]
    """Code, path, line, message, remedy of each; of an accepted declaration its warnings are left out."""

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Verdict":
        """From the answer's JSON: a plain answer or a problem document."""
        accepted = content.get("status") in ("accepted", "duplicate")
        faults = () if accepted else content.get("faults") or content.get("errors") or ()
        return cls(accepted, content.get("id"), content.get("number"), tuple(faults))


class Erp:
    """One enterprise's system, with its API key."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        """`http` knows the gateway's address."""
        self._http = http
        self._headers = {"authorization": f"Bearer {key}"}

    async def declare(self, media_type: str, body: bytes, key: str) -> Verdict:
        """Declare; `key` is the Idempotency-Key. Raises Unexpected, httpx.HTTPError."""
        headers = {**self._headers, "content-type": media_type, "idempotency-key": key}
        response = await self._http.post("/v1/declarations", content=body, headers=headers)
        if response.status_code not in ON_FILE + REFUSED:
            raise _unexpected(response)
        return Verdict.of(response.json())

    async def certificate(self, name: str) -> Mapping[str, Any]:
        """Where a certificate is now, by id or number."""
        return dict((await self._get(f"/v1/certificates/{name}")).json())

    async def timeline(self, name: str) -> Sequence[Mapping[str, Any]]:
        """What happened to it, oldest first."""
        return list((await self._get(f"/v1/certificates/{name}/timeline")).json()["events"])

    async def copy(self, name: str) -> bytes:
        """The signed copy (副本)."""
        return (await self._get(f"/v1/certificates/{name}/copy.pdf")).content

    async def known(self) -> bool:
        """Does the gateway know this key?"""
        response = await self._http.get("/v1/certificates", params={"limit": 1}, headers=self._headers)
        if response.status_code == 401:
            return False
        if response.status_code != 200:
            raise _unexpected(response)
        return True

    async def _get(self, path: str) -> httpx.Response:
        response = await self._http.get(path, headers=self._headers)
        if response.status_code != 200:
            raise _unexpected(response)
        return response


class Operator:
    """Whoever runs the gateway, with the operator's key."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        """`http` knows the gateway's address."""
        self._http = http
        self._headers = {"authorization": f"Bearer {key}"}

    async def clients(self) -> Sequence[Mapping[str, Any]]:
        """Every client, revoked ones too."""
        return await self._list("clients")

    async def marks(self) -> Sequence[Mapping[str, Any]]:
        """Seals, handwriting and keys, stopped ones too."""
        return [*await self._list("seals"), *await self._list("keys")]

    async def add_client(self, name: str, enterprise: str, *, bus: bool = False) -> str:
        """A new client; returns its API key. `bus`: with topics of its own."""
        answer = await self._post("clients", {"name": name, "enterprise": enterprise, "bus": bus})
        return str(answer["key"])

    async def set_quotas(self, name: str, quotas: Mapping[str, int | None]) -> None:
        """Quotas of a client's own; None: no limit."""
        await self._post(f"clients/{name}/quotas", {"set": quotas})

    async def grant(self, name: str, exporter: str) -> None:
        """Leave to declare for an exporter that is not the client's own enterprise."""
        await self._post(f"clients/{name}/leaves", {"exporter": exporter})

    async def add_image(self, enterprise: str, kind: str, name: str, png: bytes, width: float) -> None:
        """A seal or handwriting (``signature``); `width` in mm."""
        facts = {"enterprise": enterprise, "kind": kind, "name": name, "width_mm": width}
        await self._post("seals", {**facts, "png": base64.b64encode(png).decode()})

    async def add_key(self, enterprise: str, name: str, p12: bytes, password: str) -> None:
        """A signing key."""
        content = base64.b64encode(p12).decode()
        await self._post("keys", {"enterprise": enterprise, "name": name, "p12": content, "password": password})

    async def _list(self, what: str) -> Sequence[Mapping[str, Any]]:
        response = await self._http.get(f"/v1/admin/{what}", headers=self._headers)
        if response.status_code != 200:
            raise _unexpected(response)
        return list(response.json())

    async def _post(self, what: str, wish: Mapping[str, Any]) -> Any:
        response = await self._http.post(f"/v1/admin/{what}", json=wish, headers=self._headers)
        if response.status_code not in (200, 201):
            raise _unexpected(response)
        return response.json()


def _unexpected(response: httpx.Response) -> Unexpected:
    try:
        told = response.json().get("detail", "")
    except ValueError:
        told = ""
    place = f"{response.request.method} {response.request.url.path}"
    return Unexpected(f"{place} was answered {response.status_code}. {told}".strip())
