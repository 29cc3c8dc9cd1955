"""Finding out whether a pooler in transaction mode is in between, where neither the URL nor a setting tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import asyncpg
import structlog

from runtime.database_url import Address
from runtime.refusals import refusal

_SECONDS: Final = 10
_SENT: Final = "54321ms"
"""What the session is asked to have as its lock_timeout. Nobody else has it."""

_OF_POOLERS: Final = (
    asyncpg.ProtocolViolationError,  # PgBouncer refuses most parameters of a login
    asyncpg.InvalidSQLStatementNameError,  # another session than the one that prepared the statement
    asyncpg.DuplicatePreparedStatementError,
)

_REFUSED: Final = (
    OSError,
    TimeoutError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

log = structlog.get_logger()


async def settled(where: Address, setting: str) -> Address:
    """Return the address with `pooled` as it is: a login whose parameters do not arrive is a pooler's.

    Raises:
        SettingsError: nobody can log in there.
    """
    if where.certain:
        return where
    pooled = False
    try:
        connection = await asyncpg.connect(
            where.url,
            ssl=where.tls,
            timeout=_SECONDS,
            command_timeout=_SECONDS,
            server_settings={"lock_timeout": _SENT, "statement_timeout": "0"},
        )
        try:
            pooled = await connection.fetchval("SHOW lock_timeout") != _SENT
        finally:
            connection.terminate()
    except _OF_POOLERS:
        pooled = True
    except _REFUSED as error:
        raise refusal(setting, error) from None
    if pooled:
        log.info("a pooler in transaction mode was found: set DATABASE_POOLER=yes to skip this check")
    return replace(where, pooled=pooled, certain=True)
