"""The Postgres and Redis that an operator's command uses: those of the settings, or the embedded ones in DATA_DIR."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from runtime.settings import SettingsError, load_settings
from tasklog.cli.conventions import fail, interruptible, show

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from redis.asyncio import Redis

    from runtime.database import Database
    from runtime.database_url import Role
    from runtime.settings import Settings

T = TypeVar("T")


@contextmanager
def operator_settings() -> Iterator[Settings]:
    """Yield the settings with the servers to use: those of the settings, or the embedded ones in DATA_DIR.

    If no embedded Postgres is running, one runs until this context ends. Redis is left out if none is running.
    """
    _log_to_stderr()
    settings = load_settings()
    with ExitStack() as stack:
        found: dict[str, object] = {"allow_superuser": True}  # only services must refuse one
        if settings.database_url is None and settings.projector_database_url is None:
            if settings.service_urls:
                raise SettingsError("DATABASE_URL is not set: set it, as the services' own URLs are not enough here.")
            found["database_url"] = stack.enter_context(_embedded_database(settings))
        if settings.redis_url is None:
            found["redis_url"] = _embedded_redis(settings)
        yield settings.model_copy(update=found)


def on_database(role: Role, work: Callable[[Database], Awaitable[T]], settings: Settings) -> T:
    """Run `work` on the database in a role; end the command on a database error, or if a user has no stream."""
    from event_log.read import NoStreamError
    from runtime.database import OPERATORS_SECONDS, UnavailableError, open_database
    from runtime.refusals import is_database_error, reason_of

    # A replay makes many objects but no cycles: fewer garbage collections save a tenth of its time.
    gc.set_threshold(200_000, 50, 100)

    async def run() -> T:
        async with open_database(settings, role, seconds=OPERATORS_SECONDS) as database:
            return await work(database)

    try:
        with interruptible():
            return asyncio.run(run())
    except NoStreamError as error:
        fail(f"The ledger has no stream of {error}.")
    except Exception as error:
        if not (isinstance(error, UnavailableError) or is_database_error(error)):
            raise
        fail(f"The database could not do the work ({reason_of(error)}): nothing is half done, fix that and try again.")


def on_redis(work: Callable[[Redis], Awaitable[T]], settings: Settings) -> T | None:
    """Run `work` on Redis and return its result; None if there is no Redis or it does not answer."""
    from redis.exceptions import RedisError

    from runtime.redis_client import open_redis

    async def run() -> T | None:
        async with open_redis(settings) as redis:
            return None if redis is None else await work(redis)

    try:
        return asyncio.run(run())
    except (RedisError, OSError):
        return None


def enqueue(settings: Settings, name: str, arguments: Mapping[str, Any], *, as_json: bool) -> None:
    """Queue a job for the projectors and print its id."""
    from projector.jobs import QueueError, enqueue

    if settings.redis_url is None:
        fail("A job in the background needs Redis: set REDIS_URL, or start ./run.")
    try:
        job = asyncio.run(enqueue(settings.redis_url.get_secret_value(), name, arguments))
    except QueueError as error:
        fail(f"Redis cannot take the job ({error}).")
    show({"job": job}, as_json=as_json, text=lambda: f"Job {job} is queued: ./run status shows how far it is.")


@contextmanager
def _embedded_database(settings: Settings) -> Iterator[object]:
    from pydantic import SecretStr

    from tasklog.embedded import embedded_postgres

    if not (settings.data_dir / "postgres").exists():
        raise SettingsError(f"There is no ledger in {settings.data_dir} yet: run ./run migrate, or set DATABASE_URL.")
    with embedded_postgres(settings.data_dir) as postgres:
        yield SecretStr(postgres.url())


def _embedded_redis(settings: Settings) -> object:
    from pydantic import SecretStr

    from tasklog.embedded.data_dir import known_socket_dir, open_data_dir
    from tasklog.embedded.valkey import Valkey

    with suppress(OSError, SettingsError):  # the database may be elsewhere, and this directory not ours
        if settings.data_dir.exists():
            data_dir = open_data_dir(settings.data_dir)
            sockets = known_socket_dir(data_dir)
            if sockets is not None and (valkey := Valkey(data_dir, sockets)).answers():
                return SecretStr(valkey.url)
    return None


def _log_to_stderr() -> None:
    """Log to stderr, because results go to stdout."""
    import logging

    import structlog

    logging.getLogger("arq").setLevel(logging.ERROR)  # the command itself reports what arq warns about
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("error"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
