"""The data directory of the embedded Postgres: how it is created, and how leftovers of a killed server are removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.settings import SettingsError
from tasklog.embedded.child import spawn
from tasklog.embedded.listening import is_listened_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasklog.embedded.child import RunAs

_BUILTIN_LOCALE_SINCE = 17
_ORPHAN_SECONDS = 10
_DEAD_PROCESS = 4194305  # above the largest process id of any system


def version_of(cluster: Path) -> int | None:
    """Return the major version of Postgres that made the cluster, or None if there is no cluster yet."""
    try:
        return int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def make_cluster(cluster: Path, programs: Path, version: int, run_as: RunAs, owner: int) -> None:
    """Run initdb. The directory is renamed when complete, so a start that was killed leaves no broken one."""
    unfinished = cluster.with_name("postgres.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    os.chown(unfinished, owner, -1)
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if version >= _BUILTIN_LOCALE_SINCE else []
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", *locale, "--no-instructions"]
    initdb = spawn(
        [programs / "initdb", f"--pgdata={unfinished}", *options],
        run_as=run_as,
        env=plain_environment(),
        output=subprocess.PIPE,
    )
    _, errors = initdb.communicate()
    if initdb.returncode != 0:
        lines = errors.decode(errors="replace").splitlines()
        reason = next((line for line in lines if "error" in line or "FATAL" in line), "no reason given")
        raise SettingsError(f"Postgres could not make its directory {cluster}: {reason}.")
    unfinished.rename(cluster)


def hold(cluster: Path) -> int:
    """Lock the cluster for this process, and return the lock's file descriptor: two DATA_DIRs may link to one cluster.

    Raises:
        SettingsError: another process has locked it.
    """
    descriptor = os.open(cluster, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        message = f"Another process runs the Postgres in {cluster.resolve()}: stop it, or set another DATA_DIR."
        raise SettingsError(message) from None
    return descriptor


def retire_old_server(cluster: Path, pause: Callable[[float], object]) -> None:
    """Make sure that the `postmaster.pid` of an earlier server does not prevent a start.

    A running server of this very cluster is an orphan, because this process holds its lock: it is stopped. Any other
    process is left alone: its id is in the file by chance, or came with a copy. Postgres would take it for a server, so
    the id is replaced by one that no process has. The rest of the file stays: from it Postgres sees whether the old
    server's memory is still in use.

    Raises:
        SettingsError: the orphan does not end.
    """
    file = cluster / "postmaster.pid"
    try:
        number, rest = file.read_text(errors="surrogateescape").split("\n", 1)
        process = int(number)
    except (FileNotFoundError, ValueError):
        return
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while _is_server_of(cluster, process):
        if time.monotonic() > deadline:
            raise SettingsError(f"An earlier Postgres (process {process}) still works in {cluster}: end it first.")
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGQUIT)
        pause(0.05)
    if file.exists():
        file.write_text(f"{_DEAD_PROCESS}\n{rest}", errors="surrogateescape")


def clear_socket(file: Path) -> None:
    """Remove the socket of a killed server, and its lock file, whose process id may belong to another process by now.

    Raises:
        SettingsError: a server still listens there.
    """
    if is_listened_at(file):
        raise SettingsError(f"Another server answers at {file}: stop it, or set another DATA_DIR.")
    for left in (file, file.with_name(f"{file.name}.lock")):
        left.unlink(missing_ok=True)


def plain_environment() -> dict[str, str]:
    """Return an environment without PG* variables, because Postgres's programs would use them."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _is_server_of(cluster: Path, process: int) -> bool:
    """Return whether a process is a Postgres that works in this directory, whatever path it was started with."""
    if sys.platform == "linux":
        with suppress(OSError):
            of_process = Path(f"/proc/{process}")
            program = (of_process / "cmdline").read_bytes().split(b"\0", 1)[0]
            return program.rpartition(b"/")[2] == b"postgres" and (of_process / "cwd").samefile(cluster)
        return False
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(process)]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - a fixed one
    return f"/postgres -D {cluster} -c " in found
