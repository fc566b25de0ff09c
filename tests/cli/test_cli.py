"""The command line, as a person and a script meet it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import schemas
from gateway import cli
from tests.architecture.tree import ROOT
from tests.cli.command import EXAMPLES, origin
from tests.renderers.attacks import CHANGES
from tests.renderers.papers import (
    AUTHORITY,
    ENTERPRISE,
    NUMBER,
    OTHER,
    OTHER_NAME,
    OWN_NAME,
    keys,
    paper,
    saved,
    signed_again,
    titled,
)

COMMANDS = [
    "audit verify", "audit root", "audit acts",
    "serve", "demo", "check", "convert", "declare", "status", "timeline", "print", "confirm", "verify", "doctor",
    "client add", "client bus", "client grant", "client grants", "client list", "client quota", "client revoke",
    "seal add", "seal list", "seal stop", "key add",
    "key list", "parked list", "parked show", "parked replay", "dlt list", "dlt show", "dlt replay", "dlt discard",
    "profile list", "profile show",
    "dev kafka up", "dev kafka down", "dev kafka status",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(command: str) -> None:
    done = CliRunner().invoke(cli.app, [*command.split(), "--help"], prog_name="origin", env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert f"Example: origin {command}" in " ".join(done.stdout.split())
    assert "--json" in done.stdout or command in ("serve", "demo", "convert")


HEAVY = {
    "asyncpg",
    "aiokafka",
    "fastapi",
    "httpx",
    "lxml",
    "orjson",
    "PIL",
    "pydantic",
    "pyhanko",
    "reportlab",
    "xmlschema",
}


def test_help_loads_nothing_heavy() -> None:
    """A command is quick because it imports only what it needs, which holds on any machine."""
    script = "import sys\nfrom gateway.cli import main\nsys.argv = ['origin', '--help']\ntry:\n    main()\n"
    script += "except SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "typer" in loaded
    assert not loaded & HEAVY
    assert not loaded & {"adapters", "renderers", "simulators"}


def test_the_command_says_the_same_in_a_new_interpreter() -> None:
    words = ["check", EXAMPLES / "C-faulty.xml"]
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", *words],
        cwd=ROOT, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, origin(*words).stdout)


def test_check_names_every_fault_with_its_line() -> None:
    done = origin("check", EXAMPLES / "C-faulty.xml", EXAMPLES / "C-three-goods.xml")
    assert done.returncode == 1
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert {row[2] for row in rows} >= {"XSD-MISSING", "XSD-PATTERN", "XSD-ORDER", "XSD-LENGTH"}
    assert all(row[1].isdigit() and row[4].startswith("/Certificate") for row in rows)
    assert "C-three-goods.xml: good" in done.stderr
    report = json.loads(origin("check", "--json", EXAMPLES / "RC-faulty.json").stdout)
    assert report[0]["ok"] is False
    assert all(fault["path"] and fault["line"] for fault in report[0]["faults"])
    assert origin("check", EXAMPLES / "C-three-goods.json").returncode == 0


def test_convert_there_and_back_again(tmp_path: Path) -> None:
    first = origin("convert", EXAMPLES / "C-three-goods.xml", "--to", "json").stdout
    (tmp_path / "a.json").write_text(first)
    (tmp_path / "a.xml").write_text(origin("convert", tmp_path / "a.json", "--to", "customs-xml").stdout)
    assert origin("convert", tmp_path / "a.xml", "--to", "json").stdout == first
    broken = origin("convert", EXAMPLES / "C-faulty.xml", "--to", "json")
    assert (broken.returncode, broken.stdout) == (1, "")
    assert "XSD-MISSING" in broken.stderr


def test_profiles() -> None:
    assert [line.split("\t")[0] for line in origin("profile", "list").stdout.splitlines()] == ["C", "RC"]
    assert "RC-001\t" in origin("profile", "show", "rc").stdout
    assert json.loads(origin("profile", "show", "C", "--json").stdout)["profile"]["zh"] == "一般原产地证书"
    assert origin("profile", "show", "X").returncode == 2


def test_verify_says_what_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\nnothing")
    done = origin("verify", tmp_path / "a.pdf")
    assert (done.returncode, done.stdout.count("NOT VALID")) == (1, 1)


def test_verify_answers_for_each_file(tmp_path: Path) -> None:
    """In words and as data; the exit code is 0 for VALID alone, and nothing makes it print a stack trace."""
    strange = {
        "empty.pdf": b"",
        "text.pdf": b"hello",
        "deep.pdf": b"%PDF-1.7\n" + b"[" * 100_000,
        "zeros.pdf": bytes(5000),
        "png.pdf": b"\x89PNG\r\n\x1a\n" + bytes(99),
        "cut.pdf": paper()[:-500],
        "half.pdf": paper()[: len(paper()) // 2],
        "table.pdf": paper().replace(b"\nxref\n0 ", b"\nxref\n9 "),
        "changed.pdf": saved(paper(), CHANGES["painted over"]),
        "untitled.pdf": titled(b"/Title(x)", keys().other),
        "again.pdf": signed_again(saved(paper(), CHANGES["painted over"]), keys().other),
    }
    for name, content in {**strange, "good.pdf": paper()}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.pdf").mkdir()
    (tmp_path / "large.pdf").touch()
    os.truncate(tmp_path / "large.pdf", 33 << 20)
    (tmp_path / "root.pem").write_bytes(keys().root)
    trust = ("--authority", "root.pem")
    good = origin("verify", "good.pdf", *trust, "--enterprise", ENTERPRISE, folder=tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    first = f'good.pdf: VALID: signed by "{OWN_NAME}" under the number {NUMBER}; "{AUTHORITY}" vouches for the key\n'
    assert good.stdout.startswith(first)
    assert origin("verify", "good.pdf", "--enterprise", OTHER, folder=tmp_path).returncode == 1
    done = origin("verify", *strange, *trust, folder=tmp_path)
    assert (done.returncode, done.stderr, done.stdout.count("pdf: NOT VALID: ")) == (1, "", len(strange)), done.stdout
    unread = ["large.pdf", "folder.pdf", "missing.pdf", b"\xff.pdf".decode("utf-8", "surrogateescape")]
    names = [*strange, "good.pdf", *unread]
    done = origin("verify", *names, *trust, folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert [line.split(": ")[1] for line in done.stdout.splitlines() if ".pdf: " in line] == (
        ["NOT VALID"] * len(strange) + ["VALID"] + ["NOT VALID"] * len(unread)
    )
    data = json.loads(origin("verify", "--json", *names, *trust, folder=tmp_path).stdout)
    assert [one["valid"] for one in data].count(True) == 1
    by_name = {one["file"]: one for one in data}
    assert [reason["code"] for reason in by_name["again.pdf"]["reasons"]] == ["SIGNED-AGAIN", "CHANGED-AFTER"]
    assert by_name["again.pdf"]["summary"].startswith(f'NOT VALID: the whole is signed by "{OTHER_NAME}"')
    assert by_name["missing.pdf"]["problem"] == "it can't be read: No such file or directory"
    large = by_name["large.pdf"]
    assert (large["problem"], large["sha256"]) == ("the file has more than 32 MiB", "")
    assert by_name["good.pdf"]["number"] == NUMBER
    for wrong in (("--enterprise", "X"), ("--authority", "text.pdf"), ("--authority", "missing.pem")):
        done = origin("verify", "good.pdf", *wrong, folder=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("declare", "x.xml"), 2),
        (("status", "C26X", "--url", "http://127.0.0.1:9"), 3),
        (("declare", str(EXAMPLES / "C-draft.xml"), "--url", "http://127.0.0.1:9"), 3),
        (("status", "C26X", "--url", "nonsense"), 2),
        (("client", "list"), 2),
        (("check", "missing.xml"), 2),
        (("nonsense",), 2),
        (("serve", "--port", "99999999"), 2),
        (("parked", "show", "x"), 2),
    ],
)
def test_exit_codes_and_sentences(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    done = origin(*arguments, folder=tmp_path, ORIGIN_API_KEY="ok_x")
    assert done.returncode == code, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_no_key_is_said(tmp_path: Path) -> None:
    done = origin("status", "C26X", folder=tmp_path)
    assert done.returncode == 2
    assert "ORIGIN_API_KEY" in done.stderr


def test_a_wrong_setting_is_said() -> None:
    done = origin("serve", ORIGIN_PROT="1")
    assert done.returncode == 2
    assert "ORIGIN_PORT meant" in done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m gateway.cli profile show C | head -1"
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert done.stdout.count("\n") == 1


def test_examples_are_packaged() -> None:
    assert schemas.path("examples", "C-faulty.xml").is_file()
