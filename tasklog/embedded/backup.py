"""Backups of the embedded Postgres: a copy of its files with their checksums, taken while it runs.

A backup is a directory like DATA_DIR: `postgres` with the manifest of Postgres, and `secret`. pg_basebackup makes it.
It is verified here, because the installed package's pg_verifybackup crashes (docs/own-parts.md).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runtime.settings import SettingsError
from tasklog.embedded.binaries import find_postgres
from tasklog.embedded.cluster import plain_environment, version_of
from tasklog.embedded.data_dir import locked, open_data_dir
from tasklog.embedded.switch import CLUSTER, has_ledger, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasklog.embedded.postgres import Postgres

_SECRET: Final = "secret"  # noqa: S105 - the name of its file
_MANIFEST: Final = "backup_manifest"


class BackupError(Exception):
    """A backup that cannot be made, or that cannot be used: one sentence that says what to do."""


def back_up(postgres: Postgres, data_dir: Path, target: Path) -> int:
    """Copy the running cluster and the generated secret to a new directory; return its size in bytes.

    The copy is verified before it gets its name. If the copying fails, nothing is left.

    Raises:
        BackupError: the directory exists, or Postgres cannot copy to it.
    """
    if target.exists():
        raise BackupError(f"{target} already exists: name a new directory for the backup.")
    programs, _ = find_postgres(version_of(data_dir / CLUSTER))
    with _new_directory(target) as copy:
        _base_backup(programs, postgres, copy / CLUSTER)
        _verify(copy)
        if (data_dir / _SECRET).exists():
            shutil.copy2(data_dir / _SECRET, copy / _SECRET)
        return sum(file.stat().st_size for file in copy.rglob("*") if file.is_file())


def restore(source: Path, directory: Path) -> None:
    """Copy a backup to a DATA_DIR without a ledger, after its files were verified.

    The secret is copied too, unless the DATA_DIR has one.

    Raises:
        BackupError: this is no complete backup, or the DATA_DIR has a ledger or is in use.
    """
    if not (source / CLUSTER / _MANIFEST).is_file():
        raise BackupError(f"{source} is not a backup: name a directory that ./run backup wrote.")
    data_dir = open_data_dir(directory)
    with locked(data_dir) as ours:
        if not ours or has_ledger(data_dir):
            raise BackupError(f"There is a ledger in {directory}: move it away, or set another DATA_DIR.")
        _verify(source)
        with _new_directory(data_dir / CLUSTER) as copy:
            shutil.copytree(source / CLUSTER, copy, symlinks=True, dirs_exist_ok=True)
        if (source / _SECRET).exists() and not (data_dir / _SECRET).exists():
            shutil.copy2(source / _SECRET, data_dir / _SECRET)


def _base_backup(programs: Path, postgres: Postgres, copy: Path) -> None:
    program = programs / "pg_basebackup"
    if not os.access(program, os.X_OK):
        raise SettingsError(f"{program} was not found: set PG_BIN to a directory with all programs of Postgres.")
    command: list[str | Path] = [
        program,
        f"--pgdata={copy}",
        f"--dbname={postgres.url(database='postgres')}",
        "--wal-method=stream",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        "--no-password",
    ]
    done = subprocess.run(command, capture_output=True, env=plain_environment(), check=False)  # noqa: S603 - no shell
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        raise BackupError(f"Postgres could not copy the ledger: {said[0].removeprefix('pg_basebackup: error: ')}.")


def _verify(backup: Path) -> None:
    """Compare every file with the manifest, and the manifest with its own checksum.

    The write-ahead log is not in the manifest. Postgres checks each record of it, and does not start without those that
    make the copy consistent.
    """
    cluster = backup / CLUSTER
    manifest = (cluster / _MANIFEST).read_bytes()
    try:
        content = json.loads(manifest)
        listed = {file["Path"]: (file["Size"], file["Checksum"]) for file in content["Files"]}
        checked = manifest[: manifest.rindex(b'"Manifest-Checksum"')]
        is_whole = sha256(checked).hexdigest() == content["Manifest-Checksum"]
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise BackupError(f"{backup} is damaged: its {_MANIFEST} was changed or cut.")
    for name, (size, digest) in listed.items():
        file = cluster / name
        if not file.is_file() or file.stat().st_size != size or _sha256(file) != digest:
            raise BackupError(f"{backup} is damaged: {CLUSTER}/{name} is missing or was changed.")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


@contextmanager
def _new_directory(target: Path) -> Iterator[Path]:
    """Yield a private directory that becomes `target` when the context ends well, and is removed otherwise."""
    copy = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))  # mode 0700
    try:
        yield copy
        _sync(copy)
        copy.rename(target)
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    sync_directory(target.parent)


def _sync(directory: Path) -> None:
    """Flush every file and directory to the disk."""
    for folder, _, files in os.walk(directory):
        for file in files:
            with (Path(folder) / file).open("rb") as opened:
                os.fsync(opened.fileno())
        sync_directory(Path(folder))
