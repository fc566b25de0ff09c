"""The differential fuzzer: see `fuzz`. The same documents each time; a longer run before a release has others."""

from collections.abc import Callable

import pytest

from tests.codecs import fuzz

QUICK = 400
LONG = 25_000
"""Documents in a part of the long run: about a minute each on an idle core."""

Make = Callable[[str], bytes]
Hold = Callable[[bytes, bool], bool]
DIALECTS: dict[str, tuple[Make, Hold]] = {
    "xml": (fuzz.damaged_official, fuzz.hold_official),
    "json": (fuzz.damaged_enterprise, fuzz.hold_enterprise),
}


def run(dialect: str, part: str, count: int) -> None:
    make, hold = DIALECTS[dialect]
    accepted = 0
    for number in range(count):
        seed = f"{part}/{number}"
        raw = make(seed)
        try:
            accepted += hold(raw, number % fuzz.OFTEN_COMPARED == 0)
        except Exception as error:
            error.add_note(f"the {dialect} document of the seed {seed!r} is {raw!r}")
            raise
    assert count / 20 < accepted < count * 19 / 20, "both verdicts are common, or the damage is none"


@pytest.mark.parametrize("part", ["a", "b", "c", "d"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_damaged_documents(dialect: str, part: str) -> None:
    run(dialect, part, QUICK)


@pytest.mark.release
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(30))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_many_damaged_documents(dialect: str, part: int) -> None:
    run(dialect, f"long {part}", LONG)
