"""Any refusal of a database, at a start, in a migration or in an operator's command, is told in one sentence.

Seen to fail on release 1.0.0, where most of these end in a traceback, or name something else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.pgbouncer import PgBouncer
from tests.servers import SECRET, Database, Servers

COMMANDS: Final = ("migrate", "status", "command-api", "projector")
URLS: Final = {
    "command-api": "COMMAND_DATABASE_URL",
    "read-api": "READ_DATABASE_URL",
    "projector": "PROJECTOR_DATABASE_URL",
}


def ran(database: Database, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this code; a service has its own URL, the others the owner's."""
    name = URLS.get(command, "DATABASE_URL")
    url = database.service_urls.get(name, database.owner)
    pooler = database.pooler if command in URLS else "auto"
    return subprocess.run(
        [sys.executable, "-m", "tasklog", command],
        env={**os.environ, "BETTER_AUTH_SECRET": SECRET, name: url, "DATABASE_POOLER": pooler, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return what it said when it failed: one line on stderr, nothing on stdout, no password."""
    assert done.returncode in (1, 78), done
    assert (done.stdout, done.stderr.count("\n")) == ("", 1), done
    assert "password-of-the-tests" not in done.stderr
    return done.stderr.strip()


@contextmanager
def created_database(servers: Servers, options: str) -> Iterator[Database]:
    name = f"tasklog_refusing_{os.getpid()}"
    servers.execute(f"CREATE DATABASE {name} {options}")
    try:
        yield servers.database(name)
    finally:
        servers.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("command", "encoding"), [*((command, "LATIN1") for command in COMMANDS), ("migrate", "SQL_ASCII")]
)
def test_a_database_of_another_encoding_is_refused_by_name(servers: Servers, command: str, encoding: str) -> None:
    with created_database(servers, f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0") as database:
        said = sentence(ran(database, command))
    assert f"encoding {encoding}" in said
    assert "ENCODING 'UTF8'" in said


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
@pytest.mark.parametrize("command", ["command-api", "read-api", "projector"])
def test_a_service_that_may_not_connect_is_told_so(
    servers: Servers, database: Database, pgbouncer: PgBouncer, command: str, pooled: bool
) -> None:
    servers.execute(f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC")
    reached = pgbouncer.through(database) if pooled else database
    said = sentence(ran(reached, command))
    assert "CONNECT" in said
    assert "./run migrate" in said


def test_a_migration_lets_the_services_connect_again(servers: Servers, database: Database) -> None:
    servers.execute(f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC")
    migrated = ran(database, "migrate", **database.service_urls)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    for role in ("writer", "projector", "reader"):
        rows = database.execute(f"SELECT has_database_privilege('tasklog_{role}', current_database(), 'CONNECT')")
        assert rows[0][0] is True, role


@pytest.mark.parametrize("command", COMMANDS)
def test_the_schema_of_a_newer_version_is_told_by_every_command_that_cannot_use_it(
    database: Database, command: str
) -> None:
    database.execute("UPDATE tasklog.alembic_version SET version_num = '9999'")
    database.execute("COMMENT ON SEQUENCE tasklog.task_ids IS 'tasklog 0123456789ab at 9999 for 9998'")
    said = sentence(ran(database, command))
    assert "newer version of Tasklog (revision 9999" in said


@pytest.mark.parametrize("command", ["migrate", "command-api", "projector"])
def test_a_read_only_database_is_told(servers: Servers, database: Database, command: str) -> None:
    servers.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    assert "default_transaction_read_only" in sentence(ran(database, command))


@pytest.mark.parametrize("command", ["migrate", "status", "verify"])
def test_settings_of_the_database_hold_up_no_command(servers: Servers, database: Database, command: str) -> None:
    """A session sets its transaction_timeout only after the login, for which a busy machine may need some time."""
    version = int(database.execute("SHOW server_version_num")[0][0]) // 10_000
    settings = {
        "statement_timeout": "50ms",
        "idle_in_transaction_session_timeout": "50ms",
        "lock_timeout": "50ms",
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
        **({"transaction_timeout": "2s"} if version >= 17 else {}),
    }
    for name, value in settings.items():
        servers.execute(f"ALTER DATABASE {database.name} SET {name} = '{value}'")
    done = ran(database, command)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "state", "words"),
    [
        ("status", "XX001", "damaged"),
        ("status", "0A000", "SQLSTATE 0A000"),
        ("verify", "53100", "disk is full"),
        ("verify", "0A000", "SQLSTATE 0A000"),
    ],
)
def test_an_error_of_the_database_in_the_midst_of_a_command_is_one_sentence(
    database: Database, command: str, state: str, words: str
) -> None:
    """A policy of the table raises the error, because no test may fill up a disk."""
    database.execute(
        "CREATE FUNCTION public.failing() RETURNS boolean LANGUAGE plpgsql STABLE AS"
        f" $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = 'secret words'; END $$"
    )
    database.execute("INSERT INTO tasklog.streams (user_id, head, hash, recorded_at) VALUES ('alice', 0, '', now())")
    database.execute("ALTER TABLE tasklog.streams ENABLE ROW LEVEL SECURITY")
    database.execute("CREATE POLICY failing ON tasklog.streams USING (public.failing())")
    said = sentence(ran(database, command))
    assert words in said
    assert "secret words" not in said
