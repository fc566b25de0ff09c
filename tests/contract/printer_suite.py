"""What every Printer promises, run on every Printer.

A test module derives a class from `PrinterSuite` and gives it a `harness` fixture.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest

from gateway.ports import Printer, PrintRefused


class Harness(ABC):
    """How a test reaches one printer, and what may happen to it."""

    @abstractmethod
    def open(self) -> Printer:
        """A handle, as another process would have it."""

    @abstractmethod
    def out(self) -> Sequence[bytes]:
        """Every document that ever left, with doubles."""

    @abstractmethod
    def refuse(self, refusing: bool) -> None:
        """Takes nothing from now on, or takes again."""


class PrinterSuite:
    """Every promise of `gateway.ports.Printer`."""

    async def test_a_job_leaves_once_whoever_hands_it_in_and_however_often(self, harness: Harness) -> None:
        assert await harness.open().was_printed("job") in (False, None)
        for _ in range(3):
            await harness.open().submit("job", b"%PDF one")
            assert list(harness.out()) == [b"%PDF one"]
        assert await harness.open().was_printed("job") in (True, None)

    async def test_jobs_do_not_mix(self, harness: Harness) -> None:
        printer = harness.open()
        for name in ("a", "b"):
            await printer.submit(name, name.encode())
        assert sorted(harness.out()) == [b"a", b"b"]
        assert await printer.was_printed("c") in (False, None)

    async def test_a_refused_job_took_no_byte_and_may_be_offered_again(self, harness: Harness) -> None:
        printer = harness.open()
        harness.refuse(True)
        with pytest.raises(PrintRefused):
            await printer.submit("job", b"%PDF")
        assert list(harness.out()) == []
        harness.refuse(False)
        assert await printer.was_printed("job") in (False, None)
        await printer.submit("job", b"%PDF")
        assert list(harness.out()) == [b"%PDF"]
