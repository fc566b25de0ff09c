"""The import client of the simulated customs: the folders OutBox, SentBox and InBox as a bus, so that the same customs
plays behind folders as behind topics.

A file in OutBox is a question; when all its answers are out it moves to SentBox (the real client moves it when it took
it: here a crash in between must not lose it). An answer becomes a file in InBox, written as .tmp and renamed.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Self

from adapters.codecs.gateway_xml import GatewayCodec
from gateway.core.envelope import timestamp
from gateway.core.messages import TechnicalReceipt, TechnicalVerdict
from gateway.core.numbers import SHANGHAI
from gateway.ports import Consumer, Message, Positions, Record, Unavailable, Unreadable

OUT, SENT, IN = "OutBox", "SentBox", "InBox"
LOOK = 0.2
"""Seconds between two looks into OutBox."""
GOOD, BAD = "Successed", "Failed"
"""How a receipt's name begins; the misspelling is the client's."""

Seen = tuple[str, int, int]
"""A file: name, inode, time."""


class BoxBus:
    """Implements `gateway.ports.Bus` for one reader, which reads OutBox and writes InBox."""

    def __init__(self, folder: Path) -> None:
        """Makes the boxes that are missing. Raises OSError."""
        self.folder = folder
        for box in (OUT, SENT, IN):
            (folder / box).mkdir(parents=True, exist_ok=True)
        self._codec = GatewayCodec()
        self._stems: dict[str, str] = {}
        """Certificate number -> the last file that asked about it."""

    async def __aenter__(self) -> Self:
        """Nothing to connect."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to disconnect."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Each message a file in InBox. Raises Unavailable when the folder is away."""
        try:
            for message in messages:
                await asyncio.to_thread(self._put, message)
        except OSError as trouble:
            raise Unavailable(f"InBox can't be written: {trouble.strerror}") from trouble

    def consumer(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[Consumer]:
        """The reader of OutBox; `topics` has one, which its records bear."""
        return self._member(topics[0])

    @contextlib.asynccontextmanager
    async def _member(self, topic: str) -> AsyncIterator[Consumer]:
        yield _Boxes(self, topic)

    def asked(self, file: Seen, body: bytes, topic: str, offset: int) -> Record:
        """A file as a record. Its time is the time of writing, so that a file put out again is asked again."""
        name, _, written = file
        stem = name.rsplit(".", 1)[0]
        self._stems[stem.split("_", 1)[0]] = stem
        at = datetime.fromtimestamp(written / 1e9, UTC)
        headers: Mapping[str, str] = MappingProxyType({"ce_id": name, "ce_time": timestamp(at)})
        return Record(topic, 0, offset, name, body, headers)

    def _put(self, message: Message) -> None:
        """`Successed_<name of the question>_<17 digits>.xml`, another time than any that is there."""
        begin = BAD if self._refuses(message) else GOOD
        at = datetime.fromisoformat(message.headers["ce_time"]).astimezone(SHANGHAI)
        digits = int(f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03d}")
        stem = self._stems.get(message.key, message.key)
        aside = self.folder / IN / f"{hashlib.sha256(message.body).hexdigest()}.tmp"
        aside.write_bytes(message.body)
        while True:
            try:
                os.link(aside, self.folder / IN / f"{begin}_{stem}_{digits}.xml")
                break
            except FileExistsError:
                digits += 1
        aside.unlink()

    def _refuses(self, message: Message) -> bool:
        try:
            read = self._codec.decode(message.topic, message.body)
        except Unreadable:
            return False
        return isinstance(read, TechnicalReceipt) and read.verdict is TechnicalVerdict.REFUSED


@dataclass(slots=True)
class _Boxes:
    """See `gateway.ports.Consumer`. Offsets count what this process read."""

    bus: BoxBus
    topic: str
    next: int = 0
    open: dict[Seen, int] = field(default_factory=dict)
    """What was handed out and has not its answers yet, in order."""

    async def poll(self, max_records: int, timeout: float) -> Sequence[Record]:
        """New files in OutBox, by name. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            try:
                records = await asyncio.to_thread(self._look, max_records)
            except OSError as trouble:
                raise Unavailable(f"OutBox can't be read: {trouble.strerror}") from trouble
            if records or loop.time() >= end:
                return records
            await asyncio.sleep(min(LOOK, max(0.0, end - loop.time())))

    async def commit(self, positions: Positions) -> None:
        """What was answered goes to SentBox. Raises Unavailable."""
        before = positions.get((self.topic, 0), 0)
        try:
            await asyncio.to_thread(self._move, before)
        except OSError as trouble:
            raise Unavailable(f"SentBox can't be written: {trouble.strerror}") from trouble

    async def rewind(self) -> None:
        """What has no answers yet is handed out again."""
        self.open.clear()

    def _look(self, most: int) -> list[Record]:
        records: list[Record] = []
        for path in sorted((self.bus.folder / OUT).glob("*.xml")):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                file = (path.name, facts.st_ino, facts.st_mtime_ns)
                if file in self.open or len(records) >= most:
                    continue
                records.append(self.bus.asked(file, path.read_bytes(), self.topic, self.next))
                self.open[file] = self.next
                self.next += 1
        return records

    def _move(self, before: int) -> None:
        for file in [file for file, offset in self.open.items() if offset < before]:
            name, inode, _ = file
            path = self.bus.folder / OUT / name
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == inode:  # else it was put out again meanwhile: another question
                    path.replace(self.bus.folder / SENT / name)
            del self.open[file]
