"""Detecting a pooler in transaction mode, when neither the URL nor a setting says whether there is one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import asyncpg
import structlog

from runtime.database_url import Address
from runtime.refusals import refusal

_SECONDS: Final = 10
_SENT: Final = "54321ms"
"""The lock_timeout that the login asks for: an unusual value that no server has by default."""

_OF_POOLERS: Final = (
    asyncpg.ProtocolViolationError,  # PgBouncer refuses most parameters at login
    asyncpg.InvalidSQLStatementNameError,  # the statement was prepared in another session
    asyncpg.DuplicatePreparedStatementError,
)

REFUSED: Final = (
    OSError,
    TimeoutError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

log = structlog.get_logger()


async def settled(where: Address, setting: str) -> Address:
    """Return the address with `pooled` set: if the login's parameters do not arrive, there is a pooler.

    Raises:
        SettingsError: the login failed.
    """
    try:
        return await tried(where)
    except REFUSED as error:
        raise refusal(setting, error) from None


async def tried(where: Address) -> Address:
    """Do the same as `settled`, but raise what the login raises: one of `REFUSED`."""
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
    if pooled:
        log.info("a pooler in transaction mode was found: set DATABASE_POOLER=yes to skip this check")
    return replace(where, pooled=pooled, certain=True)
