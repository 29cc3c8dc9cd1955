"""A limit on each user's requests, counted in Redis; no request waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge import rate_limit
from edge.problem_kinds import Kind
from edge.problems import ProblemError
from edge.rate_limit import RateLimiter, rate_limiter
from runtime.settings import Settings, SettingsError
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.valkey import Valkey
from tests.servers import Database, RunningService, eventually, eventually_async, running_service


@pytest.fixture
async def limiters(redis_url: str) -> AsyncIterator[list[RateLimiter]]:
    """Yield the limiters of two services, which allow ten requests per minute."""
    settings = Settings(_env_file=None, redis_url=redis_url, rate_limit="10/minute")
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(rate_limiter(settings)) for _ in range(2)]
        await eventually_async(lambda: all(limiter is not None and limiter._reachable for limiter in made))
        yield [limiter for limiter in made if limiter is not None]


def allowed(limiter: RateLimiter, user: str, tries: int) -> int:
    """Return how many of some requests were allowed."""
    through = 0
    for _ in range(tries):
        with suppress(ProblemError):
            limiter.count(user)
            through += 1
    return through


async def test_a_user_has_as_many_requests_as_there_may_be_and_no_one_elses(limiters: list[RateLimiter]) -> None:
    assert allowed(limiters[0], "alice", 15) == 10
    assert allowed(limiters[0], "bob", 3) == 3
    with pytest.raises(ProblemError) as refused:
        limiters[0].count("alice")
    assert refused.value.kind is Kind.TOO_MANY_REQUESTS
    assert 0 < int((refused.value.headers or {})["Retry-After"]) <= 60


async def test_what_another_service_counted_counts_here(limiters: list[RateLimiter]) -> None:
    one, two = limiters
    assert allowed(one, "alice", 8) == 8
    await eventually_async(lambda: one._windows["alice"].reported == 8)
    two.count("alice")  # only now: Redis answers with its last count
    await eventually_async(lambda: two._windows["alice"].reported == 9)
    assert allowed(two, "alice", 5) == 1


async def test_a_window_ends(limiters: list[RateLimiter]) -> None:
    assert allowed(limiters[0], "alice", 15) == 10
    limiters[0]._windows["alice"].ends = 0
    assert allowed(limiters[0], "alice", 1) == 1


async def test_the_counts_that_are_kept_are_bounded(
    limiters: list[RateLimiter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "_USERS", 100)
    for number in range(1000):
        limiters[0].count(f"user {number}")
    assert len(limiters[0]._windows) == 100


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    directory = open_data_dir(tmp_path / "own")
    valkey = Valkey(directory, socket_dir(directory))
    valkey.start()
    yield valkey
    valkey.stop(timeout=2)


async def test_without_redis_nobody_is_refused_and_with_it_again_the_limit_holds(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "_RETRY_SECONDS", 0.05)
    settings = Settings(_env_file=None, redis_url=own_valkey.url, rate_limit="10/minute")
    own_valkey.stop(timeout=2)
    with capture_logs() as lines:
        async with rate_limiter(settings) as limiter:
            assert limiter is not None
            await eventually_async(lambda: lines)  # Redis was looked for
            assert allowed(limiter, "alice", 50) == 50
            await asyncio.to_thread(own_valkey.start)
            await eventually_async(lambda: limiter._reachable)
            assert allowed(limiter, "alice", 50) == 10
            own_valkey.stop(timeout=2)
            limiter.count("bob")  # is told to Redis, which is found to be away
            await eventually_async(lambda: not limiter._reachable)
            assert allowed(limiter, "alice", 50) == 50
    away, back = "redis is away: requests are not limited", "redis is back; this has ended: requests are not limited"
    assert [line["event"] for line in lines] == [away, back, away]  # each once, however often Redis was looked for


@pytest.mark.parametrize(("rate", "redis"), [("many", "redis://x"), ("600", "redis://x"), ("5/minute", None)])
async def test_a_limit_that_cannot_be_kept_is_refused_at_start(rate: str, redis: str | None) -> None:
    with pytest.raises(SettingsError, match="RATE_LIMIT"):
        async with rate_limiter(Settings(_env_file=None, rate_limit=rate, redis_url=redis)):
            pass


@pytest.fixture
def limited(database: Database, redis_url: str, tmp_path: Path) -> Iterator[RunningService]:
    with running_service(database, redis_url, tmp_path / "service.log", RATE_LIMIT="5/minute") as running:
        yield running


def test_over_http_it_is_a_429_with_retry_after_and_others_are_served(limited: RunningService, user: str) -> None:
    client, early = limited.client(user), limited.client("early")
    eventually(lambda: early.get("/api/early/tasks").status_code == 429)  # it has found its Redis
    answers = [client.get(f"/api/{user}/tasks") for _ in range(8)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
    assert int(answers[-1].headers["retry-after"]) > 0
    assert answers[-1].json()["detail"] == "Too many requests, try again later"
    assert limited.client("other").get("/api/other/tasks").status_code == 200
