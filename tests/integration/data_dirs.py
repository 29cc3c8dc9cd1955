"""Data directories with their own servers: what is kept in them, commands on them, and starts that are refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from runtime.settings import SettingsError
from tasklog.embedded.postgres import Postgres
from tests.servers import run_async

MakeDataDir = Callable[[str], Path]
_REFUSED_SECONDS = 15


def execute(postgres: Postgres, statement: str) -> object:
    async def run() -> object:
        connection = await asyncpg.connect(postgres.url())
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return run_async(run())


def keep(postgres: Postgres, text: str) -> None:
    execute(postgres, "CREATE TABLE IF NOT EXISTS kept (text text)")
    execute(postgres, f"INSERT INTO kept VALUES ('{text}')")


def kept(postgres: Postgres) -> object:
    return execute(postgres, "SELECT string_agg(text, ' ' ORDER BY text) FROM kept")


def tasklog(data_dir: Path, *command: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a data directory."""
    return subprocess.run(
        [sys.executable, "-m", "tasklog", *map(str, command)],
        env={**os.environ, "DATA_DIR": str(data_dir), **env},
        capture_output=True,
        text=True,
        check=False,
    )


def only_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a refused command said, which is one sentence."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@contextmanager
def refused_at_once(*words: str) -> Iterator[None]:
    """Expect one sentence with these words, soon."""
    began = time.monotonic()
    with pytest.raises(SettingsError) as caught:
        yield
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert time.monotonic() - began < _REFUSED_SECONDS
