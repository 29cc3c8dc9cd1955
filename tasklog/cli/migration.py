"""Gives a database the schema of this version: that of DATABASE_URL, or the embedded one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from migrations import NewerSchemaError, upgrade
from runtime.database import open_database
from runtime.database_url import URL_OF_ROLE
from runtime.settings import SettingsError
from tasklog.embedded import embedded_postgres, service_urls

if TYPE_CHECKING:
    from runtime.settings import Settings


def migrate(settings: Settings) -> None:
    """Give the database this version's schema."""
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        upgrade(url, settings.service_urls, pooler=settings.database_pooler, tell=_tell)
        return
    if settings.service_urls:
        raise SettingsError("DATABASE_URL is not set: set it, as the services' own URLs are not enough to migrate.")
    with embedded_postgres(settings.data_dir) as postgres:
        upgrade(postgres.url(), list(service_urls(postgres).values()))


def prepare(settings: Settings, embedded_owner_url: str | None) -> None:
    """Refuse settings that no service could start with, then migrate; a production database is migrated by hand."""
    if embedded_owner_url is not None:
        with suppress(NewerSchemaError):  # which may serve this version's services too: they look for themselves
            upgrade(embedded_owner_url, settings.service_urls, tell=_tell)
        return
    from tokens.verifier import token_rules  # noqa: PLC0415 - half a second that only a given database needs

    token_rules(settings)
    if settings.environment == "development" and settings.database_url is not None:
        with suppress(NewerSchemaError):
            migrate(settings)
    asyncio.run(_check_services(settings))


def _tell(text: str) -> None:
    typer.echo(text, err=True)


async def _check_services(settings: Settings) -> None:
    """Refuse here, once, a login or a schema that every service would refuse at its start."""
    for role in URL_OF_ROLE:
        async with open_database(settings, role):
            pass
