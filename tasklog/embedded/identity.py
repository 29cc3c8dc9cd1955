"""Which user Postgres runs as, because it refuses root."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from runtime.settings import SettingsError
from tasklog.embedded.child import NOBODY, RunAs, can_run


class Identity(NamedTuple):
    """How to start Postgres, who owns its files, and where programs are that this user may run."""

    run_as: RunAs
    owner: int
    programs: Path


def choose_identity(programs: Path, data_dir: Path, sockets: Path) -> Identity:
    """Choose the first identity that works here, and give it the directories.

    Root becomes nobody in a user namespace, and the files still belong to root. If namespaces are not permitted, the
    user nobody runs Postgres, from a copy of the programs if it cannot reach them.
    """
    if os.geteuid() != 0:
        return Identity(RunAs.SELF, os.geteuid(), programs)
    probe: list[str | Path] = [programs / "postgres", "--version"]
    if can_run(probe, RunAs.NAMESPACE):
        _give(data_dir / "postgres", sockets, owner=0)
        return Identity(RunAs.NAMESPACE, 0, programs)
    data_dir.chmod(0o711)
    _give(data_dir / "postgres", sockets, owner=NOBODY)
    if not can_run(["/bin/sh", "-c", 'cd "$1"', "sh", sockets], RunAs.NOBODY):
        raise SettingsError(
            f"Postgres refuses to run as root, and user {NOBODY} may not enter {data_dir}: "
            "set DATA_DIR to a directory that it may enter, or start Tasklog as another user."
        )
    return Identity(RunAs.NOBODY, NOBODY, programs if can_run(probe, RunAs.NOBODY) else _copy(programs, data_dir))


def _give(*directories: Path, owner: int) -> None:
    for directory in directories:
        if directory.exists() and directory.lstat().st_uid != owner:
            for path in [*directory.rglob("*"), directory]:
                os.chown(path, owner, -1, follow_symlinks=False)


def _copy(programs: Path, data_dir: Path) -> Path:
    """Copy the package's programs, with the libraries beside the package that they link to."""
    package, copy = programs.parent.parent, data_dir / "postgres.programs"
    libraries = package.with_name(f"{package.name}.libs")
    copied = copy / package.name / programs.parent.name
    shutil.copytree(programs.parent, copied, symlinks=True, dirs_exist_ok=True)
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True, dirs_exist_ok=True)
    return copied / programs.name
