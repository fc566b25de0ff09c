"""A door that answers by what it is sent, and an application around it without a database."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

import httpx
from prometheus_client import CollectorRegistry

from adapters.inbound.http import Application, Deps, create_app
from adapters.inbound.metrics import IntakeMetrics
from adapters.store.memory_quotas import MemoryQuotas
from gateway.core.admission import Known
from gateway.core.faults import Fault
from gateway.ports import Clock as ClockPort
from gateway.ports import Unavailable
from gateway.runtime.answers import Answer, clash_fault
from gateway.runtime.door import Client, Submission
from gateway.runtime.quotas import Quotas, Told

KEY = "ok_the-key-of-the-test"
CLIENT = Client("erp-1", "91330299MA9XYD0C2A")
OTHER_KEY = "ok_the-key-of-another"
OTHER = Client("erp-2", "91320599MA9HTQ7K6J")
SECRET = "SECRET-VALUE-9"
FAULT = Fault(code="XSD-LENGTH", path="/Certificate/CertNo", line=3, message="Too long.", remedy="Shorten it.")


class FakeDoor:
    """Accepts; a body that names another verdict gets it. The same key and bytes get the same answer."""

    def __init__(self) -> None:
        self.seen: list[Submission] = []
        self.away = False
        self.most_at_once = 0
        self._now = 0

    def enter(self, submission: Submission) -> "asyncio.Future[Answer]":
        """See `gateway.runtime.door.Door.enter`."""
        return asyncio.ensure_future(self.submit(submission))

    async def submit(self, submission: Submission) -> Answer:
        """See `gateway.runtime.door.Door.submit`."""
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        await asyncio.sleep(0.001)
        self._now -= 1
        if self.away or b"away" in submission.body:
            raise Unavailable("away")
        self.seen.append(submission)
        name = hashlib.sha256(submission.body).hexdigest()
        identity = uuid5(NAMESPACE_OID, name)
        if b"crash" in submission.body:
            raise ValueError("our bug")
        if b"refuse" in submission.body:
            return Answer.refused([FAULT, FAULT], submission.reference)
        if b"conflict" in submission.body:
            return Answer.conflict(clash_fault("NUMBER-IN-USE"), identity, submission.reference)
        if b"again" in submission.body:
            known = Known(identity, "C26X", CLIENT.enterprise, 1, "declared", name)
            return Answer.duplicate(known, "C", submission.reference, ())
        return Answer.accepted(identity, "C26X", 1, "C", submission.reference, ())


class TwoClients:
    """Knows two keys."""

    async def authenticate(self, key: str) -> Client | None:
        """See `gateway.reading.Authenticator`."""
        return {KEY: CLIENT, OTHER_KEY: OTHER}.get(key)


class Nothing:
    """An empty database."""

    async def certificate(self, enterprise: str, name: str) -> None:
        """Nothing."""

    def subscribe(self, enterprise: str, cursor: str | None) -> AsyncIterator[bytes]:
        """Never asked."""
        raise AssertionError

    def close(self) -> None:
        """Nothing to end."""


class Clock:
    """A fixed moment."""

    def now(self) -> datetime:
        """See `gateway.ports.Clock`."""
        return datetime(2026, 11, 22, 8, tzinfo=UTC)


def quotas_of(clock: ClockPort | None = None, told: Told = lambda client, over, first: None) -> Quotas:
    """Quotas of a process that is alone."""
    return Quotas(clock or Clock(), MemoryQuotas(), uuid4(), told)


async def ready() -> Sequence[str]:
    """Always."""
    return []


def application(door: FakeDoor, max_bytes: int = 10_000) -> Application:
    """The whole application around `door`."""
    registry = CollectorRegistry()
    nothing: Any = Nothing()
    deps = Deps(
        door=door,
        clients=TwoClients(),
        quotas=quotas_of(),
        reader=nothing,
        feed=nothing,
        command=nothing,
        operations=nothing,
        operator_key="op",
        observer=IntakeMetrics(registry),
        registry=registry,
        ready=ready,
        clock=Clock(),
        max_bytes=max_bytes,
    )
    return create_app(deps)


def client_of(app: Application, **headers: str) -> httpx.AsyncClient:
    """A client with the right key."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    return httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers={"authorization": f"Bearer {KEY}", **headers}
    )


def identity_of(body: bytes) -> UUID:
    """The id the fake door gives to these bytes."""
    return uuid5(NAMESPACE_OID, hashlib.sha256(body).hexdigest())
