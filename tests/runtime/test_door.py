"""The door on real dialects: what is the same, what is in conflict, who may, and what is kept when things break."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import product

import pytest

from gateway.core.admission import Verdict
from gateway.core.messages import DeclarationAccepted
from gateway.examiner import new_examiner
from gateway.ports import Unavailable
from gateway.runtime.accepting import ACCEPTED
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client
from gateway.runtime.examining import Examiner
from gateway.runtime.submission import Examined, Submission
from gateway.storage import Fresh
from renderers.fonts import missing
from tests.runtime.house import DIALECTS, ENTERPRISE, ERP, JSON, XML, House, document, example

OWN = "C26MA9XYD0C27777"


def statuses(answers: Sequence[Answer]) -> Counter[str]:
    return Counter(answer.content["status"] for answer in answers)


def identities(answers: Sequence[Answer]) -> set[str]:
    return {answer.content["id"] for answer in answers}


# ---------------------------------------------------------------- the same again


@pytest.mark.parametrize("number", [None, OWN])
@pytest.mark.parametrize("together", [True, False])
async def test_the_same_declaration_by_any_way_in_any_mix_is_one_certificate(
    number: str | None, together: bool
) -> None:
    house = House()
    ways = [
        (document(media_type, number=number), media_type, key, channel)
        for media_type, key, channel in product((XML, JSON), (None, "key"), ("http", "folder"))
    ]
    ways = [(body, kind, f"{key} {kind}" if key else None, channel) for body, kind, key, channel in ways]
    async with house.open():
        if together:
            sent = [house.submit(body, kind, key=key, channel=channel) for body, kind, key, channel in ways * 2]
            answers: list[Answer] = list(await asyncio.gather(*sent))
        else:
            answers = [
                await house.submit(body, kind, key=key, channel=channel) for body, kind, key, channel in ways * 2
            ]
    assert len(identities(answers)) == 1
    assert set(statuses(answers)) <= {"accepted", "duplicate"}
    assert len(house.on(ACCEPTED)) == 1
    assert {answer.content["number"] for answer in answers} == {number or "C26MA9XYD0C20001"}


async def test_the_same_key_and_bytes_get_the_very_same_answer() -> None:
    house = House()
    async with house.open():
        first = await house.submit(document(), key="k")
        house.clock.move(days=400)
        assert await house.submit(document(), key="k") == first
        assert (await house.submit(document())).content["id"] == first.content["id"]


@pytest.mark.parametrize("together", [True, False])
async def test_other_bytes_under_the_same_key_are_a_conflict(together: bool) -> None:
    house = House()
    bodies = [document(), document(invoice_no="ANOTHER")]
    async with house.open():
        if together:
            answers = list(await asyncio.gather(*(house.submit(body, key="k") for body in bodies)))
        else:
            answers = [await house.submit(body, key="k") for body in bodies]
        other_client = await house.submit(bodies[1], key="k", client=Client("erp2", ENTERPRISE))
    assert answers[1].content["status"] == "conflict"
    assert answers[1].content["faults"][0]["code"] == "KEY-REUSED"
    assert other_client.content["status"] == "accepted", "a key belongs to its client"
    assert len(house.on(ACCEPTED)) == 2


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("number", [None, OWN])
async def test_no_key_of_a_client_is_the_one_that_another_document_has_by_itself(
    number: str | None, together: bool
) -> None:
    house = House()
    first, second = document(number="C26MA9XYD0C28888"), document(invoice_no="ANOTHER", number=number)
    content = examined(second).content_key[1]
    keys = [content, f"sha256:{sha256(second).hexdigest()}"]
    async with house.open():
        sent = [house.submit(first), *(house.submit(first, key=key) for key in keys), house.submit(second)]
        answers = list(await asyncio.gather(*sent)) if together else [await one for one in sent]
        mine = await house.submit(first, key=f"sha256:{sha256(first).hexdigest()}")
        theirs = await house.submit(first, key="content:of mine")
    assert [answer.verdict for answer in answers] == ["accepted", "refused", "refused", "accepted"]
    (fault,) = answers[1].content["faults"]
    assert (fault["code"], bool(fault["message"] and fault["remedy"])) == ("KEY-RESERVED", True)
    assert keys[0] not in answers[1].body.decode()
    assert len(identities([answers[0], answers[3]])) == 2
    assert identities([mine, theirs]) == identities(answers[:1]), "keys that can't be another document's stay good"


def examined(body: bytes) -> Examined:
    return new_examiner().examine(Submission(ERP, JSON, body, "http"))


async def test_without_a_number_other_content_is_another_certificate() -> None:
    house = House()
    async with house.open():
        answers = [await house.submit(document(invoice_no=f"I-{n}")) for n in range(3)]
    assert [answer.content["number"][-4:] for answer in answers] == ["0001", "0002", "0003"]


async def test_two_doors_at_once_are_still_one_certificate() -> None:
    house = House()
    second = house.another_door()
    async with house.open(), house.open(second):
        sent = [house.submit(document(), key=f"k{n}", door=(house.door, second)[n % 2]) for n in range(10)]
        assert len(identities(await asyncio.gather(*sent))) == 1


# ---------------------------------------------------------------- numbers


async def test_members_of_a_batch_see_each_other_and_own_numbers_are_stepped_over() -> None:
    house = House()
    own = "C26MA9XYD0C20002"
    bodies = [document(invoice_no="A"), document(invoice_no="B"), document(invoice_no="C", number=own)]
    async with house.open():
        answers = await asyncio.gather(*(house.submit(body) for body in [*bodies, bodies[1], bodies[2]]))
    assert [answer.content["number"][-4:] for answer in answers] == ["0001", "0003", "0002", "0003", "0002"]
    assert len(house.on(ACCEPTED)) == 3


async def test_who_wants_a_number_is_not_given_the_one_that_another_of_the_batch_brings() -> None:
    house = House()
    bodies = [document(invoice_no="A"), document(invoice_no="B"), document(invoice_no="C", number="C26MA9XYD0C20001")]
    async with house.open():
        answers = await asyncio.gather(*(house.submit(body) for body in bodies))
    assert [answer.content["number"][-4:] for answer in answers] == ["0002", "0003", "0001"]


async def test_a_malformed_number_is_replaced_and_the_sender_is_warned() -> None:
    house = House()
    async with house.open():
        for number in ("C26MA9XYD0C2001", "RC26MA9XYD0C20001", "SO-4711"):
            answer = (await house.submit(document(number=number, invoice_no=number))).content
            assert (answer["status"], answer["number"][:13]) == ("accepted", "C26MA9XYD0C20")
            assert answer["number"] != number
            assert "C-001" in {fault["code"] for fault in answer["warnings"]}


async def test_a_full_series_names_the_prefix_as_the_way_out() -> None:
    house = House()
    client = Client("erp", ENTERPRISE, prefix="AB1")
    async with house.open():
        sent = [house.submit(document(invoice_no=f"I-{n}"), client=client) for n in range(11)]
        answers = await asyncio.gather(*sent)
        again = await house.submit(document(invoice_no="I-10"), client=client)
    assert statuses(answers) == {"accepted": 9, "refused": 2}
    for full in (*answers[9:], again):
        assert [fault["code"] for fault in full.content["faults"]] == ["NUMBER-RANGE-FULL"]
        assert "prefix" in full.content["faults"][0]["remedy"]
    assert [answer.content["number"][-4:] for answer in answers[:9]] == [f"AB1{n}" for n in range(1, 10)]


async def test_the_year_of_a_number_is_shanghais() -> None:
    house = House()
    house.clock.at = datetime(2026, 12, 31, 16, 0, tzinfo=UTC)
    assert (await house.declare())[1].startswith("C27")


# ---------------------------------------------------------------- corrections and owners


async def test_new_content_corrects_a_draft_and_nothing_that_is_under_way() -> None:
    house = House()
    identity, _ = await house.declare(number=OWN, apply_type="0")
    async with house.open():
        early = await house.submit(document(number=OWN, invoice_no="NEW"))
        assert early.content["status"] == "conflict", "the turn has not made it a draft yet"
        await house.turns()
        corrected = await house.submit(document(XML, number=OWN, invoice_no="NEW"), XML)
        assert (corrected.content["status"], corrected.content["revision"]) == ("accepted", 2)
        assert corrected.content["id"] == str(identity)
        await house.turns()
        assert house.kinds(identity) == ["drafted", "declared"]
        refused = await house.submit(document(number=OWN, invoice_no="NEWER"))
        assert refused.content["faults"][0]["code"] == "NUMBER-IN-USE"
        assert refused.content["id"] == str(identity), "it is the sender's own: it may know which"
        same = await house.submit(document(number=OWN, invoice_no="NEW"))
        assert (same.content["status"], same.content["revision"]) == ("duplicate", 2)


async def test_a_client_declares_for_its_own_enterprise_only() -> None:
    house = House()
    stranger = Client("spy", "91320599MA9HTQ7K6J")
    async with house.open():
        answer = await house.submit(document(number=OWN), client=stranger)
    paths = {fault["code"]: fault["path"] for fault in answer.content["faults"] if fault["severity"] == "refuse"}
    assert paths == {"OWNER-APPLICANT": "/applicant_code", "OWNER-EXPORTER": "/exporter_code"}
    assert house.on(ACCEPTED) == []


# ---------------------------------------------------------------- refused


async def test_every_fault_at_once_and_the_reference_is_echoed() -> None:
    house = House()
    changed = example().model_copy(update={"company_name": "例ษ", "applicant_code": "91320599MA9HTQ7K6J"})
    body = DIALECTS[JSON].write(changed).replace(b"{", b'{"reference": "SO-77",', 1)
    door = house.door_of(Examiner(DIALECTS, house.checks, missing))
    async with house.open(door):
        answer = (await house.submit(body, door=door)).content
    assert {fault["code"] for fault in answer["faults"]} >= {"TEXT-GLYPH", "OWNER-APPLICANT"}
    assert answer["reference"] == "SO-77"
    glyph = next(fault for fault in answer["faults"] if fault["code"] == "TEXT-GLYPH")
    assert (glyph["path"], "U+0E29" in glyph["message"]) == ("/company_name", True)
    assert "ษ" not in answer["faults"].__repr__()


@pytest.mark.parametrize(
    ("text", "code"),
    [("\u202eABC", "TEXT-BIDI"), ("A\x07", "TEXT-CONTROL"), ("A\ue000", "TEXT-UNASSIGNED"), ("A\x85", "TEXT-CONTROL")],
)
async def test_characters_that_disguise_are_refused_by_the_dialects(text: str, code: str) -> None:
    house = House()
    body = document().replace(b'"N/M"', b'"' + text.encode("unicode_escape").replace(b"\\x", b"\\u00") + b'"')
    async with house.open():
        answer = (await house.submit(body)).content
    assert [fault["code"] for fault in answer["faults"]] == [code]


async def test_size_and_content_type() -> None:
    house = House()
    async with house.open():
        large = await house.submit(b" " * ((1 << 20) + 1))
        strange = await house.submit(b"{}", "text/plain")
    assert large.content["faults"][0]["code"] == "DOC-TOO-LARGE"
    assert strange.content["faults"][0]["code"] == "DOC-MEDIA-TYPE"


# ---------------------------------------------------------------- trouble


async def test_who_came_later_is_not_judged_before_who_met_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    write = house.store.open

    async def once_away(fresh: Sequence[Fresh]) -> Sequence[str] | None:
        monkeypatch.setattr(house.store, "open", write)
        raise Unavailable("away for a moment")

    monkeypatch.setattr(house.store, "open", once_away)
    monkeypatch.setattr("gateway.runtime.door.MAX_BATCH", 1)
    async with house.open():
        sent = (house.submit(document(invoice_no=str(number))) for number in range(3))
        assert all(isinstance(one, Unavailable) for one in await asyncio.gather(*sent, return_exceptions=True))
        answer = (await house.submit(document(invoice_no="0"))).content
    assert (answer["status"], answer["number"][-4:]) == ("accepted", "0001")


async def test_a_database_that_is_away_is_told_and_nothing_is_kept() -> None:
    house = House()
    house.store.away = True
    async with house.open():
        with pytest.raises(Unavailable):
            await house.submit(document())
        house.store.away = False
        answer = (await house.submit(document())).content
    assert (answer["status"], answer["number"][-4:]) == ("accepted", "0001")


@pytest.mark.parametrize("lost", [1, 4])
async def test_a_lost_outcome_is_run_again_and_in_effect_once(lost: int) -> None:
    house = House()
    house.store.lost = lost
    async with house.open():
        answer = (await house.submit(document(), key="k")).content
    assert (answer["status"], answer["number"][-4:]) == ("accepted", "0001")
    assert len(house.on(ACCEPTED)) == 1


async def test_outcomes_that_stay_lost_are_told() -> None:
    house = House()
    house.store.lost = 99
    async with house.open():
        sent = [house.submit(document(invoice_no=f"{n}"), key=f"{n}") for n in range(2)]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        house.store.lost = 0
        again = [await house.submit(document(invoice_no=f"{n}"), key=f"{n}") for n in range(2)]
    assert all(isinstance(answer, Unavailable | Answer) for answer in answers)
    assert len(identities(again)) == 2
    assert len(house.on(ACCEPTED)) == 2


async def test_one_that_breaks_our_code_harms_no_other() -> None:
    house = House()
    encode = house.codec.encode

    def breaks(message: object) -> bytes:
        assert isinstance(message, DeclarationAccepted)
        if message.number.endswith("6666"):
            raise ZeroDivisionError
        return encode(message)

    house.codec.encode = breaks  # type: ignore[method-assign,assignment]
    bodies = [document(invoice_no=f"{n}") for n in range(4)]
    bodies.insert(2, document(invoice_no="X", number="C26MA9XYD0C26666"))
    async with house.open():
        answers = await asyncio.gather(*(house.submit(body) for body in bodies))
    broken = answers.pop(2)
    assert broken.verdict is Verdict.INTERNAL
    assert "Do not send the same again" in broken.content["faults"][0]["remedy"]
    assert [(kept.body, type(error)) for kept, error in house.kept] == [(bodies[2], ZeroDivisionError)]
    assert sorted(answer.content["number"][-4:] for answer in answers) == ["0001", "0002", "0003", "0004"]


async def test_a_door_that_closes_leaves_nobody_waiting() -> None:
    house = House()
    async with house.store.transaction():  # the door's own transaction waits for this one
        task = asyncio.create_task(house.door.run())
        sent = [asyncio.create_task(house.submit(document(invoice_no=f"{n}"))) for n in range(250)]
        await asyncio.sleep(0.05)
        task.cancel()
        async with asyncio.timeout(2):
            answers = await asyncio.gather(*sent, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    with pytest.raises(Unavailable):
        await house.submit(document())
    assert house.on(ACCEPTED) == []


async def test_a_sender_who_leaves_does_not_undo_what_the_others_were_promised() -> None:
    house = House()
    async with house.open():
        leaver = asyncio.create_task(house.submit(document(invoice_no="1")))
        stayer = asyncio.create_task(house.submit(document(invoice_no="2")))
        await asyncio.sleep(0)
        leaver.cancel()
        assert (await stayer).content["status"] == "accepted"
        assert (await house.submit(document(invoice_no="1"))).content["status"] == "accepted"
    assert len(house.on(ACCEPTED)) == 2


def test_the_client_of_these_tests_owns_the_example() -> None:
    assert example().applicant_code == ERP.enterprise
