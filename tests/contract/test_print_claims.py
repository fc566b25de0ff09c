"""A print claim is one row that is never transferred; in memory and in PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from uuid import uuid4

import asyncpg
import pytest

from adapters.bus.memory import MemoryLog
from adapters.store.memory import MemoryClaims, MemoryStore
from adapters.store.rooms import PrintClaims
from gateway.core.messages import Part, PrintJob
from gateway.ports import Message
from gateway.runtime.print_room import RESULTS, Claim, Claims, ClaimState

Count = Callable[[], Awaitable[int]]


@pytest.fixture(params=["memory", "postgres"])
def claims(request: pytest.FixtureRequest) -> tuple[Claims, Count]:
    """The claims, and how many reports are on the log."""
    if request.param == "memory":
        log = MemoryLog()

        async def kept() -> int:
            return sum(len(line) for line in log.records.values())

        return MemoryClaims(MemoryStore(log.append)), kept
    pool: asyncpg.Pool = request.getfixturevalue("database_pool")

    def wake(topics: Iterable[str]) -> None:
        assert list(topics) == [RESULTS]

    async def written() -> int:
        count: int = await pool.fetchval("SELECT count(*) FROM origin.log")
        return count

    return PrintClaims(pool, wake), written


def job() -> PrintJob:
    identity = uuid4()
    return PrintJob(
        message_id=identity,
        job=identity,
        certificate_id=uuid4(),
        number="C26MA9XYD0C20001",
        exporter="91330299MA9XYD0C2A",
        part=Part.ORIGINAL,
        file_sha256="0" * 64,
        pages=1,
    )


def report(text: str) -> Message:
    return Message(RESULTS, "key", text.encode(), {})


async def test_one_claim_is_fresh_and_the_others_learn_whose_it_is(claims: tuple[Claims, Count]) -> None:
    room, reports = claims
    one = job()
    made = await asyncio.gather(*(room.claim(one, f"tray {n}", report(f"{n}")) for n in range(4)))
    (fresh,) = [claim for claim in made if claim.fresh]
    assert {(claim.worker, claim.state) for claim in made} == {(fresh.worker, ClaimState.CLAIMED)}
    assert await reports() == 1


@pytest.mark.parametrize("state", [ClaimState.PRINTED, ClaimState.REFUSED, ClaimState.IN_DOUBT])
async def test_an_end_is_written_and_reported_once(claims: tuple[Claims, Count], state: ClaimState) -> None:
    room, reports = claims
    one = job()
    await room.end(one.job, state, report("nobody claimed it"))
    await room.claim(one, "tray", report("claimed"))
    for _ in range(2):
        await room.end(one.job, state, report("end"))
    await room.end(one.job, ClaimState.REFUSED, report("too late"))
    assert await room.claim(one, "tray", report("again")) == Claim("tray", state, fresh=False)
    assert await reports() == 2


async def test_printed_after_all_resolves_a_doubt(claims: tuple[Claims, Count]) -> None:
    room, reports = claims
    one = job()
    await room.claim(one, "tray", report("claimed"))
    await room.end(one.job, ClaimState.IN_DOUBT, report("doubt"))
    await room.end(one.job, ClaimState.PRINTED, report("printed"))
    await room.end(one.job, ClaimState.IN_DOUBT, report("too late"))
    assert (await room.claim(one, "tray", report("again"))).state is ClaimState.PRINTED
    assert await reports() == 3
