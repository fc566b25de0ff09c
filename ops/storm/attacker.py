"""The attacker at work: two clients of one enterprise, by every way in, for as long as the storm rages.

One takes what is others' and sends what costs; the other has small quotas and sends more. Both come from an address of
their own. What they are told stands in a ledger, as what honest clients are told; an attack that got no answer is not
made again, another one is.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count, cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from gateway.core.numbers import SHANGHAI
from ops.storm.attacks import DOCUMENTS, Attack, Hostile, documents, number_of, own
from ops.storm.check import Hit
from ops.storm.evidence import SUBMITTED, elsewhere, hit, said
from ops.storm.ground import FLOODER, THIEF, Ground
from ops.storm.load import Ledger
from simulators.erp.enterprises import AGENT, Enterprise

HOME = "127.0.0.2"
"""Where the attacker's connections come from."""
REST = 2.0
"""Seconds between two attacks that need many of something."""
PATIENCE = 10.0
"""Seconds it waits for an answer."""
LAST = 120.0
"""Seconds in which the last attacks must have their answers, when nothing is down any more."""
LINES = 100
"""Of a batch: more than its quota of a minute, twice."""
STREAMS, BODIES, STRANGERS = 8, 40, 300
"""Streams, connections whose bodies never come, and connections without any key: more than it may have."""
HELD = 2.0
"""Seconds that such connections are kept."""
NO_ANSWER = (httpx.TransportError, OSError, TimeoutError, KafkaError)


class Attacker:
    """`open` it once the gateway is ready, `run` it during the storm, and let it try all once more when it is calm."""

    def __init__(
        self,
        ground: Ground,
        keys: Mapping[str, str],
        ledger: Ledger[Hit],
        victims: Sequence[Enterprise],
        seed: int,
        *,
        rate: float,
    ) -> None:
        """keys: those of its two clients, by name. rate: documents a second at most."""
        self._ground, self._keys, self._ledger, self._victims = ground, keys, ledger, victims
        self._random = Random(f"attacker/{seed}")  # noqa: S311 (a schedule, not a secret)
        year = f"{datetime.now(UTC).astimezone(SHANGHAI):%y}"
        self._year, self._documents = year, documents(seed, AGENT, victims, year)
        self._serials = count(1)
        self._pause = 1 / rate
        limits = httpx.Limits(max_connections=16)
        transport = httpx.AsyncHTTPTransport(local_address=HOME, limits=limits, trust_env=False)
        self._http = httpx.AsyncClient(transport=transport, trust_env=False, timeout=PATIENCE)
        self._producer: AIOKafkaProducer | None = None
        self._calm, self._ending, self._over = False, False, asyncio.Event()
        self.unanswered = 0
        """Attacks without an answer; the ledger has the others."""

    async def open(self) -> None:
        """A sound declaration of its own is taken: its key is good. Raises RuntimeError."""
        await self._until(partial(self._try, self._own))
        if not any(hit.http == 202 for hit in self._ledger.lines()):
            raise RuntimeError("the attacker's own declaration was not taken")

    async def run(self) -> None:
        """Until `end`, or cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send())
            group.create_task(self._press())
        self._over.set()

    async def end(self) -> None:
        """It rests when the load does; what it has in hand it finishes."""
        self._ending = True
        await self._over.wait()

    async def once_more(self) -> None:
        """Each attack, now that nothing is down: each is answered, and none with a 503."""
        self._calm = True
        for way in self._ways():
            for sent in islice(self._documents, len(DOCUMENTS)):
                await self._until(partial(self._try, partial(way, sent)))
        for attack in (self._own, *self._pressing()):
            await self._until(partial(self._try, attack))
        await self._until(self._answered)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()
        await self._hang_up()

    # ------------------------------------------------------------ one after the other

    async def _send(self) -> None:
        """Documents, by each way in turn."""
        for way, sent in zip(cycle(self._ways()), self._documents, strict=False):
            if self._ending:
                return
            await self._try(partial(way, sent))
            await asyncio.sleep(self._pause)

    async def _press(self) -> None:
        """What needs many of something."""
        for attack in cycle(self._pressing()):
            if self._ending:
                return
            await self._try(attack)
            await asyncio.sleep(REST)

    def _pressing(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (self._look, self._flood, self._streams, self._slow, self._nobody)

    def _ways(self) -> tuple[Callable[[Hostile], Awaitable[None]], ...]:
        others = (self._by_folder, self._by_bus) if self._ground.kafka else (self._by_folder,)
        return (self._by_http, self._by_http, *others)

    async def _try(self, attack: Callable[[], Awaitable[None]]) -> bool:
        """Was there an answer?"""
        try:
            await attack()
        except NO_ANSWER:
            self.unanswered += 1
            return False
        return True

    async def _until(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Nobody waits for ever: what is not done in time, the judge finds."""
        end = time.monotonic() + LAST
        while not await done():
            if time.monotonic() > end:
                return
            await asyncio.sleep(0.5)

    async def _answered(self) -> bool:
        """Has it an answer to everything that it put into its folder and wrote on its topic?"""
        return all(hit.http for hit in await elsewhere(self._ground))

    # ------------------------------------------------------------ documents

    async def _by_http(self, sent: Hostile) -> None:
        answer = await self._http.post(
            f"{self._door()}/v1/declarations",
            content=sent.body,
            headers=self._as(THIEF) | {"content-type": sent.media_type, "idempotency-key": sent.name},
        )
        self._told(sent.attack, "http", answer.status_code, answer.content)

    async def _own(self) -> None:
        serial = next(self._serials)
        await self._by_http(own(self._random, f"own-{serial:07d}", AGENT, serial))

    async def _by_folder(self, sent: Hostile) -> None:
        """Its answer lies beside it later, see `elsewhere`."""
        folder = self._ground.hot / THIEF / "in"
        name = f"{sent.name}.{'json' if sent.media_type.endswith('json') else 'xml'}"
        await asyncio.to_thread(_put, folder, name, sent.body)

    async def _by_bus(self, sent: Hostile) -> None:
        """Its answer stands on its other topic later, see `elsewhere`."""
        headers = [("content-type", sent.media_type.encode()), ("ce_id", sent.name.encode())]
        try:
            async with asyncio.timeout(PATIENCE):
                if self._producer is None and self._ground.kafka is not None:
                    self._producer = AIOKafkaProducer(bootstrap_servers=self._ground.kafka.bootstrap)
                    await self._producer.start()
                if self._producer is not None:
                    await self._producer.send_and_wait(f"{SUBMITTED}.{THIEF}", sent.body, headers=headers)
        except BaseException:
            await self._hang_up()
            raise

    # ------------------------------------------------------------ the others

    async def _look(self) -> None:
        """What is to be seen and done of another's certificate, whose number is easily guessed."""
        number = number_of(self._random, "C", self._random.choice(self._victims), self._year)
        place = f"{self._door()}/v1/certificates/{number}"
        requests: tuple[tuple[str, str, Mapping[str, Any] | None], ...] = (
            ("GET", "", None),
            ("GET", "/timeline", None),
            ("GET", "/receipts", None),
            ("GET", "/copy.pdf", None),
            ("POST", "/print", {"what": "both"}),
            ("POST", "/confirm", {"printed": True}),
        )
        for method, path, body in requests:
            answer = await self._http.request(method, place + path, headers=self._as(THIEF), json=body)
            self._told(Attack.PAPER, "http", answer.status_code, answer.content)

    async def _flood(self) -> None:
        """A batch of sound drafts of its own."""
        lines = [own(self._random, "", AGENT, next(self._serials)).body for _ in range(LINES)]
        answer = await self._http.post(
            f"{self._door()}/v1/declarations",
            content=b"\n".join(line.replace(b"\n", b" ") for line in lines),
            headers=self._as(FLOODER) | {"content-type": "application/x-ndjson"},
        )
        for line in answer.content.splitlines():
            self._told(Attack.FLOOD, "batch", said(line).get("http", answer.status_code), line)

    async def _streams(self) -> None:
        """Of what happens to its own certificates, from the first on."""
        door = self._door()  # streams are counted in each process
        answers = await asyncio.gather(*(self._stream(door) for _ in range(STREAMS)), return_exceptions=True)
        seen = Counter(chain.from_iterable(answer for answer in answers if not isinstance(answer, BaseException)))
        for (status, number), times in seen.items():
            told = Hit(Attack.STREAM, "stream", status, number=number, calm=self._calm, times=0 if number else times)
            self._ledger.write(told)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def _stream(self, door: str) -> list[tuple[int, str]]:
        """The status of the answer, with no number; and with the number of each certificate that it told of."""
        end, told = time.monotonic() + HELD, [""]
        # Not asyncio's timeout: a cancelled request can keep its place in the pool of connections for ever.
        asked = self._http.stream(
            "GET",
            f"{door}/v1/events",
            params={"since": "0"},
            headers=self._as(FLOODER),
            timeout=httpx.Timeout(PATIENCE, read=HELD),
        )
        async with asked as answer:
            with contextlib.suppress(httpx.TransportError):
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        told.append(str(said(line.removeprefix("data:").encode()).get("number") or ""))
                    if time.monotonic() > end:
                        break
        return [(answer.status_code, number) for number in dict.fromkeys(told)]

    async def _slow(self) -> None:
        head = f"Authorization: Bearer {self._keys[FLOODER]}\r\n"
        await self._knock(Attack.SLOW, BODIES, head)

    async def _nobody(self) -> None:
        await self._knock(Attack.NOBODY, STRANGERS)

    async def _knock(self, attack: Attack, connections: int, head: str = "") -> None:
        """Many that announce a body and send none; who has no answer after a while goes away."""
        port = httpx.URL(self._door()).port or 0
        request = f"POST /v1/declarations HTTP/1.1\r\nHost: x\r\n{head}Content-Type: application/json\r\n"
        request += "Content-Length: 1000\r\n\r\n"
        answers = Counter(await asyncio.gather(*(_status(port, request.encode()) for _ in range(connections))))
        self.unanswered += answers.pop(0, 0)
        for status, times in answers.items():
            self._told(attack, "connection", status, b"", times)
        if not answers:
            raise TimeoutError

    # ------------------------------------------------------------ small things

    def _told(self, attack: Attack, way: str, http: int, content: bytes, times: int = 1) -> None:
        self._ledger.write(hit(attack, way, http, content, calm=self._calm, times=times))

    def _as(self, client: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._keys[client]}"}

    def _door(self) -> str:
        return self._random.choice(self._ground.doors)

    async def _hang_up(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await producer.stop()


async def _status(port: int, request: bytes) -> int:
    """The status of the answer; 0: there was none."""
    try:
        async with asyncio.timeout(HELD):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(HOME, 0))
            try:
                writer.write(request)
                line = await reader.readline()
            finally:
                writer.close()
        return int(line.split()[1])
    except (OSError, TimeoutError, ValueError, IndexError):
        return 0


def _put(folder: Path, name: str, body: bytes) -> None:
    """Whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}.part"
    aside.write_bytes(body)
    aside.rename(folder / name)
