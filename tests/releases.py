"""An earlier release, unpacked from the repository, and its processes beside those of this code."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.machine import free_port, go_without
from tests.servers import SECRET, Database, eventually

RELEASE_1_0: Final = "1d14715"
_HERE: Final = Path(__file__).parents[1]
_SECONDS: Final = 120


def unpacked(commit: str, directory: Path) -> Path:
    """Unpack the code of a commit into a directory, and return the directory."""
    if not (_HERE / ".git").exists():
        go_without("earlier release", "this is no clone of the repository")
    archive = subprocess.run(["git", "-C", str(_HERE), "archive", commit], capture_output=True, check=False)
    if archive.returncode:
        pytest.fail(f"Commit {commit} of an earlier release is not in this clone: run git fetch --unshallow.")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(directory, filter="data")
    return directory


@dataclass(kw_only=True)
class Release:
    """The code of one release, and its processes on a database."""

    code: Path
    database: Database
    redis_url: str
    log: Path
    knows_fields: bool
    """Whether it knows the fields that joined after release 1.0."""
    write_url: str = ""
    read_url: str = ""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def migrate(self) -> None:
        """Migrate the database to this release's schema."""
        migration = self._start("migrate", {"DATABASE_URL": self.database.owner, **self.database.service_urls})
        assert migration.wait(_SECONDS) == 0, self.log.read_text()
        self._processes.remove(migration)

    def start(self) -> None:
        """Start the three services, each with its own login; return once both APIs answer."""
        ports = free_port(), free_port()
        self.write_url, self.read_url = (f"http://127.0.0.1:{port}" for port in ports)
        urls = self.database.service_urls
        for command, name, port in (
            ("projector", "PROJECTOR_DATABASE_URL", 0),
            ("command-api", "COMMAND_DATABASE_URL", ports[0]),
            ("read-api", "READ_DATABASE_URL", ports[1]),
        ):
            self._start(command, {name: urls[name], "API_PORT": str(port)})
        with httpx.Client() as http:
            for url in (self.write_url, self.read_url):
                eventually(partial(self._answers, http, url), _SECONDS)

    def stop(self) -> None:
        """End the processes as an operator does, and wait for them."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        self._processes.clear()

    def assert_running(self) -> None:
        """Fail if one of the processes has ended."""
        for process in self._processes:
            assert process.poll() is None, f"{process.args!r} ended:\n{self.log.read_text()}"

    def _start(self, command: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        settings = {"BETTER_AUTH_SECRET": SECRET, "REDIS_URL": self.redis_url, "PYTHONDONTWRITEBYTECODE": "1"}
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tasklog", command],
                cwd=self.code,
                env={**inherited, **settings, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._processes.append(process)
        return process

    def _answers(self, http: httpx.Client, url: str) -> bool:
        self.assert_running()
        with suppress(httpx.TransportError):
            return bool(http.get(f"{url}/health").json()["status"] == "healthy")
        return False


@contextmanager
def releases(database: Database, redis_url: str, directory: Path) -> Iterator[tuple[Release, Release]]:
    """Yield release 1.0 and this code on one database, both not started yet; end both afterwards."""
    old_code = unpacked(RELEASE_1_0, directory / "release-1.0")
    with ExitStack() as stack:
        made = []
        for name, code in (("old", old_code), ("new", _HERE)):
            log = directory / f"{name}.log"
            release = Release(
                code=code, database=database, redis_url=redis_url, log=log, knows_fields=code is not old_code
            )
            stack.callback(release.stop)
            made.append(release)
        yield made[0], made[1]
