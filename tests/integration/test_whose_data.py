"""A data directory that was copied, moved or linked never leads to another directory's servers.

Everything in the directory (a note, a lock, a process id, a socket) may have come with a copy.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasklog.cli.servers import _embedded_redis
from tasklog.embedded import embedded_postgres
from tasklog.embedded.data_dir import socket_dir
from tasklog.embedded.postgres import Postgres
from tasklog.embedded.valkey import Valkey
from tests.integration.data_dirs import MakeDataDir, keep, kept, refused_at_once
from tests.signing import settings

SHAPES = {
    "plain": "p/.data",
    "blank": "My Project/.data",
    "not ASCII": "Prüfung/.data",
    "long": f"{'long' * 25}/.data",
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
with_sockets_in_and_outside = pytest.mark.parametrize("shape", [SHAPES["plain"], SHAPES["long"]], ids=["in", "outside"])


def copy(project: Path, *options: str) -> Path:
    """Copy a project's folder as people do; return the data directory of the copy."""
    other = project.with_name(f"{project.name} copy")
    subprocess.run(["cp", "-a", *options, project, other], check=True)
    return other / ".data"


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
def test_a_copy_of_a_running_directory_has_servers_of_its_own(make_data_dir: MakeDataDir, shape: str) -> None:
    original = make_data_dir(shape)
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
def test_both_of_a_copied_pair_keep_to_themselves_in_either_order(make_data_dir: MakeDataDir, shape: str) -> None:
    original = make_data_dir(shape)
    with embedded_postgres(original) as postgres:
        keep(postgres, "shared")
    copied = copy(original.parent)
    with embedded_postgres(copied) as first, embedded_postgres(original) as second:
        keep(first, "copy")
        assert (kept(first), kept(second)) == ("copy shared", "shared")


@with_sockets_in_and_outside
def test_a_directory_that_was_moved_while_stopped_is_used_as_it_is(
    short_home: Path, make_data_dir: MakeDataDir, shape: str
) -> None:
    original, moved = make_data_dir(shape), short_home / "moved" / ".data"
    with running(original) as postgres:
        keep(postgres, "kept")
    original.parent.rename(moved.parent)
    with running(moved) as postgres:
        assert kept(postgres) == "kept"


@with_sockets_in_and_outside
def test_a_directory_that_was_moved_while_it_is_used_is_refused(
    short_home: Path, make_data_dir: MakeDataDir, shape: str
) -> None:
    original, moved = make_data_dir(shape), short_home / "moved" / ".data"
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


def test_a_copy_by_hard_links_is_refused_while_the_original_runs(make_data_dir: MakeDataDir) -> None:
    original = make_data_dir("p/.data")
    with embedded_postgres(original) as postgres:
        keep(postgres, "kept")
        linked = copy(original.parent, "-l")
        with refused_at_once(str(linked), str(original)), embedded_postgres(linked):
            pass
        assert kept(postgres) == "kept"


def test_a_path_by_symbolic_links_leads_to_the_one_that_runs(short_home: Path, make_data_dir: MakeDataDir) -> None:
    original, link = make_data_dir("p/.data"), short_home / "link"
    link.symlink_to(original)
    with embedded_postgres(original) as postgres:
        keep(postgres, "kept")
        with embedded_postgres(link) as same:
            assert kept(same) == "kept"
            assert same.process is None
    assert postgres.process is None


@pytest.mark.parametrize("linked", ["postgres", "sockets"])
def test_directories_that_share_a_part_by_a_link_stay_out_of_each_others_way(
    short_home: Path, make_data_dir: MakeDataDir, linked: str
) -> None:
    original = make_data_dir("p/.data")
    with embedded_postgres(original) as postgres:
        keep(postgres, "kept")
    elsewhere = short_home / "elsewhere"
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
