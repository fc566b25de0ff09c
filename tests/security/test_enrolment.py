"""A picture or a key that takes long to look at holds up nobody, and what an operator writes beside it is judged."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from gateway.desk import Desk
from gateway.operations import ImageFacts, Refusal
from renderers import demo_marks, stamp
from renderers import key_file as key_file_module
from renderers.sign import Signer
from tests.renderers.key_files import PASSWORD, SINCE, a_pair, certificate_bag, hidden, key_bag, key_file, pkcs8, shown
from tests.runtime.house import Clock, others_go_on

ENTERPRISE = "91330299MA9XYD0C2A"


class Kept:
    """A vault that keeps what it is given."""

    def __init__(self) -> None:
        self.marks: list[tuple[Any, ...]] = []

    async def add(self, *mark: Any) -> Any:
        self.marks.append(mark)


def a_desk(vault: Kept) -> Desk:
    nothing: Any = None
    anything: Any = vault
    before, after = [nothing] * 3, [nothing] * 5
    return Desk(anything, *before, anything, nothing, nothing, Clock(), *after)


def a_key(rounds: int) -> bytes:
    key, certificate = a_pair()
    return key_file(hidden(certificate_bag(certificate)), shown(key_bag(pkcs8(key), rounds)))


async def test_a_key_is_opened_beside_the_loop() -> None:
    vault = Kept()
    assert await others_go_on(a_desk(vault).key_add(ENTERPRISE, "k", a_key(1000), PASSWORD)) > 0
    assert len(vault.marks) == 1


async def test_a_picture_is_decoded_beside_the_loop() -> None:
    vault = Kept()
    facts = ImageFacts(enterprise=ENTERPRISE, name="s", width_mm=42)
    seal = demo_marks.round_seal("宁波", dpi=300)
    assert await others_go_on(a_desk(vault).seal_add(seal, facts)) > 0
    assert len(vault.marks) == 1


async def test_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten operators at once take one core between them."""
    threads: list[int] = []

    def noted(module: Any, name: str) -> None:
        real = getattr(module, name)

        def note(*given: Any, **named: Any) -> Any:
            threads.append(threading.get_ident())
            return real(*given, **named)

        monkeypatch.setattr(module, name, note)

    noted(key_file_module, "read")
    noted(stamp, "look")
    vault = Kept()
    desk, key, seal = a_desk(vault), a_key(1000), demo_marks.round_seal("宁波", dpi=300)
    facts = ImageFacts(enterprise=ENTERPRISE, name="s", width_mm=42)
    keys = [desk.key_add(ENTERPRISE, "k", key, PASSWORD) for _ in range(5)]
    await asyncio.gather(*keys, *[desk.seal_add(seal, facts) for _ in range(5)])
    assert len(vault.marks) == 10
    assert len(threads) >= 10
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


async def test_a_key_is_kept_so_that_opening_it_costs_nothing() -> None:
    vault = Kept()
    await a_desk(vault).key_add(ENTERPRISE, "k", a_key(1000), PASSWORD)
    kept = orjson.loads(vault.marks[0][4])
    assert Signer(bytes.fromhex(kept["p12"]), kept["password"], enrolled=True).valid_from == SINCE
    assert kept["password"] == ""


FAR_EAST, FAR_WEST = timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))
ODD: dict[str, tuple[dict[str, Any], str]] = {
    "not a number": ({"width_mm": float("nan")}, "IMAGE-WIDTH"),
    "without end": ({"width_mm": float("inf")}, "IMAGE-WIDTH"),
    "negative": ({"width_mm": -42.0}, "IMAGE-WIDTH"),
    "huge": ({"width_mm": 1e308}, "IMAGE-WIDTH"),
    "NUL": ({"name": "a\0b"}, "MARK-NAME"),
    "half a character": ({"name": "\ud800"}, "MARK-NAME"),
    "NUL in a code": ({"enterprise": "91330299\0MA9XYD0C2"}, "ENTERPRISE-CODE"),
    "a code with a gap": ({"enterprise": "91330299-MA9XYD0C2A"}, "ENTERPRISE-CODE"),
    "the first day": ({"valid_from": datetime.min.replace(tzinfo=FAR_EAST)}, "MARK-PERIOD"),
    "the last day": ({"valid_to": datetime.max.replace(tzinfo=FAR_WEST)}, "MARK-PERIOD"),
    "no zone": ({"valid_to": datetime(2030, 1, 1)}, "MARK-PERIOD"),  # noqa: DTZ001
    "backwards": ({"valid_to": datetime(2020, 1, 1, tzinfo=UTC)}, "MARK-PERIOD"),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_values_are_answered_with_a_code(name: str) -> None:
    facts, code = ODD[name]
    given = ImageFacts.model_construct(
        **{**ImageFacts(enterprise=ENTERPRISE, name="s").model_dump(), "width_mm": 42, **facts}
    )
    vault = Kept()
    with pytest.raises(Refusal) as caught:
        await a_desk(vault).seal_add(demo_marks.round_seal("宁波", dpi=300), given)
    assert caught.value.code == code
    assert caught.value.remedy
    assert vault.marks == []
