"""The simulated customs: every scenario against the core, the same question the same bytes, a crash loses nothing."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from lxml import etree

from adapters.codecs.catalog import catalog
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.xml import parse
from gateway.core.declaration import Declaration
from gateway.core.messages import Part
from gateway.core.numbers import SHANGHAI
from gateway.ports import Message, Record, Unavailable
from renderers import layout_xml
from simulators.customs.ledger import Ledger
from simulators.customs.scenarios import load
from simulators.customs.simulator import CustomsSimulator
from tests.simulators.conftest import IDS, Harness

PAST_ALL = 6.0
"""Seconds after which every scenario is over."""
SCHEMA_OF = {"Receipt": "receipt", "FileRet": "fileret"}

ENDS = {
    "approve": "ready_to_print",
    "return": "returned",
    "return-once": "returned",
    "duplicate-receipts": "ready_to_print",
    "layout-first": "ready_to_print",
    "backwards": "ready_to_print",
    "silence": "declared",
    "lost-once": "declared",
    "no-verdict": "received",
    "malformed": "ready_to_print",
    "unknown-code": "ready_to_print",
    "refuse": "returned",
    "refuse-form": "returned",
    "fail": "returned",
    "withdrawn": "returned",
}


def marked(declaration: Declaration, scenario: str, **changes: object) -> Declaration:
    """The declaration with the words that choose a scenario."""
    return declaration.model_copy(update={"application_note": f"SIM:{scenario}", **changes})


def simulator(harness: Harness, **options: object) -> CustomsSimulator:
    """A simulated customs on the harness' bus."""
    return CustomsSimulator(harness.bus, harness.clock, **options)  # type: ignore[arg-type]


def fields(record: Record, name: str) -> list[str]:
    """Texts of an element by local name."""
    return [element.text or "" for element in parse(record.body).iter(f"{{*}}{name}")]


def assert_valid(answers: Sequence[Record], number: str) -> None:
    """Every answer validates against our schemas and goes to its certificate's key."""
    for record in answers:
        assert record.key == number
        name = etree.QName(parse(record.body)).localname
        if name == "LayoutDocument":
            assert layout_xml.read(record.body).number == number
        else:
            assert catalog()[SCHEMA_OF[name]].errors(parse(record.body)) == ()


def test_every_scenario_has_an_expected_end() -> None:
    assert set(ENDS) == set(load().by_name)


@pytest.mark.parametrize("scenario", sorted(ENDS))
async def test_where_each_scenario_leaves_the_certificate_by_valid_documents(
    harness: Harness, example: Declaration, scenario: str
) -> None:
    await harness.declare(marked(example, scenario))
    answers = await harness.run(simulator(harness), PAST_ALL)
    if scenario != "malformed":
        assert_valid(answers, example.number or "")
    state = harness.states[example.number or ""]
    assert state is not None
    assert state.status == ENDS[scenario]
    assert not await harness.outstanding()


async def test_the_same_question_gets_the_same_bytes(example: Declaration) -> None:
    async def ask(seed: int) -> list[tuple[str, bytes, str]]:
        harness = Harness()
        await harness.declare(example)
        answers = await harness.run(simulator(harness, seed=seed), PAST_ALL)
        return [(a.key, a.body, a.headers["ce_id"]) for a in answers]

    first = await ask(1)
    assert len(first) == 6
    assert first == await ask(1)
    assert first != await ask(2)


async def test_a_crash_before_the_last_answer_repeats_the_answers_byte_for_byte(
    harness: Harness, example: Declaration
) -> None:
    await harness.declare(example)
    before = await harness.run(simulator(harness), 0.5, step=0.1)
    assert 0 < len(before) < 6
    assert await harness.outstanding()
    after = await harness.run(simulator(harness), PAST_ALL)
    assert len(after) == 6
    assert {r.body for r in before} <= {r.body for r in after}
    assert not await harness.outstanding()


async def test_answers_come_when_due_and_not_before(harness: Harness, example: Declaration) -> None:
    await harness.declare(example)
    assert len(await harness.run(simulator(harness, pace=100.0), 30.0, step=10.0)) == 2
    assert len(await harness.run(simulator(harness, pace=100.0), 100.0, step=20.0)) == 6


async def test_the_same_message_sent_again_is_the_same_question_and_gets_the_same_bytes(
    harness: Harness, example: Declaration, tmp_path: Path
) -> None:
    body, message = CustomsXml().write(example), IDS
    with Ledger(tmp_path / "register.sqlite") as ledger:
        await harness.send(body, "subject", message)
        first = await harness.run(simulator(harness, ledger=ledger), PAST_ALL)
    with Ledger(tmp_path / "register.sqlite") as ledger:
        harness.clock.at += timedelta(minutes=15)
        await harness.send(body, "subject", message)
        again = await harness.run(simulator(harness, ledger=ledger), PAST_ALL)
    assert len(first) == 6
    assert [(a.key, a.body, a.headers["ce_id"]) for a in again] == [(a.key, a.body, a.headers["ce_id"]) for a in first]


async def test_a_message_that_was_lost_is_answered_when_it_is_sent_again(
    harness: Harness, example: Declaration
) -> None:
    lost = marked(example, "lost-once")
    body, customs = CustomsXml().write(lost), simulator(harness)
    await harness.send(body, "subject", IDS)
    assert await harness.run(customs, PAST_ALL) == []
    harness.clock.at += timedelta(minutes=15)
    sent = harness.clock.at
    await harness.send(body, "subject", IDS)
    answers = await harness.run(customs, PAST_ALL)
    assert len(answers) == 6
    (at,) = fields(answers[0], "SendTime")
    assert at == f"{sent.astimezone(SHANGHAI):%Y-%m-%d %H:%M:%S}"


async def test_running_numbers_grow_over_resubmissions_and_restarts(
    harness: Harness, example: Declaration, tmp_path
) -> None:
    numbers: list[int] = []
    for note in ("SIM:return", "SIM:return again", "SIM:approve"):
        harness.clock.at = harness.clock.at.replace(minute=harness.clock.at.minute + 5)
        await harness.declare(example.model_copy(update={"application_note": note}))
        with Ledger(tmp_path / "customs" / "register.sqlite") as ledger:
            answers = await harness.run(simulator(harness, ledger=ledger), PAST_ALL)
        numbers += [int(n) for record in answers for n in fields(record, "RspNo")]
    assert numbers == sorted(numbers)
    assert all(b > a for a, b in pairwise(numbers))
    state = harness.states[example.number or ""]
    assert state is not None
    assert state.status == "ready_to_print"
    assert state.revision == 3


async def test_corrected_content_is_approved_after_a_return(harness: Harness, example: Declaration) -> None:
    once = marked(example, "return-once")
    await harness.declare(once)
    answers = await harness.run(customs := simulator(harness), PAST_ALL)
    assert fields(answers[-1], "RepType") == ["3"]
    await harness.declare(once.model_copy(update={"remarks": "WITH PROCESS"}))
    await harness.run(customs, PAST_ALL)
    assert [k for k in harness.kinds(example.number or "") if k in ("returned", "approved")] == ["returned", "approved"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"discharge_port": "HAMBURG, GERMANY"}, "P07"),
        ({"marks": "MAPLE\nMADE IN VIETNAM"}, "M03"),
        ({"discharge_port": "Busan Port", "marks": "MADE IN FRANCE"}, "P07;M03"),
    ],
)
async def test_an_examiner_returns_what_is_wrong_with_every_reason(
    harness: Harness, example: Declaration, wrong: dict[str, str], code: str
) -> None:
    await harness.declare(example.model_copy(update=wrong))
    answers = await harness.run(simulator(harness), PAST_ALL)
    assert fields(answers[-1], "RepCode") == [code]
    assert fields(answers[-1], "Note")[0]
    returned = harness.events[example.number or ""][-1]
    assert returned.kind.value == "returned"
    assert returned.data["note"]


async def test_an_invalid_document_is_refused_with_its_places(harness: Harness, example: Declaration) -> None:
    body = CustomsXml().write(example).replace(b"<ApplyType>1</ApplyType>", b"")
    await harness.send(body, "subject", IDS)
    (answer,) = await harness.run(simulator(harness), PAST_ALL)
    assert fields(answer, "RetType") == ["4"]
    assert "CertificateHead" in fields(answer, "Note")[0]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"<Certificate/>"])
async def test_what_names_no_certificate_is_acknowledged_and_not_answered(harness: Harness, body: bytes) -> None:
    await harness.send(body, "subject", IDS)
    assert await harness.run(simulator(harness), 1.0) == []
    assert not await harness.outstanding()


async def test_an_approval_carries_all_that_the_certificate_shows(harness: Harness, example: Declaration) -> None:
    await harness.declare(example)
    answers = await harness.run(simulator(harness), PAST_ALL)
    approval = next(r for r in answers if fields(r, "RepType") == ["5"])
    for name in ("OrgNameE", "CheckAddress", "AddressEn", "OrgTel", "CheckDate", "BarCode", "RspGenTime", "RspNo"):
        assert fields(approval, name)[0], name
    assert fields(approval, "RspGenTime") == ["2026-11-22 10:00:00"]
    layouts = [r for r in answers if b"LayoutDocument" in r.body]
    parts = {layout_xml.read(r.body).part for r in layouts}
    assert parts == {Part.ORIGINAL, Part.COPY}
    assert all(len(fields(r, "ImageData")) == 2 for r in layouts)


async def test_a_silent_case_does_not_hold_others_back(harness: Harness, example: Declaration) -> None:
    await harness.declare(marked(example, "silence"))
    assert await harness.run(simulator(harness), 1.0) == []
    assert not await harness.outstanding()


class FlakyBus:
    """Publishing fails twice."""

    def __init__(self, harness: Harness) -> None:
        self._bus = harness.bus
        self.failures = 2
        self.failing = False
        self.consumer = harness.bus.consumer

    async def publish(self, messages: list[Message]) -> None:
        """Away, then back."""
        self.failing = self.failures > 0
        if self.failing:
            self.failures -= 1
            raise Unavailable("away")
        await self._bus.publish(messages)


async def test_a_bus_that_was_away_gets_every_answer(harness: Harness, example: Declaration) -> None:
    await harness.declare(example)
    bus = FlakyBus(harness)
    customs = CustomsSimulator(bus, harness.clock)  # type: ignore[arg-type]
    answers = await harness.run(customs, PAST_ALL, busy=lambda: bus.failing)
    assert bus.failures == 0
    assert {fields(r, "RepType")[0] for r in answers if fields(r, "RepType")} == {"2", "5"}
    assert not await harness.outstanding()


async def test_what_no_form_can_show_is_sent_back_with_the_reason_though_it_was_approved(
    harness: Harness, example: Declaration
) -> None:
    """The door refuses such a declaration. What came past it must not be approved, and then nothing."""
    endless = example.goods[0].model_copy(update={"description": "A\n" * 300})
    long = example.model_copy(update={"goods": (endless,) * 200})
    harness.clock.at += timedelta(seconds=0.3)  # approval and layout are due in the same second
    await harness.declare(long)
    await harness.run(simulator(harness), PAST_ALL)
    number = example.number or ""
    state = harness.states[number]
    assert state is not None
    assert state.status == "returned"
    assert "approved" in harness.kinds(number)
    last = [event for event in harness.events[number] if event.kind.value == "returned"][-1]
    assert "PAPER-TOO-LONG" in str(last.data["note"])
