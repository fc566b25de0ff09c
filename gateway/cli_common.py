"""What all commands share: how they print, how they end, how they reach the gateway. Imports nothing heavy."""

import codecs
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    import httpx

OK, FAULTY, USAGE, UNREACHABLE = 0, 1, 2, 3
"""Exit codes: done; refused, faulty or not found; wrong call; gateway not reachable."""

URL = "http://127.0.0.1:8080"
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
UrlOption = Annotated[str, typer.Option("--url", envvar="ORIGIN_URL", help="Where the gateway listens.")]
KeyOption = Annotated[
    Path | None, typer.Option("--key-file", help="File with the API key; else ORIGIN_API_KEY.", show_default=False)
]
DataOption = Annotated[
    Path, typer.Option("--data", envvar="ORIGIN_DATA", help="Data directory of the gateway, for its operator key.")
]
DATA = Path("origin-data")
MAX_TEXT = 64 << 10
"""Largest file with a key or a password, bytes."""
SECONDS = 60.0
"""Longest wait for an answer."""
_HASH = re.compile("(?<=[0-9a-f]{12})[0-9a-f]{52}")
NO_TEXT = "An argument can't be sent: it is no number, or no text."


class Stop(Exception):
    """A command ends here: with a sentence for people and an exit code."""

    def __init__(self, message: str, code: int = FAULTY) -> None:
        self.message = message
        self.code = code
        super().__init__(message)


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode="rich")


def example(*lines: str) -> str:
    """The examples at the end of a command's help."""
    return "Example: " + "\n\n".join(f"[bold]{line}[/bold]" for line in lines)


# ---------------------------------------------------------------- out


def say(text: str) -> None:
    """One line on standard output, without anything a terminal would obey."""
    sys.stdout.write(f"{plain(text)}\n")


def hint(text: str) -> None:
    """One line for people, beside the answer."""
    sys.stderr.write(f"{plain(text)}\n")


def plain(text: str) -> str:
    """Text without control characters; line breaks and tabs become spaces."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def dump(content: Any) -> None:
    """JSON on standard output. A file's name that is not UTF-8 shows question marks."""
    text = json.dumps(content, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write(text.encode("utf-8", "replace").decode() + "\n")


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """A table on a terminal; lines with tabs when piped."""
    cells = [["" if cell is None else plain(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in cells:
            sys.stdout.write("\t".join(row) + "\n")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title or None, title_justify="left")
    for row in cells:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(table)


def when(moment: str | None) -> str:
    """A time of the gateway in the reader's own zone, to the second; none: nothing."""
    from datetime import datetime

    if moment is None:
        return ""
    at = datetime.fromisoformat(moment)
    with suppress(OverflowError):  # at either end of time: another zone's calendar has no such day
        at = at.astimezone()
    return f"{at:%Y-%m-%d %H:%M:%S}"


def facts(data: Mapping[str, Any]) -> str:
    """The data of an event on one line; hashes are cut."""
    shown = {name: value for name, value in data.items() if value not in (None, "", {})}
    return "  ".join(f"{name}={_HASH.sub('...', str(value))}" for name, value in shown.items())


def login() -> str | None:
    """The user's login name; None where he has none, as in some containers."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


# ---------------------------------------------------------------- to the gateway and back


def api_key(key_file: Path | None) -> str:
    """The client's key, from a file or ORIGIN_API_KEY."""
    if key_file is not None:
        return read_text(key_file).strip()
    key = os.environ.get("ORIGIN_API_KEY", "")
    if not key:
        raise Stop("No API key: set ORIGIN_API_KEY, or give --key-file. `origin client add` prints one.", USAGE)
    return key


def operator_key(data: Path) -> str:
    """The operator's key, which the gateway made in its data directory."""
    path = Path(os.environ.get("ORIGIN_OPERATOR_KEY_FILE") or data / "operator.key")
    if not path.exists():
        raise Stop(f"There is no operator key at {path}: give --data, the data directory of `origin serve`.", USAGE)
    return read_text(path).strip()


def read_text(path: Path) -> str:
    """A small text file. Raises Stop."""
    return text_of(read_bytes(path, MAX_TEXT), str(path))


def text_of(content: bytes, name: str) -> str:
    """Text in UTF-8, or as Windows saves it: with a byte order mark, in UTF-8 or UTF-16. Raises Stop, which quotes
    nothing of it."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise Stop(f"{name} is not text in UTF-8. Save it as UTF-8.", USAGE) from None


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """A file, or no more than its first `limit` bytes. Raises Stop."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except (OSError, ValueError) as error:
        raise Stop(f"{path} can't be read: {why(error)}.", USAGE) from error


def why(error: OSError | ValueError) -> str:
    """What the system says of a file; ValueError: its name has a NUL."""
    return getattr(error, "strerror", None) or "this is no file's name"


def call(method: str, url: str, path: str, key: str, **options: Any) -> "httpx.Response":
    """One request; anything but success ends the command with what the gateway says."""
    import httpx

    try:
        with httpx.Client(base_url=url, timeout=SECONDS, headers=headers(key), trust_env=False) as client:
            answer = client.request(method, path, **options)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        wrong_url()
    except httpx.TransportError:
        unreachable(url)
    except ValueError:  # not UTF-8, or not a number
        raise Stop(NO_TEXT, USAGE) from None
    if answer.is_success:
        return answer
    raise Stop(problem_text(answer), UNREACHABLE if answer.status_code == 503 else FAULTY)


def quoted(name: str) -> str:
    """A name as one part of an address. Raises Stop when it is not UTF-8."""
    from urllib.parse import quote

    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise Stop(NO_TEXT, USAGE) from None


def get(url: str, path: str, key: str, **parameters: Any) -> Any:
    """The JSON of a GET."""
    return call("GET", url, path, key, params=parameters).json()


def headers(key: str) -> dict[str, str]:
    """What every request carries. A key with other characters is no key of ours."""
    if not key.isascii() or not key.isprintable():
        raise Stop("The API key has characters that no key has.", USAGE)
    return {"authorization": f"Bearer {key}"}


def problem_text(answer: "httpx.Response") -> str:
    """What a problem document says, in one or two lines."""
    try:
        content = answer.json()
    except ValueError:
        return f"The gateway answered {answer.status_code}."
    parts = [str(content.get("detail") or content.get("title") or f"The gateway answered {answer.status_code}.")]
    if content.get("code"):
        parts.insert(0, f"{content['code']}:")
    if content.get("remedy"):
        parts.append(str(content["remedy"]))
    parts += [f"\n  {fault.get('path', '')}: {fault.get('message', '')}" for fault in content.get("errors", ())[:20]]
    return " ".join(parts)


def wrong_url() -> NoReturn:
    """Nothing that could be called."""
    raise Stop(f"--url is not an address like {URL}.", USAGE) from None


def unreachable(url: str) -> NoReturn:
    """Nobody answers."""
    raise Stop(f"No gateway answers at {url}. Is `origin serve` running? --url or ORIGIN_URL says where.", UNREACHABLE)
