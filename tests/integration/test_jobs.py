"""Operational jobs: queued by the command line, run by a projector, shown by `status`.

Seen to fail: with pickle instead of JSON, without `nightly`, with a job's state left as queued, and with a failing
job's error passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import asyncpg
import orjson
import pytest
from arq import ArqRedis
from redis.asyncio import Redis
from structlog.testing import capture_logs

from audit.export_file import verify_file
from audit.jobs import JOBS
from projector.catch_up import catch_up
from projector.job_states import STATES, JobState, Meter, forget_old, job_states, shown
from projector.jobs import Job, QueueError, _coroutine, enqueue, make_worker, work_forever
from runtime.database import Database
from runtime.redis_client import cancelled
from runtime.settings import Settings
from tests.ledger import Life, tasks_copy, within
from tests.servers import RunningService, eventually_async

# arq closes its connections in the way of redis-py 4.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")

FORGE = "UPDATE tasklog.events SET data = '{\"title\":\"Secret\"}' WHERE user_id = 'user-1' AND position = 1"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def ledger(writer: Database, projector: Database) -> Database:
    for n in range(3):
        await Life(f"user-{n}", seed=1).go_on(writer, 20)
    await catch_up(projector)
    return projector


@asynccontextmanager
async def working(settings: Settings, database: Database) -> AsyncIterator[None]:
    worker = asyncio.create_task(work_forever(settings, database, JOBS))
    try:
        yield
    finally:
        await cancelled(worker)


async def ended(redis: Redis, job: str) -> JobState:
    async def look() -> JobState | None:
        states = [state for state in await job_states(redis) if state.id == job]
        over = states and states[0].state not in {"queued", "running"} and not await redis.keys("arq:in-progress:*")
        return states[0] if over else None

    state: JobState | None = await eventually_async(look)
    assert state is not None
    return state


async def run(settings: Settings, redis: Redis, database: Database, name: str, **arguments: Any) -> JobState:
    assert settings.redis_url is not None
    job = await enqueue(settings.redis_url.get_secret_value(), name, arguments)
    assert [state.state for state in await job_states(redis)] == ["queued"]
    async with working(settings, database):
        return await ended(redis, job)


async def test_a_verify_job_tells_that_all_is_right(settings: Settings, redis: Redis, ledger: Database) -> None:
    state = await run(settings, redis, ledger, "verify")
    assert (state.state, state.done, state.total) == ("done", 60, 60)
    assert state.result is not None
    assert (state.result["fault_count"], state.result["streams"]) == (0, 3)
    assert state.rate


async def test_a_verify_job_shows_and_logs_every_fault_without_anybodys_text(
    settings: Settings, redis: Redis, ledger: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute(FORGE)
    with capture_logs() as logs:
        state = await run(settings, redis, ledger, "verify", user_id="user-1")
    assert state.result is not None
    ((user, position),) = [(fault["user_id"], fault["position"]) for fault in state.result["faults"]]
    assert (user, position, state.result["fault_count"]) == ("user-1", 1, 1)
    (error,) = [entry for entry in logs if entry["log_level"] == "error"]
    assert (error["event"], error["user_id"], error["position"]) == ("the ledger has a fault", "user-1", 1)
    assert "Secret" not in str(logs) + str(await cast(Awaitable[Any], redis.hgetall(STATES)))


async def test_a_rebuild_job_mends_the_table(
    settings: Settings, redis: Redis, ledger: Database, owner: asyncpg.Connection
) -> None:
    right = await tasks_copy(owner)
    await owner.execute("TRUNCATE tasklog.tasks")
    state = await run(settings, redis, ledger, "rebuild")
    assert (state.state, state.done, state.total) == ("done", 60, 60)
    assert state.result == {"users": 3, "failed": {}}
    assert await tasks_copy(owner) == right


async def test_an_export_job_writes_a_file_that_verifies(
    settings: Settings, redis: Redis, ledger: Database, tmp_path: Path
) -> None:
    out = tmp_path / "ledger.jsonl"
    state = await run(settings, redis, ledger, "export", out=str(out))
    assert state.result == {"out": str(out), "events": 60}
    assert verify_file(out).faults == []


async def test_a_job_that_fails_is_shown_as_failed_and_not_tried_again(
    settings: Settings, redis: Redis, ledger: Database, tmp_path: Path
) -> None:
    state = await run(settings, redis, ledger, "export", out=str(tmp_path / "no" / "such" / "directory"))
    assert (state.state, state.error) == ("failed", "FileNotFoundError")
    assert await redis.keys("arq:job:*") == []


async def database_away(database: Database, _: Meter) -> Mapping[str, Any]:
    """End the database's own connection."""
    await database.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    return {}


async def redis_away(_: Database, __: Meter) -> Mapping[str, Any]:
    async with Redis.from_url("redis://127.0.0.1:1/0") as away:
        await away.ping()
    return {}


async def wrong_code(_: Database, __: Meter) -> Mapping[str, Any]:
    raise AssertionError


@pytest.mark.parametrize(
    ("work", "error"),
    [(database_away, "UnavailableError"), (redis_away, "ConnectionError"), (wrong_code, None)],
)
async def test_a_job_that_fails_leaves_one_line_and_a_traceback_only_of_wrong_code(
    redis: Redis, projector: Database, work: Callable[..., Any], error: str | None
) -> None:
    with capture_logs() as logs:
        await _coroutine(Job(name="fails", run=work))({"redis": redis, "job_id": "1", "database": projector})
    (line,) = logs
    assert (line["event"], line["log_level"], line.get("error")) == ("a job failed", "error", error)
    assert line.get("exc_info", False) is (error is None)


async def test_everything_in_redis_is_json(settings: Settings, redis: Redis, redis_url: str, ledger: Database) -> None:
    """Queued jobs and finished ones: pickle would let anyone who writes to Redis run code."""
    await enqueue(redis_url, "verify", {"user_id": "user-1"})
    (key,) = await redis.keys("arq:job:*")
    queued: Mapping[str, Any] = orjson.loads(await redis.get(key))
    assert (queued["f"], queued["k"]) == ("verify", {"user_id": "user-1"})
    for value in (await cast(Awaitable[Any], redis.hgetall(STATES))).values():
        assert orjson.loads(value)["name"] == "verify"
    worker = make_worker(cast(ArqRedis, redis), ledger, JOBS)
    assert worker.job_serializer is not None
    assert worker.job_deserializer is not None
    assert orjson.loads(worker.job_serializer({"a": 1})) == worker.job_deserializer(b'{"a":1}') == {"a": 1}


async def test_verify_runs_every_night(redis: Redis, ledger: Database) -> None:
    worker = make_worker(cast(ArqRedis, redis), ledger, JOBS)
    (nightly,) = worker.cron_jobs
    assert (nightly.name, nightly.hour, nightly.minute, nightly.unique) == ("nightly-verify", 3, 30, True)


async def test_without_redis_nothing_is_queued() -> None:
    with pytest.raises(QueueError):
        await enqueue("redis://127.0.0.1:1/0", "verify", {})


async def test_a_job_that_is_interrupted_says_so(redis: Redis) -> None:
    state = JobState(id="1", name="slow")

    async def work() -> None:
        async with shown(redis, state, "claim") as progress:
            progress(7)
            await asyncio.Event().wait()

    running = asyncio.create_task(work())
    await eventually_async(lambda: _is(redis, "running"))
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [(state.state, state.done) for state in await job_states(redis)] == [("interrupted", 7)]


async def _is(redis: Redis, state: str) -> bool:
    return [known.state for known in await job_states(redis)] == [state]


async def test_how_a_job_ended_is_the_last_that_is_written_of_it(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while a beat is being sent and ignores its cancellation, as redis-py 5.3 sometimes does.

    Seen to fail with the beat cancelled and not waited for.
    """
    sent, go_on, hset = asyncio.Event(), asyncio.Event(), redis.hset

    async def late(*args: Any) -> int:
        if not sent.is_set():
            sent.set()
            with suppress(asyncio.CancelledError):
                await go_on.wait()
        return await cast(Awaitable[int], hset(*args))

    monkeypatch.setattr(redis, "hset", late)
    async with shown(redis, JobState(id="1", name="quick"), "claim"):
        await within(10, sent.wait())
        asyncio.get_running_loop().call_soon(go_on.set)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "beat" in repr(task)]
    assert await _is(redis, "done")


async def test_a_job_that_was_killed_is_shown_as_interrupted(redis: Redis) -> None:
    state = JobState(id="1", name="slow", state="running")
    await state.write(redis)
    assert await _is(redis, "running")
    states = await cast(Awaitable[Any], redis.hgetall(STATES))
    stored = orjson.loads(states[b"1"]) | {"updated_at": "2026-01-01T00:00:00Z"}
    await cast(Awaitable[Any], redis.hset(STATES, "1", orjson.dumps(stored).decode()))
    assert await _is(redis, "interrupted")


async def test_a_job_whose_projector_was_killed_is_done_by_the_next_within_half_a_minute(
    service: RunningService, redis: Redis, redis_url: str, owner: asyncpg.Connection
) -> None:
    """Seen to fail with the claim left as arq makes it, for longer than the longest job."""
    assert service.projector.process is not None
    async with owner.transaction():
        await owner.execute("LOCK TABLE tasklog.streams")
        job = await enqueue(redis_url, "verify", {})
        await eventually_async(lambda: _is(redis, "running"))
        service.projector.process.kill()
        service.projector.process.wait()
    (claim,) = await redis.keys("arq:in-progress:*")
    assert 0 < await redis.ttl(claim) <= 30
    await redis.pexpire(claim, 1)  # instead of waiting
    service.projector.start()
    assert (await ended(redis, job)).state == "done"


async def test_only_the_last_jobs_are_kept(redis: Redis) -> None:
    for n in range(30):
        await JobState(id=str(n), name="x", queued_at=f"2026-01-01T00:00:{n:02}Z").write(redis)
    await forget_old(redis)
    assert [int(state.id) for state in await job_states(redis)] == [*range(29, 9, -1)]


async def test_the_last_verification_of_the_whole_ledger_is_kept_however_many_jobs_came_after_it(redis: Redis) -> None:
    for n in range(30):
        arguments = {} if n < 3 else {"user_id": "ann"}
        state = JobState(
            id=str(n), name="verify", arguments=arguments, state="done", queued_at=f"2026-01-01T00:00:{n:02}Z"
        )
        await state.write(redis)
    await forget_old(redis)
    assert [int(state.id) for state in await job_states(redis)] == [*range(29, 9, -1), 2]


@pytest.mark.parametrize("stored", ["{", "[]", '{"id":"1"}', '{"id":"1","name":"x","queued_at":"soon"}'])
async def test_a_state_that_cannot_be_read_is_not_shown_and_is_forgotten(redis: Redis, stored: str) -> None:
    await JobState(id="2", name="x").write(redis)
    await cast(Awaitable[int], redis.hset(STATES, "1", stored))
    assert [state.id for state in await job_states(redis)] == ["2"]
    await forget_old(redis)
    assert await cast(Awaitable[list[bytes]], redis.hkeys(STATES)) == [b"2"]


async def test_a_job_that_a_projector_does_not_know_holds_up_nothing(
    settings: Settings, redis: Redis, ledger: Database
) -> None:
    assert settings.redis_url is not None
    url = settings.redis_url.get_secret_value()
    await enqueue(url, "unknown", {})
    job = await enqueue(url, "verify", {})
    async with working(settings, ledger):
        assert (await ended(redis, job)).state == "done"
