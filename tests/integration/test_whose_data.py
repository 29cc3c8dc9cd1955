"""A data directory that was copied, moved or restored never leads to another directory's servers.

Everything in the directory (a note, a lock, a process id, a socket) may have come with a copy.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from runtime.settings import SettingsError
from tasklog.cli.servers import _embedded_redis
from tasklog.embedded import embedded_postgres
from tasklog.embedded.data_dir import locked, open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tests.servers import run_async
from tests.signing import settings

SHAPES = {
    "plain": "p/.data",
    "blank": "My Project/.data",
    "not ASCII": "Prüfung/.data",
    "long": f"{'long' * 25}/.data",
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
with_sockets_in_and_outside = pytest.mark.parametrize("shape", [SHAPES["plain"], SHAPES["long"]], ids=["in", "outside"])
REFUSED_SECONDS = 15
Make = Callable[[str], Path]


@pytest.fixture
def home() -> Iterator[Path]:
    """Yield a folder with a path so short that sockets fit into the data directories in it."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with an empty database, made once, because copying it is much faster than a new one."""
    directory = tmp_path_factory.mktemp("template") / "data"
    with embedded_postgres(directory):
        return directory


@pytest.fixture
def make(home: Path, template: Path) -> Make:
    """Return a function that makes a data directory at a path below `home`."""

    def made(path: str) -> Path:
        shutil.copytree(template, home / path)
        return home / path

    return made


def copy(project: Path, *options: str) -> Path:
    """Copy a project's folder as people do; return the data directory of the copy."""
    other = project.with_name(f"{project.name} copy")
    subprocess.run(["cp", "-a", *options, project, other], check=True)
    return other / ".data"


def execute(postgres: Postgres, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(postgres.url())
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return run_async(run())


def keep(postgres: Postgres, text: str) -> None:
    execute(postgres, "CREATE TABLE IF NOT EXISTS kept (text text)")
    execute(postgres, f"INSERT INTO kept VALUES ('{text}')")


def kept(postgres: Postgres) -> object:
    return execute(postgres, "SELECT string_agg(text, ' ' ORDER BY text) FROM kept")


@contextmanager
def refused_at_once(*words: str) -> Iterator[None]:
    """Expect one sentence with these words, soon."""
    began = time.monotonic()
    with pytest.raises(SettingsError) as caught:
        yield
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert time.monotonic() - began < REFUSED_SECONDS


@contextmanager
def running(data_dir: Path) -> Iterator[Postgres]:
    """Run the Postgres of a data directory, and its Valkey."""
    with embedded_postgres(data_dir) as postgres:
        valkey = Valkey(data_dir.resolve(), socket_dir(data_dir.resolve()))
        valkey.start()
        try:
            yield postgres
        finally:
            valkey.stop(timeout=2)


@shapes
def test_a_copy_of_a_running_directory_has_servers_of_its_own(make: Make, shape: str) -> None:
    original = make(shape)
    with running(original) as ours:
        keep(ours, "shared")
        copied = copy(original.parent)
        assert _embedded_redis(settings(data_dir=copied, redis_url=None)) is None
        with running(copied) as theirs:
            keep(theirs, "copy")
            keep(ours, "original")
            assert (kept(ours), kept(theirs)) == ("original shared", "copy shared")
            assert _embedded_redis(settings(data_dir=copied, redis_url=None)) is not None


@with_sockets_in_and_outside
def test_both_of_a_copied_pair_keep_to_themselves_in_either_order(make: Make, shape: str) -> None:
    original = make(shape)
    with embedded_postgres(original) as postgres:
        keep(postgres, "shared")
    copied = copy(original.parent)
    with embedded_postgres(copied) as first, embedded_postgres(original) as second:
        keep(first, "copy")
        assert (kept(first), kept(second)) == ("copy shared", "shared")


@with_sockets_in_and_outside
def test_a_directory_that_was_moved_while_stopped_is_used_as_it_is(home: Path, make: Make, shape: str) -> None:
    original, moved = make(shape), home / "moved" / ".data"
    with running(original) as postgres:
        keep(postgres, "kept")
    original.parent.rename(moved.parent)
    with running(moved) as postgres:
        assert kept(postgres) == "kept"


@with_sockets_in_and_outside
def test_a_directory_that_was_moved_while_it_is_used_is_refused(home: Path, make: Make, shape: str) -> None:
    original, moved = make(shape), home / "moved" / ".data"
    with running(original) as postgres:
        keep(postgres, "kept")
        original.parent.rename(moved.parent)
        with refused_at_once(str(moved)), embedded_postgres(moved):
            pass
        original.mkdir(parents=True)
        assert postgres.process is not None
        with refused_at_once(str(original), "start it again"):
            postgres.start()
        assert list(original.iterdir()) == []
        assert postgres.process.poll() is None
        shutil.rmtree(original.parent)
        moved.parent.rename(original.parent)
        assert kept(postgres) == "kept"


def test_a_copy_by_hard_links_is_refused_while_the_original_runs(make: Make) -> None:
    original = make("p/.data")
    with embedded_postgres(original) as postgres:
        keep(postgres, "kept")
        linked = copy(original.parent, "-l")
        with refused_at_once(str(linked), str(original)), embedded_postgres(linked):
            pass
        assert kept(postgres) == "kept"


def test_a_path_by_symbolic_links_leads_to_the_one_that_runs(home: Path, make: Make) -> None:
    original, link = make("p/.data"), home / "link"
    link.symlink_to(original)
    with embedded_postgres(original) as postgres:
        keep(postgres, "kept")
        with embedded_postgres(link) as same:
            assert kept(same) == "kept"
            assert same.process is None
    assert postgres.process is None


@pytest.mark.parametrize("linked", ["postgres", "sockets"])
def test_directories_that_share_a_part_by_a_link_stay_out_of_each_others_way(
    home: Path, make: Make, linked: str
) -> None:
    original = make("p/.data")
    with embedded_postgres(original) as postgres:
        keep(postgres, "kept")
    elsewhere = home / "elsewhere"
    (original / linked).rename(elsewhere)
    (original / linked).symlink_to(elsewhere)
    copied = copy(original.parent)
    with embedded_postgres(original) as postgres:
        if linked == "postgres":
            with refused_at_once(str(elsewhere)), embedded_postgres(copied):
                pass
        else:
            with embedded_postgres(copied) as other:
                keep(other, "copy")
        assert postgres.process is not None
        assert postgres.process.poll() is None
        assert kept(postgres) == "kept"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_that_is_no_server_of_this_directory_is_never_ended(make: Make) -> None:
    """Its number may be in a restored `postmaster.pid` or socket lock, and the path in its command line."""
    data_dir = make("data")
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


def test_a_server_of_a_directory_whose_path_ends_alike_is_never_ended(home: Path, make: Make) -> None:
    """One directory's path is part of the other server's command line."""
    outer = home / "outer"
    inner = outer / str(home / "data").lstrip("/")
    data_dir = make("data")
    with embedded_postgres(data_dir):
        pid_file = (data_dir / "postgres" / "postmaster.pid").read_text().split("\n", 1)[1]
    with embedded_postgres(inner) as other:
        assert other.process is not None
        (data_dir / "postgres" / "postmaster.pid").write_text(f"{other.process.pid}\n{pid_file}")
        with embedded_postgres(data_dir):
            assert other.process.poll() is None
            assert execute(other, "SELECT 1") == 1


def test_an_orphan_of_this_very_directory_is_ended(make: Make) -> None:
    data_dir = open_data_dir(make("data"))
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


def test_a_socket_at_which_another_server_answers_is_left_alone(make: Make) -> None:
    mine, yours = open_data_dir(make("mine")), open_data_dir(make("yours"))
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
def test_a_socket_whose_listener_says_nothing_is_left_alone(make: Make, name: str) -> None:
    data_dir = open_data_dir(make("data"))
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


def test_a_valkey_that_outlived_its_parent_is_ended_by_the_next_start(make: Make) -> None:
    data_dir = open_data_dir(make("data"))
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
