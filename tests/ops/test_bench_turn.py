"""The turn's benchmark plays whole lives: where the gateway's ports grow, it has to grow with them."""

from ops.bench.turning import lives


async def test_lives_on_the_bench_end_as_they_should() -> None:
    assert await lives(2) > 0
