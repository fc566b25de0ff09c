"""The ids of an event stream: where it stands in each partition of the log, readable for nobody but us.

Positions in the log count what all enterprises do, so a stream that showed them would tell each how busy the others
are. An id is therefore encrypted under a key of the enterprise, always of one length, and never the same twice: not
even whether anything happened between two signs of life can be seen in it.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from gateway.reading import BadCursor

BEGINNING: Final = "0"
"""The cursor before the first event that is kept."""
NONCE: Final = 8
"""Random bytes of an id. The cipher forgives that two are alike: their ids might then be seen to be alike, too."""
WIDTH: Final = 6
"""Bytes of a position."""
DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Cursors:
    """Writes and reads the ids of one gateway: its processes have one master key, so each reads what another wrote."""

    def __init__(self, master_key: str, partitions: int, random: Callable[[int], bytes] = os.urandom) -> None:
        self._cipher = AESSIV(hashlib.sha512(b"origin-gateway event ids\0" + master_key.encode()).digest())
        self._partitions = partitions
        self._random = random

    def write(self, enterprise: str, positions: Sequence[int]) -> str:
        """The id of a stream of this enterprise that stands at `positions`, the next offset of each partition."""
        nonce = self._random(NONCE)
        plain = b"".join(position.to_bytes(WIDTH) for position in positions)
        closed = self._cipher.encrypt(plain, [enterprise.encode(), nonce])
        return base64.urlsafe_b64encode(nonce + closed).decode().rstrip("=")

    def read(self, enterprise: str, cursor: str) -> list[int]:
        """The positions of an id that this enterprise was given. Raises BadCursor."""
        if cursor == BEGINNING:
            return [0] * self._partitions
        if "." in cursor:
            return self._read_plain(cursor)
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            plain = self._cipher.decrypt(raw[NONCE:], [enterprise.encode(), raw[:NONCE]])
        except (binascii.Error, ValueError, InvalidTag):
            raise BadCursor("not a cursor of this stream") from None
        if len(plain) != WIDTH * self._partitions:
            raise BadCursor("not a cursor of this stream")
        return [int.from_bytes(plain[at : at + WIDTH]) for at in range(0, len(plain), WIDTH)]

    def _read_plain(self, cursor: str) -> list[int]:
        """As they once were, in base 36, e.g. ``0.a.13``: at the upgrade nobody loses their place."""
        parts = cursor.split(".")
        if len(parts) != self._partitions or not all(0 < len(p) <= 13 and set(p) <= set(DIGITS) for p in parts):
            raise BadCursor("not a cursor of this stream")
        positions = [int(part, 36) for part in parts]
        if max(positions) >= 1 << 62:
            raise BadCursor("not a cursor of this stream")
        return positions
