"""The embedded server on a real machine: start, attach, crash, ownership, refusal."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from adapters.postgres import config, install, migrate, pool, postmaster
from adapters.postgres.embedded import Embedded, running_dsn, socket_directory
from adapters.postgres.install import Account, EmbeddedError
from tests.fixtures_postgres import superuser

ROOT = os.geteuid() == 0
HOLD = """
import sys, time
from pathlib import Path
from adapters.postgres.embedded import Embedded
server = Embedded(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


async def ask(dsn: str, question: str) -> object:
    connection = await pool.connect(dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def test_it_starts_durable_private_and_without_a_network(tmp_path: Path) -> None:
    with Embedded(tmp_path / "pg") as server:
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await ask(server.dsn, f"SHOW {name}") == "on"
        assert await ask(server.dsn, "SHOW listen_addresses") == ""
        assert await ask(server.dsn, "SHOW server_encoding") == "UTF8"
        assert await ask(server.dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
        assert await ask(server.dsn, "SELECT upper('é') || '中'") is not None
        for folder in (server.data, server.sockets):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert running_dsn(server.directory) == server.dsn
        connection = await pool.connect(server.dsn)
        await pool.check_server(connection)
        await connection.close()
    assert server.pid is None
    assert running_dsn(server.directory) is None


@pytest.mark.skipif(not ROOT, reason="only root has to change the user")
def test_as_root_the_server_is_another_user_who_can_change_nothing_root_reads(tmp_path: Path) -> None:
    with Embedded(tmp_path / "pg") as server:
        assert server.pid is not None
        assert os.stat(f"/proc/{server.pid}").st_uid != 0
        assert {path.name for path in server.directory.iterdir() if path.stat().st_uid != 0} == {"data", "run"}
        # Even the server's own user is not let in: the kernel tells who knocks.
        who = install.account()
        programs = install.runnable(install.binaries(), who)
        command = [str(programs / "psql"), "-h", "/proc/self/cwd", "-U", "origin", "-c", "SELECT 1"]
        knock: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "cwd": server.sockets}
        assert "Peer authentication failed" in subprocess.run(command, **knock, **who.popen()).stderr
        assert subprocess.run(command, **knock).returncode == 0


@pytest.mark.skipif(not ROOT, reason="only root's programs may be out of the server's reach")
def test_programs_that_the_server_may_not_read_are_copied_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    who = install.account()
    copies = Path(tempfile.mkdtemp())  # not tmp_path, which only root can enter
    copies.chmod(0o755)
    request.addfinalizer(lambda: shutil.rmtree(copies))
    monkeypatch.setattr(install, "COPIES", copies)
    hidden = tmp_path / "hidden" / "site-packages"
    original = install.binaries()
    hidden.mkdir(parents=True)
    (tmp_path / "hidden").chmod(0o700)
    package = original.parent.parent
    subprocess.run(["cp", "-r", str(package), str(package.parent / f"{install.WHEEL}.libs"), str(hidden)], check=True)
    programs = hidden / package.name / original.parent.name / "bin"
    copy = install.runnable(programs, who)
    assert copy.is_relative_to(copies)
    assert install.runnable(programs, who) == copy
    assert all(path.stat().st_uid == 0 and not path.stat().st_mode & 0o022 for path in copy.rglob("*"))
    monkeypatch.setattr(install, "binaries", lambda major=None: programs)
    with Embedded(tmp_path / "pg") as server:
        assert server.pid is not None


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    with Embedded(tmp_path / "pg"), pytest.raises(EmbeddedError) as refused:
        Embedded(tmp_path / "pg").start()
    assert refused.value.code == "embedded.locked"
    assert str(os.getpid()) in str(refused.value)


def test_after_a_kill_of_the_gateway_the_next_one_attaches(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "pg")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    holder.send_signal(signal.SIGKILL)
    holder.wait(120)
    holder.stdout.close()
    server = Embedded(tmp_path / "pg")
    assert server.pid == pid
    begin = time.monotonic()
    server.start()
    assert server.pid == pid
    assert time.monotonic() - begin < 2
    server.stop()
    assert not postmaster.alive(pid, install.account().uid)


async def test_after_a_kill_of_the_server_what_was_committed_is_there(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "pg")
    for round_ in range(3):
        server.start()
        await ask(server.dsn, "CREATE TABLE IF NOT EXISTS kept (n int)")
        await ask(server.dsn, f"INSERT INTO kept VALUES ({round_}) RETURNING n")
        open_session = await pool.connect(server.dsn)  # a backend that may outlive the postmaster for a moment
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.release()
        server = Embedded(tmp_path / "pg")
        server.start()
        assert await ask(server.dsn, "SELECT count(*) FROM kept") == round_ + 1
        open_session.terminate()
        server.stop()


def test_a_pid_file_whose_number_belongs_to_somebody_else(tmp_path: Path) -> None:
    server = Embedded(tmp_path / "pg")
    server.start()
    text = (server.data / "postmaster.pid").read_text()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.release()
    who = install.account()
    sleeper = subprocess.Popen(["sleep", "30"], **who.popen())
    try:
        (server.data / "postmaster.pid").write_text(text.replace(text.split("\n")[0], str(sleeper.pid), 1))
        again = Embedded(tmp_path / "pg")
        assert again.pid is None
        again.start()
        again.stop()
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_server_that_was_told_something_else_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Embedded(tmp_path / "pg")
    server.start()
    before = server.pid
    server.release()
    monkeypatch.setattr(config, "SETTINGS", config.SETTINGS + "work_mem = 5MB\n")
    with Embedded(tmp_path / "pg") as again:
        assert again.pid != before


def test_a_long_path_gets_a_private_socket_elsewhere(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 90) / "pg"
    with Embedded(directory) as server:
        assert not server.sockets.is_relative_to(directory)
        assert len(os.fsencode(server.sockets)) < 80
        assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
        assert running_dsn(directory) == server.dsn
    server.sockets.rmdir()


def test_a_socket_directory_that_somebody_else_made_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 90) / "pg"
    trap = socket_directory(directory)
    trap.mkdir()
    os.chown(trap, install.account().uid, -1)
    trap.chmod(0o777)
    try:
        with pytest.raises(EmbeddedError) as refused:
            Embedded(directory).start()
        assert refused.value.code == "embedded.not_private"
    finally:
        trap.rmdir()


def test_an_interrupted_first_start_leaves_no_half_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Embedded(tmp_path / "pg")
    with monkeypatch.context() as patch:
        patch.setattr(config, "BOOTSTRAP", ("CREATE ROLE origin LOGIN", "CREATE NONSENSE"))
        with pytest.raises(EmbeddedError) as refused:
            server.start()
    assert refused.value.code == "embedded.init_failed"
    assert not server.data.exists()
    server.start()
    server.stop()


def test_errors_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EmbeddedError) as refused:
        Embedded(tmp_path / "file" / "pg").start()
    assert (refused.value.code, "--data" in refused.value.remedy) == ("embedded.directory", True)
    with pytest.raises(EmbeddedError) as refused:
        install.binaries(9)
    assert refused.value.code == "embedded.version"
    monkeypatch.setattr(install, "WHEEL", "no_such_wheel")
    with pytest.raises(EmbeddedError) as refused:
        install.binaries()
    assert refused.value.code == "embedded.no_binaries"


def test_the_reason_of_a_failed_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SETTINGS", config.SETTINGS + "no_such_setting = 1\n")
    with pytest.raises(EmbeddedError) as refused:
        Embedded(tmp_path / "pg").start()
    assert refused.value.code == "embedded.start_failed"
    assert "no_such_setting" in refused.value.sentence


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_a_server_that_loses_commits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setattr(config, "SETTINGS", config.SETTINGS + f"{setting} = off\n")
    with Embedded(tmp_path / "pg") as server:
        connection = await pool.connect(server.dsn)
        with pytest.raises(pool.ServerRefused) as refused:
            await pool.check_server(connection)
        await pool.check_server(connection, accept_data_loss=True)
        await connection.close()
    assert refused.value.code == "database.not_durable"
    assert setting in str(refused.value)


async def test_migrations_refuse_what_they_do_not_know(database_url: str) -> None:
    connection = await pool.connect(database_url)
    shipped = migrate.files()
    assert await migrate.migrate(connection) == []
    more = {**shipped, f"{len(shipped) + 1:04}_more.sql": "CREATE TABLE origin.more (n int);"}
    broken = {**shipped, f"{len(shipped) + 1:04}_more.sql": "CREATE TABLE origin.more (n int); SELECT nonsense;"}
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate.migrate(connection, broken)
    assert await migrate.migrate(connection, more) == [list(more)[-1]]
    with pytest.raises(migrate.MigrationRefused) as refused:
        await migrate.migrate(connection, shipped)
    assert refused.value.code == "migration.newer"
    with pytest.raises(migrate.MigrationRefused) as refused:
        await migrate.migrate(connection, {**more, next(iter(more)): "SELECT 1"})
    assert refused.value.code == "migration.changed"
    with pytest.raises(migrate.MigrationRefused) as refused:
        await migrate.migrate(connection, {"0001_a.sql": "", "0003_b.sql": ""})
    assert refused.value.code == "migration.names"
    await connection.close()


async def test_a_cancelled_call_leaves_no_connection_in_use(database_pool: asyncpg.Pool) -> None:
    async def slow() -> None:
        async with database_pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_sleep(5)")

    for _ in range(20):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await database_pool.fetchval("SELECT 1") == 1
    assert database_pool.get_size() - database_pool.get_idle_size() == 0


def test_who_runs_the_server() -> None:
    who = install.account()
    assert isinstance(who, Account)
    assert who.uid != 0
    assert who.switch is ROOT
    if ROOT:
        with pytest.raises(EmbeddedError) as refused:
            install.account("no-such-user")
        assert refused.value.code == "embedded.no_account"


def test_the_superuser_address() -> None:
    assert superuser("postgresql://origin@/origin?host=/x") == "postgresql://postgres@/postgres?host=/x"
