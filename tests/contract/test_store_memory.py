"""The contract, on memory."""

from collections.abc import Mapping, Sequence
from typing import cast
from uuid import UUID

import pytest

from adapters.bus.memory import MemoryLog
from adapters.store.memory import MemoryStore
from gateway.ports import Record
from gateway.storage import Store
from tests.contract.life_suite import LifeSuite
from tests.contract.opening_suite import OpeningSuite
from tests.contract.store_harness import Harness
from tests.contract.store_suite import StoreSuite


class MemoryHarness(Harness):
    """Handles on the same tables: there is one process only, so there is one store."""

    def __init__(self) -> None:
        self._log = MemoryLog()
        self._store = MemoryStore(self._log.append)

    async def open(self) -> Store:
        return self._store

    async def log(self) -> Sequence[Record]:
        return [record for line in self._log.records.values() for record in line]

    async def events(self) -> Mapping[tuple[UUID, int], str]:
        return {place: stored.hash for place, stored in self._store.tables.events.items()}

    def lose(self, store: Store, commits: int) -> None:
        cast(MemoryStore, store).lost = commits

    def go_away(self, store: Store) -> None:
        cast(MemoryStore, store).away = True


@pytest.fixture
def harness() -> Harness:
    return MemoryHarness()


class TestMemoryStore(StoreSuite, LifeSuite, OpeningSuite):
    """Every promise."""
