"""The print worker: at most once, whatever stops it where; and what it says when it can't know."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from adapters.codecs.gateway_xml import GatewayCodec
from adapters.printers.spool import SpoolPrinter
from adapters.store.memory import MemoryBlobs, MemoryClaims, MemoryDeadLetters
from gateway.core.messages import Part, PrintJob, PrintOutcome, PrintResult
from gateway.ports import Printer, PrintRefused, PrintUnknown, Record, Unavailable
from gateway.runtime.print_room import JOBS, RESULTS, PrintRoom
from tests.runtime.house import House

PDF = b"%PDF signed"


class Killed(BaseException):
    """The process ends here."""


class Tray:
    """A printer that counts what left it. `knows`: it can be asked. `trouble`: what happens to the next submit."""

    def __init__(self, *, knows: bool = True, confirms: bool = False) -> None:
        self.knows = knows
        self.confirms = confirms
        self.printed: list[str] = []
        self.before: BaseException | None = None
        self.after: BaseException | None = None

    async def submit(self, job: str, pdf: bytes) -> None:
        if self.before:
            trouble, self.before = self.before, None
            raise trouble
        self.printed.append(job)
        if self.after:
            trouble, self.after = self.after, None
            raise trouble

    async def was_printed(self, job: str) -> bool | None:
        return job in self.printed if self.knows else None


class Office:
    """A store, a printer and workers that come and go."""

    def __init__(self, printer: Printer) -> None:
        self.house = House()
        self.printer = printer
        self.claims = MemoryClaims(self.house.store)
        self.blobs = MemoryBlobs(self.house.store)
        self.codec = GatewayCodec()

    def worker(self, name: str = "tray 1") -> PrintRoom:
        """A worker process."""
        house = self.house
        dead = MemoryDeadLetters(house.store)
        return PrintRoom(
            name, self.printer, self.claims, self.blobs, self.codec, self.codec, house.clock, house.told, dead
        )

    async def job(self) -> Record:
        """An authorised print."""
        sha256 = await self.blobs.put(PDF, kind="file", media_type="application/pdf")
        job = uuid4()
        message = PrintJob(
            message_id=job,
            job=job,
            certificate_id=uuid4(),
            number="C26MA9XYD0C20001",
            exporter="91330299MA9XYD0C2A",
            part=Part.ORIGINAL,
            file_sha256=sha256,
            pages=1,
        )
        return Record(JOBS, 0, 0, str(message.certificate_id), self.codec.encode(message), {})

    def reports(self) -> list[PrintResult]:
        """What was reported, in order."""
        read = [self.codec.decode(RESULTS, record.body) for record in self.house.on(RESULTS)]
        return [message for message in read if isinstance(message, PrintResult)]

    def outcomes(self) -> list[str]:
        """The same in short."""
        return [str(report.outcome) for report in self.reports()]


async def test_a_job_is_claimed_printed_and_reported_once_however_often_it_comes() -> None:
    office = Office(tray := Tray())
    record = await office.job()
    await office.worker().handle([record, record])
    await office.worker().handle([record])
    assert len(tray.printed) == 1
    assert office.outcomes() == ["claimed", "printed"]
    assert len({report.message_id for report in office.reports()}) == 2
    assert office.house.told.words == ["print"] * 3


@pytest.mark.parametrize("confirms", [True, False])
async def test_the_printers_word_counts_as_a_persons_only_where_it_may(confirms: bool) -> None:
    office = Office(Tray(confirms=confirms))
    await office.worker().handle([await office.job()])
    assert [report.confirmed for report in office.reports()] == [False, confirms]


async def test_a_refusal_is_reported_and_nothing_left() -> None:
    office = Office(tray := Tray())
    tray.before = PrintRefused("out of paper")
    record = await office.job()
    await office.worker().handle([record])
    await office.worker().handle([record])
    assert (office.outcomes(), tray.printed) == (["claimed", "refused"], [])
    assert office.reports()[-1].detail == "out of paper"


async def test_an_unknown_outcome_is_in_doubt_and_never_tried_again() -> None:
    office = Office(tray := Tray())
    tray.after = PrintUnknown("cut off")
    record = await office.job()
    await office.worker().handle([record])
    await office.worker().handle([record])
    assert (office.outcomes(), len(tray.printed)) == (["claimed", "in_doubt"], 1)


@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_crash_between_claim_and_report(knows: bool, when: str) -> None:
    office = Office(tray := Tray(knows=knows))
    setattr(tray, when, Killed())
    record = await office.job()
    with pytest.raises(Killed):
        await office.worker().handle([record])
    await office.worker().handle([record])
    await office.worker().handle([record])
    assert office.outcomes() == ["claimed", "printed" if knows else "in_doubt"]
    assert len(tray.printed) == (1 if knows or when == "after" else 0)


async def test_a_crash_between_print_and_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(tray := Tray())
    record = await office.job()

    async def dies(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(office.claims, "end", dies)
        with pytest.raises(Killed):
            await office.worker().handle([record])
    await office.worker().handle([record])
    assert (office.outcomes(), len(tray.printed)) == (["claimed", "printed"], 1)


async def test_a_second_worker_never_prints_what_the_first_claimed() -> None:
    office = Office(tray := Tray())
    tray.before = Killed()
    record = await office.job()
    with pytest.raises(Killed):
        await office.worker("tray 1").handle([record])
    await office.worker("tray 2").handle([record])
    assert (office.outcomes(), tray.printed) == (["claimed", "in_doubt"], [])
    assert office.reports()[-1].printer == "tray 2"


async def test_a_paused_worker_that_ends_well_after_all_resolves_the_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(tray := Tray())
    record = await office.job()
    submit = tray.submit

    async def overtaken(job: str, pdf: bytes) -> None:
        await office.worker("tray 2").handle([record])
        await submit(job, pdf)

    monkeypatch.setattr(tray, "submit", overtaken)
    await office.worker("tray 1").handle([record])
    assert (office.outcomes(), len(tray.printed)) == (["claimed", "in_doubt", "printed"], 1)


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_lost_outcome_of_the_claim_prints_once(lost: int) -> None:
    office = Office(tray := Tray())
    record = await office.job()
    office.house.store.lost = lost
    for _ in range(3):
        try:
            await office.worker().handle([record])
        except Unavailable:
            continue
    assert (office.outcomes(), len(tray.printed)) == (["claimed", "printed"], 1)


async def test_away_before_the_claim_prints_nothing_and_comes_again() -> None:
    office = Office(tray := Tray())
    record = await office.job()
    office.house.store.away = True
    with pytest.raises(Unavailable):
        await office.worker().handle([record])
    assert tray.printed == []
    office.house.store.away = False
    await office.worker().handle([record])
    assert office.outcomes() == ["claimed", "printed"]


@pytest.mark.parametrize("error", [KeyError("gone"), ValueError("damaged")])
async def test_a_file_that_is_missing_or_damaged_is_refused_and_the_worker_goes_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    office = Office(tray := Tray())
    record = await office.job()

    async def broken(sha256: str) -> bytes:
        raise error

    monkeypatch.setattr(office.blobs, "get", broken)
    await office.worker().handle([record])
    assert (office.outcomes(), tray.printed) == (["claimed", "refused"], [])


async def test_a_job_that_nobody_can_read_is_told_and_the_next_is_printed() -> None:
    office = Office(tray := Tray())
    good = await office.job()
    await office.worker().handle([Record(JOBS, 0, 0, "key", b"<broken", {}), good])
    assert len(tray.printed) == 1
    assert any(word.startswith("buried") for word in office.house.told.words)
    (letter,) = office.house.on(f"{JOBS}-dlt")
    assert (letter.key, letter.body) == ("key", b"<broken")


async def test_with_the_spool_a_crash_anywhere_ends_with_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at, name in enumerate(("before submit", "after submit", "before the report")):
        root = tmp_path / str(at)
        office = Office(SpoolPrinter(root))
        record = await office.job()
        with monkeypatch.context() as patch:
            _kill(patch, office, name)
            with pytest.raises(Killed):
                await office.worker().handle([record])
        await office.worker().handle([record])
        assert [path.read_bytes() for path in root.glob("*.pdf")] == [PDF]
        assert office.outcomes() == ["claimed", "printed"]
        assert office.reports()[-1].outcome is PrintOutcome.PRINTED
        assert UUID(next(root.glob("*.pdf")).stem) == office.reports()[-1].job


def _kill(patch: pytest.MonkeyPatch, office: Office, name: str) -> None:
    submit: Callable[..., object] = office.printer.submit

    async def dies(*arguments: object) -> None:
        if name == "after submit":
            await submit(*arguments)  # type: ignore[misc]
        raise Killed

    if name == "before the report":
        patch.setattr(office.claims, "end", dies)
    else:
        patch.setattr(office.printer, "submit", dies)
