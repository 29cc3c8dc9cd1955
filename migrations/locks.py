"""How a migration waits for locks: only an instant at a time, but again and again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from runtime.refusals import causes
from runtime.settings import SettingsError

PATIENCE_SECONDS = 600.0
"""A migration gives up if it does not get its locks for this long, in seconds."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 3.0

SETTINGS: Final = """
    -- While the migration waits for a table, readers of that table queue behind it, so it waits at most this long.
    SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN '200ms' WHEN 'search_path' THEN 'pg_catalog, pg_temp'
                            ELSE '0' END, true)
    FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout', 'transaction_timeout', 'search_path',
                                    'idle_in_transaction_session_timeout')
"""
ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(7461636531)"
_HOLDERS: Final = """
    -- Sessions that have held a lock on a table of Tasklog for over a second.
    SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), 'a session without a name') AS name
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_stat_activity a USING (pid)
    WHERE l.granted AND c.relnamespace = to_regnamespace('tasklog') AND a.datname = current_database()
      AND a.pid <> pg_backend_pid() AND (a.xact_start IS NULL OR a.xact_start < now() - interval '1 second')
    ORDER BY a.pid LIMIT 3
"""
_CATALOG_CHANGES: Final = (
    "tuple concurrently",
    "cache lookup failed",
    "could not open relation",
    "could not find tuple",
)


async def with_patience(connection: Any, tell: Callable[[str], None], work: Callable[[], Awaitable[None]]) -> None:
    """Do one transaction's work; on locks or concurrent changes of the catalog, try again.

    Raises:
        SettingsError: this went on for too long.
    """
    deadline, pause, told = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE, False
    while True:
        try:
            return await work()
        except Exception as error:
            if not _passes(error):
                raise
            if time.monotonic() > deadline:
                message = (
                    f"The migration could not get its locks for {PATIENCE_SECONDS:.0f} s, as "
                    f"{await _holders(connection)} held them: end that or wait for it, and run ./run migrate again."
                )
                raise SettingsError(message) from None
            if not told and pause > _FIRST_PAUSE:
                tell(f"The migration waits for {await _holders(connection)}; nobody has to wait for it meanwhile.")
                told = True
        await asyncio.sleep(pause * random.uniform(0.7, 1))  # noqa: S311 - so that two migrations do not collide again
        pause = min(2 * pause, _LONGEST_PAUSE)


def _passes(error: BaseException) -> bool:
    """Return whether an error is caused by what others are doing at the moment, so that trying again can help."""
    for cause in causes(error):
        if isinstance(
            cause, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError | asyncpg.SerializationError
        ):
            return True
        if isinstance(cause, asyncpg.UniqueViolationError) and cause.schema_name == "pg_catalog":
            return True  # two databases of one server migrate and create the same role
        if isinstance(cause, asyncpg.InternalServerError):
            return any(words in str(cause) for words in _CATALOG_CHANGES)
    return False


async def _holders(connection: Any) -> str:
    """Return who holds the locks: application names, such as pg_dump or psql, and processes."""
    rows = await connection.fetch(_HOLDERS)
    return " and ".join(f"{row['name']} (process {row['pid']})" for row in rows) or "another migration"
