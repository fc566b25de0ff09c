"""One answer for all who ask at the same time."""

import asyncio

import pytest

from gateway.runtime.shared import Shared


async def test_whoever_asks_meanwhile_and_a_while_after_gets_the_same_answer() -> None:
    now, asked = 0.0, 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return asked

    shared = Shared(ask, 1.0, lambda: now)
    assert await asyncio.gather(*(shared() for _ in range(50))) == [1] * 50
    now = 0.9
    assert await shared() == 1
    now = 1.1
    assert await asyncio.gather(*(shared() for _ in range(50))) == [2] * 50


async def test_an_asker_that_goes_away_takes_nobodys_answer_and_a_failure_is_not_kept() -> None:
    go = asyncio.Event()
    failing = True

    async def ask() -> str:
        await go.wait()
        if failing:
            raise RuntimeError("broken")
        return "well"

    shared = Shared(ask, 1.0)
    first, second = asyncio.create_task(shared()), asyncio.create_task(shared())
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    with pytest.raises(RuntimeError, match="broken"):
        await second
    failing = False
    assert await shared() == "well"
