"""Opens the admin port of a process beside its work. Without ADMIN_PORT nothing is opened, and nothing imported."""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from tasklog.serving.listener import listen, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio import Redis

    from runtime.database import Database
    from runtime.settings import Settings
    from tasklog.admin.families import Source
    from tasklog.admin.routes import Ready

T = TypeVar("T")

COMMAND_API: Final = "command_api"
READ_API: Final = "read_api"
GATEWAY: Final = "gateway"
PROJECTOR: Final = "projector"

log = structlog.get_logger()


@asynccontextmanager
async def beside_api(settings: Settings, service: str, opened: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Open an API, and the admin port of its process.

    Raises:
        SettingsError: the admin port cannot be opened.
    """
    async with opened as app:
        if settings.admin_port is None:
            yield app
            return
        from runtime.readiness import reason_not_ready
        from tasklog.admin import figures

        sources = [figures.of_every_process(service), figures.of_requests]
        sources += [figures.of_commands] if service in (COMMAND_API, GATEWAY) else []
        sources += [figures.of_reads] if service in (READ_API, GATEWAY) else []
        with _serving(settings, service, sources, reason_not_ready):
            yield app


@asynccontextmanager
async def beside_projector(settings: Settings, database: Database, redis: Redis | None) -> AsyncIterator[None]:
    """Open the admin port of a projector.

    Raises:
        SettingsError: it cannot be opened.
    """
    if settings.admin_port is None:
        yield
        return
    from projector.lag import late_reason
    from runtime.readiness import reason_not_ready
    from tasklog.admin import figures
    from tasklog.admin.ledger_facts import FactReader
    from tasklog.admin.ledger_figures import of_ledger

    async def reason() -> str | None:
        return await reason_not_ready() or await late_reason(database)

    facts = FactReader(database, redis)
    sources = [figures.of_every_process(PROJECTOR), figures.of_projection, of_ledger(facts)]
    with _serving(settings, PROJECTOR, sources, reason):
        yield


def _serving(settings: Settings, service: str, sources: Sequence[Source], ready: Ready) -> Any:
    from tasklog.admin.port import serving
    from tasklog.admin.routes import answering

    listener = listen(settings.admin_host, settings.admin_port or 0, "ADMIN")
    log.info("the admin port is open", service=service, url=url_of(listener))
    return serving(listener, answering(sources, ready))
