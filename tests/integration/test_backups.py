"""`./run backup` and `./run restore`: a copy taken while people write, verified, and started elsewhere."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from tasklog.embedded import embedded_postgres
from tests.integration.data_dirs import MakeDataDir, execute, only_sentence, tasklog
from tests.servers import eventually


@pytest.fixture(scope="module")
def original(data_dir_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("original") / ".data"
    shutil.copytree(data_dir_template, data_dir)
    (data_dir / "secret").write_text("a secret of this directory")
    return data_dir


@pytest.fixture(scope="module")
def backup(original: Path) -> Path:
    target = original.with_name("backup")
    assert tasklog(original, "backup", target).returncode == 0
    return target


def test_a_backup_taken_while_somebody_writes_has_every_earlier_write_and_a_whole_number_of_later_ones(
    make_data_dir: MakeDataDir,
) -> None:
    original = make_data_dir("p/.data")
    target, restored = original.with_name("backup"), original.with_name("restored")
    written, stop = [0], threading.Event()

    with embedded_postgres(original) as postgres:
        execute(postgres, "CREATE TABLE pairs (n integer)")

        def write() -> None:
            while not stop.is_set():
                written[0] += 1
                execute(postgres, f"INSERT INTO pairs VALUES ({written[0]}), ({written[0]})")

        writing = threading.Thread(target=write)
        writing.start()
        try:
            eventually(lambda: written[0] > 20)
            before = written[0] - 1
            done = json.loads(tasklog(original, "backup", target, "--json").stdout)
        finally:
            stop.set()
            writing.join()
    assert done["directory"] == str(target)
    assert done["bytes"] > 10**7
    assert tasklog(restored, "restore", target).returncode == 0
    with embedded_postgres(restored) as postgres:
        last = execute(postgres, "SELECT max(n) FROM pairs")
        assert isinstance(last, int)
        assert before <= last <= written[0]
        assert execute(postgres, "SELECT count(*) FROM pairs") == 2 * last


def test_a_restored_directory_has_the_secret_and_is_private(backup: Path, tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    done = tasklog(restored, "restore", backup)
    assert done.stdout == f"Restored {backup} to {restored}. Check it with ./run verify, and start with ./run.\n"
    assert (restored / "secret").read_text() == "a secret of this directory"
    for directory in (backup, restored, restored / "postgres"):
        assert directory.stat().st_mode & 0o077 == 0, directory


@pytest.mark.parametrize("damage", ["changed", "cut", "missing", "manifest"])
def test_a_damaged_backup_is_not_restored(backup: Path, tmp_path: Path, damage: str) -> None:
    damaged, restored = tmp_path / "backup", tmp_path / "restored"
    shutil.copytree(backup, damaged)
    file = damaged / "postgres" / ("backup_manifest" if damage == "manifest" else "PG_VERSION")
    content = file.read_bytes()
    match damage:
        case "changed":
            file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "cut":
            file.write_bytes(content[:-1])
        case "missing":
            file.unlink()
        case _:
            file.write_bytes(content.replace(b"Size", b"Side", 1))
    assert file.name in only_sentence(tasklog(restored, "restore", damaged))
    assert not (restored / "postgres").exists()
    assert [path.name for path in restored.iterdir() if path.name != "lock"] == []


def test_neither_command_overwrites_anything(original: Path, backup: Path) -> None:
    assert "already exists" in only_sentence(tasklog(original, "backup", backup))
    assert "There is a ledger in" in only_sentence(tasklog(original, "restore", backup))


def test_what_is_no_backup_or_no_ledger_is_named(original: Path, tmp_path: Path) -> None:
    assert "is not a backup" in only_sentence(tasklog(tmp_path / "new", "restore", original))
    assert "is not a backup" in only_sentence(tasklog(tmp_path / "new", "restore", tmp_path / "nothing"))
    assert "There is no ledger in" in only_sentence(tasklog(tmp_path / "new", "backup", tmp_path / "b"))
    assert "cannot be written" in only_sentence(tasklog(original, "backup", tmp_path / "no" / "folder"))
    given = {"DATABASE_URL": "postgresql://db.example/tasklog"}
    assert "with its tools" in only_sentence(tasklog(original, "backup", tmp_path / "b", **given))
    assert list(tmp_path.glob("b*")) == []


def test_a_copy_that_fails_leaves_nothing(original: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    version = (original / "postgres" / "PG_VERSION").read_text().strip()
    fakes = {"initdb": "exit 0", "postgres": f"echo 'postgres {version}'", "pg_basebackup": "exit 1"}
    for name, does in fakes.items():
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    with embedded_postgres(original):
        said = only_sentence(tasklog(original, "backup", tmp_path / "b", PG_BIN=str(programs)))
    assert "Postgres could not copy the ledger" in said
    shutil.rmtree(programs)
    assert list(tmp_path.iterdir()) == []
