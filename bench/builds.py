"""Builds of Tasklog: this one, and an earlier commit's, unpacked beside it with the packages that it names."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """The code of a commit, and a Python that has its packages."""

    commit: str
    code: Path
    python: Path

    def module(self, *arguments: str) -> list[str]:
        """Return the command that runs one of its modules."""
        return [str(self.python), "-m", *arguments]

    @property
    def env(self) -> Mapping[str, str]:
        """What the environment must hold so that its code is imported, wherever it is started."""
        return {"PYTHONPATH": str(self.code), "PYTHONSAFEPATH": "1"}


THIS: Final = Build(commit="this", code=_ROOT, python=Path(sys.executable))


def earlier(commit: str, directory: Path) -> Build:
    """Unpack a commit into the directory, and install its packages there as its own `./run` does."""
    found = _git("rev-parse", "--short", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    if found is None:
        raise SystemExit(f"There is no commit {commit} in this clone: name another, or run git fetch --unshallow.")
    short, code = found.decode().strip(), directory / "earlier"
    archive = _git("archive", short)
    assert archive is not None
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(code, filter="data")
    print(f"Installing the packages of {short} ...", flush=True)
    base = Path(sys.executable).resolve()  # the same Python for both builds
    install = ["sh", "./run", "install-locked", "embedded", str(base)]
    done = subprocess.run(install, cwd=code, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The packages of {short} could not be installed: {done.stderr.strip()[-500:]}")
    return Build(commit=short, code=code, python=code / ".venv/bin/python")


def _git(*arguments: str) -> bytes | None:
    done = subprocess.run(["git", "-C", str(_ROOT), *arguments], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None
