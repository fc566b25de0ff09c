"""Enterprises around a gateway process: enrolled once, they declare over HTTP and by folder, and never give up.

What a client was told is written to its own ledger, fsynced line by line, before it goes on: the judge of what the
gateway knows after a crash is not the gateway.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson

from simulators.erp.client import Operator
from simulators.erp.enterprises import Enterprise
from simulators.erp.onboarding import Wallet, onboard, wallet
from tests.integration.process import Serve

RETRY = 0.05
"""Seconds before a client tries again."""
SUFFIX = {"application/xml": "xml", "application/json": "json"}


@dataclass(frozen=True, slots=True)
class Account:
    """One enterprise's client at a gateway."""

    enterprise: Enterprise
    name: str
    key: str

    @property
    def bearer(self) -> dict[str, str]:
        """The header that opens the gateway."""
        return {"authorization": f"Bearer {self.key}"}


@dataclass(frozen=True, slots=True)
class Enrolled:
    """All accounts, by credit code, and the keys that sign."""

    accounts: Mapping[str, Account]
    wallet: Wallet


async def enrol(serve: Serve, folder: Path, enterprises: Sequence[Enterprise]) -> Enrolled:
    """API key, seal, handwriting and signing key of each. `folder` keeps the keys."""
    keys = await asyncio.to_thread(wallet, folder, enterprises, datetime.now(UTC))
    async with httpx.AsyncClient(base_url=serve.url, trust_env=False, timeout=30) as http:
        clients = await onboard(Operator(http, serve.operator_key), http, folder, enterprises, keys)
    kept: dict[str, list[str]] = orjson.loads((folder / "clients.json").read_bytes())
    accounts = {e.code: Account(e, clients[e.code][0], kept[e.code][1]) for e in enterprises}
    return Enrolled(accounts, keys)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One declaration to deliver."""

    key: str
    account: Account
    media_type: str
    body: bytes
    way: str
    """http or folder."""
    patience: float = 10.0
    """Seconds until the first try is given up, answer or not; the others have time."""


class Ledger:
    """What a client was told, in a file of its own, each line on the disk before the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab")

    def write(self, parcel: Parcel, answer: Mapping[str, Any]) -> None:
        """One answer, durable on return."""
        self._file.write(orjson.dumps({"key": parcel.key, "way": parcel.way, **answer}) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def lines(self) -> list[dict[str, Any]]:
        """Everything written so far."""
        return [orjson.loads(line) for line in self._path.read_bytes().splitlines()]

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


class Sender:
    """Delivers parcels until each is answered, whatever happens to the gateway meanwhile."""

    def __init__(self, url: Callable[[], str], folders: Path, ledger: Ledger) -> None:
        """`url`: where the gateway is now; it moves with every start."""
        self._url = url
        self._folders = folders
        self._ledger = ledger
        self.retries = 0

    async def deliver(self, parcel: Parcel) -> None:
        """Send until there is an answer, and write it down."""
        answer = await (self._over_http(parcel) if parcel.way == "http" else self._by_folder(parcel))
        await asyncio.to_thread(self._ledger.write, parcel, answer)

    async def _over_http(self, parcel: Parcel) -> Mapping[str, Any]:
        headers = {**parcel.account.bearer, "content-type": parcel.media_type, "idempotency-key": parcel.key}
        patience = parcel.patience
        while True:
            try:
                timeout = httpx.Timeout(10, read=patience)
                async with httpx.AsyncClient(trust_env=False, timeout=timeout) as http:
                    response = await http.post(f"{self._url()}/v1/declarations", content=parcel.body, headers=headers)
                if response.status_code != 503:
                    return {"http": response.status_code, **response.json()}
            except (httpx.TransportError, httpx.InvalidURL):
                pass  # it was killed, or is starting: the same bytes under the same key again
            self.retries += 1
            patience = 10.0
            await asyncio.sleep(RETRY)

    async def _by_folder(self, parcel: Parcel) -> Mapping[str, Any]:
        root = self._folders / parcel.account.name
        await asyncio.to_thread(drop, root, f"{parcel.key}.{SUFFIX[parcel.media_type]}", parcel.body)
        names = [root / f / f"{parcel.key}.{SUFFIX[parcel.media_type]}.result.json" for f in ("accepted", "rejected")]
        while True:
            for name in names:
                if name.exists():
                    return dict(orjson.loads(name.read_bytes()))
            await asyncio.sleep(RETRY)


def drop(root: Path, name: str, body: bytes) -> None:
    """Into a client's hot folder, whole by rename."""
    (root / "in").mkdir(parents=True, exist_ok=True)
    aside = root / "in" / f".{name}.part"
    aside.write_bytes(body)
    aside.rename(root / "in" / name)


class Listener:
    """Reads one enterprise's event stream for ever, resuming after every cut where it was."""

    def __init__(self, url: Callable[[], str], account: Account) -> None:
        self._url = url
        self._account = account
        self._cursor = "0"
        self.events: list[dict[str, Any]] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with (
                    httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(5, read=20)) as http,
                    http.stream("GET", f"{self._url()}/v1/events", headers=self._headers) as response,
                ):
                    if response.status_code == 200:
                        await self._read(response)
            except (httpx.TransportError, httpx.InvalidURL):
                pass  # killed: resume
            await asyncio.sleep(RETRY)

    @property
    def _headers(self) -> dict[str, str]:
        return {**self._account.bearer, "last-event-id": self._cursor}

    async def _read(self, response: httpx.Response) -> None:
        """An event counts when its empty line has come: until then the cursor stays."""
        cursor, data = self._cursor, ""
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                cursor = line.removeprefix("id: ")
            elif line.startswith("data: "):
                data = line.removeprefix("data: ")
            elif not line:
                self._cursor = cursor
                if data:
                    self.events.append(orjson.loads(data))
                data = ""
