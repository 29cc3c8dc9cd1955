"""Data directories with their own servers: what is kept in them, and starts that are refused."""

from __future__ import annotations

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
