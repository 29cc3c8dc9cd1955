"""A pooler in transaction mode that the URL does not show: it is detected at the start, or its setting is named.

Seen to fail: on release 1.0.0, where services and `migrate` end with "ProtocolViolationError" or a traceback.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from runtime.database import open_database
from runtime.settings import Settings, SettingsError
from tests.pgbouncer import PgBouncer
from tests.servers import Database as Addresses
from tests.servers import run_async


@pytest.mark.parametrize("role", ["writer", "projector", "reader", "owner"])
def test_a_service_finds_out_by_itself_that_a_pooler_is_in_between(
    database: Addresses, pgbouncer: PgBouncer, role: str
) -> None:
    url = pgbouncer.url(database.owner)

    async def work() -> list[int]:
        settings = Settings(_env_file=None, database_url=url, allow_superuser=True)
        async with open_database(settings, role) as opened:  # type: ignore[arg-type]
            rows = [await opened.fetch("SELECT $1::integer", number) for number in range(20)]
        return [row[0][0] for row in rows]

    assert run_async(work()) == list(range(20))


def test_a_migration_finds_out_by_itself_that_a_pooler_is_in_between(database: Addresses, pgbouncer: PgBouncer) -> None:
    """Twice: the second migration gets the server connection of the first, with its prepared statements."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "tasklog", "migrate"],
            env={**os.environ, "DATABASE_URL": pgbouncer.url(database.owner)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_a_pooler_that_the_settings_deny_is_one_sentence_that_names_the_setting(
    database: Addresses, pgbouncer: PgBouncer
) -> None:
    url = pgbouncer.url(database.owner)

    async def work() -> None:
        settings = Settings(_env_file=None, database_url=url, database_pooler="no", allow_superuser=True)
        async with open_database(settings, "writer"):
            pass

    with pytest.raises(SettingsError, match=r"a pooler.*DATABASE_POOLER") as refused:
        run_async(work())
    assert "\n" not in str(refused.value)


def test_a_direct_connection_is_used_as_one(database: Addresses) -> None:
    """It keeps its prepared statements, which do not work behind a pooler."""

    async def work() -> int:
        settings = Settings(_env_file=None, database_url=database.owner, allow_superuser=True)
        async with open_database(settings, "writer") as opened:
            await opened.fetch("SELECT 42 AS answer")
            rows = await opened.fetch("SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'AS answer'")
        return int(rows[0][0])

    assert run_async(work()) >= 1
