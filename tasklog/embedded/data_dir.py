"""DATA_DIR: its lock, its private directory for sockets, and its generated secret."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from runtime.settings import SettingsError
from tasklog.embedded.child import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

# In bytes: 103 on macOS, 107 on Linux, less the longest name in the directory (.s.PGSQL.5432.lock).
_LONGEST_SOCKET_DIR = 80
# Drivers disagree on percent-encoded socket paths, so only paths that need no encoding are used.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
_PATIENCE = 10
"""How long the process that holds the lock may take to create its sockets, in seconds."""
_LAST_CHILD_SECONDS = 5
"""How long a killed process's lock may outlive it: a child that it was just starting has a copy until it runs its own
program or ends."""


def open_data_dir(path: Path) -> Path:
    """Create the directory, private to its user, and return its absolute path."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.resolve(strict=True)
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR {path} cannot be used ({error.strerror}): set it to a directory of yours."
        ) from error


def name_of(data_dir: Path) -> bytes:
    """Return an identity of this directory that no copy has: its device, its inode and its path."""
    found = data_dir.stat()
    return f"{found.st_dev}:{found.st_ino} ".encode() + os.fsencode(data_dir)


def check_name(data_dir: Path, name: bytes) -> None:
    """Refuse a directory that was moved or replaced since `name_of` gave this identity.

    Raises:
        SettingsError: it is another directory.
    """
    with suppress(OSError):
        if name_of(data_dir) == name:
            return
    raise SettingsError(
        f"{data_dir} is no longer the directory that this process started with: stop the process and start it again."
    )


@contextmanager
def locked(data_dir: Path) -> Iterator[bool]:
    """Yield whether this process is now the only one that may start servers here; it does not wait for a living one.

    The lock ends with the process, also when it is killed.
    """
    with (data_dir / "lock").open("ab+") as file:
        deadline = time.monotonic() + _LAST_CHILD_SECONDS
        while not (ours := _lock(file)) and _holder_has_ended(file) and time.monotonic() < deadline:
            time.sleep(0.01)
        if ours:
            file.truncate(0)
            file.write(b"%d\n%s\n" % (os.getpid(), name_of(data_dir)))
            file.flush()
        yield ours


def lock_holder(data_dir: Path) -> str:
    """Return the id of the process that holds the lock, for messages.

    Raises:
        SettingsError: that process locked the directory under another path; it was moved here or hard-linked.
    """
    number, _, name = (data_dir / "lock").read_bytes().rstrip(b"\n").partition(b"\n")
    holder = number.decode(errors="replace") or "unknown"
    if name and name != name_of(data_dir):
        other = os.fsdecode(name.partition(b" ")[2])
        raise SettingsError(f"Process {holder} runs on {data_dir}, which it knows as {other}: stop that process first.")
    return holder


def socket_dir(data_dir: Path) -> Path:
    """Return a private directory whose path is short enough for sockets, and create it if needed; needs the lock.

    It is inside DATA_DIR, or else a temporary one: DATA_DIR stores its path, and it stores DATA_DIR's identity, so that
    a copy of DATA_DIR gets its own.
    """
    if (inside := _inside(data_dir)) is not None:
        inside.mkdir(mode=0o700, exist_ok=True)
        return inside
    if (known := known_socket_dir(data_dir)) is not None:
        return known
    base = Path(tempfile.gettempdir())
    made = Path(tempfile.mkdtemp(prefix="tasklog-", dir=base if _fits(base / "tasklog-xxxxxxxx") else "/tmp"))  # noqa: S108 - private
    (made / "data_dir").write_bytes(name_of(data_dir))
    (data_dir / "sockets.path").write_text(f"{made}\n")
    return made


def known_socket_dir(data_dir: Path) -> Path | None:
    """Return the directory of this DATA_DIR's sockets, or None if there is none or the stored one is another's."""
    if (inside := _inside(data_dir)) is not None:
        return inside if inside.is_dir() else None
    with suppress(OSError, ValueError):
        known = Path((data_dir / "sockets.path").read_text().strip())
        if _is_private(known) and (known / "data_dir").read_bytes() == name_of(data_dir):
            return known
    return None


def running_socket_dir(data_dir: Path) -> Path:
    """Return the socket directory of the process that holds the lock; wait while it creates the directory.

    Raises:
        SettingsError: that process uses a directory with another identity, or has no sockets.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        holder = lock_holder(data_dir)
        if (known := known_socket_dir(data_dir)) is not None:
            return known
        if time.monotonic() > deadline:
            raise SettingsError(
                f"Process {holder} runs on {data_dir}, but has no sockets there: stop it, and try again."
            )
        time.sleep(0.02)


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
        raise SettingsError(f"{file} is empty or not text: delete it; the next start creates a new one.")
    return secret


def make_secret(data_dir: Path) -> str:
    """Return the generated secret; the first start creates it, readable only by its user."""
    with tempfile.NamedTemporaryFile("w", dir=data_dir, prefix="secret-") as file:  # mode 0600
        file.write(secrets.token_urlsafe(48))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            (data_dir / "secret").hardlink_to(file.name)
    return read_secret(data_dir) or make_secret(data_dir)  # once more if somebody has deleted it since


def _lock(file: IO[bytes]) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _holder_has_ended(file: IO[bytes]) -> bool:
    """Return whether the process that took the lock is gone; False if the file does not name one yet."""
    file.seek(0)
    try:
        os.kill(int(file.readline()), 0)
    except ProcessLookupError:
        return True
    except (ValueError, PermissionError):
        return False
    return False


def _inside(data_dir: Path) -> Path | None:
    """Return the directory for sockets inside DATA_DIR, or None if its path does not fit or is a link."""
    inside = data_dir / "sockets"
    return inside if _fits(inside) and not inside.is_symlink() else None


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_SOCKET_DIR and _PLAIN_PATH.fullmatch(str(path)) is not None


def _is_private(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    owners = {os.geteuid()} | ({NOBODY} if os.geteuid() == 0 else set())
    return stat.S_ISDIR(found.st_mode) and found.st_uid in owners and found.st_mode & 0o077 == 0
