"""The directory of the embedded Postgres: how it is made, and what a killed server left in it."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasklog.embedded.child import RunAs

_BUILTIN_LOCALE_SINCE = 17
_ORPHAN_SECONDS = 10
_DEAD_PROCESS = 4194305  # above the largest process id of any system


def version_of(cluster: Path) -> int | None:
    """Return the major version of Postgres that made the cluster, None where there is no cluster yet."""
    try:
        return int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None


def make_cluster(cluster: Path, programs: Path, version: int, run_as: RunAs, owner: int) -> None:
    """Run initdb. The directory gets its name when it is whole, so a start killed half-way leaves no broken one."""
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


def retire_old_server(cluster: Path, pause: Callable[[float], object]) -> None:
    """See to it that what an earlier server left in `postmaster.pid` does not stop the next one.

    A server still running is an orphan, because this process holds the lock of the directory: it is stopped.
    If another process has the number by now, Postgres would take that for a server: the number becomes one that
    no process has, and the rest stays, by which Postgres sees whether the old server's memory is still in use.
    """
    file = cluster / "postmaster.pid"
    try:
        number, rest = file.read_text().split("\n", 1)
        process = int(number)
    except (FileNotFoundError, ValueError):
        return
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while str(cluster) in _command_of(process) and time.monotonic() < deadline:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGQUIT)
        pause(0.05)
    if file.exists():
        file.write_text(f"{_DEAD_PROCESS}\n{rest}")


def plain_environment() -> dict[str, str]:
    """Return an environment without the PG* variables, which the servers' programs would obey."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _command_of(process: int) -> str:
    if sys.platform == "linux":
        with suppress(OSError):
            return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
        return ""
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(process)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - a fixed one
