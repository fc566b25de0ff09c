"""The bus as a way in under load: batches that begin before the last one is answered, and what trouble does to them."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random

import pytest

import adapters.inbound.bus as way_in
from gateway.ports import Message, Record, Unavailable
from gateway.runtime import patience
from tests.inbound.bus_parts import Post, until
from tests.inbound.parts import FakeDoor
from tests.runtime.house import document

NUMBER = "C26MA9XYD0C29042"
MOST = 4


@pytest.fixture(autouse=True)
def small_and_hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog of four is one already; nobody waits long."""
    monkeypatch.setattr(way_in, "BATCH", MOST)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(patience, "LONGEST_PAUSE", 0.002)


class Behind:
    """The place of a batch behind another that is not done."""

    first = False

    def release(self) -> None:
        """Nobody waits."""

    async def mine(self) -> None:
        """Never comes."""
        await asyncio.Event().wait()


def backlog(post: Post, size: int) -> None:
    """Every second record is about the same number, with other content each time."""
    for n in range(0, size, 2):
        post.send(document(number=NUMBER, invoice_no=str(n)), key=NUMBER)
        post.send(document(invoice_no=f"other {n}"), key=f"other {n}")


async def test_the_next_batch_is_at_the_door_before_the_first_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post()
    publish, waiting = post.bus.publish, asyncio.Event()

    async def slow(messages: Sequence[Message]) -> None:
        await waiting.wait()
        await publish(messages)

    monkeypatch.setattr(post.bus, "publish", slow)
    backlog(post, 3 * MOST)
    async with post.running():
        await until(lambda: len(post.house.store.tables.certificates) > MOST)
        assert post.answers() == []
        waiting.set()
        await until(lambda: len(post.answers()) == 3 * MOST)
    offsets = [int(r.headers["origin_submitted_offset"]) for r in post.answers() if r.key == NUMBER]
    assert offsets == sorted(offsets)


async def test_nothing_enters_behind_what_could_not_be_judged() -> None:
    door = FakeDoor()
    post = Post(door)
    for body in (b"away", b"correction"):
        post.send(body, key="same")
    first, second = post.submitted()
    with pytest.raises(Unavailable):
        await post.intake.handle([first])
    with pytest.raises(Unavailable):
        await post.intake.handle([second], Behind())
    assert door.seen == [], "the correction waits for what it corrects"


async def test_what_comes_again_is_not_held_up_by_what_failed_before() -> None:
    post = Post(FakeDoor())
    for body in (b"away", b"good"):
        post.send(body)
    poison, good = post.submitted()
    with pytest.raises(Unavailable):
        await post.intake.handle([poison])
    await post.intake.handle([good])
    assert len(post.answers()) == 1


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_fails_each_record_is_answered_and_the_first_stays_the_first(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database away, the broker away, an unknown commit, a crash: between any two steps."""
    dice, post = Random(seed), Post()
    publish, calm = post.bus.publish, False

    async def refused(messages: Sequence[Message]) -> None:
        if dice.random() < 0.3 and not calm:
            raise Unavailable("the broker is away")
        await publish(messages)

    monkeypatch.setattr(post.bus, "publish", refused)
    backlog(post, 48)
    async with post.house.open():
        for _ in range(20):
            life = asyncio.create_task(post.intake.run())
            for _ in range(dice.randrange(1, 12)):
                post.house.store.away = dice.random() < 0.3
                post.registry.away = dice.random() < 0.2
                post.house.store.lost = int(dice.random() < 0.2)
                for _ in range(dice.randrange(40)):
                    await asyncio.sleep(0)
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life
        calm = True
        post.house.store.away, post.registry.away, post.house.store.lost = False, False, 0
        async with asyncio.timeout(20):
            life = asyncio.create_task(post.intake.run())
            await until(lambda: {of(r) for r in post.answers()} >= {(r.partition, r.offset) for r in post.submitted()})
            life.cancel()
            with suppress(asyncio.CancelledError):
                await life
    told = {of(record): record.headers["origin_status"] for record in post.answers() if record.key == NUMBER}
    assert [told[place] for place in sorted(told)] == ["accepted"] + ["conflict"] * 23


def of(answer: Record) -> tuple[int, int]:
    """Partition and offset of what it answers."""
    return int(answer.headers["origin_submitted_partition"]), int(answer.headers["origin_submitted_offset"])
