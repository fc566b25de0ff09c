"""The command line against a running gateway: `origin serve` in a process of its own, with its own PostgreSQL."""

import base64
import codecs
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.architecture.tree import ROOT
from tests.cli.command import EXAMPLES, origin, without_settings
from tests.renderers.key_files import a_pair, certificate_bag, hidden, key_bag, key_file, pkcs8, shown, sm2_key


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A gateway that listens; its address and data directory as the command line's environment."""
    data = tmp_path_factory.mktemp("served") / "data"
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "serve", "--data", str(data), "--port", "0", "--roles", "intake,turn"],
        cwd=ROOT,
        env=without_settings(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    url = ""
    for line in process.stderr:
        if found := re.search(r"listening on (http://\S+),", line):
            url = found[1]
        if "http.listening" in line:
            break
    try:
        yield {"ORIGIN_URL": url, "ORIGIN_DATA": str(data)}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        process.stderr.close()


@pytest.fixture(scope="module")
def key(served: dict[str, str]) -> str:
    """A client's key, from `origin client add`."""
    done = origin("client", "add", "erp-1", "--enterprise", "91330299MA9XYD0C2A", **served)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"ok_[\w-]{43}\n", done.stdout)
    return done.stdout.strip()


def test_clients(served: dict[str, str], key: str) -> None:
    again = origin("client", "add", "erp-1", "--enterprise", "91330299MA9XYD0C2A", **served)
    assert again.returncode == 1
    assert "CLIENT-EXISTS" in again.stderr
    wrong = origin("client", "add", "erp-2", "--enterprise", "91330299MA9XYD0C2B", **served)
    assert wrong.returncode == 1
    assert "CLIENT-ENTERPRISE" in wrong.stderr
    assert origin("client", "add", "gone", "--enterprise", "91330299MA9XYD0C2A", **served).returncode == 0
    assert origin("client", "revoke", "gone", **served).returncode == 0
    listed = json.loads(origin("client", "list", "--json", **served).stdout)
    assert [(c["id"], c["revoked_at"] is None) for c in listed] == [("erp-1", True), ("gone", False)]
    on = json.loads(origin("client", "bus", "erp-1", "on", "--json", **served).stdout)
    assert [c["bus"] for c in on] == [True]
    assert "origin topics apply --client on-bus" in (
        origin("client", "add", "on-bus", "--bus", "--enterprise", "91330299MA9XYD0C2A", **served).stderr
    )


def test_declare_follow_and_be_refused(served: dict[str, str], key: str, tmp_path: Path) -> None:
    environment = {**served, "ORIGIN_API_KEY": key}
    names = ("C-three-goods.xml", "C-draft.xml", "C-faulty.xml")
    done = origin("declare", "--json", *(EXAMPLES / name for name in names), **environment)
    assert done.returncode == 1, done.stderr
    verdicts = json.loads(done.stdout)
    assert [v["http"] for v in verdicts] == [202, 202, 422]
    assert all(fault["path"] for fault in verdicts[2]["errors"])
    number, identity = verdicts[0]["number"], verdicts[0]["id"]
    again = origin("declare", EXAMPLES / names[0], **environment)
    assert again.returncode == 0
    assert identity in again.stdout

    batch = tmp_path / "many.ndjson"
    documents = [json.loads((EXAMPLES / name).read_text()) for name in ("C-three-goods.json", "C-no-number.json")]
    batch.write_text("\n".join(json.dumps(d) for d in [*documents, {"nonsense": 1}]))
    lines = json.loads(origin("declare", "--json", batch, **environment).stdout)
    assert [(v["file"].rsplit(":")[-1], v["http"]) for v in lines] == [("1", 200), ("2", 202), ("3", 422)]

    for name in (number, identity):
        status = json.loads(origin("status", name, "--json", **environment).stdout)
        assert status["id"] == identity
    timeline = origin("timeline", number, **environment)
    assert re.match(r"1\t\S+ \S+\tdeclared\t", timeline.stdout), timeline.stdout
    printing = origin("print", number, **environment)
    assert printing.returncode == 1
    assert "not approved" in printing.stderr
    confirming = origin("confirm", number, "yes", **environment)
    assert confirming.returncode == 1
    assert "waits" in confirming.stderr
    assert origin("status", "C26NOTHERE", **environment).returncode == 1


def test_a_wrong_key_is_said(served: dict[str, str]) -> None:
    done = origin("status", "C26X", **served, ORIGIN_API_KEY="ok_wrong")
    assert done.returncode == 1
    assert "API key" in done.stderr


def test_marks_are_checked(served: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "seal.png").write_bytes(b"no picture")
    (tmp_path / "key.p12").write_bytes(b"no key")
    code = "91330299MA9XYD0C2A"
    seal = origin("seal", "add", tmp_path / "seal.png", "--enterprise", code, "--width-mm", "40", **served)
    for width in ("nan", "inf", "-1", "1e999"):
        odd = origin("seal", "add", tmp_path / "seal.png", "--enterprise", code, "--width-mm", width, **served)
        assert (odd.returncode in (1, 2), "Our mistake" in odd.stderr) == (True, False), odd.stderr
    key = origin("key", "add", tmp_path / "key.p12", "--enterprise", code, **served)
    assert (seal.returncode, key.returncode) == (1, 1)
    assert "Traceback" not in seal.stderr + key.stderr
    assert origin("seal", "list", **served).stdout == origin("key", "list", **served).stdout == ""


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xef\xbb\xbfx\r\n", 0),
        ("x\r\n".encode("utf-16"), 0),
        (codecs.BOM_UTF16_BE + "x".encode("utf-16-be"), 0),
        (b"x\n", 0),
        (b"x", 0),
        (b"secret\0word", 2),
        ("secretword".encode("utf-16-le"), 2),
        (b"secret\xff\xfeword", 2),
        (b"secret\nword", 2),
        (b"secretword" * 10_000, 1),
        (b"", 1),
        (b"secretword", 1),
    ],
)
def test_a_password_file_is_read_as_people_save_it(
    served: dict[str, str], tmp_path: Path, content: bytes, code: int
) -> None:
    key, certificate = a_pair()
    (tmp_path / "k.p12").write_bytes(key_file(hidden(certificate_bag(certificate)), shown(key_bag(pkcs8(key)))))
    (tmp_path / "password.txt").write_bytes(content)
    call = ("key", "add", tmp_path / "k.p12", "--enterprise", "91330299MA9XYD0C2A")
    done = origin(*call, "--password-file", tmp_path / "password.txt", **served)
    assert (done.returncode, done.stderr.count("\n")) == (code, 0 if code == 0 else 1), done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert "Our mistake" not in done.stderr


MANY = 10_000_000
"""Rounds of hashing that held up every client for four seconds."""
REFUSED: dict[str, tuple[Callable[[bytes, Any], bytes], str]] = {
    "SM2": (lambda key, certificate: key_file(hidden(certificate), shown(key_bag(sm2_key().dump()))), "SM2"),
    "costly key": (lambda key, certificate: key_file(hidden(certificate), shown(key_bag(key, MANY))), "rounds"),
    "costly certificate": (
        lambda key, certificate: key_file(hidden(certificate, rounds=MANY), shown(key_bag(key))), "rounds"
    ),
    "costly checksum": (
        lambda key, certificate: key_file(hidden(certificate), shown(key_bag(key)), checksum_rounds=MANY), "rounds"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_with_a_key_file_is_named(served: dict[str, str], tmp_path: Path, name: str) -> None:
    key, certificate = a_pair()
    make, words = REFUSED[name]
    (tmp_path / "k.p12").write_bytes(make(pkcs8(key), certificate_bag(certificate)))
    (tmp_path / "password.txt").write_bytes(b"x")
    call = ("key", "add", tmp_path / "k.p12", "--enterprise", "91330299MA9XYD0C2A")
    done = origin(*call, "--password-file", tmp_path / "password.txt", **served)
    assert (done.returncode, words in done.stderr, done.stderr.count("\n")) == (1, True, 1), done.stderr
    assert re.fullmatch(r"origin: KEY-[A-Z]+: [^.]+\. Give [^.]+\.\n", done.stderr), "two sentences"


def test_the_same_over_http_tells_nothing_either(served: dict[str, str]) -> None:
    """A password with a NUL made the wrapper of OpenSSL print its bytes and end the request without an answer."""
    key, certificate = a_pair()
    content = key_file(hidden(certificate_bag(certificate)), shown(key_bag(pkcs8(key))))
    wish = {"enterprise": "91330299MA9XYD0C2A", "name": "k", "p12": base64.b64encode(content).decode()}
    operator = (Path(served["ORIGIN_DATA"]) / "operator.key").read_text().strip()
    with httpx.Client(base_url=served["ORIGIN_URL"], headers={"authorization": f"Bearer {operator}"}) as http:
        for password in ("secret\0word", "secret\ud800", "secret" * 1000, "secret"):
            body = json.dumps({**wish, "password": password})
            answer = http.post("/v1/admin/keys", content=body, headers={"content-type": "application/json"})
            assert (answer.status_code, "secret" in answer.text) == (422, False), answer.text
            assert answer.json()["code"] in ("KEY-PASSWORD", "KEY-UNREADABLE")
            assert answer.json()["remedy"]
        for field in ({"width_mm": "NaN"}, {"width_mm": float("nan")}, {"name": "\0"}, {"valid_to": "9999-12-31"}):
            body = json.dumps({**wish, "png": "", **field})
            answer = http.post("/v1/admin/seals", content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 422), answer.text


def test_a_certificate_without_end_is_listed_in_every_zone(served: dict[str, str], tmp_path: Path) -> None:
    """RFC 5280: who has no end ends in 9999. In Shanghai that is the year 10000."""
    key, certificate = a_pair(until=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    (tmp_path / "k.p12").write_bytes(key_file(hidden(certificate_bag(certificate)), shown(key_bag(pkcs8(key)))))
    (tmp_path / "p").write_bytes(b"x")
    call = ("key", "add", tmp_path / "k.p12", "--enterprise", "91330299MA9XYD0C2A", "--password-file", tmp_path / "p")
    done = origin(*call, **served, TZ="Asia/Shanghai")
    assert (done.returncode, "9999-12-31" in done.stdout) == (0, True), done.stderr


def test_parked_and_doctor(served: dict[str, str], key: str) -> None:
    assert json.loads(origin("parked", "list", "--json", **served).stdout) == []
    assert "0 message(s)" in origin("parked", "replay", **served).stdout
    assert json.loads(origin("dlt", "list", "--json", "--state", "all", **served).stdout) == []
    nobody = "019ab3c0-7d1e-5c55-8d3a-5d5a3f1c2b11"
    for call in (("show", nobody), ("replay", nobody), ("discard", nobody, "--reason", "x", "--by", "li")):
        refused = origin("dlt", *call, **served)
        assert (refused.returncode, "DLT-UNKNOWN" in refused.stderr) == (1, True), refused.stderr
    assert origin("dlt", "discard", nobody, **served).returncode == 2, "a reason is asked for"
    assert origin("dlt", "show", "nonsense", **served).returncode == 2
    done = origin("doctor", "--json", **served)
    findings = {finding["about"]: finding["ok"] for finding in json.loads(done.stdout)}
    assert findings["database"] is True
    assert findings["enterprise 91330299MA9XYD0C2A"] is False
    assert done.returncode == 1


@pytest.mark.parametrize(
    "command",
    [
        "status ?",
        "client revoke ?",
        "client revoke erp-1 --by ?",
        "audit acts --client ?",
        "audit verify --certificate ?",
    ],
)
def test_an_argument_that_is_no_text_is_the_users_mistake(served: dict[str, str], key: str, command: str) -> None:
    not_utf8 = os.fsdecode(b"\xff")
    done = origin(*command.replace("?", not_utf8).split(), **served, ORIGIN_API_KEY=key)
    assert done.returncode == 2, done.stderr
    assert "no text" in done.stderr
