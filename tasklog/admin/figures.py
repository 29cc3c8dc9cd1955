"""The figures of processes: requests, command queues, reads, projection, and what every process has.

Their names and help texts stand here; the counts live where they are counted. docs/operate/metrics.md lists them all.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from prometheus_client import ProcessCollector

from runtime.database import needed_databases, open_databases
from runtime.histogram import SECONDS, Histogram
from runtime.version import VERSION
from tasklog.admin.families import (
    counter,
    counters,
    gauge,
    gauges,
    histogram,
    histograms,
)
from tasklog.admin.reports import Counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from runtime.pool import PoolUse
    from tasklog.admin.families import Labels, Source

_METHODS: Final = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
_NONE: Final = "none"
_OF_USERS: Final = "/api/"
"""The routes whose series are there from the start; others are used too seldom for an alert to tell of."""
_FAILED: Final = 500
_FAILURES: Final = ("500", "503")
"""The statuses from 500 on that an answer may have: their series are there from the start, as alerts look at them."""
_process: Final = ProcessCollector(registry=None)


async def of_requests() -> Iterable[Metric]:
    """Return counts and durations of requests by route, and what is in progress."""
    from edge.answers import ANSWERS  # noqa: PLC0415 - only API processes have it
    from edge.holds import held_open  # noqa: PLC0415
    from edge.overload import in_progress  # noqa: PLC0415
    from edge.request_counts import REQUESTS  # noqa: PLC0415

    expected = [one for one in REQUESTS.expected if one[1].startswith(_OF_USERS) and one[0] != "HEAD"]
    totals: dict[Labels, float] = {(*labels, status): 0 for labels in expected for status in _FAILURES}
    durations: dict[Labels, Histogram] = {labels: Histogram(SECONDS) for labels in expected}
    for answered, taken in REQUESTS.durations().items():
        method = answered.method if answered.method in _METHODS else "other"
        labels = (method, answered.route or _NONE)
        status = _NONE if answered.status is None else str(answered.status)
        totals[*labels, status] = totals.get((*labels, status), 0) + sum(taken.counts)
        durations.setdefault(labels, Histogram(SECONDS)).add(taken)
    requests, body_bytes = in_progress()
    by = ("method", "route")
    return [
        counters("tasklog_http_requests_total", "Requests that were answered.", (*by, "status"), totals),
        histograms("tasklog_http_request_duration_seconds", "How long requests took.", by, durations),
        gauge("tasklog_http_requests_in_progress", "Requests in progress, without those held open.", requests),
        gauge("tasklog_http_request_body_bytes", "Bytes of the bodies of requests in progress.", body_bytes),
        gauge("tasklog_http_unread_answer_bytes", "Bytes of answers that clients have not read.", ANSWERS.unread_bytes),
        gauge("tasklog_streams_open", "Streams and waiting requests of changes that are held open.", held_open()),
    ]


def counted_requests() -> Counted:
    """Return how many requests this process has answered, and how many of these failed."""
    from edge.request_counts import REQUESTS  # noqa: PLC0415 - as above

    counts = [(answered.status or 0, sum(taken.counts)) for answered, taken in REQUESTS.durations().items()]
    failed = sum(number for status, number in counts if status >= _FAILED)
    return Counted(requests=sum(number for _, number in counts), failed=failed)


def counted_events() -> Counted:
    """Return how many events this process has projected."""
    from projector.counts import COUNTS  # noqa: PLC0415 - as above

    return Counted(events=round(COUNTS.batch_events.sum))


async def of_commands() -> Iterable[Metric]:
    """Return queue lengths, batches, and refused appends."""
    from command_api.counts import COUNTS  # noqa: PLC0415 - as above
    from event_log.append import Refused  # noqa: PLC0415

    waiting: dict[Labels, float] = {(place,): commands for place, commands in COUNTS.waiting().items()}
    refused: dict[Labels, float] = {(reason.value,): COUNTS.refused[reason] for reason in Refused}
    return [
        gauges("tasklog_commands_waiting", "Commands that wait, in queues and in lanes of users.", ("place",), waiting),
        histogram("tasklog_command_batch_size", "Commands of a batch, which is one commit.", COUNTS.batch_sizes),
        histogram("tasklog_command_batch_duration_seconds", "How long a batch of commands took.", COUNTS.batch_seconds),
        counter("tasklog_command_batches_failed_total", "Batches that failed as a whole.", COUNTS.failed_batches),
        counters("tasklog_appends_refused_total", "Commands that had to be tried again.", ("reason",), refused),
    ]


async def of_reads() -> Iterable[Metric]:
    """Return how many reads wait for a statement, and what the standby answers."""
    from read_api.counts import COUNTS, Outcome  # noqa: PLC0415 - as above
    from read_api.reader import reads_waiting  # noqa: PLC0415

    waiting: dict[Labels, float] = {(kind,): reads for kind, reads in reads_waiting().items()}
    outcomes: dict[Labels, float] = {(outcome.value,): COUNTS.outcomes[outcome] for outcome in Outcome}
    by_outcome = "Statements that the standby might answer, by what became of them."
    waits = "How long statements waited until the standby had the last writes."
    return [
        gauges("tasklog_reads_waiting", "Reads that wait for the next statement.", ("kind",), waiting),
        gauge("tasklog_standby_up", "Whether the standby is used.", COUNTS.is_up),
        gauge("tasklog_standby_lag_seconds", "How long the standby is behind the primary.", COUNTS.lag_seconds),
        counters("tasklog_standby_statements_total", by_outcome, ("outcome",), outcomes),
        histogram("tasklog_standby_wait_duration_seconds", waits, COUNTS.waits),
    ]


async def of_projection() -> Iterable[Metric]:
    """Return what this projector has done."""
    from projector.counts import COUNTS  # noqa: PLC0415 - as above

    seconds = "How long a batch of projection took."
    return [
        histogram("tasklog_projection_batch_events", "Events of a batch of projection.", COUNTS.batch_events),
        histogram("tasklog_projection_batch_duration_seconds", seconds, COUNTS.batch_seconds),
        counter("tasklog_parkings_total", "How often a user was parked, or failed again.", COUNTS.parkings),
    ]


def of_every_process(service: str) -> Source:
    """Return the source of the figures that every process has: its version, its databases, CPU and memory."""

    async def read() -> Iterable[Metric]:
        up = await _up()
        uses = _uses()
        role = ("role",)
        return [
            gauges("tasklog_build_info", "1, with the version.", ("service", "version"), {(service, VERSION): 1}),
            gauges("tasklog_database_up", "Whether the database answers.", role, up),
            _of_pools("connections_max", "Connections that a pool may open.", {r: use.most for r, use in uses.items()}),
            _of_pools("connections", "Connections that are open.", {r: use.open for r, use in uses.items()}),
            _of_pools("in_use", "Connections that are in use.", {r: use.in_use for r, use in uses.items()}),
            _of_pools("waiting", "Statements that wait for a connection.", {r: use.waiting for r, use in uses.items()}),
            counters(
                "tasklog_database_unavailable_total",
                "Statements that failed because the database was not available.",
                role,
                {(r,): use.unavailable for r, use in uses.items()},
            ),
            *_process.collect(),
        ]

    return read


async def _up() -> dict[Labels, float]:
    databases = needed_databases()
    answers = await asyncio.gather(*(database.answers() for database in databases))
    up: dict[Labels, float] = {}
    for database, answer in zip(databases, answers, strict=True):
        up[database.role,] = min(up.get((database.role,), 1), int(answer))
    return up


def _uses() -> dict[str, PoolUse]:
    """Return how the pools are used, added up by role."""
    uses: dict[str, PoolUse] = {}
    for database in open_databases():
        use, known = database.use(), uses.get(database.role)
        uses[database.role] = use if known is None else type(use)(*map(sum, zip(known, use, strict=True)))
    return uses


def _of_pools(name: str, help_: str, values: dict[str, int]) -> Metric:
    return gauges(f"tasklog_database_pool_{name}", help_, ("role",), {(role,): value for role, value in values.items()})
