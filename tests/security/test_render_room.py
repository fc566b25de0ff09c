"""A render job that can't be worked is answered or told; it never stands in the way of the others."""

import hashlib
import io
import threading
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest
from PIL import Image

from adapters.codecs.gateway_xml import GatewayCodec
from adapters.store.vault import Secret, Vault
from gateway.core.messages import Part, RenderJob, RenderResult
from gateway.operations import Refusal
from gateway.ports import Blob, Message, Record, Unavailable
from gateway.storage import Collision, DeadLetter
from renderers import layout_xml
from renderers.forms import forms
from renderers.layout import Image as LayoutImage
from renderers.layout import ImageKind, Layout, Page, Text
from renderers.render import Renderer
from renderers.worker import JOBS, RESULTS, RenderRoom, Stamps
from tests.renderers.key_files import PASSWORD, a_pair, certificate_bag, hidden, key_bag, key_file, pkcs8, shown
from tests.renderers.samples import bench, digest
from tests.runtime.house import Clock, Told, others_go_on

CODEC = GatewayCodec()


def a_record(number: str = "C26MA9XYD0C20001", layout_sha256: str = "0" * 64) -> Record:
    job = RenderJob(
        message_id=uuid4(), job=uuid4(), certificate_id=uuid4(), number=number, exporter="91330299MA9XYD0C2A",
        part=Part.ORIGINAL, layout_sha256=layout_sha256, at=datetime(2026, 11, 22, tzinfo=UTC),
    )  # fmt: skip
    return Record(JOBS, 0, 0, str(job.certificate_id), CODEC.encode(job), {})


class Room:
    """Marks, files and blobs that go wrong as told."""

    def __init__(self, trouble: Exception) -> None:
        self.trouble = trouble
        self.reports: list[RenderResult] = []
        self.dead: list[DeadLetter] = []
        self.told = Told()

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        self.dead += letters

    async def may_use(self, certificate_id: UUID, enterprise: str) -> bool:
        return True

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
        return RenderRoom(anything, anything, anything, anything, CODEC, CODEC, Clock(), self.told, self)


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
    assert [(letter.topic, letter.group, letter.body) for letter in room.dead] == [(JOBS, "render", b"<nonsense")]
    assert [word for word in room.told.words if word.startswith("buried")] != []


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


class Stored(Room):
    """Blobs that are there; the seal and the rest are in order."""

    def __init__(self, layout: bytes, pictures: Mapping[str, bytes]) -> None:
        super().__init__(ZeroDivisionError())
        self.blobs = {hashlib.sha256(layout).hexdigest(): layout, **pictures}
        self.files: list[Blob] = []

    async def get(self, sha256: str) -> bytes:
        return self.blobs[sha256]

    async def store(self, job: RenderJob, file: Blob | None, report: Message) -> None:
        await super().store(job, file, report)
        self.files += [file] if file else []

    async def work(self, renderer: Renderer | None = None) -> RenderResult:
        """The job of the only layout, worked."""
        anything: Any = self
        made = renderer or Renderer()
        room = RenderRoom(made, anything, anything, anything, CODEC, CODEC, Clock(), self.told, self)
        stamps = Stamps({}, None, None, None)  # type: ignore[arg-type]

        async def ready(job: RenderJob) -> Stamps:
            return stamps

        room._stamps = ready  # type: ignore[method-assign]
        record = a_record()
        job = CODEC.render_job(record.body).model_copy(update={"layout_sha256": next(iter(self.blobs))})
        await room.handle([record._replace(body=CODEC.encode(job))])
        return self.reports[-1]


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def a_layout(pictures: Sequence[bytes] = (), **changes: Any) -> tuple[bytes, dict[str, bytes]]:
    """A layout with these pictures, and the pictures by hash."""
    form = next(one for one in forms() if "C" in one.types)
    named = {hashlib.sha256(each).hexdigest(): each for each in pictures}
    images = tuple(LayoutImage(ImageKind.MARK, sha256, 10, 10, 10, 10) for sha256 in named)
    texts = changes.pop("texts", ())
    facts = {"form": form.form, "version": form.version, "form_sha256": form.sha256, **changes}
    pages = (Page("front", texts=texts, images=images),)
    value = Layout("C26MA9XYD0C20001", Part.ORIGINAL, issued=date(2026, 11, 20), pages=pages, **facts)
    return layout_xml.write(value), named


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: a_layout([png(40, 40)]), ""),
        (lambda: a_layout(version="1999"), "FORM-UNKNOWN"),
        (lambda: a_layout(form_sha256="0" * 64), "FORM-CHANGED"),
        (lambda: a_layout([b"no picture"]), "IMAGE-KIND"),
        (lambda: a_layout([png(40, 40)[:-30]]), "IMAGE-BROKEN"),
        (lambda: a_layout([png(3000, 2000)]), "IMAGE-PIXELS"),
        (lambda: a_layout([png(1900, 2000 + n) for n in range(3)]), "IMAGE-PIXELS"),
        (lambda: (a_layout()[0].replace(b'part="original"', b'part="copy"'), {}), "LAYOUT-OTHER"),
        (lambda: (a_layout()[0].replace(b'"front"', b'"nowhere"'), {}), "TEMPLATE-UNKNOWN"),
        (lambda: (b"<torn", {}), "LAYOUT-INVALID"),
        (lambda: (a_layout([png(9, 9)])[0], {"0" * 64: b""}), "LAYOUT-MISSING"),
    ],
)
async def test_a_layout_that_can_not_be_painted_is_answered_with_the_reason(made: Any, reason: str) -> None:
    room = Stored(*made())
    assert (await room.work()).reason == reason
    assert len(room.files) == (not reason)
    assert "broke: " not in " ".join(room.told.words)


async def test_millions_of_pixels_in_a_few_kilobytes_are_refused_before_one_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[int] = []
    monkeypatch.setattr("renderers.stamp.Image.open", lambda *given, **more: decoded.append(1))
    pictures = [png(1900, 2000 + n) for n in range(3)]
    assert sum(map(len, pictures)) < 60_000
    assert (await Stored(*a_layout(pictures)).work()).reason == "IMAGE-PIXELS"
    assert decoded == []


@pytest.mark.parametrize("what", ["a new picture", "a large layout", "known and small"])
async def test_a_file_that_takes_time_is_made_beside_the_event_loop(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []
    renderer = Renderer()
    render = renderer.render
    here = threading.get_ident()

    def noting(*given: Any) -> Any:
        threads.append(threading.get_ident() != here)
        return render(*given)

    many = tuple(Text(10, 10, 8, f"line {n} of many words") for n in range(1500))
    layout = a_layout([png(40, 40)], texts=many if what == "a large layout" else ())
    if what != "a new picture":
        await Stored(*layout).work(renderer)
    monkeypatch.setattr(renderer, "render", noting)
    assert (await Stored(*layout).work(renderer)).reason == ""
    assert threads == [what != "known and small"]


class OnlyAsked(Room):
    """A vault that tells whose marks may be used, and whether they were looked for."""

    def __init__(self, vault: Vault) -> None:
        super().__init__(ZeroDivisionError())
        self.vault = vault
        self.looked = False

    async def may_use(self, certificate_id: UUID, enterprise: str) -> bool:
        return await self.vault.may_use(certificate_id, enterprise)

    async def defaults(self, enterprise: str, at: object) -> Mapping[str, UUID]:
        self.looked = True
        return {}


@pytest.mark.parametrize(
    ("applicant", "reason", "looked"),
    [("91330299MA9XYD0C2A", "SEAL-MISSING", True), ("91310199MA9GWR4P61", "SEAL-NOT-AUTHORISED", False)],
)
async def test_an_agent_does_not_get_the_exporters_seal_and_key(
    database_pool: asyncpg.Pool, applicant: str, reason: str, looked: bool
) -> None:
    """Anybody may name an exporter; its seal and key are used only for what it declared itself (ops/decisions/0036)."""
    record = a_record()
    await database_pool.execute(
        "INSERT INTO origin.certificate (id, number, certificate_type, exporter, applicant, client, revision, status,"
        " content_sha256, raw_sha256, media_type, accepted_at, updated_at) VALUES ($1, 'C26MA9XYD0C20001', 'C',"
        " '91330299MA9XYD0C2A', $2, 'erp', 1, 'approved', '', '', 'application/xml', now(), now())",
        record.key, applicant,
    )  # fmt: skip
    room = OnlyAsked(Vault(database_pool, "master"))
    await room.worker().handle([record])
    assert [report.reason for report in room.reports] == [reason]
    assert room.looked is looked


class Store(Room):
    """The marks of an enterprise, a layout and its pictures."""

    def __init__(self) -> None:
        super().__init__(ZeroDivisionError())
        key, certificate = a_pair()
        p12 = key_file(hidden(certificate_bag(certificate)), shown(key_bag(pkcs8(key))))
        secret = orjson.dumps({"p12": p12.hex(), "password": PASSWORD})  # as earlier versions kept it
        seal, writing = bench().seal, bench().handwriting
        self.secrets = {
            "seal": Secret(uuid4(), {"shape": "round", "width_mm": 42.0, "height_mm": 42.0}, seal.png),
            "signature": Secret(uuid4(), {"width_mm": 32.0, "height_mm": 14.0}, writing.png),
            "key": Secret(uuid4(), {}, secret),
        }
        layout = layout_xml.write(bench().layout("C"))
        self.layout = digest(layout)
        self.blobs = {self.layout: layout, **bench().marks}

    async def defaults(self, enterprise: str, at: object) -> Mapping[str, UUID]:
        return {kind: secret.id for kind, secret in self.secrets.items()}

    async def open(self, mark: UUID) -> Secret:
        return next(secret for secret in self.secrets.values() if secret.id == mark)

    async def get(self, sha256: str) -> bytes:
        return self.blobs[sha256]


async def test_what_is_seen_for_the_first_time_holds_up_nobody() -> None:
    """Pictures are decoded, compressed and drawn, and a key is opened, beside the loop; later it takes no time."""
    store = Store()
    anything: Any = store

    def a_room(renderer: Renderer) -> RenderRoom:
        return RenderRoom(renderer, anything, anything, anything, CODEC, CODEC, Clock(), store.told, store)

    def work(room: RenderRoom) -> Awaitable[None]:
        return room.handle([a_record(number="C261026902330001", layout_sha256=store.layout)])

    renderer = Renderer()
    room = a_room(renderer)
    await work(room)
    assert await others_go_on(work(room)) == 0
    assert await others_go_on(work(a_room(renderer))) > 0, "the enterprise's marks are new"
    room._renderer = Renderer()
    assert await others_go_on(work(room)) > 0, "the customs' pictures are new"
    assert [report.reason for report in store.reports] == [""] * 4
