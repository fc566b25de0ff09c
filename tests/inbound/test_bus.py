"""The bus as a way in, on memory: what is answered, in which order, and what never stops a partition."""

import asyncio
import gc
from collections.abc import Sequence
from uuid import UUID

import orjson
import pytest

import schemas
from adapters.bus.topics import Topics
from adapters.inbound.bus_reading import answer_id
from gateway.ports import Message, Record, Unavailable
from gateway.runtime.consume import positions
from tests.inbound.bus_parts import ANSWERED, DEAD, OTHER, SUBMITTED, Post, codes, until
from tests.inbound.parts import FakeDoor
from tests.runtime.house import ENTERPRISE, ERP, JSON, XML, House, document

# ---------------------------------------------------------------- answers


async def test_a_declaration_is_accepted_and_its_answer_finds_its_way() -> None:
    post = Post()
    post.send(
        document(), key="order 1", ce_id="7", ce_source="/sap", origin_0reference="PO-1", traceparent="00-ab-cd-01"
    )
    await post.handle()
    (answer,) = post.answers()
    content = orjson.loads(answer.body)
    assert (content["status"], content["revision"], content["type"]) == ("accepted", 1, "C")
    assert answer.key == "order 1"
    (record,) = post.submitted()
    headers = dict(answer.headers)
    assert headers.pop("ce_id") != "7"
    assert headers == {
        "ce_specversion": "1.0",
        "ce_source": "/origin-gateway",
        "ce_type": "cn.origin.intake.answered.v1",
        "ce_subject": "erp",
        "ce_time": "2026-11-22T08:00:00.000Z",
        "ce_causationid": "7",
        "content-type": "application/json",
        "origin-reference": "PO-1",
        "origin_status": "accepted",
        "origin_submitted_partition": str(record.partition),
        "origin_submitted_offset": str(record.offset),
        "traceparent": "00-ab-cd-01",
    }
    assert len(post.house.on("origin.declaration.accepted.v1")) == 1
    sample = {"channel": "bus", "result": "accepted"}
    assert post.metrics.get_sample_value("origin_declarations_received_total", sample) == 1


async def test_the_body_is_the_one_that_every_way_in_gives() -> None:
    post, house = Post(), House()
    body = document(number="C26MA9XYD0C20042")
    async with house.open():
        same = await house.submit(body)
    post.send(body)
    await post.handle()
    (content,) = post.contents()
    assert {**content, "id": ""} == {**same.content, "id": ""}


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        (XML, "C-three-goods.xml"),
        ("text/xml; charset=UTF-8", "C-three-goods.xml"),
        ("Application/JSON ;charset=utf-8", "C-three-goods.json"),
    ],
)
async def test_the_content_type_says_which_dialect(media_type: str, name: str) -> None:
    post = Post()
    post.send(schemas.read_bytes("examples", name), media_type)
    await post.handle()
    assert post.contents()[0]["status"] == "accepted"


async def test_poison_is_answered_and_blocks_nobody() -> None:
    post = Post()
    good = document(invoice_no="last")
    post.send(b"\x00\xff garbage", XML)
    post.send(b"\x00\xff garbage", JSON)
    post.send(b"", XML)
    post.send(b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><Certificate>&y;</Certificate>", XML)
    post.send(good, "application/cloudevents+json")
    post.send(good, "application/xml; charset=gb2312")
    post.log.append([Message(f"{SUBMITTED}.erp", "k", good, {})])
    post.send(good + b" " * (1 << 20))
    post.send(good, ce_id="x" * 256)
    post.send(good, **{"idempotency-key": "a\ufffdb", "origin-reference": "a\x1bb"})
    post.send(document(applicant_code=OTHER.enterprise))
    post.send(good)
    await post.handle()
    *refused, last = post.contents()
    assert [content["status"] for content in refused] == ["refused"] * 11
    assert [codes(content) for content in refused[4:]] == [
        ["DOC-MEDIA-TYPE"],
        ["DOC-MEDIA-TYPE"],
        ["DOC-MEDIA-TYPE"],
        ["DOC-TOO-LARGE"],
        ["HEADER-TEXT"],
        ["HEADER-TEXT", "HEADER-TEXT"],
        ["COM-028", "OWNER-APPLICANT"],
    ]
    assert all(codes(content) for content in refused)
    assert last["status"] == "accepted"
    assert post.on(DEAD) == []
    echoed = str([dict(record.headers) for record in post.answers()])
    assert "xxxx" not in echoed
    assert "\x1b" not in echoed


async def test_the_client_is_the_one_the_topic_belongs_to() -> None:
    post = Post()
    post.send(document(), client="other", key="1")
    post.send(document(applicant_code=OTHER.enterprise, exporter_code=OTHER.enterprise), client="other", key="2")
    await post.handle()
    assert post.answers("erp") == []
    by_key = {record.key: orjson.loads(record.body) for record in post.answers("other")}
    assert "OWNER-APPLICANT" in codes(by_key["1"])
    assert by_key["2"]["status"] == "accepted"


async def test_a_revoked_client_is_told_and_the_others_flow() -> None:
    post = Post()
    post.registry.revoked.add("other")
    post.send(document(), client="other", origin_0reference="PO-9")
    post.send(document())
    await post.handle()
    (content,) = post.contents("other")
    assert (codes(content), content["reference"]) == (["CLIENT-UNKNOWN"], "PO-9")
    assert post.contents()[0]["status"] == "accepted"


# ---------------------------------------------------------------- the same again, and order


async def test_a_record_that_comes_again_gets_the_same_answer_byte_for_byte() -> None:
    """A crash between the answer and the acknowledgement."""
    post = Post()
    post.send(document(), key="1")
    post.send(document(number="C26MA9XYD0C20042"), key="2")
    post.send(b"garbage", key="3")
    await post.handle()
    first = {record.key: record for record in post.answers()}
    await post.handle()
    again = [record for record in post.answers() if record.offset >= 1 or record not in first.values()]
    assert len(post.answers()) == 6
    for record in again:
        assert (record.body, record.headers["ce_id"]) == (first[record.key].body, first[record.key].headers["ce_id"])
    assert len(post.house.store.tables.certificates) == 2


@pytest.mark.parametrize("accepted", [True, False])
def test_an_answer_is_named_by_its_place_and_words_and_by_the_record_where_others_may_get_the_same(
    accepted: bool,
) -> None:
    first = Record(f"{SUBMITTED}.{ERP.id}", 0, 7, "key", b"one", {})

    def name(record: Record = first, body: bytes = b"{}") -> UUID:
        return answer_id(record, body, accepted=accepted)

    others = [name(first._replace(offset=8)), name(first._replace(partition=1)), name(body=b"[]")]
    assert len({name(), *others}) == 4
    assert name(first._replace(key="other", headers={"a": "b"})) == name()
    # then on another bus, whose offsets count from 0, two documents that are wrong alike have an answer each
    assert (name(first._replace(body=b"two")) == name()) is accepted


async def test_a_key_that_the_gateway_itself_gives_is_refused() -> None:
    post = Post()
    post.send(document(), idempotency_0key=f"content:{'0' * 64}")
    await post.handle()
    assert [codes(content) for content in post.contents()] == [["KEY-RESERVED"]]


async def test_the_key_is_the_header_else_the_name_of_the_event() -> None:
    post = Post()
    one, two = document(invoice_no="1"), document(invoice_no="2")
    post.send(one, ce_id="7", ce_source="/sap")
    post.send(one, ce_id="7", ce_source="/sap")
    post.send(two, ce_id="7", ce_source="/sap")
    post.send(two, ce_id="7", ce_source="/other")
    post.send(two, ce_id="8", ce_source="/sap", idempotency_0key="mine")
    post.send(one, ce_id="9", ce_source="/sap", idempotency_0key="mine")
    await post.handle()
    first, same, clash, other, named, reused = post.contents()
    assert same == first
    assert codes(clash) == codes(reused) == ["KEY-REUSED"]
    assert (other["status"], named["status"]) == ("accepted", "duplicate")


async def test_a_correction_does_not_overtake_what_it_corrects() -> None:
    post = Post()
    number = "C26MA9XYD0C29042"
    for n in range(120):
        post.send(document(number=number, invoice_no=str(n)), key=number)
        post.send(document(invoice_no=f"other {n}"), key=f"other {n}")
    await post.handle()
    mine = [record for record in post.answers() if record.key == number]
    assert [record.headers["origin_status"] for record in mine] == ["accepted"] + ["conflict"] * 119, "the first has it"
    places = [int(record.headers["origin_submitted_offset"]) for record in mine]
    assert places == sorted(places)


async def test_what_can_not_be_judged_now_is_not_answered_and_comes_again() -> None:
    door = FakeDoor()
    post = Post(door)
    for body in (b"1", b"away", b"2"):
        post.send(body)
    with pytest.raises(Unavailable):
        await post.handle()
    assert post.answers() == [], "nothing is answered that is not acknowledged after it"


async def test_a_database_that_goes_away_under_many_of_them_is_told_once() -> None:
    """Found by the simulation: nobody had looked at the trouble of the others, and each was told as a bug of ours."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    post = Post()
    post.house.store.away = True
    for number in range(3):
        post.send(document(invoice_no=str(number)))
    with pytest.raises(Unavailable):
        await post.handle()
    del post
    gc.collect()
    assert complaints == []


async def test_a_whole_poll_is_submitted_at_once_and_answered_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    door = FakeDoor()
    post = Post(door)
    calls: list[int] = []
    publish = post.bus.publish

    async def counted(messages: Sequence[Message]) -> None:
        calls.append(len(messages))
        await publish(messages)

    monkeypatch.setattr(post.bus, "publish", counted)
    for n in range(200):
        post.send(b"%d" % n, key=f"key {n % 190}")
    await post.handle()
    assert (door.most_at_once, calls) == (200, [200])
    by_key: dict[str, list[int]] = {}
    for record in post.answers():
        by_key.setdefault(record.key, []).append(int(record.headers["origin_submitted_offset"]))
    assert len(by_key) == 190
    assert all(offsets == sorted(offsets) for offsets in by_key.values())


# ---------------------------------------------------------------- what can't be answered


async def test_our_own_mistake_is_told_and_kept() -> None:
    post = Post(FakeDoor())
    post.send(b"crash", key="1", ce_id="7", origin_0reference="PO-1")
    post.send(b"fine", key="2")
    await post.handle()
    by_key = {record.key: record for record in post.answers()}
    content = orjson.loads(by_key["1"].body)
    assert (content["status"], content["reference"], codes(content)) == ("internal", "PO-1", ["GATEWAY-BROKE"])
    assert by_key["1"].headers["ce_causationid"] == "7"
    assert by_key["2"].headers["origin_status"] == "accepted"
    (dead,) = post.on(DEAD)
    assert (dead.body, dead.headers["kafka_dlt-exception-fqcn"]) == (b"crash", "GATEWAY-BROKE")
    assert dead.headers["kafka_dlt-original-topic"] == f"{SUBMITTED}.erp"
    assert dead.headers["kafka_dlt-original-consumer-group"] == "intake"


async def test_a_topic_of_answers_that_is_gone_stops_nobody_else() -> None:
    post = Post(FakeDoor(), Topics({f"{ANSWERED}.erp": 1, DEAD: 1}, {SUBMITTED: 1}))
    post.send(b"one", client="other")
    post.send(b"two")
    await post.intake.handle(post.submitted())
    assert [content["status"] for content in post.contents()] == ["accepted"]
    (dead,) = post.on(DEAD)
    assert (dead.body, dead.headers["kafka_dlt-exception-fqcn"]) == (b"one", "ANSWER-TOPIC")


async def test_a_key_that_no_database_keeps_is_no_trouble() -> None:
    post = Post(FakeDoor())
    post.send(b"crash", key="a\0b")
    post.send(b"fine", key="")
    await post.handle()
    assert sorted("\0" in record.key or not record.key for record in [*post.answers(), *post.on(DEAD)]) == [False] * 3


# ---------------------------------------------------------------- the loop


async def test_a_client_that_joins_is_heard_without_a_restart_and_one_that_leaves_is_not() -> None:
    post = Post()
    post.registry.on = []
    post.send(document(), key="1")
    async with post.running():
        await asyncio.sleep(0.05)
        assert post.answers() == []
        post.registry.on = ["erp"]
        await until(lambda: len(post.answers()) == 1)
        post.registry.on = ["erp", "other"]
        post.send(b"{}", client="other")
        await until(lambda: len(post.answers("other")) == 1)
        post.registry.on = ["other"]
        await until(
            lambda: f"{SUBMITTED}.erp" not in {t for ts in post.log.groups["intake"].members.values() for t in ts}
        )
        post.send(document(invoice_no="2"), key="2")
        await asyncio.sleep(0.05)
        assert len(post.answers()) == 1
        post.registry.on = ["erp", "other"]
        await until(lambda: len(post.answers()) == 2)
    positions_now = post.log.groups["intake"].positions
    assert {place: positions_now[place] for place in positions_now} == dict(positions(post.submitted()))


async def test_a_client_whose_topics_nobody_has_made_keeps_nobody_waiting() -> None:
    post = Post()
    post.there = {f"{SUBMITTED}.erp", f"{ANSWERED}.erp", f"{SUBMITTED}.other"}
    post.send(document())
    async with post.running():
        await until(lambda: len(post.answers()) == 1)
        assert {t for ts in post.log.groups["intake"].members.values() for t in ts} == {f"{SUBMITTED}.erp"}
        post.there = {*post.there, f"{ANSWERED}.other"}
        post.send(b"{}", client="other")
        await until(lambda: len(post.answers("other")) == 1)


async def test_a_database_that_is_away_is_waited_for_and_nothing_is_lost() -> None:
    post = Post()
    async with post.running():
        post.send(document(invoice_no="1"), key="1")
        await until(lambda: len(post.answers()) == 1)
        post.house.store.away = post.registry.away = True
        for n in range(2, 6):
            post.send(document(invoice_no=str(n)), key=str(n))
        await until(lambda: "away: database" in post.told.words)
        assert len(post.answers()) == 1
        post.house.store.away = post.registry.away = False
        await until(lambda: len(post.answers()) == 5)
        await until(lambda: "back: database" in post.told.words)
    assert ERP.enterprise == ENTERPRISE
    assert {content["status"] for content in post.contents()} == {"accepted"}
