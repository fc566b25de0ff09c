"""The short way of reading JSON and the whole way come to the same fields, or the short way steps aside."""

from collections.abc import Callable
from functools import partial
from random import Random

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from adapters.codecs import fast
from adapters.codecs.enterprise_json import EnterpriseJson, _locate
from adapters.codecs.json_lines import Lines
from gateway.core.declaration import Declaration, canonical
from gateway.core.faults import Refused
from gateway.ports import Reading
from simulators.erp.enterprises import many
from simulators.erp.generator import declaration
from tests.codecs.strategies import DECLARATIONS

JSON = EnterpriseJson()
SLOW = settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60, deadline=None)
"""A declaration has sixty fields: it takes a while to make one up."""

Verdict = tuple[list[str], object]
"""Codes of the faults, and the fields."""


def verdict(read: Callable[[], Reading]) -> Verdict:
    try:
        fields = read().fields
    except Refused as refused:
        return [one.code for one in refused.faults], None
    return [], orjson.dumps(fields)  # in order: the content's hash is over it


def both(raw: bytes) -> tuple[Verdict, Verdict]:
    closely = partial(JSON.read_closely, orjson.loads(raw), partial(_locate, Lines(raw)))
    return verdict(lambda: JSON.read(raw)), verdict(closely)


@pytest.mark.parametrize("size", [1, 20])
def test_what_erps_send_is_plain(size: int) -> None:
    for number, enterprise in enumerate(many(20)):
        raw = JSON.write(declaration(Random(number), "C", enterprise, 0, size=size))
        found = fast.read_json(raw, orjson.loads(raw), None, lambda place: ("", None))
        assert found is not None
        assert found.fields == JSON.read(raw).fields
        assert len({*both(raw)[0][0], *both(raw)[1][0]}) == 0


@given(DECLARATIONS)
@SLOW
def test_both_ways_come_to_the_same_fields(content: Declaration) -> None:
    one, other = both(orjson.dumps(canonical(content)))
    assert one == other
    assert one[0] == []


@pytest.mark.parametrize("space", ["", " ", "\n", "\t", "\r\n "])
def test_a_doubled_name_is_never_plain(space: str) -> None:
    good = JSON.write(declaration(Random(1), "C", next(iter(many(1))), 0, size=1))
    assert fast.read_json(good, orjson.loads(good), None, lambda _: ("", None)) is not None
    doubled = good.replace(b"{", b'{"promise"%b: "1",' % space.encode(), 1)
    assert fast.read_json(doubled, orjson.loads(doubled), None, lambda _: ("", None)) is None
    with pytest.raises(Refused):
        JSON.read(doubled)
    for text in ('"x"', '"a: \\": b"', '"\\":\\":"'):
        raw = f'{{"promise"{space}: {text}, "promise"{space}:"1"}}'.encode()
        with pytest.raises(Refused) as refused:
            JSON.read(raw)
        assert [f.code for f in refused.value.faults] == ["JSON-DUPLICATE"]
