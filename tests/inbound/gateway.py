"""A real gateway for tests: every part but customs, on the test's own database, listening on a free port."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from gateway.app import Gateway
from gateway.settings import load


@contextlib.asynccontextmanager
async def running(data: Path, database_url: str, **options: Any) -> AsyncIterator[Gateway]:
    """Started and answering; stopped afterwards."""
    settings = load(data=data, database_url=database_url, port=0, roles="intake,turn", **options)
    async with Gateway(settings) as gateway:
        work = asyncio.create_task(gateway.run())
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", trust_env=False) as client:
                for _ in range(100):
                    with contextlib.suppress(httpx.TransportError):
                        if (await client.get("/readyz")).status_code == 200:
                            break
                    await asyncio.sleep(0.05)
            yield gateway
        finally:
            gateway.stop()
            await asyncio.wait_for(work, 30)
