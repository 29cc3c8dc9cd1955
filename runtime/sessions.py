"""What a service's session is set to, whatever `ALTER DATABASE … SET` and `ALTER ROLE … SET` say."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

TRANSACTION: Final[dict[str, str]] = {
    # A cached plan that was made on a small table would scan it when it is large.
    "enable_seqscan": "off",
    # Without a scan that is forbidden, an expensive plan is no reason to compile it.
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
"""What a session is given that is not shared. It costs nothing: it travels with the login."""

_WITH_TRANSACTION_TIMEOUT: Final = 17
"""The first version of Postgres that has it: an older one refuses a login that names it."""


_IS_WRITABLE: Final = "SELECT set_config('transaction_read_only', 'off', true)"
"""Changes nothing where the server takes writes; else an error, as no query may come before this change.

So one statement, which returns nothing that needs a look, tells a standby and a read-only database.
"""


class ReadOnlyServerError(Exception):
    """The server is a standby, or its database takes no writes: what it holds may be old."""


async def settle(connection: Any, *, shared: bool) -> None:
    """Set what a login cannot, since not every version knows it, and refuse a server that takes no writes.

    Raises:
        ReadOnlyServerError: it takes none.
    """
    own = {} if shared else _of_version(connection)
    await _run(connection, ";".join([*(f"SET {name} = {value}" for name, value in own.items()), _IS_WRITABLE]))


async def begin(connection: Any, shared: dict[str, str], *settings: str, snapshot: bool = False) -> None:
    """Begin a transaction on a server that takes writes; in one round trip.

    `shared` is what it has to set because its session is not its own, `settings` are its further ones. With `snapshot`
    all its statements see the same moment, and it writes nothing.

    Raises:
        ReadOnlyServerError: the server takes none.
    """
    own = TRANSACTION | _of_version(connection) | shared if shared else {}
    after = [*settings, "transaction_read_only = on"] if snapshot else settings
    isolation = "REPEATABLE READ" if snapshot else "READ COMMITTED"
    statements = [
        f"BEGIN ISOLATION LEVEL {isolation}, NOT DEFERRABLE",
        *(f"SET LOCAL {name} = {value}" for name, value in own.items()),
        _IS_WRITABLE,
        *(f"SET LOCAL {setting}" for setting in after),
    ]
    await _run(connection, ";".join(statements))


def check_reported(connection: Any) -> None:
    """Refuse what was read in a session that has turned read-only: the server reports that with the answer.

    Raises:
        ReadOnlyServerError: it has.
    """
    if connection.get_settings().default_transaction_read_only != "off":
        raise ReadOnlyServerError


async def _run(connection: Any, statements: str) -> None:
    try:
        await connection.execute(statements)
    except asyncpg.ActiveSQLTransactionError:
        raise ReadOnlyServerError from None


def _of_version(connection: Any) -> dict[str, str]:
    known = connection.get_server_version().major >= _WITH_TRANSACTION_TIMEOUT
    return {"transaction_timeout": "0"} if known else {}
