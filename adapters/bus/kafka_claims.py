"""Claim check: a large body stays in the store, the topic carries its hash. A broker takes 1 MiB by default."""

import hashlib
import logging

from adapters.bus.kafka_client import MOST_BODY
from adapters.bus.topics import Topics
from gateway.ports import Blobs, Message, Record

log = logging.getLogger(__name__)

CLAIM = "origin-claim-sha256"
"""Header with the SHA-256 of the body, in hex; the record's own body is empty then."""
KIND = "message"


class Claims:
    """Swaps large bodies for their hash and back."""

    def __init__(self, blobs: Blobs, topics: Topics, most: int = MOST_BODY) -> None:
        """`most`: bytes of a body that travels on the topic."""
        self._blobs = blobs
        self._topics = topics
        self._most = most

    async def check_in(self, message: Message) -> Message:
        """The message as it travels. Raises Unavailable. On a client's own topic it travels whole, because no claim is
        redeemed there: an answer, or a dead letter of his that is sent again."""
        if len(message.body) <= self._most or self._topics.of_one_client(message.topic):
            return message
        media_type = message.headers.get("content-type", "application/octet-stream")
        sha256 = await self._blobs.put(message.body, kind=KIND, media_type=media_type)
        return message._replace(body=b"", headers={**message.headers, CLAIM: sha256})

    async def check_out(self, record: Record) -> Record:
        """The record as it was written. Raises Unavailable.

        On a client's own topic a claim stays a header like any other: only we may point at what is stored here, or
        somebody who knows a hash could send another enterprise's document without having it.

        A claim that nothing answers is left as it is: its reader finds an empty body with this header, keeps it
        aside as unreadable, and it can be replayed once the bytes are back.
        """
        sha256 = record.headers.get(CLAIM)
        if sha256 is None or record.body or self._topics.of_one_client(record.topic):
            return record
        try:
            body = await self._blobs.get(sha256)
        except (KeyError, ValueError):  # unknown; damaged, or no hash at all
            body = None
        if body is None or hashlib.sha256(body).hexdigest() != sha256:
            log.error("bus.claim_lost: %s[%d] offset %d", record.topic, record.partition, record.offset)
            return record
        return record._replace(body=body, headers={n: v for n, v in record.headers.items() if n != CLAIM})
