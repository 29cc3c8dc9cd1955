"""npm packages that only some tests need, installed from a lock file beside them."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from tests.machine import go_without


def node(what: str) -> str:
    """Return the path of node. Without node, skip the test, or fail if the environment sets `CI`."""
    found = shutil.which("node")
    if found is None:
        go_without(what, "node is not installed")
    return found


def install(folder: Path, what: str) -> None:
    """Install a folder's locked packages, once for all test runs that share it; if that fails, skip the test."""
    npm = shutil.which("npm")
    if npm is None:
        go_without(what, "npm is not installed")
    with (folder / ".gitignore").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        locked, installed = folder / "package-lock.json", folder / "node_modules" / ".locked"
        if installed.exists() and installed.read_bytes() == locked.read_bytes():
            return
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            go_without(what, f"its packages cannot be installed: {done.stderr[-300:]}")
        installed.write_bytes(locked.read_bytes())
