"""declare: files to the gateway, many at once, each with its verdict."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli_common import (
    FAULTY,
    SECONDS,
    UNREACHABLE,
    URL,
    USAGE,
    JsonOption,
    KeyOption,
    Stop,
    UrlOption,
    api_key,
    dump,
    example,
    headers,
    hint,
    read_bytes,
    show,
    unreachable,
    wrong_url,
)

if TYPE_CHECKING:
    import httpx

AT_ONCE = 16
"""Requests on their way at the same time: the gateway commits them together."""
TRIES = 6
LONGEST = {503: 10.0, 429: 60.0}
"""Status that means not now -> seconds waited at most before the next try. After no other answer is it sent again."""
LATEST = 60.0
"""Who should come back later than in so many seconds is told."""
TYPES = {".xml": "application/xml", ".json": "application/json", ".ndjson": "application/x-ndjson"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=example("origin declare declaration.xml", "origin declare out/*.json --url http://gateway:8080")
    )(declare)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One declaration and its answer."""

    file: str
    http: int
    content: dict[str, Any]

    @property
    def good(self) -> bool:
        """Accepted, now or before."""
        return self.http in (200, 202)

    @property
    def status(self) -> str:
        """One word."""
        words = {202: "accepted", 200: "duplicate", 409: "conflict", 422: "refused", 429: "later"}
        return words.get(self.http, f"http {self.http}")

    @property
    def faults(self) -> Sequence[dict[str, Any]]:
        """What is wrong with it."""
        return self.content.get("errors") or self.content.get("faults") or ()


def declare(
    files: Annotated[list[Path], typer.Argument(help="Declarations: .xml, .json, or .ndjson.", show_default=False)],
    url: UrlOption = URL,
    key_file: KeyOption = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="For a single file; without it the bytes themselves are the key.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Declare. Exit 0: all accepted (or there already); 1: some refused; 3: no gateway answers.

    Sending the same file again is safe: it is answered as before.
    """
    if idempotency_key is not None and len(files) > 1:
        raise Stop("--idempotency-key is for a single file.", USAGE)
    key = api_key(key_file)
    documents = [(file, read_bytes(file)) for file in files]
    more = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
    verdicts = asyncio.run(_declare_all(documents, url, {**headers(key), **more}))
    if as_json:
        dump([{"file": v.file, "http": v.http, **v.content} for v in verdicts])
    else:
        _tell(verdicts)
    raise typer.Exit(0 if all(v.good for v in verdicts) else _code(verdicts))


def _code(verdicts: Sequence[Verdict]) -> int:
    return UNREACHABLE if any(v.http in LONGEST for v in verdicts) else FAULTY


async def _declare_all(documents: Sequence[tuple[Path, bytes]], url: str, head: dict[str, str]) -> list[Verdict]:
    import httpx

    gate = asyncio.Semaphore(AT_ONCE)
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    with _Progress(len(documents)) as progress:
        try:
            async with httpx.AsyncClient(
                base_url=url, timeout=SECONDS, limits=limits, headers=head, trust_env=False
            ) as client:

                async def one(file: Path, content: bytes) -> list[Verdict]:
                    async with gate:
                        verdicts = await _declare_one(client, file, content)
                    progress.step()
                    return verdicts

                found = await asyncio.gather(*(one(file, content) for file, content in documents))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            wrong_url()
        except httpx.TransportError:
            unreachable(url)
    return [verdict for verdicts in found for verdict in verdicts]


async def _declare_one(client: "httpx.AsyncClient", file: Path, content: bytes) -> list[Verdict]:
    """One request; again, a few times, while the gateway says not now, or that this client has its quota."""
    kind = TYPES.get(file.suffix.lower())
    if kind is None:
        kind = TYPES[".json"] if content.lstrip()[:1] == b"{" else TYPES[".xml"]
    for attempt in range(TRIES):
        answer = await client.post("/v1/declarations", content=content, headers={"content-type": kind})
        later = _asked(answer)
        if answer.status_code not in LONGEST or attempt == TRIES - 1 or later > LATEST:
            break
        await asyncio.sleep(min(later, LONGEST[answer.status_code]))
    return _verdicts(str(file), answer)


def _asked(answer: "httpx.Response") -> float:
    """Seconds until the next try, as the answer asks. A proxy in between may write a date there."""
    wanted = answer.headers.get("retry-after", "")
    return float(wanted) if wanted.isdecimal() else 1.0


def _verdicts(file: str, answer: "httpx.Response") -> list[Verdict]:
    import json

    try:
        if answer.headers.get("content-type", "").startswith("application/x-ndjson"):
            lines = [json.loads(line) for line in answer.text.splitlines() if line]
            return [Verdict(f"{file}:{line['line']}", line["http"], line) for line in lines]
        return [Verdict(file, answer.status_code, answer.json())]
    except (ValueError, KeyError):
        return [Verdict(file, answer.status_code, {})]


def _tell(verdicts: Sequence[Verdict]) -> None:
    rows: list[Sequence[Any]] = []
    for v in verdicts:
        rows.append((v.file, v.status, v.content.get("number"), v.content.get("id"), _remark(v)))
    show(("file", "verdict", "number", "id", ""), rows)
    faults = [
        (v.file, f.get("line"), f.get("code"), f.get("path"), f.get("message"), f.get("remedy"))
        for v in verdicts
        if not v.good
        for f in v.faults
    ]
    if faults:
        show(("file", "line", "code", "path", "what is wrong", "what to do"), faults)
    good = sum(v.good for v in verdicts)
    hint(f"{good} of {len(verdicts)} accepted.")


def _remark(verdict: Verdict) -> str:
    if verdict.good:
        warnings = len(verdict.content.get("warnings", ()))
        return f"{warnings} warning(s)" if warnings else ""
    if verdict.faults:
        return f"{len(verdict.faults)} fault(s)"
    ours = "a mistake of the gateway's: tell its operator" if verdict.http == 500 else ""
    return str(verdict.content.get("detail", ours))


class _Progress:
    """A bar on a terminal when there is more than a handful to do; nothing when piped."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "_Progress":
        if self._total > 3 and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task("declaring", total=self._total)
            self._bar.start()
        return self

    def step(self) -> None:
        """One more is answered."""
        if self._bar is not None:
            self._bar.advance(self._task)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
