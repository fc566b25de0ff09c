"""kcat, a Kafka client that is neither ours nor Python: what it writes and reads is what any foreigner's would."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

SECONDS = 60
"""The longest that one call may take."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One record as kcat shows it."""

    partition: int
    offset: int
    key: str
    headers: Mapping[str, str]
    body: str


def write(bootstrap: str, topic: str, key: str, body: Path, headers: Mapping[str, str]) -> None:
    """One record, acknowledged on return."""
    named = [word for name, value in headers.items() for word in ("-H", f"{name}={value}")]
    _kcat(bootstrap, "-P", "-t", topic, "-k", key, *named, str(body))


def read(bootstrap: str, topic: str, count: int) -> list[Seen]:
    """The first `count` records that come, whatever their partition."""
    return _seen(_kcat(bootstrap, "-C", "-t", topic, "-o", "beginning", "-J", "-c", str(count)))


def read_all(bootstrap: str, topic: str) -> list[Seen]:
    """Everything that stands there now, in order of partition and offset."""
    return _seen(_kcat(bootstrap, "-C", "-t", topic, "-o", "beginning", "-J", "-e"))


def _kcat(bootstrap: str, *arguments: str) -> str:
    command = ["kcat", "-q", "-b", bootstrap, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _seen(lines: str) -> list[Seen]:
    found = [orjson.loads(line) for line in lines.splitlines()]
    records = [
        Seen(one["partition"], one["offset"], one["key"], _paired(one.get("headers", [])), one["payload"])
        for one in found
    ]
    return sorted(records, key=lambda record: (record.partition, record.offset))


def _paired(words: Sequence[str]) -> dict[str, str]:
    """kcat's list of name, value, name, value."""
    assert len(set(words[::2])) == len(words[::2]), "a header stands twice"
    return dict(zip(words[::2], words[1::2], strict=True))
