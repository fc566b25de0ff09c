"""What every Store promises, run on every Store: memory and PostgreSQL.

A test module derives a class from `StoreSuite` and gives it a `harness` fixture.
"""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest

from gateway.core.certificate import KIND
from gateway.core.decision import EventKind
from gateway.core.messages import Part
from gateway.core.numbers import Series
from gateway.core.state import Certificate, Paper, PrintState, Review
from gateway.ports import Blob, Message, Unavailable
from gateway.storage import Admitted, Collision, ReceiptRow, Repetition, Store, TurnWork
from tests.contract.store_harness import (
    ENTERPRISE,
    NOW,
    SERIAL,
    SERIES,
    STATUS,
    TOPIC,
    Broken,
    Harness,
    about,
    accepted,
    admit,
    admitted,
    break_turn,
    draw_one,
    event_of,
    known_as,
    parked_of,
    save,
    sha,
    state_of,
)


class StoreSuite:
    """Every promise of `gateway.storage.Store`."""

    # ------------------------------------------------------------ the door

    async def test_what_was_written_is_known_by_key_and_number(self, harness: Harness) -> None:
        store = await harness.open()
        row = admitted("C26MA9XYD0C20007", "key 1")
        await admit(store, row)
        async with (await harness.open()).door() as door:
            priors, known = await door.known([("erp", "key 1"), ("erp", "no"), ("other", "key 1")], [row.number, "no"])
        assert list(priors) == [("erp", "key 1")]
        prior = priors["erp", "key 1"]
        assert (prior.raw_sha256, prior.certificate_id, prior.answer) == (
            row.raw_sha256,
            row.certificate_id,
            row.answer,
        )
        on_file = known[row.number]
        assert (on_file.certificate_id, on_file.number, on_file.applicant) == (
            row.certificate_id,
            row.number,
            ENTERPRISE,
        )
        assert (on_file.revision, on_file.status, on_file.content_sha256) == (1, "accepted", row.content_sha256)

    async def test_a_repetition_is_remembered(self, harness: Harness) -> None:
        store = await harness.open()
        row = admitted("C26MA9XYD0C20001")
        await admit(store, row)
        async with store.door() as door:
            again = Repetition("erp", "another key", "folder", sha(b"xml"), row.certificate_id, b"{}", NOW)
            await door.write((), [again], ())
        async with store.door() as door:
            priors, _ = await door.known([("erp", "another key")], [])
        assert priors["erp", "another key"].raw_sha256 == sha(b"xml")

    async def test_of_two_doors_with_the_same_key_one_collides_and_then_sees_the_other(self, harness: Harness) -> None:
        outcomes = await asyncio.gather(*[self._compete(await harness.open(), "key 1", None) for _ in range(4)])
        assert Counter(outcomes) == {"wrote": 1, "saw": 3}

    async def test_of_two_doors_with_the_same_number_one_collides_and_then_sees_the_other(
        self, harness: Harness
    ) -> None:
        number = "C26MA9XYD0C20042"
        outcomes = await asyncio.gather(*[self._compete(await harness.open(), None, number) for _ in range(4)])
        assert Counter(outcomes) == {"wrote": 1, "saw": 3}
        assert len([record for record in await harness.log() if record.topic == TOPIC]) == 1

    async def _compete(self, store: Store, key: str | None, number: str | None) -> str:
        serial = next(SERIAL)
        row = admitted(number or f"C26MA9XYD0C2A{serial:03d}", key, raw=f"of {serial}".encode())
        while True:
            try:
                async with store.door() as door:
                    priors, known = await door.known([("erp", row.key)], [row.number])
                    await asyncio.sleep(0.02)
                    if priors or known:
                        return "saw"
                    await door.write([row], (), [accepted(row)])
                return "wrote"
            except Collision:
                continue

    async def test_a_correction_replaces_the_content_and_waits_for_the_turn(self, harness: Harness) -> None:
        store = await harness.open()
        row = admitted("C26MA9XYD0C20001")
        await admit(store, row)
        await save(store, TurnWork(states=[state_of(row, review=Review.RETURNED)]))
        second = admitted(row.number, raw=b"corrected")
        second = second._replace(certificate_id=row.certificate_id, revision=2)
        await admit(store, second)
        on_file = await known_as(store, row.number)
        assert (on_file.revision, on_file.status, on_file.content_sha256) == (2, "accepted", second.content_sha256)
        await save(store, TurnWork(states=[state_of(row, review=Review.RETURNED, sequence=2)]))
        assert (await known_as(store, row.number)).status == "accepted", "a turn that has not seen it keeps quiet"
        await save(store, TurnWork(states=[state_of(row, review=Review.DECLARED, revision=2, sequence=3)]))
        assert (await known_as(store, row.number)).status == "declared"

    async def test_numbers_have_no_gap_and_no_double_whoever_asks(self, harness: Harness) -> None:
        stores = [await harness.open() for _ in range(4)]

        async def take(task: int) -> None:
            for turn in range(3):
                breaks = task % 5 == turn  # rolled back once, after it drew
                while True:
                    try:
                        await self._take(stores[task % 4], breaks)
                        break
                    except Collision:
                        continue
                    except Broken:
                        breaks = False

        await asyncio.gather(*(take(task) for task in range(20)))
        async with stores[0].door() as door:
            _, known = await door.known([], [SERIES.number(serial) for serial in range(1, 80)])
        assert sorted(known) == [SERIES.number(serial) for serial in range(1, 61)]

    async def _take(self, store: Store, breaks: bool) -> None:
        async with store.door() as door:
            await door.known([], [])
            row = admitted(await draw_one(door))
            await door.write([row], (), [accepted(row)])
            if breaks:
                raise Broken

    async def test_a_number_that_an_erp_chose_is_stepped_over(self, harness: Harness) -> None:
        store = await harness.open()
        await admit(store, admitted(SERIES.number(1)), admitted(SERIES.number(3)))
        async with store.door() as door:
            drawn = await door.draw({SERIES: 3})
            more = await door.draw({SERIES: 1})
        assert (list(drawn[SERIES]), list(more[SERIES])) == ([2, 4, 5], [6])

    async def test_a_full_series_gives_what_is_left_then_nothing(self, harness: Harness) -> None:
        store = await harness.open()
        small, other = Series("MA9XYD0C2", "C", "26", "AB1"), Series("MA9XYD0C2", "RC", "26", "")
        await admit(store, admitted(small.number(9)))
        async with store.door() as door:
            first = await door.draw({small: 6})
        async with store.door() as door:
            rest = await door.draw({small: 6, other: 1})
        async with store.door() as door:
            nothing = await door.draw({small: 1})
        assert (list(first[small]), list(rest[small]), list(nothing[small])) == ([1, 2, 3, 4, 5, 6], [7, 8], [])
        assert list(rest[other]) == [1], "each series counts for itself"

    async def test_a_block_that_breaks_leaves_nothing(self, harness: Harness) -> None:
        store = await harness.open()
        row = admitted(SERIES.number(1), "key 1")
        with pytest.raises(Broken):
            await self._break_the_door(store, row)
        with pytest.raises(Broken):
            await break_turn(store, TurnWork(parked=[parked_of(None)], log=[accepted(row)]))
        async with store.door() as door:
            assert await door.known([("erp", "key 1")], [row.number]) == ({}, {})
            assert list((await door.draw({SERIES: 1}))[SERIES]) == [1]
        assert list(await harness.log()) == []
        assert list(await store.parked()) == []
        await admit(store, row)

    async def _break_the_door(self, store: Store, row: Admitted) -> None:
        async with store.door() as door:
            await door.draw({SERIES: 5})
            await door.write([row], (), [accepted(row)])
            raise Broken

    # ------------------------------------------------------------ the log

    async def test_log_offsets_have_no_gap_and_follow_the_order_of_a_key(self, harness: Harness) -> None:
        stores = [await harness.open() for _ in range(3)]

        async def write(task: int) -> None:
            for step in range(5):
                messages = [Message(STATUS, f"key {task}", f"{step}/{n}".encode()) for n in range(3)]
                try:
                    async with stores[task % 3].turn() as turn:
                        await turn.save(TurnWork(log=messages))
                        if step == 2:
                            raise Broken
                except Broken:
                    continue

        await asyncio.gather(*(write(task) for task in range(9)))
        offsets: dict[tuple[str, int], list[int]] = {}
        bodies: dict[str, list[bytes]] = {}
        for record in await harness.log():
            offsets.setdefault(record.place, []).append(record.offset)
            bodies.setdefault(record.key, []).append(record.body)
        assert all(line == list(range(len(line))) for line in offsets.values())
        kept = [f"{step}/{n}".encode() for step in (0, 1, 3, 4) for n in range(3)]
        assert bodies == {f"key {task}": kept for task in range(9)}

    # ------------------------------------------------------------ the turn

    async def test_a_turn_loads_what_the_last_one_saved(self, harness: Harness) -> None:
        store = await harness.open()
        first, second = admitted(SERIES.number(1)), admitted(SERIES.number(2))
        await admit(store, first, second)
        state = state_of(
            first,
            review=Review.APPROVED,
            verdict_at="2026-11-22 08:00:00#000000001#approved",
            papers={
                Part.ORIGINAL: Paper(layout=sha(b"o"), file=sha(b"f"), pages=2, print=PrintState.CLAIMED, prints=1),
                Part.COPY: Paper(layout=sha(b"c"), render_job=uuid4(), renders=2),
            },
        )
        message_id = uuid4()
        await save(store, TurnWork(handled=[(message_id, first.certificate_id)], states=[state]))
        async with (await harness.open()).turn() as turn:
            loaded = await turn.load([message_id, uuid4()], about(second.certificate_id, uuid4(), first.number, "no"))
        assert loaded.seen == {message_id}
        assert loaded.states == {first.certificate_id: state}
        found = loaded.states[first.certificate_id]
        assert isinstance(found, Certificate)
        assert list(found.papers) == list(Part), "original first, as ever"
        assert loaded.keys == {(KIND, first.number): first.certificate_id, (KIND, second.number): second.certificate_id}
        assert loaded.kinds == {first.certificate_id: KIND, second.certificate_id: KIND}
        assert loaded.parked == frozenset()
        assert (await known_as(store, first.number)).status == "ready_to_print"

    async def test_a_message_id_is_handled_once(self, harness: Harness) -> None:
        store = await harness.open()
        message_id = uuid4()
        await save(store, TurnWork(handled=[(message_id, None)]))
        with pytest.raises(Collision):
            await save(store, TurnWork(handled=[(message_id, None)]))

    async def test_a_place_in_a_life_is_taken_once(self, harness: Harness) -> None:
        store = await harness.open()
        row = admitted(SERIES.number(1))
        await admit(store, row)
        state = state_of(row)
        await save(store, TurnWork(states=[state], events=[event_of(state)]))
        with pytest.raises(Collision):
            await save(store, TurnWork(states=[state], events=[event_of(state, EventKind.SENT)]))

    async def test_receipts_and_their_bytes(self, harness: Harness) -> None:
        store = await harness.open()
        row = admitted(SERIES.number(1))
        await admit(store, row)
        body = b"<Receipt/>\x00\xff"
        blob = Blob(sha(body), "receipt", "application/xml", body)
        receipts = [
            ReceiptRow(uuid4(), identity, row.number, "BusinessReceipt", blob.sha256, '{"channel":"6"}', NOW)
            for identity in (row.certificate_id, None)
        ]
        await save(store, TurnWork(receipts=receipts, blobs=[blob, blob]))
        await save(store, TurnWork(blobs=[blob]))
        async with store.turn() as turn:
            assert await turn.blobs([blob.sha256, row.raw_sha256, sha(b"no")]) == {
                blob.sha256: body,
                row.raw_sha256: row.raw,
            }
            assert await turn.blobs([]) == {}
        with pytest.raises(Collision):
            await save(store, TurnWork(receipts=receipts[:1]))

    async def test_parked_messages_keep_their_order_and_bytes(self, harness: Harness) -> None:
        store = await harness.open()
        row, free = admitted(SERIES.number(1)), admitted(SERIES.number(2))
        await admit(store, row, free)
        first, other, second = parked_of(row.certificate_id), parked_of(None, b""), parked_of(row.certificate_id, b"2")
        await save(store, TurnWork(parked=[first, other]))
        await save(store, TurnWork(parked=[second]))
        await save(store, TurnWork(parked=[first]))
        assert list(await store.parked()) == [first, other, second]
        assert list(await store.parked(row.certificate_id)) == [first, second]
        async with store.turn() as turn:
            loaded = await turn.load([], about(row.certificate_id, free.certificate_id))
        assert loaded.parked == {row.certificate_id}
        await save(store, TurnWork(unparked=[first.message_id, second.message_id]))
        assert list(await store.parked()) == [other]
        async with store.turn() as turn:
            assert (await turn.load([], about(row.certificate_id))).parked == frozenset()

    async def test_a_turn_that_waited_for_another_sees_what_it_parked(self, harness: Harness) -> None:
        row = admitted(SERIES.number(1))
        one, two = await harness.open(), await harness.open()
        await admit(one, row)
        holding = asyncio.Event()

        async def parks() -> None:
            async with one.turn() as turn:
                await turn.load([], about(row.certificate_id))
                holding.set()
                await asyncio.sleep(0.2)
                await turn.save(TurnWork(parked=[parked_of(row.certificate_id)], states=[state_of(row)]))

        async def follows() -> None:
            await holding.wait()
            async with two.turn() as turn:
                loaded = await turn.load([], about(row.number))
                assert loaded.parked == {row.certificate_id}
                assert list(loaded.states) == [row.certificate_id]

        await asyncio.gather(parks(), follows())

    # ------------------------------------------------------------ trouble

    async def test_a_lost_outcome_is_a_collision_and_run_again_it_is_in_effect_once(self, harness: Harness) -> None:
        store = await harness.open()
        row = admitted(SERIES.number(1), "key 1")
        harness.lose(store, 1)
        with pytest.raises(Collision):
            await admit(store, row)
        async with store.door() as door:
            priors, known = await door.known([("erp", "key 1")], [row.number])
        assert (len(priors), len(known)) == (1, 1), "it was written: the second run sees it"
        assert len(await harness.log()) == 1

    async def test_away_is_told_and_nothing_is_written(self, harness: Harness) -> None:
        store = await harness.open()
        harness.go_away(store)
        with pytest.raises(Unavailable):
            await admit(store, admitted(SERIES.number(1)))
        with pytest.raises(Unavailable):
            await save(store, TurnWork())
        for question in (store.due(NOW, 1), store.parked()):
            with pytest.raises(Unavailable):
                await question
        assert list(await harness.log()) == []

    async def test_going_away_in_the_middle_is_told_and_nothing_is_written(self, harness: Harness) -> None:
        store = await harness.open()

        async def half() -> None:
            async with store.door() as door:
                row = admitted(await draw_one(door))
                await door.write([row], (), [accepted(row)])
                harness.go_away(store)

        with pytest.raises((Unavailable, Collision)):
            await half()
        assert list(await harness.log()) == []

    async def test_a_cancelled_block_leaves_nothing_and_lets_go(self, harness: Harness) -> None:
        store, other = await harness.open(), await harness.open()
        row = admitted(SERIES.number(1))
        inside = asyncio.Event()

        async def hangs() -> None:
            async with store.door() as door:
                await door.draw({SERIES: 1})
                await door.write([row], (), [accepted(row)])
                inside.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(hangs())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            await admit(other, row)
