"""A service session's settings, which override `ALTER DATABASE … SET` and `ALTER ROLE … SET`."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

TRANSACTION: Final[dict[str, str]] = {
    # A plan that was cached while a table was small would scan the table when it has grown.
    "enable_seqscan": "off",
    # With scans off, plans look expensive, and Postgres would compile them for no gain.
    "jit": "off",
}
"""What statements need. Behind a pooler each transaction sets it."""

SESSION: Final[dict[str, str]] = {
    **TRANSACTION,
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "idle_session_timeout": "0",
    "search_path": "pg_catalog, pg_temp",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "row_security": "on",
    "enable_indexscan": "on",
    "enable_indexonlyscan": "on",
    "enable_bitmapscan": "on",
    "enable_nestloop": "on",
    "plan_cache_mode": "auto",
}
"""The settings of a session that is not shared. They cost nothing, as they are sent with the login."""

_WITH_TRANSACTION_TIMEOUT: Final = 17
"""The first Postgres version that has transaction_timeout: older ones refuse a login that sets it."""


_IS_WRITABLE: Final = "SELECT set_config('transaction_read_only', 'off', true)"
"""Fails unless the server accepts writes; changes nothing. It must run before any query of the transaction.

This one statement detects a standby and a read-only database, and its result needs no look.
"""
_IS_STANDBY: Final = "SELECT 1 / pg_is_in_recovery()::integer"
"""Fails on a primary. Its result needs no look either, so that it works behind a pooler without a transaction."""


class ReadOnlyServerError(Exception):
    """The server is a standby, or its database accepts no writes: its data may be old."""


class NoStandbyError(Exception):
    """The server is a primary, where a standby was asked for."""


async def settle(connection: Any, *, shared: bool, standby: bool = False) -> None:
    """Set what a login cannot set on every version, and refuse a server that accepts no writes, or is no standby.

    Raises:
        ReadOnlyServerError: the server accepts no writes.
        NoStandbyError: a standby is asked for, and the server is none.
    """
    own = {} if shared else _of_version(connection)
    check = _IS_STANDBY if standby else _IS_WRITABLE
    await _run(connection, ";".join([*(f"SET {name} = {value}" for name, value in own.items()), check]))


async def is_standby(connection: Any) -> bool:
    """Return whether the server is a standby."""
    try:
        await _run(connection, _IS_STANDBY)
    except NoStandbyError:
        return False
    return True


async def begin(
    connection: Any, shared: dict[str, str], *settings: str, snapshot: bool = False, standby: bool = False
) -> None:
    """Begin a transaction on a server that accepts writes, or on a standby, in one round trip.

    `shared` holds the settings that a shared session (behind a pooler) needs in each transaction; `settings` are
    further ones. With `snapshot` the transaction only reads, and all its statements see the same moment.

    Raises:
        ReadOnlyServerError: the server accepts no writes.
    """
    own = TRANSACTION | _of_version(connection) | shared if shared else {}
    after = [*settings, "transaction_read_only = on"] if snapshot else settings
    isolation = "REPEATABLE READ" if snapshot else "READ COMMITTED"
    statements = [
        f"BEGIN ISOLATION LEVEL {isolation}, NOT DEFERRABLE",
        *(f"SET LOCAL {name} = {value}" for name, value in own.items()),
        *([] if standby else [_IS_WRITABLE]),
        *(f"SET LOCAL {setting}" for setting in after),
    ]
    await _run(connection, ";".join(statements))


def check_reported(connection: Any, *, standby: bool = False) -> None:
    """Discard an answer if the session has become read-only, or the standby was promoted; the server reports both.

    Raises:
        ReadOnlyServerError: the session has become read-only.
        NoStandbyError: the server was a standby, and is one no longer.
    """
    reported = connection.get_settings()
    if standby:
        if reported.in_hot_standby != "on":
            raise NoStandbyError
    elif reported.default_transaction_read_only != "off":
        raise ReadOnlyServerError


async def _run(connection: Any, statements: str) -> None:
    try:
        await connection.execute(statements)
    except asyncpg.ActiveSQLTransactionError:
        raise ReadOnlyServerError from None
    except asyncpg.DivisionByZeroError:
        raise NoStandbyError from None


def _of_version(connection: Any) -> dict[str, str]:
    known = connection.get_server_version().major >= _WITH_TRANSACTION_TIMEOUT
    return {"transaction_timeout": "0"} if known else {}
