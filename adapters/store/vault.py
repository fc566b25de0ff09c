"""Seals, handwriting and signing keys (印章, 签名, 密钥): stored encrypted, opened only to stamp and sign.

Each secret is AES-256-GCM under the master key, bound to its row and owner by associated data, so that no row can be
moved to another enterprise. The master key comes from a file; neither it nor a secret is ever logged.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.store.postgres import transaction
from adapters.store.sql import json_data, json_text
from gateway.operations import MarkItem, Refusal
from gateway.ports import Unavailable
from gateway.runtime.ids import new_id
from gateway.storage import Collision

STOP_OLD = "UPDATE origin.mark SET stopped_at = $3 WHERE enterprise = $1 AND kind = $2 AND stopped_at IS NULL"
ADD = """
INSERT INTO origin.mark (id, enterprise, kind, name, facts, sealed, valid_from, valid_to)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)
"""
LIST = """
SELECT id, enterprise, kind, name, facts::text AS facts, valid_from, valid_to, stopped_at
FROM origin.mark WHERE kind = ANY($1::text[]) ORDER BY enterprise, kind, created_at
"""
STOP = """
UPDATE origin.mark SET stopped_at = coalesce(stopped_at, $2) WHERE id = $1
RETURNING id, enterprise, kind, name, facts::text AS facts, valid_from, valid_to, stopped_at
"""
OWN = "SELECT id FROM origin.certificate WHERE id = $1 AND exporter = $2 AND applicant = $2"
DEFAULTS = """
SELECT id, kind FROM origin.mark WHERE enterprise = $1 AND stopped_at IS NULL AND valid_from <= $2 AND valid_to > $2
"""
NEWEST = "SELECT id, enterprise, kind, sealed FROM origin.mark ORDER BY created_at DESC LIMIT 1"
OPEN = "SELECT id, enterprise, kind, facts::text AS facts, sealed FROM origin.mark WHERE id = $1 AND stopped_at IS NULL"


@dataclass(frozen=True, slots=True)
class Secret:
    """One opened mark. Its content never leaves the worker that asked."""

    id: UUID
    facts: Mapping[str, Any]
    content: bytes

    def __repr__(self) -> str:
        return f"Secret({self.id})"


class Vault:
    """The marks of all enterprises, under one master key."""

    def __init__(self, pool: asyncpg.Pool, master_key: str) -> None:
        self._pool = pool
        self._cipher = AESGCM(hashlib.sha256(b"origin-gateway vault\0" + master_key.encode()).digest())

    async def add(
        self,
        enterprise: str,
        kind: str,
        name: str,
        facts: Mapping[str, Any],
        content: bytes,
        valid_from: datetime,
        valid_to: datetime,
        now: datetime,
    ) -> MarkItem:
        """Enrol as the enterprise's default of this kind; the one before is stopped, not deleted."""
        mark = new_id(now)
        sealed = self._seal(mark, enterprise, kind, content)
        try:
            async with transaction(self._pool) as connection:
                await connection.execute(STOP_OLD, enterprise, kind, now)
                await connection.execute(
                    ADD, mark, enterprise, kind, name, json_text(dict(facts)), sealed, valid_from, valid_to
                )
        except Collision as collision:
            raise Unavailable("another mark of this enterprise is being enrolled") from collision
        return MarkItem(
            id=mark,
            enterprise=enterprise,
            kind=kind,
            name=name,
            valid_from=valid_from,
            valid_to=valid_to,
            facts=facts,
        )

    async def list(self, *kinds: str) -> Sequence[MarkItem]:
        """Marks of these kinds, stopped ones too, without their content."""
        async with transaction(self._pool) as connection:
            return [_item(row) for row in await connection.fetch(LIST, list(kinds))]

    async def stop(self, mark: UUID, now: datetime) -> MarkItem:
        """Never used again. Raises Refusal when there is no such mark."""
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow(STOP, mark, now)
        if row is None:
            raise Refusal("MARK-UNKNOWN", "There is no such mark.", "See origin seal list.")
        return _item(row)

    async def may_use(self, certificate_id: UUID, enterprise: str) -> bool:
        """Did the enterprise declare this certificate itself? An agent needs an authorisation, and none is kept yet."""
        async with transaction(self._pool) as connection:
            return await connection.fetchval(OWN, certificate_id, enterprise) is not None

    async def defaults(self, enterprise: str, at: datetime) -> Mapping[str, UUID]:
        """Kind -> the enterprise's default, where one is enrolled, valid at `at` and not stopped."""
        async with transaction(self._pool) as connection:
            return {row["kind"]: row["id"] for row in await connection.fetch(DEFAULTS, enterprise, at)}

    async def check(self) -> None:
        """Raises Refusal MASTER-KEY-WRONG when the newest mark was enrolled under another master key: a process of
        another host that made itself a key would refuse what the others sign."""
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow(NEWEST)
        if row is not None:
            self._open(row["id"], row["enterprise"], row["kind"], row["sealed"])

    async def open(self, mark: UUID) -> Secret:
        """The content of a mark that is not stopped. Raises Refusal MARK-UNKNOWN, MASTER-KEY-WRONG."""
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow(OPEN, mark)
        if row is None:
            raise Refusal("MARK-UNKNOWN", "There is no such mark.", "See origin seal list.")
        content = self._open(row["id"], row["enterprise"], row["kind"], row["sealed"])
        return Secret(row["id"], json_data(row["facts"]), content)

    def _seal(self, mark: UUID, enterprise: str, kind: str, content: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, content, _owner(mark, enterprise, kind))

    def _open(self, mark: UUID, enterprise: str, kind: str, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], _owner(mark, enterprise, kind))
        except InvalidTag as error:
            raise Refusal(
                "MASTER-KEY-WRONG",
                "A mark can't be opened with this master key.",
                "Give the gateway the key file it had when the mark was enrolled (ORIGIN_MASTER_KEY_FILE).",
            ) from error


def _owner(mark: UUID, enterprise: str, kind: str) -> bytes:
    return f"{mark}/{enterprise}/{kind}".encode()


def _item(row: asyncpg.Record) -> MarkItem:
    return MarkItem(
        id=row["id"],
        enterprise=row["enterprise"],
        kind=row["kind"],
        name=row["name"],
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        stopped_at=row["stopped_at"],
        facts=json_data(row["facts"]),
    )
