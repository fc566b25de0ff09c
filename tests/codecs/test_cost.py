"""No document holds up another: what judging one costs grows with its bytes, and no faster.

Work is counted (lines of Python that ran, calls into C, bytes looked through), never timed. Each shape is judged at a
size, twice and four times the size; what grows with the square would be four times as much at each step.
"""

import itertools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytest

from adapters.codecs import fast
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.json_lines import Lines
from adapters.codecs.xml import parse
from adapters.codecs.xml_places import TreePlaces
from gateway.core.faults import MAX_FAULTS
from gateway.runtime.examining import SMALL as AT_ONCE
from tests.codecs.judging import judged, judged_at_once
from tests.codecs.shapes import ENTERPRISE, JSON, OFFICIAL, XML, Shape

LIMIT = 1 << 20
"""The size up to which a document is judged at all (ORIGIN_MAX_BYTES)."""
SMALL = 4 << 10
STEP = 2.3
"""What twice the bytes may cost, in times the work."""
SPARE = 22_000
"""What judging any document costs, and what it may cost once: an index, the explanation of one fault."""
EACH = 16
"""Most work for one byte of a document."""
ANSWER = 250_000
"""Most work for an answer with as many faults as there may be, and for what judging any document costs."""
ON_THE_LOOP = 150_000
"""Most work for a document that the event loop judges itself: some 10 ms."""
LOCATED = 3 * MAX_FAULTS
"""Places looked for: of what the reading warns of, of what can't be printed, of broken rules."""
PLAIN_PLACES: Any = getattr(getattr(fast.read_xml(OFFICIAL["good lines"](SMALL)), "locate", None), "__func__", None)
LOCATE = {one.__code__ for one in (TreePlaces.of, TreePlaces.of_element, PLAIN_PLACES, Lines.of)}
LARGER = {"lines and invoices": 32, "lines that fill the paper": 32, "lines with real line breaks": 4}
"""Shapes that have to be larger, before what is dear in them weighs more than the rest."""


@pytest.fixture(scope="module", autouse=True)
def made_once() -> None:
    """What is made when it is first needed, above all the explanation of the schema, counts for no document."""
    for name in ("lines with a text too long", "lines escaped twice"):
        judged(XML, OFFICIAL[name](SMALL))
        judged(JSON, ENTERPRISE[name](SMALL))


class Work(NamedTuple):
    """What was done."""

    steps: int
    """Lines of Python that ran, and calls of functions written in C."""
    places: int
    """How many places were looked for in a document."""


def work(action: Callable[[], object]) -> Work:
    count = places = 0

    def traced(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count, places
        count += 1
        places += event == "call" and frame.f_code in LOCATE
        return traced

    def profiled(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.setprofile(profiled)
    sys.settrace(traced)
    try:
        action()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return Work(count, places)


def grows_with_size(run: Callable[[bytes], object], shape: Shape, small: int = SMALL) -> None:
    documents = [shape(small * times) for times in (1, 2, 4)]
    run(documents[0])  # what is made once, is made
    done = [work(lambda: run(document)) for document in documents]  # noqa: B023
    for less, more in itertools.pairwise(done):
        assert more.steps <= STEP * less.steps + SPARE, done
    assert done[-1].steps <= EACH * len(documents[-1]) + ANSWER, (done, len(documents[-1]))
    assert done[-1].places <= LOCATED, "faults are capped before they are located"


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_documents(name: str) -> None:
    grows_with_size(lambda body: judged(XML, body), OFFICIAL[name], SMALL * LARGER.get(name, 1))


@pytest.mark.parametrize("name", ENTERPRISE)
def test_enterprise_documents(name: str) -> None:
    grows_with_size(lambda body: judged(JSON, body), ENTERPRISE[name], SMALL * LARGER.get(name, 1))


EVERY = [*((XML, name) for name in OFFICIAL), *((JSON, name) for name in ENTERPRISE)]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_what_the_event_loop_judges_itself_costs_little(kind: str, name: str) -> None:
    body = (OFFICIAL if kind == XML else ENTERPRISE)[name](AT_ONCE - (6 << 10))
    assert len(body) <= AT_ONCE
    assert work(lambda: judged_at_once(kind, body)).steps <= ON_THE_LOOP


@pytest.mark.long
@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_at_the_limit(kind: str, name: str) -> None:
    """A document of the largest size has an answer too, with no more faults than one carries."""
    shape = (OFFICIAL if kind == XML else ENTERPRISE)[name]
    assert len(judged(kind, shape(LIMIT - (16 << 10)))[1]) <= MAX_FAULTS


class Counted(bytes):
    """A document that counts how many of its bytes are looked through."""

    looked_at = 0

    def find(self, *wanted: Any) -> int:  # type: ignore[override]
        found = super().find(*wanted)
        self._look(wanted, found)
        return found

    def index(self, *wanted: Any) -> int:  # type: ignore[override]
        found = super().index(*wanted)
        self._look(wanted, found)
        return found

    def count(self, *wanted: Any) -> int:  # type: ignore[override]
        self._look(wanted, -1)
        return super().count(*wanted)

    def _look(self, wanted: tuple[Any, ...], found: int) -> None:
        _, start, end = (*wanted, 0, len(self))[:3] if len(wanted) < 3 else wanted
        self.looked_at += (found if found >= 0 else min(end, len(self))) - start


def test_many_places_cost_one_reading_of_a_plain_document() -> None:
    body = Counted(OFFICIAL["good lines"](256 << 10))
    reading = CustomsXml().read(body)
    assert getattr(reading.locate, "__func__", None) is PLAIN_PLACES
    count = len(reading.fields["goods"])
    places = [("goods", index, "hs_code") for index in range(count - MAX_FAULTS, count)]
    places += [("promise",), ("invoices",), ("number",), ("goods", count, "name")]
    lines = [reading.locate(place)[1] for place in places]
    assert lines[:MAX_FAULTS] == sorted(lines[:MAX_FAULTS])
    assert body.looked_at < 20 * len(body) < MAX_FAULTS * len(body) / 8


class Seen:
    """An element that counts the children it is asked for."""

    looked_at = 0

    def __init__(self, element: Any) -> None:
        self._element = element
        self.sourceline = element.sourceline

    def findall(self, path: str) -> "list[Seen]":
        found = [Seen(child) for child in self._element.findall(path)]
        Seen.looked_at += len(found)
        return found


def test_many_places_cost_one_look_at_the_siblings_of_a_tree() -> None:
    root = parse(OFFICIAL["good lines"](64 << 10))
    places = TreePlaces(Seen(root))  # type: ignore[arg-type]
    for _ in range(3):
        for index in range(40):
            assert places.of(("goods", index, "hs_code"))[0].endswith(f"/Goods[{index + 1}]/HSCode")
    assert Seen.looked_at == 1 + len(root[1]) + 40, "the list, its lines, and the element of each"


def test_the_meter_sees_what_grows_with_the_square() -> None:
    def square(body: bytes) -> int:
        return sum(1 for one in body for other in body if one == other)

    with pytest.raises(AssertionError):
        grows_with_size(square, lambda size: bytes(size // 64))
