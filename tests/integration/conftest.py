"""One running gateway that several tests share: they must leave it serving."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulators.erp.enterprises import many
from tests.integration.erps import Account, Enrolled, enrol
from tests.integration.process import Serve
from tests.leftovers import leftovers


@dataclass(frozen=True, slots=True)
class House:
    """A gateway with two enterprises."""

    serve: Serve
    enrolled: Enrolled
    folder: Path

    @property
    def account(self) -> Account:
        """One of them."""
        return next(iter(self.enrolled.accounts.values()))


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Running with all roles; at the end nothing of it runs."""
    folder = tmp_path_factory.mktemp("house")
    with Serve(folder / "gateway") as serve:
        serve.start()
        yield House(serve, asyncio.run(enrol(serve, folder / "keys", tuple(many(2)))), folder)
    assert not leftovers(folder)
