"""The XSD verdict beside xmlschema: how fast, and whether both say the same of right and wrong documents."""

import tomllib
from collections.abc import Iterator
from random import Random
from statistics import median
from xml.etree import ElementTree

from lxml import etree

import schemas
from adapters.codecs.catalog import catalog
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.official import SCHEMA
from adapters.codecs.xml import parse, parser
from gateway.runtime.catalog import ProfileChecks
from gateway.runtime.examining import Examiner
from gateway.runtime.submission import Client, Submission
from ops.bench.documents import templates
from ops.bench.figures import Figure, Progress, interleaved, rate, ratio_of, timed
from ops.bench.ground import Ground
from renderers import fonts

AIM = 20.0
WRONG_TEXTS = ("", "9" * 2001, "1.2.3", "2026-13-45", "ä" * 51)


async def measure(_: Ground, progress: Progress, quick: bool) -> list[Figure]:
    """Three figures: speed, agreement, and what the door's whole look at a document adds."""
    rounds, seconds = (3, 0.2) if quick else (9, 0.5)
    schema, document = catalog()[SCHEMA], templates()[0].document(1)
    found = interleaved(
        progress,
        "XSD verdict",
        rounds,
        ours=lambda: 1e6 / timed(lambda: schema.valid(parse(document)), seconds),
        xmlschema=lambda: 1e6 / timed(lambda: schema.explained.is_valid(ElementTree.fromstring(document)), seconds),
    )
    ours, theirs = median(found["ours"]), median(found["xmlschema"])
    ratio = ratio_of(found["ours"], found["xmlschema"])
    return [
        rate("hardened parse + XSD verdict", ours, "documents/s", "xmlschema.is_valid", theirs, AIM, ratio),
        agreement(progress, 100 if quick else 1000),
        _door(progress, rounds, seconds, document),
    ]


def agreement(progress: Progress, count: int) -> Figure:
    """Of `count` wrong or right documents, how many both judge alike: all of them."""
    schema, alike, total, right = catalog()[SCHEMA], 0, 0, 0
    for root in corpus(count):
        verdict = schema.valid(root)
        total += 1
        right += verdict
        alike += verdict == schema.explained.is_valid(root)
    progress.say(f"XSD verdict: {total} documents, {right} of them valid; {alike} judged alike by xmlschema")
    return rate("same XSD verdict", alike, f"of {total} documents", "xmlschema", total, 1.0, alike / total)


def corpus(count: int) -> Iterator[etree._Element]:
    """The packaged XML examples, and each again with one thing wrong: `count` in all, always the same."""
    folder = schemas.path("examples")
    examples = [parse(one.read_bytes()) for one in folder.iterdir() if one.name.endswith(".xml")]
    examples.sort(key=lambda root: len(etree.tostring(root)))
    yield from examples
    random = Random(1)
    for number in range(count - len(examples)):
        root = etree.fromstring(etree.tostring(examples[number % len(examples)]), parser())
        _break(root, random)
        yield root


def _break(root: etree._Element, random: Random) -> None:
    """Takes out, doubles, moves, renames or overwrites one element."""
    element = random.choice([one for one in root.iter() if one is not root])
    parent = element.getparent()
    if parent is None:
        return
    match random.randrange(5):
        case 0:
            parent.remove(element)
        case 1:
            element.addnext(etree.fromstring(etree.tostring(element), parser()))
        case 2:
            parent.insert(random.randrange(len(parent)), element)
        case 3:
            element.tag = random.choice([one.tag for one in root.iter()])
        case _:
            element.text = random.choice(WRONG_TEXTS)


def _door(progress: Progress, rounds: int, seconds: float, document: bytes) -> Figure:
    """What the door does with a document on the CPU, beside the bare parser and validator in C."""
    official, bare = CustomsXml(), bare_schema()
    examiner = Examiner({official.media_type: official}, ProfileChecks(), fonts.missing)
    client = Client("bench", templates()[0].enterprise.code, "", True)
    submission = Submission(client, official.media_type, document, "http", None, None)
    found = interleaved(
        progress,
        "the door's look at a document",
        rounds,
        ours=lambda: 1e6 / timed(lambda: examiner.examine(submission), seconds),
        raw=lambda: 1e6 / timed(lambda: bare.validate(etree.fromstring(document, parser())), seconds),
    )
    ratio = ratio_of(found["ours"], found["raw"])
    name = "hardened parse, XSD, model, checks, hashes"
    return rate(name, median(found["ours"]), "documents/s", "raw parse + XSD (lxml)", median(found["raw"]), None, ratio)


def bare_schema() -> etree.XMLSchema:
    """The official schema as lxml has it, without our lock and catalogue."""
    for entry in tomllib.loads(schemas.read_text("xsd", "catalog.toml"))["schema"]:
        if entry["name"] == SCHEMA:
            return etree.XMLSchema(etree.fromstring(schemas.read_bytes("xsd", *entry["file"].split("/")), parser()))
    raise LookupError(SCHEMA)
