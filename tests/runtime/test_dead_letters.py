"""What nobody can read: kept once, published beside its topic, sent again as it was."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from adapters.codecs.gateway_xml import GatewayCodec
from adapters.store.memory import MemoryDeadLetters
from gateway.core.messages import Incoming
from gateway.inlet import GatewayInlet
from gateway.ports import Message, Record, Unreadable
from gateway.runtime import dead_letters
from gateway.runtime.dead_letters import ATTEMPTS, Opener, again, letter, message, storable, topic_of
from gateway.runtime.turn import Turn
from tests.runtime.house import DIALECTS, INBOUND, House, copy_of, taken
from tests.runtime.test_turn import declared

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
DEAD = f"{INBOUND}-dlt"


def a_record(key: str = "k", body: bytes = b"\x00poison", headers: Mapping[str, str] | None = None) -> Record:
    return Record(INBOUND, 3, 17, key, body, headers or {})


def test_every_clients_topic_shares_one_for_the_dead() -> None:
    assert topic_of("origin.render.job.v1") == "origin.render.job.v1-dlt"
    assert topic_of("origin.intake.submitted.v1.erp-1") == "origin.intake.submitted.v1-dlt"
    assert topic_of("origin.intake.submitted.v1.v2") == "origin.intake.submitted.v1-dlt"
    assert topic_of("somebody.else") == "somebody.else-dlt"


def test_what_other_tools_see() -> None:
    written = {"ce_time": "2026-11-22T07:59:59.500Z", "content-type": "application/xml", "name": "张三"}
    record = a_record(headers=written)
    dead = letter(record, Unreadable("RECEIPT-NO-NUMBER", "the receipt has no CertNo"), "turn", NOW)
    told = message(dead)
    assert (told.topic, told.key, told.body) == (DEAD, "k", b"\x00poison")
    headers = dict(told.headers)
    assert headers.pop("traceparent").startswith(f"00-{dead.id.hex}-")
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": str(dead.id),
        "ce_source": "/origin-gateway",
        "ce_type": "cn.origin.dead-letter.v1",
        "ce_subject": INBOUND,
        "ce_time": "2026-11-22T08:00:00.000Z",
        "content-type": "application/xml",
        "kafka_dlt-original-topic": INBOUND,
        "kafka_dlt-original-partition": "3",
        "kafka_dlt-original-offset": "17",
        "kafka_dlt-original-timestamp": "1795334399500",
        "kafka_dlt-original-consumer-group": "turn",
        "kafka_dlt-exception-fqcn": "RECEIPT-NO-NUMBER",
        "kafka_dlt-exception-message": "the receipt has no CertNo",
        "origin_attempts": "1",
    }, "and nothing of what a stranger wrote"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-22T07:59:59", "2026-11-22", "\0"])
def test_a_time_that_says_nothing_is_left_out(text: str) -> None:
    dead = letter(a_record(headers={"ce_time": text, "content-type": "text/evil"}), Unreadable("X", "y"), "turn", NOW)
    told = message(dead)
    assert dead_letters.TIMESTAMP not in told.headers
    assert told.headers["content-type"] == "application/octet-stream"


def test_a_replay_is_the_record_as_it_was_and_counts() -> None:
    first = letter(a_record(headers={"ce_id": "7"}), Unreadable("X", "y"), "turn", NOW)
    sent = again(first)
    assert (sent.topic, sent.key, sent.body) == (INBOUND, "k", b"\x00poison")
    assert dict(sent.headers) == {"ce_id": "7", ATTEMPTS: "1"}
    second = letter(Record(sent.topic, 3, 18, sent.key, sent.body, sent.headers), Unreadable("X", "y"), "turn", NOW)
    assert (first.attempts, second.attempts) == (1, 2)
    assert first.id != second.id


@pytest.mark.parametrize("text", ["-1", "x", "9" * 30, "٣", ""])
def test_a_count_that_a_stranger_wrote_does_no_harm(text: str) -> None:
    assert letter(a_record(headers={ATTEMPTS: text}), Unreadable("X", "y"), "turn", NOW).attempts == 1


def test_the_same_record_has_one_id_and_other_bytes_at_its_place_another() -> None:
    ids = {letter(a_record(body=body), Unreadable("X", "y"), "turn", NOW).id for body in (b"1", b"1", b"2")}
    assert len(ids) == 2, "another bus counts its offsets from 0 again"


def test_nul_is_kept_out_of_text_and_in_the_body() -> None:
    kept = storable(a_record("a\0b", b"\0", {"n\0": "v\0"}))
    assert (kept.key, kept.headers, kept.body) == ("a\ufffdb", {"n\ufffd": "v\ufffd"}, b"\0")


# ---------------------------------------------------------------- the turn


async def test_poison_is_kept_and_published_in_the_turns_transaction_and_once() -> None:
    house = House()
    house.store.lost = 1  # the commit is made, its outcome never arrives: the turn runs again
    house.customs(b"<broken", key="张\0三")
    records = house.unread()
    await house.turn.handle(records)
    await house.turn.handle([copy_of(record) for record in records])
    (row,) = house.store.tables.dead.values()
    (told,) = house.on(DEAD)
    assert (row.body, row.group, row.topic, row.offset) == (b"<broken", "turn", INBOUND, records[0].offset)
    assert told.headers["ce_id"] == str(row.id)
    assert "\0" not in row.key + told.key


async def test_a_stranger_cannot_hold_up_a_certificate_by_its_key() -> None:
    house = House()
    identity, number = await declared(house)
    house.customs(b"<broken", key=str(identity))
    house.customs(taken(number))
    await house.turns()
    assert house.kinds(identity) == ["declared", "sent"]
    assert (await house.store.parked(), len(house.on(DEAD))) == ([], 1)


async def test_an_unreadable_message_of_our_own_about_nobody_is_dead() -> None:
    house = House()
    topic = "origin.print.result.v1"
    house.log.append([Message(topic, "6b0c1fb1-0000-5000-8000-000000000000", b"<broken", {})])
    await house.turns()
    assert (await house.store.parked(), len(house.on(f"{topic}-dlt"))) == ([], 1)


async def test_what_was_parked_for_our_mistake_and_is_poison_moves_on_when_replayed() -> None:
    house = House()

    class Broken(GatewayInlet):
        def read(self, record: Record) -> tuple[Incoming, tuple[()]]:
            raise ZeroDivisionError

    broken = Turn(house.store, Broken(house.codec), house.codec, DIALECTS, house.clock, house.told)
    house.customs(b"<broken")
    await broken.handle(house.unread())
    assert len(await house.store.parked()) == 1
    await house.turn.replay()
    assert (await house.store.parked(), len(house.store.tables.dead)) == ([], 1)


# ---------------------------------------------------------------- workers


async def test_a_reader_that_breaks_holds_nobody_up() -> None:
    house = House()
    opener = Opener("print", MemoryDeadLetters(house.store), house.clock, house.told)

    def breaks(body: bytes) -> str:
        raise ZeroDivisionError

    record = Record("origin.print.job.v1", 0, 0, "k", b"secret", {})
    assert await opener.open(record, breaks) is None
    assert await opener.open(record, breaks) is None, "it came again"
    (row,) = house.store.tables.dead.values()
    (told,) = house.on("origin.print.job.v1-dlt")
    assert (row.code, told.body) == ("READER-BROKE", b"secret")
    assert "secret" not in str(told.headers)
    assert await opener.open(record, GatewayCodec().print_job) is None
    assert house.told.words[:2] == ["broke: ZeroDivisionError", "buried: READER-BROKE"]
