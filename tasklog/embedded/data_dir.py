"""DATA_DIR: its lock, its private directory for sockets, and its generated secret."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.settings import SettingsError
from tasklog.embedded.child import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

# 103 bytes on macOS, 107 on Linux, less the longest name in the directory (.s.PGSQL.5432.lock).
_LONGEST_SOCKET_DIR = 80
# Drivers disagree on percent-encoded socket paths, so only paths that need no encoding are used.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


def open_data_dir(path: Path) -> Path:
    """Make the directory, private to its user, and return its absolute path."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.resolve(strict=True)
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR {path} cannot be used ({error.strerror}): set it to a directory of yours."
        ) from error


@contextmanager
def locked(data_dir: Path) -> Iterator[bool]:
    """Yield whether this process is now the only one that may start servers here; no process waits.

    The lock ends with the process, also when that is killed.
    """
    with (data_dir / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield True


def lock_holder(data_dir: Path) -> str:
    """Return the process id in the lock file, for messages."""
    return (data_dir / "lock").read_text().strip() or "unknown"


def socket_dir(data_dir: Path) -> Path:
    """Return a private directory, short enough for sockets: in DATA_DIR, else a temporary one that DATA_DIR names."""
    inside = data_dir / "sockets"
    if _fits(inside):
        inside.mkdir(mode=0o700, exist_ok=True)
        return inside
    note = data_dir / "sockets.path"
    if note.exists() and _is_private(known := Path(note.read_text().strip())):
        return known
    base = Path(tempfile.gettempdir())
    made = Path(tempfile.mkdtemp(prefix="tasklog-", dir=base if _fits(base / "tasklog-xxxxxxxx") else "/tmp"))  # noqa: S108 - private
    note.write_text(f"{made}\n")
    return made


def read_secret(data_dir: Path) -> str | None:
    """Return the generated secret, or None before the first start.

    Raises:
        SettingsError: its file holds none.
    """
    file = data_dir / "secret"
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        secret = ""
    if not secret:
        raise SettingsError(f"{file} is empty or no text: delete it, and the next start makes a new one.")
    return secret


def make_secret(data_dir: Path) -> str:
    """Return the generated secret; the first start makes it, readable by its user alone."""
    with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix="secret-") as file:  # mode 0600
        file.write(secrets.token_urlsafe(48))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            (data_dir / "secret").hardlink_to(file.name)
    return read_secret(data_dir) or make_secret(data_dir)  # again where somebody has deleted it since


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_SOCKET_DIR and _PLAIN_PATH.fullmatch(str(path)) is not None


def _is_private(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    owners = {os.geteuid()} | ({NOBODY} if os.geteuid() == 0 else set())
    return stat.S_ISDIR(found.st_mode) and found.st_uid in owners and found.st_mode & 0o077 == 0
