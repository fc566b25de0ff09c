"""`origin demo`: the whole way once, on this machine: declared, checked, approved, signed, stamped, printed, verified.

Everything stands under ``build/demo`` of the current folder and is kept: a repeat declares the examples under new
numbers, also after an earlier demo was killed.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx
import orjson
from rich.console import Console
from rich.live import Live

import schemas
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from gateway import keyfile, logs
from gateway.core.declaration import Declaration
from gateway.core.messages import Part
from gateway.ports import Dialect
from gateway.settings import Role, Settings, load
from renderers.picture import first_page_png
from renderers.verify import verify
from simulators import demo_show
from simulators.demo_kafka import Make, broker
from simulators.erp.client import Erp, Operator, Unexpected, Verdict
from simulators.erp.enterprises import ENTERPRISES
from simulators.erp.onboarding import Wallet, onboard, wallet

PATIENCE = 90.0
"""Seconds the certificates may take."""
PICTURE_DPI = 110
LOOK = 0.15
"""Seconds between two looks at a certificate."""
THINKING = 1.2
"""Seconds from a return to its correction."""
FOREIGN_PORT = "HAMBURG, GERMANY"
"""Where goods for an Asian country are not discharged: customs returns the declaration."""


class DemoFailed(Exception):
    """The demo did not end as it should; one sentence."""


class Running(Protocol):
    """What the demo needs of a gateway: `gateway.app.Gateway`."""

    port: int

    async def run(self) -> None:
        """Run every role until `stop`."""
        ...

    def stop(self) -> None:
        """Ask for the end."""
        ...


Start = Callable[[Settings], AbstractAsyncContextManager[Running]]
"""`gateway.app.Gateway`; given by the command line, because imports run one way."""


@dataclass(frozen=True, slots=True)
class Act:
    """One example and what it plays."""

    example: str
    way: str
    """http or folder."""
    plays: str = "printed"
    """printed, returned (declared with a wrong port first, then corrected) or faulty."""


CAST = (
    Act("C-faulty.xml", "http", "faulty"),
    Act("C-three-goods.xml", "http"),
    Act("RC-two-goods.xml", "http", "returned"),
    Act("RC-third-party.json", "http"),
    Act("C-nude-and-note.json", "folder"),
    Act("C-no-number.xml", "folder"),
    Act("RC-sixty-goods.json", "folder"),
)
TITLES = {
    "printed": "approved and printed",
    "returned": "returned by customs, corrected, approved and printed",
    "faulty": "refused at the door",
}


@dataclass(slots=True)
class Player:
    """One declaration on its way."""

    role: Act
    enterprise: str
    type: str
    media_type: str
    declaration: Declaration | None
    """None: the example's own bytes are sent."""
    erp: Erp
    client: str
    verdict: Verdict | None = None
    status: str = "-"
    correct_at: float | None = None
    """When the returned declaration is corrected; monotonic seconds."""
    timeline: Sequence[Mapping[str, Any]] = ()
    files: list[dict[str, str]] = field(default_factory=list)

    @property
    def number(self) -> str | None:
        """The certificate number, once there is one."""
        return self.verdict.number if self.verdict else None

    @property
    def id(self) -> str:
        """Our id of an accepted declaration."""
        return str(self.verdict.id) if self.verdict else ""


def main(start: Start, folder: Path | None = None, console: Console | None = None, kafka: Make | None = None) -> int:
    """Runs the demo under ``<folder or current one>/build/demo``; 0 when everything ended as it should. `kafka`: makes
    the broker that carries the messages; None: the log itself does."""
    home = (folder or Path.cwd()) / "build" / "demo"
    out = console or Console()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / "gateway.log").open("w", encoding="utf-8") as stream:
            logs.configure("info", stream=stream, json=True)
            logging.getLogger("httpx").setLevel(logging.WARNING)
            try:
                with broker(kafka, home / "kafka", out) if kafka else nullcontext() as bootstrap:
                    asyncio.run(Demo(start, home, out, bootstrap).run())
            finally:
                logging.getLogger().handlers[:] = [logging.NullHandler()]
    except DemoFailed as failure:
        out.print(f"[bold red]The demo failed:[/] {failure}")
        out.print(f"What the gateway said is in {home / 'gateway.log'}.", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        out.print("Stopped.")
        return 130
    return 0


class Demo:
    """One run."""

    def __init__(self, start: Start, home: Path, console: Console, bootstrap: str | None = None) -> None:
        self._start = start
        self._home = home.absolute()
        self._console = console
        self._bootstrap = bootstrap
        self._tag = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"
        self._failures: list[str] = []

    async def run(self) -> None:
        """Start a gateway, play, stop it. Raises DemoFailed."""
        began = time.monotonic()
        settings = load(
            data=self._home / "data",
            spool=self._home / "spool",
            folder_root=self._home / "folders",
            folder_settle_seconds=0.1,
            host="127.0.0.1",
            port=0,
            roles=tuple(role for role in Role if role is not Role.CUSTOMS_LINK),
            database_url="",
            kafka_bootstrap=self._bootstrap or "",
            kafka_session_seconds=6.0,
        )
        self._say("Starting PostgreSQL and all roles in this process ...")
        try:
            async with self._start(settings) as gateway:
                work = asyncio.create_task(gateway.run(), name="gateway")
                play = asyncio.create_task(self._play(gateway.port, settings), name="play")
                try:
                    await asyncio.wait({work, play}, return_when=asyncio.FIRST_COMPLETED)
                    if not play.done():
                        trouble = type(work.exception()).__name__ if work.exception() else "it was asked to"
                        raise DemoFailed(f"the gateway stopped in the middle of it: {trouble}.")
                    await play
                finally:
                    play.cancel()
                    gateway.stop()
                    await asyncio.gather(play, work, return_exceptions=True)
        except (httpx.HTTPError, Unexpected, OSError) as error:
            raise DemoFailed(f"{type(error).__name__}: {error}") from error
        if self._failures:
            raise DemoFailed(" ".join(self._failures))
        took = time.monotonic() - began
        self._say(f"[bold green]All as it should be[/], in {took:.1f} s. Summary: {self._home / 'summary.json'}")

    async def _play(self, port: int, settings: Settings) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30.0) as http:
            await self._until_ready(http)
            keys = await asyncio.to_thread(wallet, self._home / "keys", ENTERPRISES, datetime.now(UTC))
            operator = Operator(http, keyfile.read(settings.operator_key_path))
            clients = await onboard(operator, http, self._home / "keys", ENTERPRISES, keys)
            names = ", ".join(e.name for e in ENTERPRISES)
            self._say(f"Listening on 127.0.0.1:{port}. Simulated enterprises: {names}.\n")
            players = [cast(role, clients) for role in CAST]
            await self._declare(players)
            await self._follow([p for p in players if p.verdict and p.verdict.accepted])
            await self._report(players, keys, settings.spool_path)

    async def _until_ready(self, http: httpx.AsyncClient) -> None:
        for _ in range(200):
            with suppress(httpx.TransportError):  # it does not listen yet
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
        raise DemoFailed("the gateway did not become ready in 20 seconds")

    # ------------------------------------------------------------ declaring

    async def _declare(self, players: Sequence[Player]) -> None:
        """Every example by its way; a verdict that is not the expected one is a failure."""
        verdicts = await asyncio.gather(*(self._send(player, self._body(player)) for player in players))
        for player, verdict in zip(players, verdicts, strict=True):
            player.verdict = verdict
            faulty = player.role.plays == "faulty"
            player.status = "declared" if verdict.accepted else "refused"
            if not verdict.accepted:
                demo_show.show(self._console, demo_show.faults_table(player.role.example, verdict.faults))
            if verdict.accepted is faulty:
                self._failures.append(f"{player.role.example} should {'not ' if faulty else ''}have been accepted.")

    def _body(self, player: Player) -> bytes:
        """The example as it is declared in this run: without its own number, which an earlier run may have used."""
        if player.declaration is None:
            return schemas.read_bytes("examples", player.role.example)
        first = player.declaration
        if player.role.plays == "returned":
            first = first.model_copy(update={"discharge_port": FOREIGN_PORT})
        return self._written(player, first, None)

    def _written(self, player: Player, declaration: Declaration, number: str | None) -> bytes:
        numbered = tuple(i.model_copy(update={"certificate_number": number}) for i in declaration.invoices)
        changes = {"number": number, "invoices": numbered, "application_note": f"DEMO {self._tag}"}
        return dialect(player.media_type).write(declaration.model_copy(update=changes))

    async def _send(self, player: Player, body: bytes) -> Verdict:
        if player.role.way == "folder":
            return await self._drop(player, body)
        return await player.erp.declare(player.media_type, body, f"{player.role.example}/{uuid4()}")

    async def _drop(self, player: Player, body: bytes) -> Verdict:
        """Into the client's hot folder, whole by rename; the answer is the result file."""
        root = self._home / "folders" / player.client
        (root / "in").mkdir(parents=True, exist_ok=True)
        stem, _, ending = player.role.example.rpartition(".")
        name = f"{stem}-{self._tag}.{ending}"
        aside = root / "in" / f".{name}.part"
        aside.write_bytes(body)
        aside.rename(root / "in" / name)
        answers = [root / target / f"{name}.result.json" for target in ("accepted", "rejected")]
        for _ in range(int(30 / LOOK)):
            for answer in answers:
                if answer.exists():
                    return Verdict.of(orjson.loads(answer.read_bytes()))
            await asyncio.sleep(LOOK)
        raise DemoFailed(f"{player.role.example} got no answer in its folder.")

    # ------------------------------------------------------------ following

    async def _follow(self, players: Sequence[Player]) -> None:
        """Until all are confirmed, or for `PATIENCE` seconds; corrects what customs returned."""
        end = time.monotonic() + PATIENCE
        with Live(
            self._progress(players), console=self._console, auto_refresh=False, transient=not self._console.is_terminal
        ) as live:
            while any(player.status != "confirmed" for player in players) and time.monotonic() < end:
                await asyncio.sleep(LOOK)
                for player in players:
                    player.status = str((await player.erp.certificate(player.id))["status"])
                    if player.status == "returned" and player.role.plays == "returned":
                        await self._correct(player)
                live.update(self._progress(players), refresh=self._console.is_terminal)
        if not self._console.is_terminal:
            demo_show.show(self._console, self._progress(players))
        for player in players:
            if player.status != "confirmed":
                self._failures.append(f"{player.number} ({player.role.example}) stands at {player.status}.")

    async def _correct(self, player: Player) -> None:
        """Declare the true port under the same number, once, after a moment: customs' times have whole seconds."""
        now = time.monotonic()
        player.correct_at = player.correct_at or now + THINKING
        if player.declaration is None or now < player.correct_at:
            return
        player.correct_at = float("inf")
        body = self._written(player, player.declaration, player.number)
        verdict = await player.erp.declare(player.media_type, body, f"{player.role.example}/{uuid4()}")
        if not verdict.accepted:
            self._failures.append(f"the correction of {player.number} was not accepted.")

    def _progress(self, players: Sequence[Player]) -> Any:
        return demo_show.progress_table((p.role.example, p.role.way, p.number or "", p.status) for p in players)

    # ------------------------------------------------------------ reporting

    async def _report(self, players: Sequence[Player], keys: Wallet, spool: Path) -> None:
        """Timelines, signatures, pictures, summary."""
        rows: list[tuple[str, str, str, Path, Path]] = []
        for player in players:
            if not (player.verdict and player.verdict.accepted):
                continue
            player.timeline = await player.erp.timeline(player.id)
            title = f"{player.role.example}: {TITLES[player.role.plays]}"
            demo_show.show(self._console, demo_show.timeline_table(player.number or "", title, player.timeline))
            if player.role.plays == "returned" and "returned" not in {e["kind"] for e in player.timeline}:
                self._failures.append(f"{player.number} was not returned by customs.")
            if player.status == "confirmed":
                rows += await self._files(player, keys, spool)
        demo_show.show(self._console, demo_show.files_table(rows))
        summary = [entry(player) for player in players]
        aside = self._home / "summary.json.part"
        aside.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")
        aside.rename(self._home / "summary.json")

    async def _files(self, player: Player, keys: Wallet, spool: Path) -> list[tuple[str, str, str, Path, Path]]:
        """The original from the spool, the copy by HTTP; verified, a picture beside each."""
        copies = self._home / "copies"
        copies.mkdir(exist_ok=True)
        jobs = {e["data"]["part"]: e["data"]["job"] for e in player.timeline if e["kind"] == "print_authorised"}
        original, copy = spool / f"{jobs.get('original')}.pdf", copies / f"{player.number}-copy.pdf"
        copy.write_bytes(await player.erp.copy(player.id))
        rows = []
        for part, path in ((Part.ORIGINAL, original), (Part.COPY, copy)):
            if not path.exists():
                self._failures.append(f"the {part} of {player.number} is not in the spool.")
                continue
            signature, picture = await asyncio.to_thread(examine, path, player.enterprise, keys)
            if not signature.startswith("valid"):
                self._failures.append(f"the signature of the {part} of {player.number} is not valid.")
            player.files.append({"kind": part.value, "pdf": str(path), "png": str(picture)})
            rows.append((player.number or "", part.value, signature, path, picture))
        return rows

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


@cache
def dialect(media_type: str) -> Dialect:
    """Reads and writes the examples."""
    return CustomsXml() if media_type == CustomsXml.media_type else EnterpriseJson()


def cast(role: Act, clients: Mapping[str, tuple[str, Erp]]) -> Player:
    """The player of a role. Raises DemoFailed for an example whose enterprise nobody simulates."""
    raw = schemas.read_bytes("examples", role.example)
    media_type = "application/json" if role.example.endswith(".json") else "application/xml"
    if role.plays == "faulty":
        # It can't be read, which is the point: any enterprise may be the one to be told so.
        enterprise, declaration, kind = ENTERPRISES[0].code, None, role.example.partition("-")[0]
    else:
        declaration = dialect(media_type).read(raw).declaration
        enterprise, kind = declaration.applicant_code, declaration.certificate_type
    if enterprise not in clients:
        raise DemoFailed(f"nobody plays the enterprise of {role.example}")
    client, erp = clients[enterprise]
    return Player(role, enterprise, kind, media_type, declaration, erp, client)


def examine(path: Path, enterprise: str, keys: Wallet) -> tuple[str, Path]:
    """What a file's signature is worth, in words, and the picture of its first page, written beside it."""
    content = path.read_bytes()
    report = verify(content, [keys.authority])
    signers = [one.signer for one in report.signatures]
    ours = len(signers) == 1 and enterprise in signers[0]
    words = f"valid, {signers[0].removesuffix(enterprise).strip()}" if report.valid and ours else "NOT VALID"
    picture = path.with_suffix(".png")
    picture.write_bytes(first_page_png(content, dpi=PICTURE_DPI))
    return words, picture


def entry(player: Player) -> dict[str, Any]:
    """One entry of summary.json."""
    verdict = player.verdict
    return {
        "id": verdict.id if verdict else None,
        "number": player.number,
        "type": player.type,
        "status": player.status,
        "faults": [dict(fault) for fault in verdict.faults] if verdict else [],
        "enterprise": player.enterprise,
        "files": player.files,
    }
