"""The turn: order, repetitions, poison, replay, due dates, commands; on real codecs and the store in memory."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

import schemas
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.receipts import message_id
from adapters.store.memory import MemoryTurn
from gateway.core.envelope import event_id
from gateway.core.life import Life
from gateway.core.messages import ConfirmPrint, Incoming, Part, RequestPrint, TechnicalReceipt
from gateway.inlet import GatewayInlet
from gateway.ports import Message, Record, Unavailable
from gateway.runtime.inputs import BREATH
from gateway.runtime.outgoing import OUTBOUND
from gateway.runtime.rounds import ALONE
from gateway.runtime.turn import STATUS, NotHandled
from gateway.storage import Collision, TurnWork
from tests.runtime.house import DIALECTS, INBOUND, XML, House, copy_of, document, reply, taken


def breaking(monkeypatch: pytest.MonkeyPatch, *numbers: str) -> None:
    """Our own code breaks on receipts of these numbers; `monkeypatch.undo()` mends it."""

    whole = Life.apply

    def broken(life: Life[Any], state: object, message: Incoming, now: object) -> object:
        if getattr(message, "number", "") in numbers and not hasattr(message, "accepted_at"):
            raise ZeroDivisionError
        return whole(life, state, message, now)  # type: ignore[arg-type]

    monkeypatch.setattr(Life, "apply", broken)


async def declared(house: House, **changes: object) -> tuple[UUID, str]:
    """A certificate that customs was told of."""
    identity, number = await house.declare(**changes)
    await house.turns()
    return identity, number


async def test_a_declaration_becomes_the_official_message_under_its_number() -> None:
    house = House()
    identity, number = await declared(house)
    (record,) = house.on(OUTBOUND)
    declaration = CustomsXml().read(record.body).declaration
    assert (record.key, declaration.number) == (str(identity), number)
    assert record.headers["ce_type"] == "cn.origin.customs.outbound.v1"
    assert house.kinds(identity) == ["declared"]


async def test_a_replaced_number_stands_everywhere_in_the_official_message() -> None:
    house = House()
    invoice = DIALECTS[XML].read(_rcep()).declaration.invoices[0]
    async with house.open():
        body = _rcep(number="RC26XXXX0001", invoices=(invoice.model_copy(update={"certificate_number": None}),))
        answer = (await house.submit(body, XML)).content
    assert answer["status"] == "accepted", answer
    await house.turns()
    declaration = CustomsXml().read(house.on(OUTBOUND)[0].body).declaration
    assert {declaration.number, *(one.certificate_number for one in declaration.invoices)} == {answer["number"]}


def _rcep(**changes: object) -> bytes:
    read = DIALECTS[XML].read(schemas.read_bytes("examples", "RC-two-goods.xml")).declaration
    return DIALECTS[XML].write(read.model_copy(update=changes))


async def test_status_messages_are_gapless_with_ids_that_never_change() -> None:
    house = House()
    identity, number = await declared(house)
    house.customs(taken(number), reply(number, "2", 3), reply(number, "5"))
    await house.turns()
    told = house.told_of(identity)
    assert [event["sequence"] for event in told] == [1, 2, 3, 4]
    assert [event["status"] for event in told] == ["declared", "sent", "in_review", "approved"]
    assert [event["id"] for event in told] == [str(event_id(identity, n)) for n in range(1, 5)]
    for record, event in zip(house.on(STATUS), told, strict=True):
        assert record.headers["ce_id"] == event["id"]
        assert record.headers["ce_sequence"] == str(event["sequence"])
        assert event["reference"] is None or isinstance(event["reference"], str)


async def test_redelivered_records_are_in_effect_once() -> None:
    house = House()
    identity, number = await declared(house)
    house.customs(taken(number), reply(number, "5"))
    records = house.unread()
    await house.turn.handle(records)
    await house.turn.handle([copy_of(record) for record in records])
    await house.turn.handle([records[1], records[1]])
    house.customs(reply(number, "5"))
    await house.turns()
    assert house.kinds(identity) == ["declared", "sent", "approved"]
    assert len(house.store.tables.receipts) == 2


async def test_whoever_heard_from_the_database_goes_on_while_a_batch_is_worked_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, rounds = House(), 0
    for number in range(3 * BREATH):
        await house.declare(invoice_no=str(number))
    when: dict[str, list[int]] = {}

    def noting(owner: object, name: str) -> None:
        whole, seen = getattr(owner, name), when.setdefault(name, [])
        monkeypatch.setattr(owner, name, lambda *given: (seen.append(rounds), whole(*given))[1])

    async def somebody_else() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    noting(house.codec, "decode")
    noting(Life, "apply")
    noting(DIALECTS[XML], "write")
    other = asyncio.create_task(somebody_else())
    await house.turn.ahead(house.unread(), ALONE)
    other.cancel()
    assert {name: len(seen) for name, seen in when.items()} == dict.fromkeys(when, 3 * BREATH)
    assert all(seen.count(one) <= BREATH for seen in when.values() for one in seen), when


async def test_two_doubles_in_one_batch_are_in_effect_once() -> None:
    house = House()
    identity, number = await declared(house)
    house.customs(taken(number), taken(number))
    await house.turns()
    assert house.kinds(identity) == ["declared", "sent"]
    assert "repeated" in house.told.words


async def test_poison_is_parked_with_its_certificate_and_the_others_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    (bad, bad_number), (good, good_number) = await declared(house), await declared(house, invoice_no="2")
    breaking(monkeypatch, bad_number)
    house.customs(taken(bad_number), taken(good_number), reply(bad_number, "5"), reply(good_number, "5"))
    await house.turns()
    assert house.kinds(good) == ["declared", "sent", "approved"]
    assert house.kinds(bad) == ["declared"]
    monkeypatch.undo()
    house.customs(reply(bad_number, "2", 4))
    await house.turns()
    assert house.kinds(bad) == ["declared"], "what comes later waits too, though it would not break"
    parked = await house.store.parked()
    assert [row.body for row in parked] == [taken(bad_number), reply(bad_number, "5"), reply(bad_number, "2", 4)]
    assert [row.reason.split()[0] for row in parked] == ["ZeroDivisionError", "waits", "waits"]
    assert {row.subject_id for row in parked} == {bad}
    assert {row.topic for row in parked} == {INBOUND}


async def test_replay_goes_in_order_with_the_original_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    (bad, number), (other, other_number) = await declared(house), await declared(house, invoice_no="2")
    breaking(monkeypatch, number, other_number)
    house.customs(taken(number), reply(number, "2", 3), reply(number, "5"), taken(other_number))
    await house.turns()
    assert await house.turn.replay(bad) == 0, "still broken"
    assert len(await house.store.parked()) == 4
    monkeypatch.undo()
    breaking(monkeypatch, other_number)
    assert await house.turn.replay() == 3, "a certificate that still breaks holds nobody else"
    assert house.kinds(bad) == ["declared", "sent", "in_review", "approved"]
    assert house.kinds(other) == ["declared"]
    monkeypatch.undo()
    assert await house.turn.replay(other) == 1
    assert await house.store.parked() == []
    assert house.kinds(other) == ["declared", "sent"]


async def test_a_replay_that_breaks_again_lets_nothing_overtake(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    identity, number = await declared(house)
    breaking(monkeypatch, number)
    house.customs(taken(number), reply(number, "2", 3))
    await house.turns()
    monkeypatch.undo()

    whole = Life.apply

    def broken(life: Life[Any], state: object, message: Incoming, now: object) -> object:
        if isinstance(message, TechnicalReceipt):
            raise ZeroDivisionError
        return whole(life, state, message, now)  # type: ignore[arg-type]

    monkeypatch.setattr(Life, "apply", broken)
    assert await house.turn.replay() == 0
    assert house.kinds(identity) == ["declared"]


async def test_what_is_parked_behind_during_a_replay_is_replayed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    identity, number = await declared(house)
    breaking(monkeypatch, number)
    house.customs(taken(number), reply(number, "2", 3))
    await house.turns()
    monkeypatch.undo()
    house.customs(reply(number, "5"))
    late = house.unread()
    parked = house.store.parked

    async def listed(certificate_id: UUID | None = None) -> Sequence[object]:
        found = await parked(certificate_id)
        if late:
            await house.turn.handle([late.pop()])
        return found

    monkeypatch.setattr(house.store, "parked", listed)
    assert await house.turn.replay() == 3
    assert house.kinds(identity) == ["declared", "sent", "in_review", "approved"]


async def test_a_replayed_message_that_customs_sends_again_is_a_double(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    identity, number = await declared(house)
    inlet = house.turn._inlet

    class Broken(GatewayInlet):
        def read(self, record: Record) -> tuple[Incoming, tuple[()]]:
            raise ZeroDivisionError

    house.turn._inlet = Broken(house.codec)
    house.customs(taken(number))
    await house.turns()
    assert [row.reason for row in await house.store.parked()] == ["ZeroDivisionError while reading"]
    house.turn._inlet = inlet
    assert await house.turn.replay() == 1
    house.customs(taken(number))
    await house.turns()
    assert house.kinds(identity) == ["declared", "sent"]
    assert message_id(taken(number)) in house.store.tables.inbox


async def test_an_unreadable_body_is_kept_aside_and_blocks_nobody() -> None:
    house = House()
    identity, number = await declared(house)
    house.customs(b"\x00 not XML at all \xff", b"<Receipt/>", b"", taken(number))
    await house.turns()
    dead = house.store.tables.dead.values()
    assert [row.body for row in dead] == [b"\x00 not XML at all \xff", b"<Receipt/>", b""]
    assert await house.store.parked() == []
    assert house.kinds(identity) == ["declared", "sent"]


async def test_an_unreadable_message_of_our_own_holds_its_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    identity, number = await declared(house)
    house.log.append([Message("origin.render.result.v1", str(identity), b"<broken", {})])
    house.customs(taken(number))
    records = sorted(house.unread(), key=lambda record: record.topic, reverse=True)
    await house.turn.handle(records)
    assert [row.subject_id for row in await house.store.parked()] == [identity, identity]


async def test_a_stray_receipt_is_kept_and_told() -> None:
    house = House()
    house.customs(taken("C26MA9XYD0C29999"))
    await house.turns()
    (receipt,) = house.store.tables.receipts.values()
    assert (receipt.subject_id, receipt.number) == (None, "C26MA9XYD0C29999")
    assert house.store.tables.blobs[receipt.raw_sha256].content == taken("C26MA9XYD0C29999")
    assert house.told.words.count("stray") == 1
    assert await house.store.parked() == []


async def test_a_batch_that_cannot_be_saved_is_split_until_the_bad_one_stands_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    made = [await declared(house, invoice_no=f"{n}") for n in range(7)]
    bad = made[4][0]
    save = MemoryTurn.save

    async def saves(session: MemoryTurn, work: TurnWork) -> None:
        if any(state.id == bad for state in work.states):
            raise RuntimeError("a value that the database refuses")
        await save(session, work)

    monkeypatch.setattr(MemoryTurn, "save", saves)
    house.customs(*(taken(number) for _, number in made))
    await house.turns()
    assert [row.subject_id for row in await house.store.parked()] == [bad]
    assert [row.reason for row in await house.store.parked()] == ["RuntimeError while saving"]
    for identity, _ in made:
        assert house.kinds(identity) == (["declared"] if identity == bad else ["declared", "sent"])


async def test_away_is_told_and_nothing_is_acknowledged() -> None:
    house = House()
    identity, number = await declared(house)
    house.customs(taken(number))
    records = house.unread()
    house.store.away = True
    with pytest.raises(Unavailable):
        await house.turn.handle(records)
    house.store.away = False
    await house.turn.handle(records)
    assert house.kinds(identity) == ["declared", "sent"]
    assert await house.store.parked() == []


async def test_a_lost_outcome_is_run_again_and_in_effect_once() -> None:
    house = House()
    identity, number = await declared(house)
    house.customs(taken(number))
    house.store.lost = 3
    await house.turns()
    assert house.kinds(identity) == ["declared", "sent"]
    house.store.lost = 99
    house.customs(reply(number, "5"))
    with pytest.raises(Collision):
        await house.turn.handle(house.unread())


# ---------------------------------------------------------------- commands


def wish(identity: UUID) -> RequestPrint:
    return RequestPrint(message_id=uuid4(), certificate_id=identity, parts=tuple(Part), by="desk")


async def test_a_command_is_answered_with_what_it_caused() -> None:
    house = House()
    identity, _ = await declared(house)
    (event,) = await house.turn.command(wish(identity))
    assert event.data["what"] == "print_not_approved"
    unknown = ConfirmPrint(message_id=uuid4(), certificate_id=uuid4(), printed=True, by="desk")
    assert await house.turn.command(unknown) == ()


async def test_a_command_whose_outcome_was_lost_is_still_answered() -> None:
    house = House()
    identity, _ = await declared(house)
    house.store.lost = 1
    (event,) = await house.turn.command(wish(identity))
    assert event.data["what"] == "print_not_approved"
    assert len(house.kinds(identity)) == 2


async def test_a_command_to_a_certificate_that_waits_is_refused_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    identity, number = await declared(house)
    breaking(monkeypatch, number)
    house.customs(taken(number))
    await house.turns()
    with pytest.raises(NotHandled):
        await house.turn.command(wish(identity))


async def test_a_correction_goes_through_after_a_return() -> None:
    house = House()
    identity, number = await declared(house)
    house.customs(taken(number), reply(number, "3"))
    await house.turns()
    async with house.open():
        answer = (await house.submit(document(number=number, invoice_no="NEW"))).content
    assert (answer["id"], answer["revision"]) == (str(identity), 2)
    await house.turns()
    house.customs(reply(number, "5", 9))
    await house.turns()
    assert house.kinds(identity) == ["declared", "sent", "returned", "declared", "approved"]
    assert len(house.on(OUTBOUND)) == 2
