"""What the projector's process does besides projecting, and how it ends.

Seen to fail: with jobs on the database that projects, with side tasks cancelled only once, with one slice of keys per
hour, and with a failure to remove keys left until the next hour.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from projector import worker
from projector.job_states import Meter, job_states
from projector.jobs import Job, enqueue
from projector.worker import forget_keys
from runtime.database import Database, open_database
from runtime.redis_client import cancelled
from runtime.settings import Settings
from tests.ledger import created, within
from tests.servers import eventually_async

# arq closes its connections in the way of redis-py 4.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")

PROJECTED = "SELECT count(*) FROM tasklog.tasks"


@asynccontextmanager
async def running(settings: Settings, *jobs: Job) -> AsyncIterator[None]:
    """Run the whole process of the projector, which SIGTERM ends."""
    with capture_logs() as logs:
        process = asyncio.create_task(worker._main(settings, jobs, lambda: None, lambda *_: nullcontext()))
        await eventually_async(lambda: process.done() or {"event": "projecting", "log_level": "info"} in logs)
        yield
        os.kill(os.getpid(), signal.SIGTERM)
        await within(20, process)


async def take_everything(database: Database, _: Meter) -> Mapping[str, Any]:
    """Take all available connections until something is projected; return the time limit of its statements."""
    async with AsyncExitStack() as stack:
        for _connection in range(8):
            connection = await stack.enter_async_context(database.transaction())
        await eventually_async(lambda: connection.fetchval(PROJECTED))
        return {"statement_timeout": await connection.fetchval("SHOW statement_timeout")}


TAKE = Job(name="take", run=take_everything)


async def test_a_job_may_take_its_time_and_takes_no_connection_that_projects(
    settings: Settings, writer: Database, redis_url: str
) -> None:
    async with (
        running(settings, TAKE),
        Redis.from_url(redis_url) as redis,
    ):
        await enqueue(redis_url, "take", {})
        await eventually_async(lambda: _is(redis, "running"))
        await created(writer, "alice")
        await eventually_async(lambda: _is(redis, "done"))
        (state,) = await job_states(redis)
    assert state.result == {"statement_timeout": "54min"}


async def _is(redis: Redis, state: str) -> bool:
    return [known.state for known in await job_states(redis)] == [state]


async def test_a_side_task_that_did_not_hear_of_the_end_is_told_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hard_of_hearing(*_: object) -> None:
        """Ignore one cancellation, as redis-py 5.3 sometimes does."""
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    monkeypatch.setattr(worker, "listen_forever", hard_of_hearing)
    async with running(settings, TAKE):
        pass


KEYS = """
    INSERT INTO tasklog.idempotency_keys (user_id, key, fingerprint, task_id, version, recorded_at)
    SELECT 'alice', age, '', 1, 1, now() - age * interval '1 hour' FROM generate_series(1, 60) AS age
"""
AGES = "SELECT array_agg(key::integer ORDER BY key::integer) FROM tasklog.idempotency_keys"
YOUNG = [*range(1, 24)]


async def test_old_keys_are_removed_some_at_a_time_until_none_is_left_also_after_a_failure(
    settings: Settings, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "KEYS_AT_ONCE", 10)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.1)
    await owner.execute(KEYS)
    async with open_database(settings, "projector", seconds=4) as database:
        with capture_logs() as logs:
            async with owner.transaction():
                await owner.execute("LOCK TABLE tasklog.idempotency_keys IN EXCLUSIVE MODE")
                forgetting = asyncio.create_task(forget_keys(database))
                await eventually_async(lambda: logs)
        await eventually_async(lambda: _is_left(owner, YOUNG))
        assert (logs[0]["log_level"], logs[0]["error"]) == ("warning", "LockNotAvailableError")
        await cancelled(forgetting)


async def _is_left(owner: asyncpg.Connection, ages: list[int]) -> bool:
    return bool(await owner.fetchval(AGES) == ages)
