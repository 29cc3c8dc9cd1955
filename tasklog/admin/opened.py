"""Opens the admin port of a process beside its work. Without ADMIN_PORT nothing is opened, and nothing imported."""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from tasklog.serving.listener import listen, url_of

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from redis.asyncio import Redis

    from runtime.database import Database
    from runtime.settings import Settings
    from tasklog.admin.port import Answering

T = TypeVar("T")

COMMAND_API: Final = "command_api"
READ_API: Final = "read_api"
GATEWAY: Final = "gateway"
PROJECTOR: Final = "projector"

log = structlog.get_logger()


@asynccontextmanager
async def beside_api(
    settings: Settings,
    service: str,
    opened: AbstractAsyncContextManager[T],
    worker: int | None = None,
    inherited: socket.socket | None = None,
) -> AsyncIterator[T]:
    """Open an API, and the admin port of its process, by the listening socket of its supervisor if there is one.

    Raises:
        SettingsError: the admin port cannot be opened.
    """
    async with opened as app:
        if settings.admin_port is None:
            yield app
            return
        from runtime.readiness import reason_not_ready
        from runtime.redis_client import open_redis
        from tasklog.admin import figures
        from tasklog.admin.reports import Process, reporting
        from tasklog.admin.routes import answering

        sources = [figures.of_every_process(service), figures.of_requests]
        sources += [figures.of_commands] if service in (COMMAND_API, GATEWAY) else []
        sources += [figures.of_reads] if service in (READ_API, GATEWAY) else []
        with _serving(settings, service, answering(sources, reason_not_ready), inherited) as port:
            kind = Process(service=service, worker=worker, port=port)
            async with open_redis(settings) as redis, reporting(redis, kind, figures.counted_requests):
                yield app


@asynccontextmanager
async def beside_projector(
    settings: Settings,
    worker: int | None,
    inherited: socket.socket | None,
    database: Database,
    redis: Redis | None,
) -> AsyncIterator[None]:
    """Open the admin port of a projector, by the listening socket of its supervisor if there is one.

    Raises:
        SettingsError: it cannot be opened.
    """
    if settings.admin_port is None:
        yield
        return
    from projector.lag import late_reason
    from runtime.readiness import reason_not_ready
    from runtime.redis_client import cancelled
    from tasklog.admin import figures
    from tasklog.admin.history import History
    from tasklog.admin.ledger_facts import FactReader
    from tasklog.admin.ledger_figures import of_ledger
    from tasklog.admin.operators_page import OperatorsPage
    from tasklog.admin.reports import Process, reporting
    from tasklog.admin.routes import answering

    async def reason() -> str | None:
        return await reason_not_ready() or await late_reason(database)

    facts = FactReader(database, redis)
    sources = [figures.of_every_process(PROJECTOR), figures.of_projection, of_ledger(facts)]
    history = History(facts)
    page = OperatorsPage(database, facts, history, reason)
    answers = answering(sources, reason, page.reads(), page.writes())
    with _serving(settings, PROJECTOR, answers, inherited) as port:
        kind = Process(service=PROJECTOR, worker=worker, port=port)
        async with reporting(redis, kind, figures.counted_events):
            sampling = asyncio.create_task(history.sample_forever())
            try:
                yield
            finally:
                await cancelled(sampling)


@contextmanager
def _serving(settings: Settings, service: str, answers: Answering, inherited: socket.socket | None) -> Iterator[int]:
    """Serve the admin port while the block runs, and yield its number."""
    from tasklog.admin.port import serving

    listener = inherited or listen(settings.admin_host, settings.admin_port or 0, "ADMIN")
    log.info("the admin port is open", service=service, url=url_of(listener))
    port: int = listener.getsockname()[1]
    with serving(listener, answers):
        yield port
