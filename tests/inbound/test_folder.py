"""The hot folder: only whole files, every file answered, nothing lost or overwritten, whatever happens in between."""

import asyncio
import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.inbound.folder_files import ClientFolder, eligible, short
from gateway.ports import Unavailable
from gateway.runtime.answers import Answer
from gateway.runtime.door import Submission
from tests.inbound.folder_parts import Folder
from tests.inbound.parts import CLIENT, identity_of


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "hot")


async def test_accepted_and_rejected_with_the_answer_beside(folder: Folder) -> None:
    folder.put("good.xml")
    folder.put("bad.json", "refuse")
    await folder.passes()
    assert folder.names("accepted") == ["good.xml", "good.xml.result.json"]
    assert folder.names("rejected") == ["bad.json", "bad.json.result.json"]
    result = json.loads((folder.at / "rejected/bad.json.result.json").read_text())
    assert (result["status"], result["faults"][0]["code"]) == ("refused", "XSD-LENGTH")
    assert folder.names("in") == folder.names("work") == []
    assert {(s.media_type, s.channel, s.key) for s in folder.door.seen} == {
        ("application/xml", "folder", None),
        ("application/json", "folder", None),
    }


async def test_only_whole_files_are_taken(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "hot", settle=0.15)
    growing = folder.put("growing.xml", "<a")
    for name in (".hidden.xml", "x.xml.tmp", "x.part", "readme.txt"):
        folder.put(name)
    for _ in range(4):
        await folder.passes(1)
        with growing.open("a") as out:
            out.write(" ")
        await asyncio.sleep(0.08)
    assert folder.door.seen == []
    with growing.open("a") as out:
        out.write("/>")
    await folder.passes(1)
    await asyncio.sleep(0.2)
    await folder.passes(1)
    assert [s.body for s in folder.door.seen] == [b"<a    />"]
    assert folder.names("in") == [".hidden.xml", "readme.txt", "x.part", "x.xml.tmp"]


async def test_a_file_renamed_in_is_taken_at_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "hot", settle=60)
    path = folder.put("a.tmp")
    await asyncio.sleep(0.05)
    path.rename(path.with_name("a.xml"))
    folder.put("written.xml")
    await folder.passes(2)
    assert folder.names("accepted") == ["a.xml", "a.xml.result.json"]
    assert folder.names("in") == ["written.xml"]


async def test_an_empty_file_is_about_to_be_filled(folder: Folder) -> None:
    folder.put("a.xml", "")
    await folder.passes(3)
    assert folder.names("in") == ["a.xml"]


async def test_the_same_name_again_overwrites_nothing(folder: Folder) -> None:
    for content in ("<a/>", "<b/>", "<a/>"):
        folder.put("a.xml", content)
        await folder.passes()
    assert [n for n in folder.names("accepted") if n.endswith(".xml")] == ["a-2.xml", "a-3.xml", "a.xml"]
    assert (folder.at / "accepted/a.xml").read_text() == "<a/>"
    assert (folder.at / "accepted/a-2.xml").read_text() == "<b/>"


async def test_an_answer_is_never_taken_for_anothers(folder: Folder) -> None:
    """A document may be called as an answer is: side by side, one after the other, in a batch's manner."""
    names = ("a.json", "a.json.result.json", "a.json.result.json.result.json", "B.JSON.RESULT.JSON", "c.result.ndjson")
    for turn in range(3):
        for name in names:
            folder.put(name, f'{{"of":"{name}","turn":{turn}}}')
        await folder.passes()
    kept = folder.names("accepted")
    documents = [name for name in kept if not name.lower().endswith((".result.json", ".result.ndjson"))]
    answers = [name for name in kept if name not in documents]
    assert len(documents) == len(answers) == 3 * len(names) == len(folder.door.seen)
    assert {name.removesuffix(".result.json").removesuffix(".result.ndjson") for name in answers} == set(documents)
    bodies = [(folder.at / "accepted" / name).read_bytes() for name in documents]
    assert sorted(bodies) == sorted(submission.body for submission in folder.door.seen)
    for name in answers:
        first = json.loads((folder.at / "accepted" / name).read_text().splitlines()[0])
        body = (folder.at / "accepted" / name.rpartition(".result.")[0]).read_bytes()
        assert first["id"] == str(identity_of(body)), "each answer stands beside its own document"


async def test_many_of_one_name_at_once_overwrite_nothing(folder: Folder) -> None:
    """Left in `work` by a crash, and come again since."""
    for number in range(40):
        (folder.at / f"work/{number}").mkdir()
        (folder.at / f"work/{number}/a.xml").write_text(f"<a{number}/>")
    await folder.passes(1)
    documents = [name for name in folder.names("accepted") if not name.endswith(".result.json")]
    assert len(documents) == 40
    assert {(folder.at / "accepted" / name).read_text() for name in documents} == {f"<a{n}/>" for n in range(40)}
    for name in documents:
        answer = json.loads((folder.at / f"accepted/{name}.result.json").read_text())
        assert answer["id"] == str(identity_of((folder.at / "accepted" / name).read_bytes()))


def descriptors() -> int:
    """Open ones of this process."""
    return len(os.listdir("/proc/self/fd"))


async def test_what_is_no_file_in_work_is_refused_and_leaks_nothing(folder: Folder, tmp_path: Path) -> None:
    def socket_at(path: Path) -> None:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
            os.chdir(path.parent)
            listener.bind(path.name)

    kinds: dict[str, Callable[[Path], object]] = {
        "directory": Path.mkdir,
        "pipe": os.mkfifo,
        "link": lambda path: path.symlink_to(tmp_path / "nowhere.xml"),
        "socket": socket_at,
        "secret": lambda path: path.touch(0o000),
    }
    here = os.getcwd()
    await folder.passes(1)
    before = descriptors()
    try:
        for kind, make in kinds.items():
            (folder.at / "work" / kind).mkdir()
            make(folder.at / "work" / kind / f"{kind}.xml")
    finally:
        os.chdir(here)
    (folder.at / "rejected/directory.xml.result.json").mkdir()
    (folder.at / "work/two").mkdir()
    for name in ("one.xml", "other.xml"):
        (folder.at / "work/two" / name).write_text("<a/>")
    for _ in range(5):
        await folder.passes(1)
        folder.hot._stuck.clear()
    assert descriptors() == before
    assert folder.names("work") == []
    answers = [name for name in folder.names("rejected") if (folder.at / "rejected" / name).is_file()]
    answers = [name for name in answers if name.endswith(".result.json")]
    plain = os.geteuid() == 0  # root reads everything
    assert len(answers) == len(kinds) - plain
    assert all("FILE-NOT-PLAIN" in (folder.at / "rejected" / name).read_text() for name in answers)
    assert [n for n in folder.names("accepted") if n.endswith("er.xml") or n == "one.xml"] == ["one.xml", "other.xml"]


async def test_a_file_that_goes_away_in_the_middle_ends_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.put("gone.xml")
    folder.put("other.xml", "<b/>")
    original = folder.door.submit

    async def submit(submission: Submission) -> Answer:
        if submission.body == b"<a/>":
            next((folder.at / "work").glob("*/gone.xml")).unlink()
        return await original(submission)

    monkeypatch.setattr(folder.door, "submit", submit)
    await folder.passes(3)
    assert folder.hot._stuck == {}
    assert folder.names("accepted") == ["gone.xml.result.json", "other.xml", "other.xml.result.json"]
    assert folder.names("work") == []


async def test_a_file_that_can_not_be_moved_keeps_nobody_waiting(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It belongs to somebody else, in a folder where only the owner moves; the first in the list, too."""
    rename = os.rename

    def refusing(src: str, dst: str, **places: int) -> None:
        if src == "theirs.xml":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        rename(src, dst, **places)

    monkeypatch.setattr(os, "rename", refusing)
    folder.put("theirs.xml")
    for number in range(3):
        folder.put(f"ours-{number}.xml", f"<a{number}/>")
    await folder.passes(4)
    assert folder.names("in") == ["theirs.xml"]
    assert len(folder.names("accepted")) == 6
    assert folder.names("work") == []


async def test_links_pipes_and_odd_names(folder: Folder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("<secret/>")
    (folder.at / "in/link.xml").symlink_to(secret)
    os.mkfifo(folder.at / "in/pipe.xml")
    (folder.at / "in/dir.xml").mkdir()
    folder.put("with\nnewline.xml")
    folder.put("证书.xml", "<c/>")
    folder.put("n" * 251 + ".xml", "<d/>")
    await folder.passes(3)
    assert sorted(s.body for s in folder.door.seen) == [b"<a/>", b"<c/>", b"<d/>"]
    assert folder.names("in") == ["dir.xml", "link.xml", "pipe.xml"]
    assert "with\nnewline.xml.result.json" in folder.names("accepted")
    assert len(folder.names("accepted")) == 6


async def test_a_link_that_reached_work_is_refused_unread(folder: Folder, tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("<secret/>")
    (folder.at / "work/t").mkdir()
    (folder.at / "work/t/a.xml").symlink_to(secret)
    await folder.passes(1)
    assert folder.door.seen == []
    assert "FILE-NOT-PLAIN" in (folder.at / "rejected/a.xml.result.json").read_text()
    assert secret.read_text() == "<secret/>"


async def test_folders_that_are_links_are_not_followed(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "hot")
    folder.put("a.xml")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder.at / "accepted").rmdir()
    (folder.at / "accepted").symlink_to(elsewhere)
    await folder.passes(3)
    assert (os.listdir(elsewhere), folder.door.seen) == ([], [])


async def test_too_large_is_rejected_unread(folder: Folder) -> None:
    folder.put("big.xml", "x" * 1001)
    await folder.passes()
    assert folder.door.seen == []
    assert "DOC-TOO-LARGE" in (folder.at / "rejected/big.xml.result.json").read_text()


async def test_away_waits_sends_one_pilot_and_then_all(folder: Folder) -> None:
    folder.door.away = True
    for n in range(5):
        folder.put(f"{n}.xml", f"<a{n}/>")
    await folder.passes(1)
    for _ in range(3):
        with pytest.raises(Unavailable, match="away"):
            await folder.passes(1)
        folder.hot._failures += 1
    assert folder.names("accepted") == folder.names("rejected") == []
    folder.door.away = False
    await folder.passes(1)
    assert len(folder.names("accepted")) == 2
    await folder.passes(3)
    assert len(folder.names("accepted")) == 10
    assert folder.names("work") == []


async def test_our_own_bug_holds_up_one_file_only(folder: Folder) -> None:
    folder.put("a.xml", "crash")
    folder.put("b.xml")
    await folder.passes(3)
    folder.put("c.xml", "<c/>")
    await folder.passes(3)
    assert [n for n in folder.names("accepted") if n.endswith(".xml")] == ["b.xml", "c.xml"]
    assert len(folder.names("work")) == 1


async def test_a_batch_has_a_verdict_a_line(folder: Folder) -> None:
    folder.put("good.ndjson", '{"a":1}\n{"a":2}\n')
    folder.put("mixed.ndjson", '{"a":3}\n\n{"a":"refuse"}')
    await folder.passes()
    verdicts = [
        json.loads(line) for line in (folder.at / "rejected/mixed.ndjson.result.ndjson").read_text().splitlines()
    ]
    assert [(v["line"], v["http"]) for v in verdicts] == [(1, 202), (3, 422)]
    assert folder.names("accepted") == ["good.ndjson", "good.ndjson.result.ndjson"]


STEPS = ["read", "submit", "finish", "finish:rename", "finish:fsync"]


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_anywhere_ends_in_the_same_files(
    folder: Folder, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Die at a step, start again: one file, one answer, nothing doubled, nothing left."""
    folder.put("a.xml")
    die_once(monkeypatch, folder, step)
    for _ in range(4):
        with contextlib.suppress(Died):
            await folder.passes(1)
        folder.hot._stuck.clear()
    monkeypatch.undo()
    await folder.passes(2)
    assert [n for n in folder.names("accepted") if not n.startswith(".")] == ["a.xml", "a.xml.result.json"]
    assert folder.names("in") == folder.names("work") == folder.names("rejected") == []
    assert {s.body for s in folder.door.seen} == {b"<a/>"}


class Died(BaseException):
    """A kill, as far as Python can play it."""


def die_once(monkeypatch: pytest.MonkeyPatch, folder: Folder, step: str) -> None:
    lives = iter([True])

    def deadly(call: Callable[..., object], when: Callable[..., bool]) -> Callable[..., object]:
        def run(*args: object, **named: object) -> object:
            if when(*args, **named) and next(lives, False):
                raise Died
            return call(*args, **named)

        return run

    if step == "submit":
        original = folder.door.submit

        async def submit(submission: object) -> object:
            answer = await original(submission)  # type: ignore[arg-type]
            if next(lives, False):
                raise Died
            return answer

        monkeypatch.setattr(folder.door, "submit", submit)
    elif step == "read":
        monkeypatch.setattr(ClientFolder, "read", deadly(ClientFolder.read, lambda *_: True))
    elif step == "finish":
        monkeypatch.setattr(ClientFolder, "finish", deadly(ClientFolder.finish, lambda *_: True))
    elif step == "finish:rename":

        def to_the_answer(src: str, dst: str, **_: object) -> bool:
            return dst.endswith(".result.json")

        monkeypatch.setattr(os, "rename", deadly(os.rename, to_the_answer))
    else:
        answer = folder.at / "accepted/a.xml.result.json"
        monkeypatch.setattr(os, "fsync", deadly(os.fsync, lambda *_: answer.exists()))


async def test_a_hundred_thousand_files_cost_a_listing(folder: Folder) -> None:
    """20,000 here, for the suite's sake: one pass looks at a thousand and takes two hundred."""
    for n in range(20_000):
        os.close(os.open(folder.at / f"in/{n}.xml", os.O_CREAT | os.O_WRONLY))
    opened = os.open(folder.root, os.O_RDONLY)
    client = ClientFolder(opened, CLIENT.id)
    began = time.perf_counter()
    _, seen = client.whole({}, 0.0, 0.5)
    assert time.perf_counter() - began < 0.5
    assert len(seen) == 1000
    client.close()
    os.close(opened)


def test_names() -> None:
    assert eligible("a.XML")
    assert eligible("b.json")
    assert eligible("c.ndjson")
    assert not any(map(eligible, (".a.xml", "a.xml.tmp", "a.part", "a")))
    long = "证" * 83 + ".xml"
    assert short("a.xml") == "a.xml"
    assert len(os.fsencode(short(long))) <= 200
    assert short(long).endswith(".xml")
    for name in ("x." + "y" * 250, "." + "z" * 250, "证" * 85, os.fsdecode(b"\xff" * 250) + ".xml"):
        assert len(os.fsencode(short(name) + "-1000.result.ndjson")) <= 255
