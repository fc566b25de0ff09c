"""One client's hot folder and the passes over it, for tests."""

import os
from pathlib import Path

from prometheus_client import CollectorRegistry

from adapters.inbound.folder import HotFolders
from adapters.inbound.metrics import IntakeMetrics
from gateway.runtime.door import Client
from gateway.runtime.quotas import Told
from tests.inbound.parts import CLIENT, FakeDoor, quotas_of
from tests.runtime.house import Clock


class Folder:
    """One client's folder and the passes over it."""

    def __init__(
        self,
        root: Path,
        settle: float = 0.0,
        max_bytes: int = 1000,
        client: Client = CLIENT,
        told: Told = lambda client, over, first: None,
    ) -> None:
        self.root = root
        self.client = client
        self.clock = Clock()
        self.door = FakeDoor()
        self.quotas = quotas_of(self.clock, told)
        self.at = root / CLIENT.id
        for name in ("in", "work", "accepted", "rejected"):
            (self.at / name).mkdir(parents=True, exist_ok=True)
        self.hot = HotFolders(
            root,
            self.door,
            self.find,
            self.quotas,
            IntakeMetrics(CollectorRegistry()),
            max_bytes=max_bytes,
            settle=settle,
        )

    async def find(self, name: str) -> Client | None:
        """One client."""
        return self.client if name == self.client.id else None

    async def passes(self, count: int = 2) -> None:
        """Look that often."""
        root = os.open(self.root, os.O_RDONLY)
        try:
            for _ in range(count):
                await self.hot.work_once(root)
        finally:
            os.close(root)

    def put(self, name: str, content: str = "<a/>") -> Path:
        """A file in `in`."""
        path = self.at / "in" / name
        path.write_text(content)
        return path

    def names(self, folder: str) -> list[str]:
        """What stands there."""
        return sorted(os.listdir(self.at / folder))
