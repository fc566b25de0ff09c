"""Printers with a memory of their own: what came out on paper, whatever the gateway believes."""

from dataclasses import dataclass, field
from hashlib import sha256

from gateway.ports import PrintRefused, PrintUnknown, Unavailable
from simulators.simulation.faults import Fault
from simulators.simulation.world import Process


@dataclass(frozen=True, slots=True)
class Sheet:
    """One paper that came out."""

    printer: str
    job: str
    sha256: str
    words: tuple[str, ...]
    """The number and the part, as printed on it."""


@dataclass(slots=True)
class Tray:
    """Where papers of all printers pile up."""

    sheets: list[Sheet] = field(default_factory=list)
    since: dict[str, float] = field(default_factory=dict)
    """Job -> when a worker first tried to claim it, simulated seconds."""
    unsure: set[str] = field(default_factory=set)
    """Jobs in doubt for a reason: some trouble of a print room came between their claim and their end."""

    def printed(self, job: str) -> bool:
        """Did it come out? What a person sees who looks."""
        return any(sheet.job == job for sheet in self.sheets)


class SimulatedPrinter:
    """One printer, as one process sees it."""

    def __init__(self, name: str, tray: Tray, process: Process, *, askable: bool) -> None:
        """`askable`: it knows its jobs by name, as a spool folder does; else nobody can ask it afterwards."""
        self._name = name
        self._tray = tray
        self._process = process
        self._askable = askable

    @property
    def confirms(self) -> bool:
        """The spool's word counts as a person's yes."""
        return self._askable

    async def submit(self, job: str, pdf: bytes) -> None:
        """See `gateway.ports.Printer`."""
        world = self._process.world
        fault = await world.at(self._process, "printer.submit")
        if fault is Fault.PRINTER_REFUSED:
            raise PrintRefused("out of paper")
        if fault is Fault.PRINTER_AWAY:
            raise Unavailable("the printer is away")
        if fault is Fault.BLANK_UNKNOWN:
            raise self._unknown()
        known = any(sheet.job == job and sheet.printer == self._name for sheet in self._tray.sheets)
        if not (self._askable and known):
            words = tuple(pdf.decode().split()[:2])
            self._tray.sheets.append(Sheet(self._name, job, sha256(pdf).hexdigest(), words))
            world.note(self._name, "PRINTS", *words, job)
        if fault is Fault.CRASH_AFTER:
            await world.die(self._process)
        if fault is Fault.PRINTED_UNKNOWN:
            raise self._unknown()

    def _unknown(self) -> Exception:
        """A printer that can be asked is asked later; of the other nobody will ever know."""
        return Unavailable("the printer is away") if self._askable else PrintUnknown("no answer")

    async def was_printed(self, job: str) -> bool | None:
        """See `gateway.ports.Printer`."""
        if await self._process.world.at(self._process, "printer.ask") is Fault.PRINTER_AWAY:
            raise Unavailable("the printer is away")
        if not self._askable:
            return None
        return any(sheet.job == job and sheet.printer == self._name for sheet in self._tray.sheets)
