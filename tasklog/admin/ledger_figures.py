"""The figures of the whole ledger, which every projector exports alike: take the `max` over projectors."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from audit.verifications import faults_found, last_verification
from tasklog.admin.families import gauge, gauges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from audit.status import Heard
    from tasklog.admin.families import Labels, Source
    from tasklog.admin.ledger_facts import FactReader, LedgerFacts


def of_ledger(reader: FactReader) -> Source:
    """Return the source of the figures of the ledger."""

    async def read() -> Iterable[Metric]:
        facts = await reader.read()
        return [*_of_projection(facts), *_of_redis(facts.heard)]

    return read


def _of_projection(facts: LedgerFacts) -> Iterable[Metric]:
    behind, ids = facts.lag, facts.task_ids
    left, size = (None, None) if ids is None else (ids.left, ids.size)
    return [
        gauge("tasklog_projection_lag_events", "Events that are not projected yet.", behind and behind.events),
        gauge("tasklog_projection_lag_seconds", "Seconds that the oldest has waited.", behind and behind.seconds),
        gauge("tasklog_parked_users", "Users whose next event cannot be projected.", behind and behind.parked_users),
        gauge("tasklog_users_to_rebuild", "Users that wait for a rebuild.", facts.users_to_rebuild),
        gauge("tasklog_rebuild_faults", "Users that could not be rebuilt.", facts.rebuild_faults),
        gauge("tasklog_task_ids_left", "Task ids that are left of this ledger's range.", left),
        gauge("tasklog_task_ids_range", "Task ids that this ledger's range has in all.", size),
    ]


def _of_redis(heard: Heard | None) -> Iterable[Metric]:
    states = [] if heard is None else heard.jobs
    verification = last_verification(states)
    at = None if verification is None else datetime.fromisoformat(verification.at).timestamp()
    faults = None if verification is None else len(faults_found(states))
    projectors = None if heard is None else len(heard.projectors)
    jobs: Counter[Labels] = Counter((job.name, job.state) for job in states)
    last = "tasklog_last_verification"
    return [
        gauge("tasklog_redis_up", "Whether Redis answers.", int(heard is not None)),
        gauge("tasklog_projectors", "Projectors that were heard from.", projectors),
        gauges("tasklog_jobs", "The last jobs, by name and state.", ("name", "state"), jobs),
        gauge(f"{last}_timestamp_seconds", "When the whole ledger was last verified.", at),
        gauge(f"{last}_faults", "Faults of the last verification and of later ones of single users.", faults),
    ]
