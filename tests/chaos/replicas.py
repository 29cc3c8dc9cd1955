"""More operations on a primary and its standby than tests/standby.py has: synchronous mode, demotion, freezing."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any, Final

import asyncpg

from tasklog.embedded.postgres import Postgres
from tests.machine import children_of
from tests.servers import eventually, run_async

_IS_SYNCHRONOUS: Final = "SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"


def be_synchronous(primary: Postgres) -> None:
    """Make every commit of the primary wait until its standby has it on disk; return when that is in effect."""
    configure(primary, synchronous_standby_names="*")
    eventually(lambda: execute(primary, _IS_SYNCHRONOUS))


def demote(old: Postgres, new: Postgres) -> None:
    """Start a primary that was shut down cleanly as the standby of the new one."""
    where = f"host={new._sockets} port=5432 user=postgres"
    with (old._cluster / "postgresql.auto.conf").open("a") as file:
        file.write(f"primary_conninfo = '{where}'\nsynchronous_standby_names = ''\n")
    (old._cluster / "standby.signal").touch()
    old.start()


def configure(server: Postgres, **settings: str) -> None:
    """Change settings of postgresql.conf in the running server, also for open sessions."""
    for name, value in settings.items():
        execute(server, f"ALTER SYSTEM SET {name} = '{value}'")
    execute(server, "SELECT pg_reload_conf()")
    eventually(lambda: all(_shown(server, name) == value for name, value in settings.items()))


def send_all(server: Postgres, number: signal.Signals) -> None:
    """Send a signal to every process of a server: SIGSTOP freezes it, SIGKILL ends it like a lost machine."""
    assert server.process is not None
    for process in (server.process.pid, *children_of(server.process.pid)):
        with suppress(ProcessLookupError):  # a session may end meanwhile
            os.kill(process, number)


def execute(server: Postgres, statement: str, *args: object) -> list[Any]:
    """Run a statement as the superuser in the database `tasklog`, and return its rows."""

    async def run() -> list[Any]:
        connection = await asyncpg.connect(server.url(), timeout=30)
        try:
            return list(await connection.fetch(statement, *args))
        finally:
            await connection.close()

    return run_async(run())


def _shown(server: Postgres, name: str) -> str:
    return str(execute(server, f"SHOW {name}")[0][0])
