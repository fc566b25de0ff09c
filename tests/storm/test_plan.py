"""One seed, one storm; what is planned is enough for what must be hit."""

from itertools import islice
from random import Random

from ops.storm.documents import PAPER, SHORT, endings, parcels
from ops.storm.faults import Struck
from ops.storm.plan import ROLES, Kind, role_of, schedule
from ops.storm.report import never
from simulators.customs.scenarios import load
from simulators.erp.enterprises import many

FLEET = [f"{role}-{n}" for role in ("intake", "turn", "relay", "render", "print") for n in (1, 2)] + ["customs-1"]


def test_the_same_seed_is_the_same_schedule() -> None:
    first = schedule(7, 40, FLEET, session=6, brokers=3)
    assert first == schedule(7, 40, FLEET, session=6, brokers=3)
    assert first != schedule(8, 40, FLEET, session=6, brokers=3)


def test_each_kind_strikes_as_soon_as_there_are_enough_faults() -> None:
    for seed in range(50):
        assert {fault.kind for fault in schedule(seed, len(Kind), FLEET, session=6, brokers=1)} == set(Kind)


def test_without_kafka_no_broker_is_killed_or_cut_off() -> None:
    faults = schedule(1, 200, FLEET, session=6, brokers=0)
    assert {fault.kind for fault in faults} == set(Kind) - {Kind.BROKER, Kind.DETOUR}


def test_a_release_kills_every_role_and_pauses_longer_than_the_session() -> None:
    faults = schedule(Random(3).randrange(1000), 400, FLEET, session=6, brokers=1)
    for kind in (Kind.KILL, Kind.PAUSE, Kind.PARTITION, Kind.DETOUR):
        assert {role_of(fault.target) for fault in faults if fault.kind is kind} == set(ROLES[kind])
    assert all(fault.seconds > 6 for fault in faults if fault.kind is Kind.PAUSE)
    assert all(fault.target.endswith("-1") for fault in faults if fault.kind is Kind.DETOUR), (
        "the proxy is before these"
    )
    assert {fault.target for fault in faults if fault.kind is Kind.KILL} == set(FLEET)


def test_a_kind_that_never_struck_is_told() -> None:
    struck = [Struck("kill -9", "turn-1", "", True, 1.0), Struck("full disk of the spool", "", "", False, 1.0)]
    assert never(["full disk of the spool", "kill -9", "kill -9"], struck) == ["full disk of the spool"]


def test_the_same_seed_is_the_same_load_with_the_share_of_paper_asked_for() -> None:
    enterprises = tuple(many(4))
    sent = list(islice(parcels(5, enterprises, 0.2), 400))
    assert sent[:20] == list(islice(parcels(5, enterprises, 0.2), 20))
    paper = sum(1 for one in sent if one.life in PAPER)
    assert 50 < paper < 110
    assert {one.life for one in sent} == {*PAPER, *SHORT}
    assert len({one.key for one in sent}) == 400


def test_endings_are_what_the_scenarios_say() -> None:
    found = endings(load())
    assert {name: ending.status for name, ending in found.items()} == {
        "draft": "draft",
        **dict.fromkeys(PAPER, "confirmed"),
        **dict.fromkeys(("return", "refuse", "fail", "withdrawn"), "returned"),
    }
    assert found["approve"].papers == 6
    assert found["duplicate-receipts"].papers == 7, "a paper that comes twice is one; the second approval is another"
    assert found["draft"].papers == 0
