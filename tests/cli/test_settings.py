"""Settings, key files and logs: what a gateway is told, what it keeps, what it says."""

import io
import json
import logging
import stat
import threading
from pathlib import Path

import pytest
import structlog

from gateway import keyfile, logs
from gateway.settings import Role, Settings, SettingsRefused, load


def test_every_setting_is_described() -> None:
    assert [
        name for name, field in Settings.model_fields.items() if not field.description and name != "log_level"
    ] == []


def test_environment_then_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORIGIN_PORT", "9000")
    monkeypatch.setenv("ORIGIN_ROLES", "turn, print")
    monkeypatch.setenv("ORIGIN_DATABASE_URL", "")
    settings = load(port=None, data=tmp_path)
    assert (settings.port, settings.roles, settings.database_url) == (9000, (Role.TURN, Role.PRINT), None)
    assert load(port=1).port == 1
    assert settings.operator_key_path == tmp_path / "operator.key"
    assert Role.CUSTOMS_SIMULATOR not in Settings.model_fields["roles"].default


def test_every_mistake_at_once_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORIGIN_PROT", "9000")
    monkeypatch.setenv("ORIGIN_PORT", "hunter2")
    monkeypatch.setenv("ORIGIN_LOG_LEVEL", "loud")
    monkeypatch.setenv("ORIGIN_KAFKA_BOTSTRAP", "x")
    monkeypatch.setenv("ORIGIN_URL", "http://x")
    with pytest.raises(SettingsRefused) as refusal:
        load()
    text = str(refusal.value)
    assert "ORIGIN_PROT is not a setting; is ORIGIN_PORT meant?" in text
    assert "ORIGIN_PORT: " in text
    assert "ORIGIN_LOG_LEVEL: " in text
    assert "is ORIGIN_KAFKA_BOOTSTRAP meant?" in text
    assert "hunter2" not in text
    assert "ORIGIN_URL" not in text


def test_a_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "operator.key"
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(keyfile.read_or_make(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 8
    assert len(found[0]) >= 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["operator.key"]
    path.chmod(0o640)
    with pytest.raises(keyfile.KeyFileRefused, match="chmod 600"):
        keyfile.read(path)
    path.chmod(0o600)
    path.write_text("")
    with pytest.raises(keyfile.KeyFileRefused, match="empty"):
        keyfile.read_or_make(path)


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("info", stream=stream)
    return stream


SECRET = "MR WANG 110101199003071234"


def test_only_listed_fields_get_out(lines: io.StringIO) -> None:
    structlog.get_logger().info("declaration.answered", client="erp-1", consignee=SECRET, codes=["A\nB"], number="C\n1")
    line = json.loads(lines.getvalue())
    assert (line["event"], line["client"], line["number"], line["level"]) == (
        "declaration.answered",
        "erp-1",
        "C 1",
        "info",
    )
    assert "consignee" not in line
    assert SECRET not in lines.getvalue()


def test_exceptions_are_named_by_type_and_place(lines: io.StringIO) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(SECRET) from error
    except ValueError as error:
        structlog.get_logger().error("broke", exc_info=error)
        logging.getLogger("adapters.x").exception("ours broke")
        logging.getLogger("foreign").exception("theirs said %s", SECRET)
        logging.getLogger("foreign").error("first line\n%s", SECRET)
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert SECRET not in lines.getvalue()
    assert [line["event"] for line in found] == ["broke", "ours broke", "theirs said %s", "first line"]
    assert found[0]["error"] == found[1]["error"] == found[2]["error"] == "ValueError from KeyError"
    assert "test_settings.py" in found[0]["places"][-1]


def test_whoever_reaches_the_port_does_not_write_our_log(lines: io.StringIO) -> None:
    """uvicorn warns of each request that is none."""
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert lines.getvalue() == ""
    logging.getLogger("uvicorn.error").error("Exception in ASGI application")
    assert json.loads(lines.getvalue())["level"] == "error"
