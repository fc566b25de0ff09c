"""The link to customs by the import client's folders: what goes out becomes a file in OutBox, what customs sends is
taken from InBox. See `customs_boxes` for the folders.

Out: a file is named by certificate number and message id, so that a message repeated after a crash is the same file,
and customs gets it once. In: published first, then put away; a crash between the two publishes it again, under the id
that its bytes give it, and readers drop the double. Any number of processes: each writes the messages of its own
certificates, one at a time watches InBox (a lock).
"""

import asyncio
import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

import orjson
import structlog

from adapters.codecs.bundles import apart
from adapters.codecs.gateway_xml import number_in
from adapters.codecs.receipts import message_id, open_tolerantly
from adapters.codecs.xml import MAX_BYTES
from adapters.inbound.customs_boxes import WHY, Letter, open_inbox, put_out, sweep
from adapters.inbound.folder_files import Changed, Claimed, ClientFolder, NotPlain, Sight, TooLarge
from adapters.inbound.metrics import LinkMetrics
from gateway.core.certificate import FROM_CUSTOMS
from gateway.core.envelope import headers
from gateway.ports import Bus, Clock, Message, MessageCodec, Record, Unavailable, Unreadable
from gateway.runtime.consume import consume
from gateway.runtime.dead_letters import Opener, broken
from gateway.runtime.inputs import record_id
from gateway.runtime.observer import Observer
from gateway.runtime.outgoing import OUTBOUND
from gateway.runtime.patience import Away, Patience

GROUP: Final = "customs-link"
INBOX: Final = "customs-inbox"
"""Who watches InBox, in logs and metrics."""
INBOUND: Final = "origin.customs.inbound.v1"
SOURCE: Final = "/customs-link"
NEIGHBOUR: Final = "customs"
AT_ONCE: Final = 100
"""Files written, or read, together."""
IN_HAND: Final = 32 << 20
"""Bytes of files in hand above which no more are taken."""
HALF_WRITTEN: Final = 10.0
"""Seconds that a file without an end may take to get one: who does not write it as .tmp may be slow."""
POLL: Final = 0.5
"""Seconds between two looks into InBox."""
NUMBER: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
"""A certificate number that may be part of a file's name."""

log = structlog.get_logger("adapters.inbound.customs_link")


class CustomsOut:
    """Writes what the gateway sends to customs."""

    def __init__(
        self, folder: Path, bus: Bus, opener: Opener, clock: Clock, observer: Observer, counted: LinkMetrics
    ) -> None:
        """`opener`: buries what names no certificate, so that the next message is not held up."""
        self._folder = folder
        self._bus = bus
        self._opener = opener
        self._clock = clock
        self._observer = observer
        self._counted = counted

    async def run(self) -> None:
        """Until cancelled, or the bus ends."""
        await consume(self._bus, GROUP, (OUTBOUND,), self.handle, self._observer, AT_ONCE, neighbour=NEIGHBOUR)

    async def handle(self, records: Sequence[Record]) -> None:
        """All of `records` as files, durable. Raises Unavailable: all of them come again."""
        letters = []
        for record in records:
            number = await self._opener.open(record, number_of)
            if number is not None:
                name = f"{number}_{_identity(record)}.xml"
                letters.append(Letter(name, record.body, _written(record) or self._clock.now()))
        try:
            written = await asyncio.to_thread(put_out, self._folder, letters)
        except OSError as trouble:
            raise _away(trouble) from trouble
        self._counted.sent(written, len(letters) - written)


class Found(NamedTuple):
    """A file that was taken."""

    file: Claimed
    message: Message | None
    """What the turn is to read."""
    trouble: Unreadable | None
    """Why nobody can read it: it goes aside."""


class CustomsIn:
    """Reads what customs sends."""

    def __init__(
        self,
        folder: Path,
        bus: Bus,
        codec: MessageCodec,
        clock: Clock,
        observer: Observer,
        counted: LinkMetrics,
        *,
        settle: float = 0.5,
        poll: float = POLL,
        half_written: float = HALF_WRITTEN,
    ) -> None:
        """`settle`: seconds without a write after which a file is whole; `half_written`: if it has an end."""
        self._folder = folder
        self._bus = bus
        self._codec = codec
        self._clock = clock
        self._observer = observer
        self._counted = counted
        self._settle = settle
        self._poll = poll
        self._half_written = half_written
        self._endless: dict[str, tuple[int, float]] = {}
        """Files without an end: name -> size, and since when."""
        self._seen: dict[str, Sight] = {}
        self._ending = asyncio.Event()

    def stop(self) -> None:
        """Take no more files; `run` returns when those in hand are put away."""
        self._ending.set()

    async def run(self) -> None:
        """Work until `stop`, or until cancelled. A folder or a bus that is away is waited for."""
        patience = Patience(INBOX, self._observer, sleep=self._pause)
        while not self._ending.is_set():
            try:
                with _lock(self._folder) as ours:
                    if not ours:  # another process watches
                        await self._pause(2.0)
                        continue
                    await asyncio.to_thread(sweep, self._folder)
                    await self._watch(patience)
            except Unavailable as trouble:
                await patience.wait("bus", trouble)
            except OSError as trouble:
                await patience.wait(NEIGHBOUR, _away(trouble))

    async def _watch(self, patience: Patience) -> None:
        """Pass after pass, while the lock is ours. Raises Unavailable and OSError."""
        log.info("customs_link.watching")
        while not self._ending.is_set():
            folder = await asyncio.to_thread(open_inbox, self._folder)
            try:
                busy = await self.work_once(folder, patience.share(AT_ONCE))
            finally:
                folder.close()
            patience.over()
            if not busy:
                await self._pause(self._poll)

    async def work_once(self, folder: ClientFolder, most: int) -> bool:
        """One pass: first what stands in InWork, then what is whole in InBox; at most `most` files. True when there
        was something to do. Raises Unavailable and OSError: what was claimed stays in InWork."""
        found = await asyncio.to_thread(self._take, folder, most)
        if not found:
            return False
        await self._bus.publish([one.message for one in found if one.message])
        await asyncio.to_thread(self._put_away, folder, found)
        return True

    def _take(self, folder: ClientFolder, most: int) -> "list[Found]":
        claimed = list(folder.claimed())[:most]
        if not claimed:
            ready, seen = folder.whole(self._seen, time.monotonic(), self._settle)
            claimed = [one for name in ready[:most] if (one := folder.claim(name))]
            self._endless = {name: size for name, size in self._endless.items() if name in seen}
            taken = {one.name for one in claimed}
            self._seen = {name: sight for name, sight in seen.items() if name not in taken}
        found: list[Found] = []
        bytes_in_hand = 0
        for file in claimed:
            try:
                body = folder.read(file, MAX_BYTES)
            except Changed:
                folder.give_back(file)
            except TooLarge:
                found.append(Found(file, None, Unreadable("INBOX-TOO-LARGE", f"over {MAX_BYTES >> 20} MiB")))
            except NotPlain:
                trouble = Unreadable("INBOX-NOT-PLAIN", "no regular file, or we may not read it")
                found.append(Found(file, None, trouble))
            else:
                bytes_in_hand += len(body)
                if not self._half(file.name, body) or not folder.give_back(file):
                    found.append(self._found(file, body))
            if bytes_in_hand > IN_HAND:
                break
        return found

    def _half(self, name: str, body: bytes) -> bool:
        """It has no end yet, and somebody may still be writing it."""
        if body.rstrip(b"\0\x1a \t\r\n").endswith(b">"):
            self._endless.pop(name, None)
            return False
        now = time.monotonic()
        size, since = self._endless.get(name, (-1, now))
        if size != len(body):
            since = now
        self._endless[name] = (len(body), since)
        if now - since < self._half_written:
            return True
        del self._endless[name]
        return False

    def _found(self, file: Claimed, body: bytes) -> "Found":
        """What the turn will read: the whole file, which it takes apart. What nobody can read it gets too where it
        names a certificate, so that this is told."""
        number, trouble = "", None
        try:
            for part in apart(body):
                try:
                    read = self._codec.decode(INBOUND, part)
                except Unreadable as unreadable:
                    trouble = trouble or unreadable
                else:
                    number = number or (read.number if isinstance(read, FROM_CUSTOMS) else "")
        except Unreadable as unreadable:
            trouble = unreadable
        except Exception as error:  # our bug must not stand in the way of the other files
            log.error("customs_link.broke", exc_info=error)
            return Found(file, None, broken(error))
        key = number or number_in(body)
        if not key:
            return Found(file, None, trouble or Unreadable("INBOUND-ROOT", "neither a receipt nor a layout document"))
        attributes = headers("customs.inbound", message_id(body), key, self._clock.now(), "application/xml")
        message = Message(INBOUND, key, body, {**attributes, "ce_source": SOURCE})
        return Found(file, message, None if number else trouble)

    def _put_away(self, folder: ClientFolder, found: "Sequence[Found]") -> None:
        for file, message, trouble in found:
            if trouble is None:
                folder.put_away(file, "accepted")
                self._counted.received()
                continue
            told = {"code": trouble.code, "detail": trouble.detail}
            if message:
                told["see"] = "It is with the dead letters too, where it can be mended: origin dlt list."
            folder.finish(file, "rejected", orjson.dumps(told) + b"\n", WHY)
            self._counted.aside()
            log.error("customs_link.aside", code=trouble.code)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless the end is asked for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()


def number_of(body: bytes) -> str:
    """The certificate number in an official message. Raises Unreadable."""
    root, _ = open_tolerantly(body)
    number = next((element.text or "" for element in root.iter("{*}CertNo")), "").strip()
    if not NUMBER.fullmatch(number):
        raise Unreadable("OUTBOUND-NUMBER", "the message names no certificate number that could name a file")
    return number


def _away(trouble: OSError) -> Away:
    return Away(NEIGHBOUR, trouble.strerror or str(trouble))


def _identity(record: Record) -> UUID:
    try:
        return UUID(record.headers.get("ce_id", ""))
    except ValueError:
        return record_id(record)


def _written(record: Record) -> datetime | None:
    try:
        at = datetime.fromisoformat(record.headers.get("ce_time", ""))
    except ValueError:
        return None
    return at if at.tzinfo else None


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """True while this process alone watches `folder`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
