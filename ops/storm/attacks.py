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
from gateway.core.declaration import Amendment
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
    BROKEN = "a document that no reader expects"
    NAME = "a declaration in another's name"
    EXPORTER = "a declaration for another exporter"
    NUMBER = "a declaration under another's number"
    INVOICE = "an invoice under another's number"
    REPLACED = "another's certificate replaced"
    PAPER = "another's certificate"
    FLOOD = "more than its quota"
    STREAM = "more streams than its share"
    SLOW = "bodies that never come"
    NOBODY = "connections without a key"
    OWN = "a sound declaration of its own"


FOREIGN = (Attack.NAME, Attack.EXPORTER, Attack.NUMBER, Attack.INVOICE, Attack.REPLACED)
"""A sound declaration each, but for what it takes of others."""
DOCUMENTS = (Attack.COSTLY, Attack.BROKEN, *FOREIGN)
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
    Attack.BROKEN: Right(REFUSED | {415}),
    Attack.NAME: Right(REFUSED, frozenset({"OWNER-APPLICANT", "OWNER-EXPORTER"})),
    Attack.EXPORTER: Right(REFUSED, frozenset({"OWNER-EXPORTER"})),
    Attack.NUMBER: Right(REFUSED, frozenset({"COM-007"})),
    Attack.INVOICE: Right(REFUSED, frozenset({"COM-110"})),
    Attack.REPLACED: Right(REFUSED, frozenset({"COM-111"})),
    Attack.PAPER: Right(frozenset({404}), must=404),
    Attack.FLOOD: Right(TAKEN, must=429),
    Attack.STREAM: Right(frozenset({200, 429}), must=429),
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
        elif attack is Attack.BROKEN:
            yield Hostile(attack, name, *broken(random, attacker))
        else:
            yield Hostile(attack, name, *foreign(random, attack, attacker, random.choice(victims), year))


def foreign(random: Random, attack: Attack, attacker: Enterprise, victim: Enterprise, year: str) -> tuple[str, bytes]:
    """(media type, declaration): the victim's, or the attacker's own with a number of the victim's."""
    kind = "RC" if attack is Attack.INVOICE else random.choice(("C", "RC"))  # of these two, RC has a table of invoices
    content = declaration(random, kind, attacker, random.randrange(100_000), size=1)
    number = number_of(random, kind, victim, year)
    changes: dict[str, Any] = {"application_note": "SIM:return"}
    match attack:
        case Attack.NUMBER:
            changes["number"] = number
        case Attack.INVOICE:
            changes["invoices"] = (content.invoices[0].model_copy(update={"certificate_number": number}),)
        case Attack.REPLACED:
            changes |= {"certificate_status": "1", "amendment": Amendment(old_number=number, reason="WRONG PORT")}
        case _:
            content = declaration(random, kind, victim, random.randrange(100_000), size=1)
            changes["number"] = number if random.random() < 0.5 else None
            if attack is Attack.EXPORTER:
                changes["applicant_code"] = attacker.code
    dialect = random.choice((XML, JSON))
    return dialect.media_type, dialect.write(content.model_copy(update=changes))


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
        (JSON, '{"goods":[' + filled("{},", size) + "{}]}"),
        (JSON, '{"goods":' + "[" * size),
    )
    dialect, text = random.choice(shapes)
    return dialect.media_type, text.encode()


def broken(random: Random, attacker: Enterprise) -> tuple[str, bytes]:
    """(media type, document): a declaration of its own, sound but for the one thing."""
    content = declaration(random, "C", attacker, random.randrange(100_000), size=1)
    xml, json = XML.write(content), JSON.write(content)
    blank = content.model_copy(update={"consignee": random.choice((" ", "\u3000", "\n"))})
    field = random.choice((b"<ApplName", b"<Mark", b"<CertType", b"<GoodsDesc"))
    typed = field + b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="zh"'
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Certificate>&b;</Certificate>'
    )
    shapes = (
        (XML.media_type, xml.replace(field, typed, 1)),
        (XML.media_type, xml[: random.randrange(len(xml) // 2)]),
        (XML.media_type, bomb),
        (XML.media_type, xml.replace(attacker.name_zh.encode(), attacker.name_zh.encode("gbk"))),
        (XML.media_type, XML.write(blank)),
        (JSON.media_type, JSON.write(blank)),
        (JSON.media_type, json[: random.randrange(len(json) // 2)]),
        (JSON.media_type, b'{"x":' + b"[" * 1000 + b"]" * 1000 + b',"x":1}'),
        (JSON.media_type, json.replace(b'"C"', b"NaN", 1)),
        ("text/csv", b"exporter,number\n"),
    )
    return random.choice(shapes)


def inside(piece: str, size: int) -> str:
    """A declaration of the customs' dialect with nothing but these."""
    return f'<Certificate xmlns="{NAMESPACE}">{filled(piece, size)}</Certificate>'


def filled(piece: str, size: int) -> str:
    """The piece, again and again, up to so many bytes."""
    return piece * (size // len(piece.encode()))
