"""What the attacker sends: an enterprise with keys of its own, which takes what is others' and costs what it can.

Each attack has one right answer. A declaration for another is sound but for whose it is: it would go to customs, if the
door let it in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle
from random import Random
from typing import Any

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.codecs.official import NAMESPACE
from simulators.erp.enterprises import Enterprise
from simulators.erp.generator import declaration

XML, JSON = CustomsXml(), EnterpriseJson()
LARGE, USUAL = 1_000_000, 60_000
"""Bytes of a document that costs; one of `RARE` is large."""
RARE = 20
FREE = 9_000
"""Serials from here on are given to nobody: a storm's series does not get so far."""


class Attack(StrEnum):
    """What is tried."""

    COSTLY = "a document that costs"
    NAME = "a declaration in another's name"
    EXPORTER = "a declaration for another exporter"
    NUMBER = "a declaration under another's number"
    PAPER = "another's certificate"
    FLOOD = "more than its quota"
    SLOW = "bodies that never come"
    NOBODY = "connections without a key"
    OWN = "a sound declaration of its own"


DOCUMENTS = (Attack.COSTLY, Attack.NAME, Attack.EXPORTER, Attack.NUMBER)
"""Attacks that are a document each."""


@dataclass(frozen=True, slots=True)
class Right:
    """The right answers to an attack, beside 503 while something is down."""

    http: frozenset[int]
    codes: frozenset[str] | None = None
    """The faults of a 422, all of them; None: whichever."""
    must: int = 422
    """An answer that has to be seen at least once."""


REFUSED = frozenset({422, 429})
TAKEN = frozenset({200, 202, 429})
RIGHT: Mapping[Attack, Right] = {
    Attack.COSTLY: Right(REFUSED | {413}),
    Attack.NAME: Right(REFUSED, frozenset({"OWNER-APPLICANT", "OWNER-EXPORTER"})),
    Attack.EXPORTER: Right(REFUSED, frozenset({"OWNER-EXPORTER"})),
    Attack.NUMBER: Right(REFUSED, frozenset({"COM-007"})),
    Attack.PAPER: Right(frozenset({404}), must=404),
    Attack.FLOOD: Right(TAKEN, must=429),
    Attack.SLOW: Right(frozenset({408, 429}), must=429),
    Attack.NOBODY: Right(frozenset({401, 408}), must=401),
    Attack.OWN: Right(TAKEN, must=202),
}
"""Its own declarations are taken as anybody's: that is how its key is seen to be good."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """One document of the attacker's."""

    attack: Attack
    name: str
    """Its key, its record's id, its file's name: tells the attack, see `attack_of`."""
    media_type: str
    body: bytes


def attack_of(name: str) -> Attack:
    """What a document of this name was. Raises KeyError."""
    return Attack[name.rpartition("-")[0].upper()]


def documents(seed: int, attacker: Enterprise, victims: Sequence[Enterprise], year: str) -> Iterator[Hostile]:
    """Each attack by one document, in turn, without an end: the same seed, the same documents. year: 2 digits."""
    for serial, attack in enumerate(cycle(DOCUMENTS)):
        random = Random(f"attack/{seed}/{serial}")  # noqa: S311 (an example, not a secret)
        name = f"{attack.name.lower()}-{serial:07d}"
        if attack is Attack.COSTLY:
            yield Hostile(attack, name, *costly(random))
        else:
            yield Hostile(attack, name, *foreign(random, attack, attacker, random.choice(victims), year))


def foreign(random: Random, attack: Attack, attacker: Enterprise, victim: Enterprise, year: str) -> tuple[str, bytes]:
    """(media type, declaration): the victim's, or the attacker's own with a number of the victim's."""
    kind, serial = random.choice(("C", "RC")), random.randrange(100_000)
    changes: dict[str, Any] = {"application_note": "SIM:return"}
    if attack is Attack.NUMBER or random.random() < 0.5:
        changes["number"] = number_of(random, kind, victim, year)
    if attack is Attack.EXPORTER:
        changes["applicant_code"] = attacker.code
    owner = attacker if attack is Attack.NUMBER else victim
    content = declaration(random, kind, owner, serial, size=1).model_copy(update=changes)
    dialect = random.choice((XML, JSON))
    return dialect.media_type, dialect.write(content)


def number_of(random: Random, kind: str, victim: Enterprise, year: str) -> str:
    """A number of the victim's organisation: one of its first, which are soon in use, or one that never is."""
    serial = random.choice((random.randrange(1, 10), random.randrange(FREE, 10_000)))
    return f"{kind}{year}{victim.organisation}{serial:04d}"


def own(random: Random, name: str, attacker: Enterprise, serial: int) -> Hostile:
    """A sound draft of the attacker's own: it ends where it is stored."""
    content = declaration(random, "C", attacker, serial, size=1).model_copy(update={"apply_type": "0"})
    return Hostile(Attack.OWN, name, JSON.media_type, JSON.write(content))


def costly(random: Random) -> tuple[str, bytes]:
    """(media type, document): much to find fault with, places that are hard to find, names that nest."""
    size = LARGE if random.randrange(RARE) == 0 else USUAL
    shapes = (
        (XML, inside("<a>\u202e</a>", size)),
        (XML, inside("<Goods><GNo>x</GNo><a/></Goods>", size)),
        (JSON, '{"x":' + "[" * 1000 + "]" * 1000 + ',"x":1}'),
        (JSON, '{"goods":[' + filled("{},", size) + "{}]}"),
        (JSON, '{"goods":' + "[" * size),
    )
    dialect, text = random.choice(shapes)
    return dialect.media_type, text.encode()


def inside(piece: str, size: int) -> str:
    """A declaration of the customs' dialect with nothing but these."""
    return f'<Certificate xmlns="{NAMESPACE}">{filled(piece, size)}</Certificate>'


def filled(piece: str, size: int) -> str:
    """The piece, again and again, up to so many bytes."""
    return piece * (size // len(piece.encode()))
