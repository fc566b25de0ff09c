"""The attacker's documents: the same for a seed, each refused for the one reason it is made for."""

from dataclasses import replace
from itertools import islice
from random import Random
from typing import Any

import pytest

from gateway.core.faults import Refused
from gateway.runtime.catalog import ProfileChecks
from gateway.runtime.door import Client, Door, Submission
from ops.storm.attacks import DOCUMENTS, JSON, RIGHT, XML, Attack, Hostile, attack_of, documents, own
from renderers import fonts
from simulators.erp.enterprises import AGENT, many

VICTIMS = tuple(many(4))
THIEF = Client("thief", AGENT.code)
SENT = tuple(islice(documents(7, AGENT, VICTIMS, "26"), 160))
NOBODY: Any = None
DOOR = Door(NOBODY, {one.media_type: one for one in (XML, JSON)}, ProfileChecks(), NOBODY, NOBODY, fonts.missing)


def refusals(client: Client, sent: Hostile) -> set[str]:
    try:
        DOOR.examine(Submission(client, sent.media_type, sent.body, "http", sent.name))
    except Refused as refused:
        return {fault.code for fault in refused.faults if fault.severity == "refuse"}
    return set()


def test_the_same_seed_sends_the_same_and_each_name_tells_what_it_is() -> None:
    assert tuple(islice(documents(7, AGENT, VICTIMS, "26"), 160)) == SENT
    assert {sent.attack for sent in SENT} == set(DOCUMENTS)
    assert len({sent.name for sent in SENT}) == len(SENT)
    assert all(attack_of(sent.name) is sent.attack for sent in SENT)


@pytest.mark.parametrize("attack", DOCUMENTS)
def test_each_is_refused_for_what_it_takes_of_others_and_nothing_else(attack: Attack) -> None:
    found = [refusals(THIEF, sent) for sent in SENT if sent.attack is attack]
    assert all(found)
    if (codes := RIGHT[attack].codes) is not None:
        assert all(one == codes for one in found), found


def test_with_leave_it_would_be_let_in() -> None:
    friend = replace(THIEF, exporters=frozenset(victim.code for victim in VICTIMS))
    assert not any(refusals(friend, sent) for sent in SENT if sent.attack is Attack.EXPORTER)


def test_what_is_its_own_is_sound() -> None:
    assert not any(refusals(THIEF, own(Random(n), f"own-{n}", AGENT, n)) for n in range(40))
