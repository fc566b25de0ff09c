"""The load: ERPs that never give up, and write down every answer they saw before they go on.

A parcel is sent to any intake process until somebody answers, always the same bytes under the same key; some clients
hang up early, and some ask again for what they know. The ledger is this side's memory, fsynced line by line.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Generic, TypeVar

import asyncpg
import httpx
import orjson

from ops.storm.documents import Parcel, parcel
from simulators.erp.enterprises import Enterprise

Line = TypeVar("Line")
RETRY = 0.1
PATIENCE = 6.0
"""Seconds a client waits for an answer."""
HASTY, AGAIN = 0.05, 0.03
"""Shares of clients that hang up at once the first time, and that ask once more when they know the answer."""
LOOK, SHARE = 1.0, 20
"""Seconds between two looks at what is on its way; a look may take this part of the time."""
PASSING = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Of a database that is killed again and again."""
ACCEPTED = "SELECT count(*) FROM origin.certificate WHERE id = ANY($1::uuid[]) AND status = 'accepted'"
OPEN = "SELECT count(*) FROM origin.certificate WHERE NOT status = ANY($1::text[])"
REFUSED = """
SELECT DISTINCT c.id::text AS id, c.exporter FROM origin.certificate c JOIN origin.event e ON e.subject_id = c.id
WHERE e.kind = 'print_refused' AND (c.state->'papers'->'original'->>'print' = 'none'
                                    OR c.state->'papers'->'copy'->>'print' = 'none')
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the ledger: an answer somebody saw."""

    enterprise: str
    """Credit code of who sent it."""
    key: str
    sha256: str
    """Of the bytes that were sent."""
    life: str
    http: int
    status: str
    id: str
    number: str


class Ledger(Generic[Line]):
    """What clients were told, each line on the disk before the next."""

    def __init__(self, path: Path, line: type[Line]) -> None:
        self._path, self._line = path, line
        self._file = path.open("ab", buffering=0)

    def write(self, line: Line) -> None:
        """One answer, durable on return."""
        self._file.write(orjson.dumps(line) + b"\n")
        os.fsync(self._file.fileno())

    def lines(self) -> list[Line]:
        """Everything written so far."""
        return [self._line(**orjson.loads(line)) for line in self._path.read_bytes().splitlines()]

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


class Load:
    """Sends parcels as far as it is let: `release` says how many may be sent; never more than `window` stand open."""

    def __init__(
        self,
        urls: Sequence[str],
        keys: Mapping[str, str],
        ledger: Ledger[Answer],
        source: Iterator[Parcel],
        dsn: str,
        seed: int,
        *,
        rate: float,
        window: int,
        ends: Sequence[str],
    ) -> None:
        """keys: credit code -> API key. dsn: the database itself, to see how many certificates are not at one of the
        statuses `ends` yet. rate: declarations a second at most; 0: as they go."""
        self._urls, self._keys, self._ledger, self._source = list(urls), keys, ledger, source
        self._dsn, self._window, self._ends = dsn, window, list(ends)
        self._random = Random(f"load/{seed}")  # noqa: S311 (a schedule, not a secret)
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=32)
        self._http = httpx.AsyncClient(trust_env=False, limits=limits)
        self._pause, self._next = (1 / rate if rate else 0.0), 0.0
        self._released = 0
        self._canaries = count(1)
        self.taken = self.answered = self.retries = self.refused = self.broken = self.open = 0
        """Parcels begun, answered; tries without an answer; answers 503, and other 5xx; certificates on their way."""

    def release(self, up_to: int) -> None:
        """So many may be sent, all in all."""
        self._released = max(self._released, up_to)

    async def run(self, workers: int = 12) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look())
            for _ in range(workers):
                group.create_task(self._work())

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def canary(self, enterprise: Enterprise, life: str, urls: Sequence[str] | None = None) -> list[str]:
        """A fresh declaration, answered by each of `urls` (None: by anybody); the certificates."""
        found = []
        for url in urls or [""]:
            number = next(self._canaries)
            sent = parcel(self._random, f"canary-{number:05d}", life, enterprise, 900_000 + number)
            where: Callable[[], str] = partial(str, url) if url else self._anywhere
            found.append(await self._deliver(sent, where))
        return found

    async def through(self, certificates: Sequence[str]) -> None:
        """Until the turn has worked all of these."""
        while True:
            try:
                connection = await asyncpg.connect(self._dsn, timeout=10)
                try:
                    while True:
                        if not await connection.fetchval(ACCEPTED, certificates):
                            return
                        await asyncio.sleep(0.1)
                finally:
                    connection.terminate()
            except PASSING:
                await asyncio.sleep(0.1)

    async def print_again(self) -> int:
        """The owners of refused prints ask for them again; how many there were."""
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            waiting = await connection.fetch(REFUSED)
        finally:
            await connection.close()
        for row in waiting:
            headers = {"authorization": f"Bearer {self._keys[row['exporter']]}"}
            url = f"{self._random.choice(self._urls)}/v1/certificates/{row['id']}/print"
            try:
                await self._http.post(url, json={"what": "both"}, headers=headers, timeout=PATIENCE)
            except httpx.TransportError:
                self.retries += 1
        return len(waiting)

    async def _work(self) -> None:
        while True:
            now = time.monotonic()
            full = self.open + self.taken - self.answered > self._window
            if full or self.taken >= self._released or now < self._next:
                await asyncio.sleep(0.02)
                continue
            self._next = max(self._next + self._pause, now - 1.0)
            self.taken += 1
            await self._deliver(next(self._source), self._anywhere)
            self.answered += 1
            self.open += 1

    def _anywhere(self) -> str:
        return self._random.choice(self._urls)

    async def _deliver(self, sent: Parcel, where: Callable[[], str]) -> str:
        """Send until there is an answer; the certificate it names."""
        patience = self._random.uniform(0.005, 0.05) if self._random.random() < HASTY else PATIENCE
        while (certificate := await self._asked(sent, where(), patience)) is None:
            self.retries += 1
            patience = PATIENCE
            await asyncio.sleep(RETRY)
        if self._random.random() < AGAIN:
            await self._asked(sent, where(), PATIENCE)
        return certificate

    async def _asked(self, sent: Parcel, url: str, patience: float) -> str | None:
        """The certificate in the answer, which stands in the ledger then; None: there was no answer."""
        headers = {
            "authorization": f"Bearer {self._keys[sent.enterprise]}",
            "content-type": sent.media_type,
            "idempotency-key": sent.key,
        }
        try:
            # Not asyncio's timeout: a cancelled request can keep its place in the pool of connections for ever.
            timeout = httpx.Timeout(PATIENCE, read=patience)
            response = await self._http.post(
                f"{url}/v1/declarations", content=sent.body, headers=headers, timeout=timeout
            )
            said = orjson.loads(response.content)
        except (httpx.TransportError, orjson.JSONDecodeError):
            return None
        if response.status_code >= 500:
            self.refused += response.status_code == 503
            self.broken += response.status_code != 503
            return None
        told = {name: said.get(name) or "" for name in ("status", "id", "number")}
        sha256 = hashlib.sha256(sent.body).hexdigest()
        self._ledger.write(Answer(sent.enterprise, sent.key, sha256, sent.life, response.status_code, **told))
        return str(said.get("id") or "")

    async def _look(self) -> None:
        """How many are on their way, from the database's own mouth; while it is away the last word counts."""
        while True:
            try:
                connection = await asyncpg.connect(self._dsn, timeout=10)
                try:
                    while True:
                        began = time.monotonic()
                        self.open = await connection.fetchval(OPEN, self._ends)
                        await asyncio.sleep(max(LOOK, SHARE * (time.monotonic() - began)))
                finally:
                    connection.terminate()
            except PASSING:
                await asyncio.sleep(LOOK)
