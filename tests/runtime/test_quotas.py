"""Counting what clients do: alone, several processes together, and what is told of it."""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from adapters.store.memory_quotas import MemoryQuotas
from gateway.core.quotas import Limits, Over, Quota, Used
from gateway.ports import Unavailable
from gateway.runtime.door import Client
from gateway.runtime.quotas import Count, Quotas, QuotaTable
from tests.runtime.house import ENTERPRISE, XML, Clock, House, document

ERP = Client("erp", ENTERPRISE, limits=Limits(declarations_per_minute=3, declarations_per_day=5, connections=2))
OTHER = Client("other", ENTERPRISE, limits=ERP.limits)


class Office:
    """Processes of one gateway, with one clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.table = MemoryQuotas()
        self.told: list[tuple[str, str, bool]] = []

    def process(self, table: QuotaTable | None = None) -> Quotas:
        return Quotas(self.clock, table or self.table, uuid4(), self.tell)

    def tell(self, client: str, over: Over, first: bool) -> None:
        self.told.append((client, over.quota.value, first))


def taken(quotas: Quotas, tries: int, client: Client = ERP) -> int:
    return sum(quotas.enter(client, 10) is None for _ in range(tries))


def test_a_client_has_its_quota_and_the_next_minute_another_and_others_have_theirs() -> None:
    office = Office()
    quotas = office.process()
    assert taken(quotas, 9) == 3
    assert quotas.room(ERP) == Over(Quota.DECLARATIONS_PER_MINUTE, 3, 60)
    assert taken(quotas, 9, OTHER) == 3
    office.clock.move(minutes=1)
    assert taken(quotas, 9) == 2, "the day has five"
    assert quotas.room(ERP) == Over(Quota.DECLARATIONS_PER_DAY, 5, 8 * 3600 - 60)
    office.clock.move(hours=8)
    assert taken(quotas, 9) == 3


def test_a_refusal_is_not_counted_so_that_who_comes_too_early_is_not_kept_out_longer() -> None:
    office = Office()
    quotas = office.process()
    assert taken(quotas, 1000) == 3
    office.clock.move(minutes=1)
    assert quotas.room(ERP) is None


def test_bytes_are_known_when_they_are_here() -> None:
    quotas = Office().process()
    client = Client("erp", ENTERPRISE, limits=Limits(bytes_per_minute=100))
    assert quotas.enter(client) is None
    quotas.count(client, 99, declarations=0)
    assert quotas.enter(client) is None
    quotas.count(client, 500, declarations=0)
    over = quotas.enter(client)
    assert over is not None
    assert over.quota is Quota.BYTES_PER_MINUTE


def test_what_had_no_verdict_because_of_us_is_not_counted() -> None:
    quotas = Office().process()
    for _ in range(100):
        assert quotas.enter(ERP, 10) is None
        quotas.uncount(ERP, 10)
    assert taken(quotas, 9) == 3


def test_requests_at_the_same_time() -> None:
    office = Office()
    quotas = office.process()
    with quotas.held(ERP, Quota.CONNECTIONS):
        assert quotas.full(ERP, Quota.CONNECTIONS) is None
        with quotas.held(ERP, Quota.CONNECTIONS):
            assert quotas.full(ERP, Quota.CONNECTIONS) == Over(Quota.CONNECTIONS, 2, 1)
            assert quotas.full(OTHER, Quota.CONNECTIONS) is None
            assert quotas.full(ERP, Quota.STREAMS) is None, "no limit"
        assert quotas.full(ERP, Quota.CONNECTIONS) is None
    with pytest.raises(ZeroDivisionError), quotas.held(ERP, Quota.CONNECTIONS):
        raise ZeroDivisionError
    assert not quotas._held.counts


async def test_processes_share_one_quota() -> None:
    office = Office()
    one, two = office.process(), office.process()
    assert taken(one, 2) == 2
    await one.exchange()
    assert two.room(ERP) is None, "it has not heard of the client yet"
    assert taken(two, 1) == 1
    await two.exchange()
    assert two.room(ERP) is not None
    await one.exchange()
    assert one.room(ERP) is not None
    later = office.process()
    later.room(ERP)
    await later.exchange()
    assert later.room(ERP) is not None, "a process that starts anew hears what the one before it counted"


async def test_a_process_that_starts_anew_knows_what_is_used_before_it_counts() -> None:
    office = Office()
    one = office.process()
    assert taken(one, 3) == 3
    await one.exchange()
    asked: list[Sequence[str]] = []

    class Asked:
        async def exchange(
            self, process: UUID, own: Sequence[Count], names: Sequence[str], minute: int, day: int
        ) -> Mapping[str, Used]:
            asked.append(names)
            return await office.table.exchange(process, own, names, minute, day)

    later = office.process(Asked())
    for _ in range(9):
        await later.meet([ERP.id, OTHER.id])
    assert asked == [[ERP.id, OTHER.id]], "once in a process"
    assert (taken(later, 9), taken(later, 9, OTHER)) == (0, 3)
    office.clock.move(minutes=1)
    assert taken(later, 9) == 2, "the day has five"
    await later.meet([ERP.id])
    assert taken(later, 9) == 0, "what it counted itself it keeps"


async def test_what_was_counted_twice_or_taken_back_reaches_the_others_right() -> None:
    office = Office()
    one, two = office.process(), office.process()
    assert taken(one, 3) == 3
    for quotas in (one, one, two, one):
        two.room(ERP)
        await quotas.exchange()
    assert two.room(ERP) is not None
    one.uncount(ERP, 10)
    await one.exchange()
    await two.exchange()
    assert taken(two, 9) == 1


async def test_while_the_database_is_away_each_process_counts_alone_and_tells_later() -> None:
    class Away:
        async def exchange(
            self, process: UUID, own: Sequence[Count], asked: Sequence[str], minute: int, day: int
        ) -> Mapping[str, Used]:
            if office.away:
                raise Unavailable("away")
            return await office.table.exchange(process, own, asked, minute, day)

    class Shaky(Office):
        away = True

    office = Shaky()
    one, two = office.process(Away()), office.process()
    assert taken(one, 9) == 3
    with pytest.raises(Unavailable):
        await one.exchange()
    office.away = False
    await one.exchange()
    two.room(ERP)
    await two.exchange()
    assert two.room(ERP) is not None


async def test_nothing_is_asked_where_nobody_sends() -> None:
    asked: list[Sequence[str]] = []

    class Watched(MemoryQuotas):
        async def exchange(
            self, process: UUID, own: Sequence[Count], wanted: Sequence[str], minute: int, day: int
        ) -> Mapping[str, Used]:
            asked.append(wanted)
            return await super().exchange(process, own, wanted, minute, day)

    office = Office()
    quotas = office.process(Watched())
    await quotas.exchange()
    assert asked == []
    taken(quotas, 1)
    await quotas.exchange()
    office.clock.move(minutes=3)
    await quotas.exchange()
    assert asked == [["erp"]]
    office.clock.move(days=1)
    await quotas.exchange()
    assert not quotas._accounts, "who is not heard of is forgotten with the day"


def test_the_first_refusal_of_a_minute_is_told_as_that() -> None:
    office = Office()
    quotas = office.process()
    taken(quotas, 5)
    over = quotas.room(ERP)
    assert over is not None
    quotas.refused(ERP, over, waits=True)
    assert office.told == [("erp", "declarations_per_minute", True), ("erp", "declarations_per_minute", False)]
    office.clock.move(minutes=1)
    taken(quotas, 3)
    office.clock.move(minutes=1)
    over = quotas.room(ERP)
    assert over is not None
    for _ in range(5):
        quotas.refused(ERP, over, waits=True)
    assert office.told[2:] == [("erp", "declarations_per_day", True)], "what waits is told once, by whoever is first"


# ---------------------------------------------------------------- drafts


async def test_a_client_has_its_quota_of_open_drafts_and_may_still_declare() -> None:
    house = House()
    full = Client("erp", ENTERPRISE, limits=Limits(open_drafts=2), open_drafts=2)
    async with house.open():
        answer = (await house.submit(document(XML, apply_type="0"), XML, client=full)).content
        grave = [(f["code"], f["path"]) for f in answer["faults"] if f["severity"] == "refuse"]
        assert grave == [("QUOTA-DRAFTS", "/Certificate/CertificateHead/ApplyType")]
        assert (await house.submit(document(), client=full)).content["status"] == "accepted"
        some = Client("erp", ENTERPRISE, limits=Limits(open_drafts=3), open_drafts=2)
        assert (await house.submit(document(apply_type="0", invoice_no="D"), client=some)).content[
            "status"
        ] == "accepted"
