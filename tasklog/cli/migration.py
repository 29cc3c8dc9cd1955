"""Brings a database to the schema of this version: the given one, or the embedded one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from migrations import upgrade
from runtime.database import open_database
from runtime.database_url import URL_OF_ROLE
from tasklog.embedded import embedded_postgres, service_urls

if TYPE_CHECKING:
    from runtime.settings import Settings


def migrate(settings: Settings) -> None:
    """Bring the database to this version's schema."""
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        upgrade(url, _given_service_urls(settings), pooler=settings.database_pooler)
        return
    with embedded_postgres(settings.data_dir) as postgres:
        upgrade(postgres.url(), list(service_urls(postgres).values()))


def prepare(settings: Settings, embedded_owner_url: str | None) -> None:
    """Refuse settings that no service could start with, then migrate; a production database is migrated by hand."""
    if embedded_owner_url is not None:
        upgrade(embedded_owner_url, _given_service_urls(settings))
        return
    from edge.tokens import token_rules  # noqa: PLC0415 - half a second that only a given database needs

    token_rules(settings)
    if settings.environment == "development":
        migrate(settings)
    asyncio.run(_check_services(settings))


async def _check_services(settings: Settings) -> None:
    """Refuse once and here what every service would refuse at its start: its login, another schema."""
    for role in URL_OF_ROLE:
        async with open_database(settings, role):
            pass


def _given_service_urls(settings: Settings) -> list[str]:
    urls = (settings.command_database_url, settings.projector_database_url, settings.read_database_url)
    return [url.get_secret_value() for url in urls if url is not None]
