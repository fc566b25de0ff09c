"""The attacker's documents: the same for a seed, each refused for the one reason it is made for."""

from dataclasses import replace
from itertools import islice
from random import Random

import pytest

from gateway.core.admission import Verdict
from gateway.runtime.answers import Answer
from gateway.runtime.door import Client
from ops.storm.attacks import DOCUMENTS, FOREIGN, RIGHT, Attack, Hostile, attack_of, documents, own
from simulators.erp.enterprises import AGENT, many
from tests.runtime.house import House

VICTIMS = tuple(many(4))
THIEF = Client("thief", AGENT.code)
SENT = tuple(islice(documents(7, AGENT, VICTIMS, "26"), 40 * len(DOCUMENTS)))


async def answered(client: Client, *sent: Hostile) -> list[Answer]:
    house = House()
    async with house.open():
        return [await house.submit(one.body, one.media_type, key=one.name, client=client) for one in sent]


def refusals(answer: Answer) -> set[str]:
    assert answer.verdict is Verdict.REFUSED, answer.content
    return {fault["code"] for fault in answer.content["faults"] if fault["severity"] == "refuse"}


def test_the_same_seed_sends_the_same_and_each_name_tells_what_it_is() -> None:
    assert tuple(islice(documents(7, AGENT, VICTIMS, "26"), len(SENT))) == SENT
    assert {sent.attack for sent in SENT} == set(DOCUMENTS)
    assert len({sent.name for sent in SENT}) == len(SENT)
    assert all(attack_of(sent.name) is sent.attack for sent in SENT)


@pytest.mark.parametrize("attack", DOCUMENTS)
async def test_each_is_refused_for_what_it_takes_of_others_and_nothing_else(attack: Attack) -> None:
    answers = await answered(THIEF, *(sent for sent in SENT if sent.attack is attack))
    found = [refusals(answer) for answer in answers]
    assert all(found)
    if attack in FOREIGN:
        assert all(codes == RIGHT[attack].codes for codes in found), found


async def test_with_leave_it_would_be_let_in() -> None:
    friend = replace(THIEF, exporters=frozenset(victim.code for victim in VICTIMS))
    answers = await answered(friend, *(sent for sent in SENT if sent.attack is Attack.EXPORTER))
    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED, Verdict.CONFLICT}  # a number comes twice


async def test_what_is_its_own_is_sound() -> None:
    answers = await answered(THIEF, *(own(Random(n), f"own-{n}", AGENT, n) for n in range(40)))
    assert {answer.verdict for answer in answers} == {Verdict.ACCEPTED}
