"""Past verifications and their faults, by command or by a projector, from the job states in Redis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from pydantic import TypeAdapter
from redis.asyncio import Redis

from audit.report import Report
from event_log.chain import Fault
from projector.job_states import JobState, forget_old


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """A finished verification of `user_id`, or of the whole ledger; `faults` holds the first faults."""

    at: str
    user_id: str | None
    streams: int
    events: int
    fault_count: int
    faults: list[Fault]


_STORED: Final = TypeAdapter(Verification)


async def record(redis: Redis, report: Report, user_id: str | None, seconds: float) -> None:
    """Store the result of a verification by command in the form of a job's; while Redis is away, it is not stored."""
    rate = round(report.events / max(seconds, 0.001), 1)
    state = JobState(
        id=uuid4().hex,
        name="verify",
        arguments={"user_id": user_id},
        state="done",
        done=report.events,
        total=report.events,
        rate=rate,
        result=report.summary(),
    )
    await state.write(redis)
    await forget_old(redis)


def last_verification(jobs: Sequence[JobState]) -> Verification | None:
    """Return the last verification of the whole ledger; `jobs` are newest first."""
    return next((known for known in _verifications(jobs) if known.user_id is None), None)


def faults_found(jobs: Sequence[JobState]) -> list[Fault]:
    """Return the faults of the last verification of the whole ledger, and of each user's last one since."""
    found: list[Fault] = []
    seen: set[str] = set()
    for known in _verifications(jobs):
        if known.user_id is None:
            return found + [fault for fault in known.faults if fault not in found]
        if known.user_id not in seen:
            found += known.faults
        seen.add(known.user_id)
    return found


def _verifications(jobs: Sequence[JobState]) -> Iterator[Verification]:
    """Yield the finished verifications; skip results that another version wrote in another form."""
    for job in jobs:
        if job.name == "verify" and job.state == "done":
            of_job = {"at": job.updated_at, "user_id": job.arguments.get("user_id")}
            try:
                yield _STORED.validate_python({**(job.result or {}), **of_job})
            except ValueError:
                continue
