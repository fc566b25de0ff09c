"""A render job that can't be worked is answered or told; it never stands in the way of the others."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from adapters.codecs.gateway_xml import GatewayCodec
from gateway.core.messages import Part, RenderJob, RenderResult
from gateway.operations import Refusal
from gateway.ports import Blob, Message, Record, Unavailable
from gateway.storage import Collision
from renderers.worker import JOBS, RESULTS, RenderRoom
from tests.runtime.house import Clock, Told

CODEC = GatewayCodec()


def a_record() -> Record:
    job = RenderJob(
        message_id=uuid4(), job=uuid4(), certificate_id=uuid4(), number="C26MA9XYD0C20001",
        exporter="91330299MA9XYD0C2A", part=Part.ORIGINAL, layout_sha256="0" * 64, at=datetime(2026, 11, 22, tzinfo=UTC),
    )  # fmt: skip
    return Record(JOBS, 0, 0, str(job.certificate_id), CODEC.encode(job), {})


class Room:
    """Marks, files and blobs that go wrong as told."""

    def __init__(self, trouble: Exception) -> None:
        self.trouble = trouble
        self.reports: list[RenderResult] = []
        self.told = Told()

    async def defaults(self, enterprise: str, at: object) -> Mapping[str, UUID]:
        raise self.trouble

    async def done(self, job: UUID) -> bool:
        return False

    async def store(self, job: RenderJob, file: Blob | None, report: Message) -> None:
        result = CODEC.decode(RESULTS, report.body)
        assert isinstance(result, RenderResult)
        self.reports.append(result)

    def worker(self) -> RenderRoom:
        anything: Any = self
        return RenderRoom(anything, anything, anything, anything, CODEC, CODEC, Clock(), self.told)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (ZeroDivisionError("a value"), "RENDER-BROKE"),
        (KeyError("a value"), "RENDER-BROKE"),
        (Refusal("MASTER-KEY-WRONG", "A mark can't be opened with this master key."), "MASTER-KEY-WRONG"),
    ],
)
async def test_a_job_that_breaks_is_answered_and_the_next_one_worked(trouble: Exception, reason: str) -> None:
    room = Room(trouble)
    unreadable = Record(JOBS, 0, 0, "x", b"<nonsense", {})
    await room.worker().handle([unreadable, a_record(), a_record()])
    assert [report.reason for report in room.reports] == [reason, reason]
    assert all("a value" not in report.detail for report in room.reports)
    assert [word for word in room.told.words if word.startswith("parked")] != []


@pytest.mark.parametrize("trouble", [Unavailable("away"), Collision("again")])
async def test_a_neighbour_away_is_no_answer(trouble: Exception) -> None:
    room = Room(trouble)
    with pytest.raises(type(trouble)):
        await room.worker().handle([a_record()])
    assert room.reports == []


async def test_a_layout_that_is_gone_is_answered() -> None:
    class Gone(Room):
        async def get(self, sha256: str) -> bytes:
            raise KeyError(sha256)

    room = Gone(Unavailable("never asked"))
    worker = room.worker()

    async def stamps(job: RenderJob) -> object:
        return object()

    worker._stamps = stamps  # type: ignore[method-assign,assignment]
    await worker.handle([a_record()])
    assert [report.reason for report in room.reports] == ["LAYOUT-MISSING"]
