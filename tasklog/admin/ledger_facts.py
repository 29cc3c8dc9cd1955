"""What a projector knows of the whole ledger, for the admin port: lag, parked users, rebuilds, jobs, processes.

A reading is kept for ten times as long as it took, so that scrapes take at most a tenth of one connection's time.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg
from redis.exceptions import RedisError

from audit.standing import given_ids
from audit.status import Heard
from projector.heartbeat import running_projectors
from projector.job_states import job_states
from projector.lag import Lag, lag
from projector.rebuild import faults, left
from runtime.pool import UnavailableError
from tasklog.admin.reports import reports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis.asyncio import Redis

    from audit.standing import GivenIds
    from runtime.pool import Database
    from tasklog.admin.reports import Report

_SECONDS: Final = 4.0
"""How long a reading may take, in seconds."""
_KEPT_SECONDS: Final = 0.5
_SHARE: Final = 10
"""A reading is kept for at least `_KEPT_SECONDS`, and for `_SHARE` times as long as it took."""
_FAULTS_SECONDS: Final = 60.0
"""How long the number of rebuild faults is kept, in seconds, because counting them looks at every user."""


class LedgerFacts(NamedTuple):
    """One reading. The first four are None if the database did not answer, the others if Redis did not."""

    lag: Lag | None = None
    users_to_rebuild: int | None = None
    rebuild_faults: int | None = None
    task_ids: GivenIds | None = None
    heard: Heard | None = None
    reports: Mapping[str, Report] | None = None


class FactReader:
    """Reads the facts for the metrics, the operators' page and its history, which share each reading."""

    def __init__(self, database: Database, redis: Redis | None) -> None:
        self._database = database
        self._redis = redis
        self._reading = asyncio.Lock()
        self._kept = LedgerFacts()
        self._until = float("-inf")
        self._faults = 0
        self._faults_until = float("-inf")

    async def read(self) -> LedgerFacts:
        """Return the facts, which may be a moment old."""
        async with self._reading:
            began = time.monotonic()
            if began >= self._until:
                self._kept = LedgerFacts(*await self._of_database(), *await self._of_redis())
                ended = time.monotonic()
                self._until = ended + max(_KEPT_SECONDS, _SHARE * (ended - began))
            return self._kept

    async def _of_database(self) -> tuple[Lag | None, int | None, int | None, GivenIds | None]:
        try:
            async with asyncio.timeout(_SECONDS):
                behind = await lag(self._database)
                users, _ = await left(self._database)
                if (now := time.monotonic()) >= self._faults_until:
                    self._faults, self._faults_until = len(await faults(self._database)), now + _FAULTS_SECONDS
                return behind, users, self._faults, await given_ids(self._database)
        except (TimeoutError, UnavailableError, asyncpg.PostgresError):
            return None, None, None, None

    async def _of_redis(self) -> tuple[Heard | None, Mapping[str, Report] | None]:
        if self._redis is None:
            return None, None
        try:
            heard = Heard(jobs=await job_states(self._redis), projectors=await running_projectors(self._redis))
            return heard, await reports(self._redis)
        except (RedisError, OSError):
            return None, None
