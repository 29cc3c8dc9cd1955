"""The Postgres and Redis that an operator's command uses: those of the settings, or the embedded ones in DATA_DIR."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from runtime.settings import SettingsError, load_settings
from tasklog.cli.conventions import ExitCode, fail, interruptible, show

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from pydantic import SecretStr
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
    log_to_stderr()
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


def embedded_settings(task: str) -> Settings:
    """Return the settings of a command for the embedded Postgres alone; end the command if they name another one."""
    settings = load_settings()
    if settings.database_url is not None or settings.service_urls:
        fail(f"This is for the embedded Postgres: {task} yours with its tools, see docs/operate.md.")
    return settings


def on_database(role: Role, work: Callable[[Database], Awaitable[T]], settings: Settings) -> T:
    """Run `work` on the database in a role; end the command on a database error, or if a user has no stream."""
    return on_databases(role, work, settings)


def on_databases(role: Role, work: Callable[..., Awaitable[T]], *all_settings: Settings) -> T:
    """Run `work` on the databases of several settings, as `on_database` does with one."""
    from event_log.elsewhere import ArrivingError, ElsewhereError, check_place
    from event_log.read import NoStreamError
    from runtime.database import OPERATORS_SECONDS, UnavailableError, open_database
    from runtime.loops import new_loop
    from runtime.refusals import is_database_error, reason_of

    # A replay makes many objects but no cycles: fewer garbage collections save a tenth of its time.
    gc.set_threshold(200_000, 50, 100)

    async def run() -> T:
        async with AsyncExitStack() as stack:
            databases = [
                await stack.enter_async_context(open_database(settings, role, seconds=OPERATORS_SECONDS))
                for settings in all_settings
            ]
            try:
                return await work(*databases)
            except NoStreamError as error:
                if len(databases) == 1 and role != "eraser":  # who erases may do nothing else
                    await check_place(databases[0], str(error))
                raise

    try:
        with interruptible(), asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(run())
    except NoStreamError as error:
        fail(f"The ledger has no stream of {error}.")
    except ElsewhereError as error:
        fail(f"The user has left this ledger for {error.cell or 'another place'}: ask there.")
    except ArrivingError:
        fail("The user is arriving in this ledger: try again in a moment.")
    except Exception as error:
        if not (isinstance(error, UnavailableError) or is_database_error(error)):
            raise
        fail(f"The database could not do the work ({reason_of(error)}): nothing is half done, fix that and try again.")


def named_url(settings: Settings, given: str) -> tuple[str | None, SecretStr]:
    """Return the name and the URL of a cell: `given` is its name in CELLS, or the URL of a Postgres."""
    from pydantic import SecretStr

    from runtime.settings import is_postgres_url

    cells = settings.cells or {}
    if given in cells:
        return given, cells[given]
    if not is_postgres_url(given):
        known = f" (it has {', '.join(cells)})" if cells else ""
        fail(f"A ledger is named by a Postgres URL, or by its name in CELLS{known}.", ExitCode.USAGE)
    names = (name for name, url in cells.items() if url.get_secret_value() == given)
    return next(names, None), SecretStr(given)


@contextmanager
def ledgers(urls: Sequence[str] | None) -> Iterator[list[tuple[str | None, Settings]]]:
    """Yield the names and settings of the ledgers that `--url` names; without any, that of the settings, unnamed."""
    if not urls:
        with operator_settings() as settings:
            yield [(None, settings)]
        return
    log_to_stderr()
    settings = load_settings().model_copy(update={"allow_superuser": True})
    wanted = list(settings.cells or {}) if urls == ["all"] else urls
    if not wanted:
        fail("There are no cells: set CELLS, or name each Postgres with --url.", ExitCode.USAGE)
    found = [named_url(settings, one) for one in dict.fromkeys(wanted)]
    yield [
        (name or f"ledger {n}", settings_at(settings, url, f"{name} in CELLS" if name else f"ledger {n} of --url"))
        for n, (name, url) in enumerate(found, start=1)
    ]


def settings_at(settings: Settings, url: SecretStr, database: str) -> Settings:
    """Return the settings of a command for the Postgres at a URL alone, which messages call `database`."""
    others: dict[str, object] = dict.fromkeys(("command_database_url", "projector_database_url", "read_database_url"))
    return settings.model_copy(update={**others, "database_url": url, "redis_url": None}).calling_it(database)


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
    from tasklog.embedded.switch import has_ledger

    if not has_ledger(settings.data_dir):
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


def log_to_stderr() -> None:
    """Log to stderr, because results go to stdout."""
    import logging

    import structlog

    logging.getLogger("arq").setLevel(logging.ERROR)  # the command itself reports what arq warns about
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("error"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
