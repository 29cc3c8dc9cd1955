"""Noticing that READ_DATABASE_URL is a standby, when the URL does not say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg
import structlog
from pydantic import SecretStr

from runtime.connecting import UNREACHABLE
from runtime.database_url import FOR_STANDBY, address, asks_for_standby
from runtime.postgres_url import parse
from runtime.sessions import is_standby

if TYPE_CHECKING:
    from runtime.settings import Settings

_SECONDS: Final = 10

log = structlog.get_logger()


async def noticing_standby(settings: Settings) -> Settings:
    """Return the settings with a READ_DATABASE_URL that asks for a standby, if its only server is one.

    DATABASE_URL must then name the primary. A server that does not answer is left to whoever opens it.

    Raises:
        SettingsError: see `address`.
    """
    own = settings.read_database_url
    if own is None or settings.database_url is None:
        return settings
    url = parse(own.get_secret_value())
    if len(url.hosts) != 1 or asks_for_standby(own.get_secret_value()) or not await _leads_to_standby(settings):
        return settings
    asking = url.written([*url.parameters, FOR_STANDBY])
    log.info("READ_DATABASE_URL is a standby; with target_session_attrs=prefer-standby a start does not need it")
    return settings.model_copy(update={"read_database_url": SecretStr(asking)})


async def _leads_to_standby(settings: Settings) -> bool:
    assert settings.read_database_url is not None
    where = address(settings.read_database_url.get_secret_value(), pooler=settings.database_pooler)
    try:
        connection = await asyncpg.connect(
            where.url, ssl=where.tls, timeout=_SECONDS, command_timeout=_SECONDS, statement_cache_size=0
        )
        try:
            return await is_standby(connection)
        finally:
            connection.terminate()
    except (*UNREACHABLE, asyncpg.PostgresError, ValueError):
        return False
