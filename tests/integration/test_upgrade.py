"""`./run upgrade`: a ledger of Postgres 16 moves to 18 with every row, and no kill on the way loses the old one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

import migrations
from audit.demo import demo
from audit.import_ import import_
from event_log.erase import erase
from projector.catch_up import catch_up
from runtime.database import open_database
from runtime.settings import Settings
from tasklog.embedded import embedded_postgres, switch
from tasklog.embedded import upgrade as upgrading
from tasklog.embedded.binaries import find_postgres
from tasklog.embedded.cluster import version_of
from tests.integration.data_dirs import execute, only_sentence, tasklog
from tests.servers import eventually, run_async

OLD, NEW = 16, 18
"""Both are in the embedded package, and are servers of their own."""

ROWS = """
    SELECT array_agg(r ORDER BY r COLLATE "C") FROM (
        SELECT 'streams ' || s::text FROM tasklog.streams s UNION ALL SELECT 'events ' || e::text FROM tasklog.events e
        UNION ALL SELECT 'keys ' || k::text FROM tasklog.idempotency_keys k
        UNION ALL SELECT 'tasks ' || t::text FROM tasklog.tasks t
        UNION ALL SELECT 'checkpoints ' || c::text FROM tasklog.checkpoints c
        UNION ALL SELECT 'sequence ' || last_value || is_called FROM tasklog.task_ids) AS rows (r)
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a DATA_DIR of the old version with the demo, an erased person, a key and some ids that were never used."""
    data_dir = tmp_path_factory.mktemp("u") / "d"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PG_BIN", str(find_postgres(OLD)[0]))
        with embedded_postgres(data_dir) as postgres:
            migrations.upgrade(postgres.url())
            run_async(fill(postgres.url(), data_dir.with_name("demo.jsonl")))
    assert version_of(data_dir / "postgres") == OLD
    return data_dir


async def fill(url: str, file: Path) -> None:
    demo(7, date(2026, 11, 28)).write(file)
    settings = Settings(_env_file=None, database_url=SecretStr(url), allow_superuser=True)
    async with (
        open_database(settings, "owner") as owner,
        open_database(settings, "projector") as projector,
        open_database(settings, "eraser") as eraser,
    ):
        await import_(owner, file)
        await catch_up(projector)
        await erase(eraser, "ben", actor="operator", request_id="erase-1")
        await owner.fetch(
            """INSERT INTO tasklog.idempotency_keys (user_id, key, fingerprint, task_id, version, recorded_at, position)
               SELECT user_id, 'a key', '\\x01', task_id, version, now(), position
               FROM tasklog.events WHERE user_id = 'alice' AND position = 1"""
        )
        await owner.fetch("SELECT setval('tasklog.task_ids', 12345)")


@pytest.fixture
def data_dir(original: Path, short_home: Path) -> Path:
    shutil.copytree(original, short_home / "d", ignore=shutil.ignore_patterns("sockets*"))
    return short_home / "d"


@pytest.fixture(scope="module")
def moved(original: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Return a copy that was moved, and what the command said."""
    data_dir = tmp_path_factory.mktemp("m") / "d"
    shutil.copytree(original, data_dir, ignore=shutil.ignore_patterns("sockets*"))
    return data_dir, tasklog(data_dir, "upgrade", "--json")


def rows_of(data_dir: Path) -> list[str]:
    with embedded_postgres(data_dir) as postgres:
        found = execute(postgres, ROWS)
    assert isinstance(found, list)
    return found


def clusters(data_dir: Path) -> dict[str, int | None]:
    return {path.name: version_of(path) for path in data_dir.glob("postgres*") if path.is_dir()}


def test_every_row_of_every_table_and_the_sequence_are_the_same_after_the_upgrade(
    original: Path, moved: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    data_dir, done = moved
    before = rows_of(original)
    assert {row.split(" ")[0] for row in before} == {"streams", "events", "keys", "tasks", "checkpoints", "sequence"}
    assert rows_of(data_dir) == before
    said = json.loads(done.stdout)
    assert (said["from"], said["to"], said["streams"], said["faults"]) == (OLD, NEW, 3, [])
    assert said["events"] == sum(row.startswith("events ") for row in before)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_old_cluster_is_kept_and_can_be_put_back(
    original: Path, moved: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    data_dir, done = moved
    assert clusters(data_dir) == {"postgres": NEW, f"postgres.{OLD}": OLD}
    assert json.loads(done.stdout)["kept"] == str(data_dir / f"postgres.{OLD}")
    shutil.copytree(data_dir / f"postgres.{OLD}", tmp_path / "d" / "postgres")
    assert rows_of(tmp_path / "d") == rows_of(original)


def test_heads_verify_against_anchors_from_before_and_erased_text_stays_away(
    original: Path, moved: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    anchors = tmp_path / "anchors"
    assert tasklog(original, "anchor", "--out", anchors).returncode == 0
    verified = tasklog(moved[0], "verify", "--anchors", anchors)
    assert verified.returncode == 0, verified.stdout
    assert "against 3 anchors" in verified.stdout
    with embedded_postgres(moved[0]) as postgres:
        assert execute(postgres, "SELECT count(*) FROM tasklog.tasks WHERE user_id = 'ben'") == 0
        left = (
            "SELECT count(data) FROM tasklog.events WHERE user_id = 'ben' AND type IN ('task.created', 'task.edited')"
        )
        assert execute(postgres, left) == 0


def test_a_second_upgrade_has_nothing_to_do(moved: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    done = tasklog(moved[0], "upgrade")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"The data are of Postgres {NEW}, and no newer one was found: nothing to do.\n"


def kill_when_there_is(data_dir: Path, name: str) -> None:
    """Begin an upgrade, and kill it when a file of this name has appeared."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tasklog", "upgrade"],
        env={**os.environ, "DATA_DIR": str(data_dir)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: (data_dir / name).exists() or process.poll() is not None, 60)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_killed_on_the_way_it_leaves_the_old_ledger_and_repeated_it_moves_even_one_with_a_fault(data_dir: Path) -> None:
    with embedded_postgres(data_dir) as postgres:
        execute(postgres, "UPDATE tasklog.events SET version = 99 WHERE user_id = 'alice' AND position = 1")
    before = rows_of(data_dir)
    for moment in (switch.UNFINISHED, f"{switch.UNFINISHED}.log"):
        kill_when_there_is(data_dir, moment)
        assert clusters(data_dir)["postgres"] == OLD
        assert rows_of(data_dir) == before
    done = tasklog(data_dir, "upgrade")
    assert done.returncode == 3, done.stderr
    assert "FAULT alice, position 1" in done.stdout
    assert "Verified: 1 fault, as before." in done.stdout
    assert clusters(data_dir) == {"postgres": NEW, f"postgres.{OLD}": OLD}
    assert rows_of(data_dir) == before


def test_a_kill_between_the_two_renames_is_completed_by_the_next_start(
    moved: tuple[Path, subprocess.CompletedProcess[str]], short_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = short_home / "d"
    shutil.copytree(moved[0], data_dir, ignore=shutil.ignore_patterns("sockets*"))
    (data_dir / "postgres").rename(data_dir / switch.UNFINISHED)
    (data_dir / f"postgres.{OLD}").rename(data_dir / "postgres")

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(switch, "finish_switch", killed)
        with pytest.raises(KeyboardInterrupt):
            switch.switch(data_dir, data_dir / f"postgres.{OLD}")
    assert "postgres" not in clusters(data_dir)
    assert tasklog(data_dir, "verify").returncode == 0
    assert clusters(data_dir) == {"postgres": NEW, f"postgres.{OLD}": OLD}


def test_what_stands_in_the_way_is_named_before_anything_is_done(data_dir: Path, tmp_path: Path) -> None:
    assert "There is no ledger in" in refused(tmp_path / "new")
    with embedded_postgres(data_dir):
        said = refused(data_dir)
    assert f"(process {os.getpid()}): stop it, then run ./run upgrade again." in said
    (data_dir / f"postgres.{OLD}").mkdir()
    assert "is from an earlier upgrade" in refused(data_dir)
    (data_dir / f"postgres.{OLD}").rmdir()
    given = {"DATABASE_URL": "postgresql://db.example/tasklog"}
    assert "with its tools" in only_sentence(tasklog(data_dir, "upgrade", **given))
    (data_dir / "postgres" / "PG_VERSION").write_text("14\n")
    said = only_sentence(tasklog(data_dir, "upgrade"))
    without = "The data are of Postgres 14, whose programs were not found: set PG_BIN to their directory"
    assert said == f"{without}; then ./run upgrade can move the data to Postgres {NEW}.\n"
    assert said == only_sentence(tasklog(data_dir, "serve", API_PORT="0"))
    assert [*clusters(data_dir)] == ["postgres"]


def refused(data_dir: Path) -> str:
    """Return why an upgrade does not begin."""
    with pytest.raises(upgrading.UpgradeError) as caught, upgrading.upgrade(data_dir):
        pytest.fail("it began")
    return str(caught.value)


def test_too_little_room_is_said_before_anything_is_done(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil's
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    assert re.search(r"may need \d+ MB, and .* has 1 MB of free space", refused(data_dir))
    assert clusters(data_dir) == {"postgres": OLD}
