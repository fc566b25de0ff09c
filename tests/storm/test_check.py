"""The checker bites: a doctored line in evidence that holds makes the invariant it belongs to fail, and no other."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ops.storm.attacks import RIGHT, Attack
from ops.storm.check import Certificate, Claim, Event, Evidence, File, Hit, Series, Taken, Told, check
from ops.storm.documents import Ending
from ops.storm.load import Answer

PAPER, SENT_BACK, KEPT = "11111111", "22222222", "33333333"
EXPORTER, ATTACKER = "91330299MA9XYD0C2A", "91310199MA9GWR4P61"
OTHER = "91320599MA9HTQ7K6J"
OWN = "44444444"
"""The attacker's one certificate."""
ENDINGS = {"approve": Ending("confirmed", 2), "return": Ending("returned", 1), "draft": Ending("draft", 0)}
SERIES = [Series("MA9XYD0C2", "C", "26", "", 3), Series("MA9GWR4P6", "C", "26", "", 1)]
FLOOD = Hit(Attack.FLOOD, "batch", 202)
LIVES = {PAPER: "approve", SENT_BACK: "return", KEPT: "draft"}


def number(serial: int) -> str:
    return f"C26MA9XYD0C2{serial:04d}"


def events(identity: str, kinds: tuple[str, ...]) -> list[Event]:
    return [
        Event(n, f"{identity}/{n}", kind.split(":")[0], kind.partition(":")[2], f"message-{identity}-{n}")
        for n, kind in enumerate(kinds, 1)
    ]


def attacks() -> list[Hit]:
    """Each attack, refused as it should be; in the storm, and when it was calm."""
    hits = [
        Hit(a, "http", r.must, sorted(r.codes or ()), calm=calm) for a, r in RIGHT.items() for calm in (False, True)
    ]
    own = Hit(Attack.OWN, "http", 202, number="C26MA9GWR4P60001")
    return [*(hit for hit in hits if hit.attack is not Attack.OWN), own, Hit(Attack.PAPER, "http", 503)]


def sound() -> Evidence:
    """One certificate that went to paper, one that was sent back, one draft, in 3 answers and one repeated; and one of
    the attacker's own."""
    ids = (PAPER, SENT_BACK, KEPT)
    answers = [
        Answer(EXPORTER, f"storm-{n}", f"bytes-{n}", LIVES[identity], 202, "accepted", identity, number(n))
        for n, identity in enumerate(ids, 1)
    ]
    rows = {
        PAPER: events(PAPER, ("declared", "approved", "print_authorised:original", "printed:original")),
        SENT_BACK: events(SENT_BACK, ("declared", "returned")),
        KEPT: events(KEPT, ("drafted",)),
        OWN: events(OWN, ("drafted",)),
    }
    told = [Told(identity, event.sequence, event.id) for identity, some in rows.items() for event in some]
    hashes = {"original": "aa" * 32, "copy": "bb" * 32}
    return Evidence(
        answers=[*answers, answers[0]],
        sent=3,
        clients={"erp": EXPORTER, "thief": ATTACKER},
        attackers=frozenset({ATTACKER}),
        attacks=attacks(),
        intake=[Taken("erp", answer.key, answer.id) for answer in answers] + [Taken("thief", "own-1", OWN)],
        certificates={
            OWN: Certificate(OWN, "C26MA9GWR4P60001", "C", ATTACKER, "draft", 1, {"original": "", "copy": ""}),
            **{
                identity: Certificate(
                    identity,
                    number(n),
                    "C",
                    EXPORTER,
                    ENDINGS[LIVES[identity]].status,
                    len(rows[identity]),
                    hashes if identity == PAPER else {"original": "", "copy": ""},
                )
                for n, identity in enumerate(ids, 1)
            },
        },
        series=SERIES,
        questions=[("q1", number(1)), ("q2", number(2))],
        endings=ENDINGS,
        receipts={PAPER: 2, SENT_BACK: 1},
        events=rows,
        told=[*told, told[0]],  # twice on the wire, one ce_id
        claims=[Claim(f"job-{part}", PAPER, part, "printed") for part in hashes],
        files=[File(PAPER, part, sha256, sha256) for part, sha256 in hashes.items()],
        printed=[(f"job-{part}", sha256) for part, sha256 in hashes.items()],
        waiting={"parked messages": 0, "records of the log unread": 0},
        calm=3.0,
        recoveries=[("turn-1", 1.5)],
        audit={"holds": True, "events": 8, "flaws": []},
    )


def broken(evidence: Evidence) -> set[str]:
    return {verdict.name for verdict in check(evidence) if not verdict.holds}


def changed(evidence: Evidence, identity: str, **values: object) -> dict[str, Certificate]:
    return {**evidence.certificates, identity: evidence.certificates[identity]._replace(**values)}  # type: ignore[arg-type]


def dropped(evidence: Evidence, identity: str) -> Evidence:
    """A certificate that was acknowledged and is nowhere."""
    kept = {name: row for name, row in evidence.certificates.items() if name != identity}
    answers = [one for one in evidence.answers if one.id == identity]
    return replace(
        evidence,
        certificates=kept,
        events={name: rows for name, rows in evidence.events.items() if name != identity},
        told=[record for record in evidence.told if record.certificate != identity],
        series=[SERIES[0]._replace(last=2), SERIES[1]],
        audit={"holds": True, "events": 7},
        intake=[row for row in evidence.intake if row.key != answers[0].key],
    )


def taken(evidence: Evidence, row: Taken) -> Evidence:
    """One more row; of the same client and key there is one."""
    kept = [one for one in evidence.intake if one[:2] != row[:2]]
    return replace(evidence, intake=[*kept, row])


def again(evidence: Evidence, identity: str) -> Evidence:
    """A receipt that took effect twice: event and record are gapless, the hash chain is whole."""
    last = evidence.events[identity][-1]
    twin = last._replace(sequence=last.sequence + 1, id=f"{identity}/{last.sequence + 1}")
    return replace(
        evidence,
        events={**evidence.events, identity: [*evidence.events[identity], twin]},
        told=[*evidence.told, Told(identity, twin.sequence, twin.id)],
        certificates=changed(evidence, identity, sequence=twin.sequence),
        audit={"holds": True, "events": 9},
    )


DOCTORED: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "an acknowledged declaration is gone": ("I1", lambda e: dropped(e, KEPT)),
    "a declaration has no answer": ("I1", lambda e: replace(e, sent=4)),
    "asked again, another answer": (
        "I1",
        lambda e: replace(e, answers=[*e.answers, replace(e.answers[1], number=number(3))]),
    ),
    "a declaration was refused for a quota": (
        "I1",
        lambda e: replace(e, answers=[*e.answers, replace(e.answers[0], http=429, status="429", id="", number="")]),
    ),
    "a declaration was refused": (
        "I1",
        lambda e: replace(e, answers=[*e.answers[:2], replace(e.answers[2], status="refused"), e.answers[0]]),
    ),
    "two declarations, one certificate": ("I1", lambda e: taken(e, Taken("erp", "storm-2", PAPER))),
    "a certificate that nobody was told of": ("I1", lambda e: taken(e, Taken("erp", "storm-9", "99"))),
    "a gap in the numbers": ("I2", lambda e: replace(e, series=[SERIES[0]._replace(last=4), SERIES[1]])),
    "customs knows a number twice": ("I2", lambda e: replace(e, questions=[*e.questions, ("q3", number(2))])),
    "customs knows a number that nobody has": ("I2", lambda e: replace(e, questions=[*e.questions, ("q3", number(7))])),
    "a receipt took effect twice": ("I6", lambda e: again(e, SENT_BACK)),
    "a receipt was not taken in": ("I6", lambda e: replace(e, receipts={**e.receipts, PAPER: 1})),
    "a receipt was taken in twice": ("I6", lambda e: replace(e, receipts={**e.receipts, SENT_BACK: 2})),
    "the end is not customs' last word": (
        "I6",
        lambda e: replace(e, certificates=changed(e, SENT_BACK, status="draft")),
    ),
    "a receipt found no certificate": ("I6", lambda e: replace(e, strays=1)),
    "customs never heard of it": ("I6", lambda e: replace(e, questions=e.questions[:1])),
    "a status event is missing": ("I8", lambda e: replace(e, told=list(e.told)[1:-1])),
    "status events are out of order": ("I8", lambda e: replace(e, told=list(reversed(list(e.told))))),
    "a status event without a row": ("I8", lambda e: replace(e, told=[*e.told, Told(PAPER, 5, "phantom")])),
    "events of a stranger": ("I8", lambda e: replace(e, told=[*e.told, Told("44", 1, "stranger")])),
    "a row without a status event's number": ("I8", lambda e: replace(e, certificates=changed(e, PAPER, sequence=5))),
    "other bytes were printed": ("I10", lambda e: replace(e, printed=[e.printed[0], ("job-copy", "cc" * 32)])),
    "an original came out twice": ("I10", lambda e: replace(e, printed=[*e.printed, e.printed[0]])),
    "an original came out under a second job": (
        "I10",
        lambda e: replace(
            e,
            claims=[*e.claims, Claim("job-2", PAPER, "original", "printed")],
            printed=[*e.printed, ("job-2", "aa" * 32)],
        ),
    ),
    "a print that nobody claimed": ("I10", lambda e: replace(e, printed=[*e.printed, ("job-x", "aa" * 32)])),
    "a print that did not come out": ("I10", lambda e: replace(e, printed=e.printed[:1])),
    "the stored bytes were changed": (
        "I10",
        lambda e: replace(e, files=[e.files[0], e.files[1]._replace(content="dd" * 32)]),
    ),
    "another hash was authorised": (
        "I10",
        lambda e: replace(e, certificates=changed(e, PAPER, authorised={"original": "ee" * 32, "copy": "bb" * 32})),
    ),
    "a message is parked": ("I13", lambda e: replace(e, waiting={**e.waiting, "parked messages": 1})),
    "a process never came back": ("I13", lambda e: replace(e, troubles=["not ready: turn-1"])),
    "it took too long": ("I13", lambda e: replace(e, calm=121.0)),
    "a process was not ready in time": ("I13", lambda e: replace(e, recoveries=[("turn-1", 5.1)])),
    "the chain does not verify": ("I14", lambda e: replace(e, audit={"holds": False, "events": 8})),
    "the auditor did not see all": ("I14", lambda e: replace(e, audit={"holds": True, "events": 7})),
    "the auditor could not look": ("I14", lambda e: replace(e, audit={})),
    "a declaration of another's hand": ("I16", lambda e: taken(e, Taken("thief", "name-1", PAPER))),
    "a number that its owner was never told": (
        "I16",
        lambda e: replace(
            e,
            certificates={**e.certificates, OWN: e.certificates[OWN]._replace(number=number(4), exporter=EXPORTER)},
            series=[SERIES[0]._replace(last=4)],
            intake=[row._replace(client="erp") if row.certificate == OWN else row for row in e.intake],
            answers=[*e.answers, Answer(ATTACKER, "own-1", "bytes", "draft", 202, "accepted", OWN, number(4))],
        ),
    ),
    "an attack was given a number": (
        "I16",
        lambda e: replace(e, attacks=[*e.attacks, Hit(Attack.FLOOD, "batch", 202, number=number(3))]),
    ),
    "a stream told of others": (
        "I16",
        lambda e: replace(e, attacks=[*e.attacks, Hit(Attack.STREAM, "stream", 200, number=number(3))]),
    ),
    "a certificate with a number of another organisation": (
        "I16",
        lambda e: replace(
            e,
            certificates=changed(e, OWN, exporter=OTHER),
            clients={**e.clients, "thief": OTHER},
            attackers=frozenset({ATTACKER, OTHER}),
        ),
    ),
    "an attack was let in": ("I17", lambda e: replace(e, attacks=[*e.attacks, Hit(Attack.EXPORTER, "http", 202)])),
    "an attack broke us": ("I17", lambda e: replace(e, attacks=[*e.attacks, Hit(Attack.COSTLY, "bus", 500)])),
    "an attack has no answer": ("I17", lambda e: replace(e, attacks=[*e.attacks, Hit(Attack.COSTLY, "folder", 0)])),
    "an attack was put off when nothing was down": (
        "I17",
        lambda e: replace(e, attacks=[*e.attacks, Hit(Attack.PAPER, "http", 503, calm=True)]),
    ),
    "the answer tells that a number is taken": (
        "I17",
        lambda e: replace(e, attacks=[*e.attacks, Hit(Attack.EXPORTER, "http", 422, ["OWNER-EXPORTER", "X"])]),
    ),
    "an attack that was never made": ("I17", lambda e: replace(e, attacks=[h for h in e.attacks if h.http != 401])),
    "a flood that met no quota": (
        "I17",
        lambda e: replace(e, attacks=[*(h for h in e.attacks if h.attack != Attack.FLOOD), FLOOD]),
    ),
}


def test_sound_evidence_holds() -> None:
    verdicts = check(sound())
    assert broken(sound()) == set(), [verdict.violations for verdict in verdicts]
    assert [verdict.name for verdict in verdicts] == ["I1", "I2", "I6", "I8", "I10", "I13", "I14", "I16", "I17"]
    assert all(verdict.rows for verdict in verdicts)


@pytest.mark.parametrize("what", DOCTORED)
def test_a_doctored_line_is_found(what: str) -> None:
    invariant, doctor = DOCTORED[what]
    assert broken(doctor(sound())) == {invariant}


def test_a_number_given_twice_is_found() -> None:
    evidence = replace(sound(), certificates=changed(sound(), SENT_BACK, number=number(1)))
    assert {"I1", "I2"} <= broken(evidence)


def test_nothing_to_look_at_is_no_success() -> None:
    assert broken(Evidence()) == {"I1", "I2", "I6", "I8", "I10", "I14", "I16", "I17"}


def test_only_the_first_violations_are_told_one_by_one() -> None:
    evidence = replace(sound(), told=[*sound().told, *(Told(f"x{n}", 1, f"x{n}") for n in range(50))])
    verdict = next(verdict for verdict in check(evidence) if verdict.name == "I8")
    assert len(verdict.violations) == 20
    assert verdict.more == 30
