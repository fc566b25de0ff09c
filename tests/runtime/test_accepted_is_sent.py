"""What is accepted can be sent: through the real door, store and turn, whatever was in the document."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree

from adapters.codecs.xml import parse
from gateway.ports import Place
from gateway.runtime.outgoing import OUTBOUND
from tests.codecs import fuzz
from tests.codecs.documents import example, leaves
from tests.runtime.house import DIALECTS, JSON, XML, House

OFFICIAL = ("C-amended.xml", "RC-two-goods.xml")
ENTERPRISE = ("C-three-goods.json", "RC-third-party.json")
BLANKS = ("", " ", "\u3000\u200b", "/n /n")
DAMAGED = {XML: fuzz.damaged_official, JSON: fuzz.damaged_enterprise}
DRAFT = "0"
"""ApplyType of what is kept until its enterprise applies with it."""
SOME = 250
MANY = 20_000
"""Documents of the long run: a minute or two of each dialect on an idle core."""


async def sent(media_type: str, body: bytes) -> bool:
    """Was it accepted? Then its message is on its way and says what was declared, and nothing was parked."""
    house = House()
    async with house.open():
        answer = (await house.submit(body, media_type)).content
        if answer["status"] != "accepted":
            assert answer["status"] == "refused"
            assert not house.unread()
            return False
        await house.turns()
    assert house.told.words == ["turned"]
    assert await house.store.parked(None) == []
    declared = DIALECTS[media_type].read(body).fields
    if declared["apply_type"] == DRAFT:
        assert not house.on(OUTBOUND)
        return True
    (message,) = house.on(OUTBOUND)
    assert message.key == answer["id"]
    official = DIALECTS[XML].read(message.body).fields
    assert official["number"] == answer["number"]
    assert without_number(official) == without_number(declared)
    return True


def without_number(fields: Any) -> dict[str, Any]:
    """All but the certificate's number, which the gateway may have given."""
    found = {**fields, "number": None}
    found["invoices"] = [{**one, "certificate_number": None} for one in fields["invoices"]]
    return found | {"goods": list(fields["goods"])}


# ------------------------------------------------------------------ each field


def places(content: dict[str, Any]) -> Iterator[Place]:
    """Every field of the head, and of the first of each block."""
    for name, value in content.items():
        block = value[0] if isinstance(value, list) else value
        if isinstance(block, dict):
            yield from ((name, 0, field) if isinstance(value, list) else (name, field) for field in block)
        yield (name,)


def blanked_official(name: str) -> Iterator[bytes]:
    """An example without the text of each element in turn, in every way to write none."""
    root = parse(example(name))
    for element in leaves(root):
        text = element.text
        for blank in BLANKS:
            element.text = blank
            yield etree.tostring(root, encoding="UTF-8")
        element.text = text
        parent = element.getparent()
        assert parent is not None
        at = parent.index(element)
        parent.remove(element)
        yield etree.tostring(root, encoding="UTF-8")
        parent.insert(at, element)


def blanked_enterprise(name: str) -> Iterator[bytes]:
    """The same in the enterprise dialect, of whole blocks too."""
    content = json.loads(example(name))
    for place in places(content):
        for blank in (None, *(text.replace("/n", "\n") for text in BLANKS)):
            changed = copy.deepcopy(content)
            block: Any = changed
            for step in place[:-1]:
                block = block[step]
            block[place[-1]] = blank
            yield json.dumps(changed).encode()


@pytest.mark.parametrize("name", OFFICIAL)
async def test_an_official_document_without_any_one_text(name: str) -> None:
    outcomes = [await sent(XML, body) for body in blanked_official(name)]
    assert {True, False} == set(outcomes)


@pytest.mark.parametrize("name", ENTERPRISE)
async def test_an_enterprise_document_without_any_one_text(name: str) -> None:
    outcomes = [await sent(JSON, body) for body in blanked_enterprise(name)]
    assert {True, False} == set(outcomes)


# ------------------------------------------------------------------ any damage


async def damaged(media_type: str, run: str, count: int) -> None:
    accepted = 0
    for number in range(count):
        seed = f"{run}/{number}"
        body = DAMAGED[media_type](seed)
        try:
            accepted += await sent(media_type, body)
        except Exception as error:
            error.add_note(f"the document of the seed {seed!r} is {body!r}")
            raise
    assert accepted > count / 25, "the damage leaves nothing that is accepted"


@pytest.mark.parametrize("media_type", DAMAGED)
async def test_damaged_documents(media_type: str) -> None:
    await damaged(media_type, "sent", SOME)


@pytest.mark.release
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("media_type", DAMAGED)
async def test_many_damaged_documents(media_type: str) -> None:
    await damaged(media_type, "sent, long", MANY)
