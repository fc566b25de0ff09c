"""What every store promises of `Store.open`: a batch of new declarations in one step, or nothing at all."""

import asyncio

import pytest

from gateway.core.numbers import Series
from gateway.ports import Message, Unavailable
from gateway.storage import Collision, Fresh, Store
from tests.contract.store_harness import SERIES, TOPIC, Harness, admit, admitted, known_as

SMALL = Series("MA9XYD0C2", "C", "26", "AB1")
"""Nine numbers."""


def fresh(key: str, series: Series = SERIES, *more: str) -> Fresh:
    """A new declaration; its answer and its message say the number twice, and only the first one is ours to fill."""
    row = admitted(series.blank, key)._replace(reference=series.blank)
    text = b'{"number":"%s","reference":"%s"}' % (series.blank.encode(), series.blank.encode())
    message = Message(TOPIC, str(row.certificate_id), text, {"ce_id": str(row.certificate_id)})
    return Fresh(row._replace(answer=text), (key, *more), series, message)


async def _draw(store: Store, series: Series) -> None:
    """Draws one and takes it back."""
    async with store.door() as door:
        serial = (await door.draw({series: 1}))[series][0]
        raise _Undone(serial)


class _Undone(Exception):
    """Rolls the transaction back."""


async def next_serial(store: Store, series: Series = SERIES) -> int:
    """The serial that would be given next."""
    with pytest.raises(_Undone) as undone:
        await _draw(store, series)
    serial: int = undone.value.args[0]
    return serial


class OpeningSuite:
    """Every promise of `Store.open`."""

    async def test_new_ones_get_the_next_numbers_of_their_series_in_order(self, harness: Harness) -> None:
        store = await harness.open()
        batch = [fresh("1"), fresh("2", SMALL), fresh("3"), fresh("4", SMALL, "4 again")]
        numbers = await store.open(batch)
        assert numbers == [SERIES.number(1), SMALL.number(1), SERIES.number(2), SMALL.number(2)]
        assert await store.open([fresh("5")]) == [SERIES.number(3)]
        async with store.door() as door:
            priors, known = await door.known([("erp", key) for key in ("1", "4", "4 again")], numbers)
        assert known[numbers[3]].certificate_id == batch[3].row.certificate_id
        assert priors["erp", "4"] == priors["erp", "4 again"]
        answer = b'{"number":"%s","reference":"%s"}'
        assert priors["erp", "1"].answer == answer % (numbers[0].encode(), SERIES.blank.encode())
        told = {record.key: record.body for record in await harness.log()}
        assert told[str(batch[1].row.certificate_id)] == answer % (numbers[1].encode(), SMALL.blank.encode())
        assert len(told) == 5

    async def test_a_key_on_file_writes_nothing_and_draws_nothing(self, harness: Harness) -> None:
        store = await harness.open()
        await admit(store, admitted("C26MA9XYD0C2X001", "known"))
        before = len(await harness.log())
        assert await store.open([fresh("new"), fresh("known")]) is None
        assert await store.open([fresh("new", SERIES, "known")]) is None
        assert (len(await harness.log()), await next_serial(store)) == (before, 1)

    async def test_a_number_of_the_erps_own_in_the_way(self, harness: Harness) -> None:
        store = await harness.open()
        await admit(store, admitted(SERIES.number(1)))
        numbers = await store.open([fresh("new")])
        assert numbers in (None, [SERIES.number(2)])
        assert await next_serial(store) == (2 if numbers is None else 3)

    async def test_a_full_series_writes_nothing(self, harness: Harness) -> None:
        store = await harness.open()
        await store.open([fresh(str(serial), SMALL) for serial in range(8)])
        assert await store.open([fresh("9", SMALL), fresh("10", SMALL)]) is None
        assert await next_serial(store, SMALL) == 9
        assert await store.open([fresh("9", SMALL)]) == [SMALL.number(9)]

    async def test_many_at_once_get_one_number_each(self, harness: Harness) -> None:
        stores = [await harness.open() for _ in range(4)]
        given = await asyncio.gather(
            *(stores[task % 4].open([fresh(f"{task} {one}") for one in range(3)]) for task in range(20))
        )
        numbers = [number for batch in given for number in batch or ()]
        assert sorted(numbers) == [SERIES.number(serial) for serial in range(1, 61)]

    async def test_of_two_with_the_same_key_one_is_written(self, harness: Harness) -> None:
        stores = [await harness.open() for _ in range(4)]
        given = await asyncio.gather(
            *(store.open([fresh(f"own {n}"), fresh("same")]) for n, store in enumerate(stores))
        )
        assert sorted(batch is None for batch in given) == [False, True, True, True]
        assert len(await harness.log()) == 2

    async def test_a_lost_outcome_is_a_collision_and_the_careful_way_sees_it(self, harness: Harness) -> None:
        store = await harness.open()
        harness.lose(store, 1)
        with pytest.raises(Collision):
            await store.open([fresh("1")])
        assert (await known_as(store, SERIES.number(1))).status == "accepted"
        assert await store.open([fresh("1")]) is None

    async def test_away_is_told_and_nothing_written(self, harness: Harness) -> None:
        store = await harness.open()
        harness.go_away(store)
        with pytest.raises((Unavailable, Collision)):
            await store.open([fresh("1")])
        assert list(await harness.log()) == []
