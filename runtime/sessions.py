"""What a service's session is set to, whatever `ALTER DATABASE … SET` and `ALTER ROLE … SET` say."""

from __future__ import annotations

from typing import Any, Final

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


async def complete(connection: Any) -> None:
    """Set what a login cannot, since not every version knows it."""
    for name, value in _of_version(connection).items():
        await connection.execute(f"SET {name} = {value}")


def begin(connection: Any, shared: dict[str, str], *settings: str) -> str:
    """Return the statements that begin a transaction; as one message they take one round trip.

    `shared` is what it has to set because its session is not its own, `settings` are its further ones.
    """
    own = TRANSACTION | _of_version(connection) | shared if shared else {}
    parts = [*(f"{name} = {value}" for name, value in own.items()), *settings]
    return ";".join(["BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE", *(f"SET LOCAL {part}" for part in parts)])


def _of_version(connection: Any) -> dict[str, str]:
    known = connection.get_server_version().major >= _WITH_TRANSACTION_TIMEOUT
    return {"transaction_timeout": "0"} if known else {}
