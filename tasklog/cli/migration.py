"""Migrates a database to the schema of this version: that of DATABASE_URL, or the embedded one."""

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
    """Migrate the database to this version's schema."""
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        upgrade(url, settings.service_urls, pooler=settings.database_pooler, task_ids=settings.task_ids, tell=_tell)
        return
    if settings.service_urls:
        raise SettingsError("DATABASE_URL is not set: set it, as the services' own URLs are not enough to migrate.")
    with embedded_postgres(settings.data_dir) as postgres:
        upgrade(postgres.url(), list(service_urls(postgres).values()), task_ids=settings.task_ids)


def prepare(settings: Settings, embedded_owner_url: str | None) -> None:
    """Refuse settings that no service could start with, then migrate, unless it is a given database in production."""
    if embedded_owner_url is not None:
        with suppress(NewerSchemaError):  # a newer schema may serve this version too: the services check that
            upgrade(embedded_owner_url, settings.service_urls, task_ids=settings.task_ids, tell=_tell)
        return
    from tokens.verifier import token_rules  # noqa: PLC0415 - half a second, only needed for a given database

    token_rules(settings)
    if settings.environment == "development" and settings.database_url is not None:
        with suppress(NewerSchemaError):
            migrate(settings)
    asyncio.run(_check_services(settings))


def _tell(text: str) -> None:
    typer.echo(text, err=True)


async def _check_services(settings: Settings) -> None:
    """Check logins and schema once here, as every service would check them at its start."""
    for role in URL_OF_ROLE:
        async with open_database(settings, role):
            pass
