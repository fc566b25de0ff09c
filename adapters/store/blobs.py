"""Blobs in PostgreSQL: several hosts see the same file, one backup holds everything."""

import hashlib

import asyncpg

from adapters.store.postgres import put_blobs, transaction
from adapters.store.sql import BLOBS
from gateway.ports import Blob, Unavailable
from gateway.storage import Collision


class PostgresBlobs:
    """See `gateway.ports.Blobs`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def put(self, content: bytes, *, kind: str, media_type: str) -> str:
        """Store once."""
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            async with transaction(self._pool) as connection:
                await put_blobs(connection, [Blob(sha256, kind, media_type, content)])
        except Collision as collision:
            raise Unavailable("the bytes could not be stored") from collision
        return sha256

    async def get(self, sha256: str) -> bytes:
        """The bytes, hash re-checked."""
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow(BLOBS, [bytes.fromhex(sha256)])
        if row is None:
            raise KeyError(sha256)
        content: bytes = row["content"]
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("stored bytes do not match their hash")
        return content
