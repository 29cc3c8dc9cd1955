"""A start ends only servers that an earlier start left on this data directory, and takes no other server's socket.

Process ids, locks and sockets in the directory may name processes that have nothing to do with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasklog.embedded import embedded_postgres
from tasklog.embedded.data_dir import locked, open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tests.integration.data_dirs import MakeDataDir, execute, keep, kept, refused_at_once

KILLED_WHILE_IT_STARTS_A_CHILD = """
import os, pathlib, signal, sys
from tasklog.embedded.data_dir import locked

with locked(pathlib.Path(sys.argv[1])):
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    print("the child has the lock", flush=True)
    sys.stdin.read()
    os._exit(0)
"""


def test_a_lock_that_only_a_killed_process_s_last_child_still_has_is_waited_for(
    make_data_dir: MakeDataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = open_data_dir(make_data_dir("data"))
    command = [sys.executable, "-c", KILLED_WHILE_IT_STARTS_A_CHILD, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"the child has the lock\n"
        assert killed.wait() == -signal.SIGKILL
        end_the_child = killed.stdin.close
        monkeypatch.setattr("tasklog.embedded.data_dir.time.sleep", lambda _: end_the_child())
        with locked(data_dir) as ours:
            assert ours


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_is_no_server_of_this_directory_is_never_ended(make_data_dir: MakeDataDir) -> None:
    """Its number may be in a restored `postmaster.pid` or socket lock, and the path in its command line."""
    data_dir = make_data_dir("data")
    with embedded_postgres(data_dir) as postgres:
        keep(postgres, "kept")
        pid_file = (data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[1]
        lock = (data_dir / "sockets" / ".s.PGSQL.5432.lock").read_text().split("\n", 1)[1]
    cluster = data_dir / "postgres"
    sleeping = "import time; time.sleep(600)"
    editor = subprocess.Popen([sys.executable, "-c", sleeping, "-D", cluster, "-c"], cwd=cluster)
    try:
        (cluster / "postmaster.pid").write_text(f"{editor.pid}\n{pid_file}")
        (data_dir / "sockets" / ".s.PGSQL.5432.lock").write_text(f"{editor.pid}\n{lock}")
        with embedded_postgres(data_dir) as postgres:
            assert kept(postgres) == "kept"
        assert editor.poll() is None
    finally:
        editor.kill()
        editor.wait()


def test_a_server_of_a_directory_whose_path_ends_alike_is_never_ended(
    short_home: Path, make_data_dir: MakeDataDir
) -> None:
    """One directory's path is part of the other server's command line."""
    outer = short_home / "outer"
    inner = outer / str(short_home / "data").lstrip("/")
    data_dir = make_data_dir("data")
    with embedded_postgres(data_dir):
        pid_file = (data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[1]
    with embedded_postgres(inner) as other:
        assert other.process is not None
        (data_dir / "postgres" / "postmaster.pid").write_text(f"{other.process.pid}\n{pid_file}")
        with embedded_postgres(data_dir):
            assert other.process.poll() is None
            assert execute(other, "SELECT 1") == 1


def test_an_orphan_of_this_very_directory_is_ended(make_data_dir: MakeDataDir) -> None:
    data_dir = open_data_dir(make_data_dir("data"))
    orphan = Postgres(data_dir, socket_dir(data_dir))
    orphan.start()
    keep(orphan, "kept")
    assert orphan.process is not None
    assert orphan._held is not None
    os.close(orphan._held)  # as if its parent had ended
    orphan._held = None
    with embedded_postgres(data_dir) as postgres:
        assert kept(postgres) == "kept"
        assert orphan.process.wait(10) is not None


def test_a_socket_at_which_another_server_answers_is_left_alone(make_data_dir: MakeDataDir) -> None:
    mine, yours = open_data_dir(make_data_dir("mine")), open_data_dir(make_data_dir("yours"))
    sockets = socket_dir(mine)
    valkey, postgres = Valkey(yours, sockets), Postgres(yours, sockets)
    valkey.start()
    postgres.start()
    try:
        keep(postgres, "kept")
        with refused_at_once(str(sockets)):
            Valkey(mine, sockets).start()
        with refused_at_once(str(sockets)), embedded_postgres(mine):
            pass
        with locked(mine), refused_at_once(str(yours)), embedded_postgres(mine):
            pass
        assert not Valkey(mine, sockets).answers()
        assert valkey.answers()
        assert kept(postgres) == "kept"
    finally:
        valkey.stop(timeout=2)
        postgres.stop(timeout=5)


@pytest.mark.parametrize("name", [".s.PGSQL.5432", "valkey.sock"])
def test_a_socket_whose_listener_says_nothing_is_left_alone(make_data_dir: MakeDataDir, name: str) -> None:
    data_dir = open_data_dir(make_data_dir("data"))
    sockets = socket_dir(data_dir)
    listens = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); "
    silent = subprocess.Popen(
        [sys.executable, "-c", listens + "print('listens', flush=True); time.sleep(600)", sockets / name],
        stdout=subprocess.PIPE,
    )
    try:
        assert silent.stdout is not None
        assert silent.stdout.readline() == b"listens\n"
        inode = (sockets / name).stat().st_ino
        server = Valkey(data_dir, sockets) if name == "valkey.sock" else Postgres(data_dir, sockets)
        with refused_at_once(str(sockets)):
            server.start()
        assert (sockets / name).stat().st_ino == inode
    finally:
        silent.kill()
        silent.wait()
        assert silent.stdout is not None
        silent.stdout.close()


def test_a_valkey_that_outlived_its_parent_is_ended_by_the_next_start(make_data_dir: MakeDataDir) -> None:
    data_dir = open_data_dir(make_data_dir("data"))
    orphan, next_one = Valkey(data_dir, socket_dir(data_dir)), Valkey(data_dir, socket_dir(data_dir))
    orphan.start()
    next_one.start()
    try:
        assert orphan.process is not None
        assert orphan.process.wait(10) == 0
        assert next_one.answers()
        assert next_one.process is not None
        os.kill(next_one.process.pid, signal.SIGKILL)
        next_one.process.wait()
        next_one.start()  # despite the socket of the killed server
        assert next_one.answers()
    finally:
        next_one.stop(timeout=2)
