"""The text that `./run status` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from tasklog.cli.wording import count, fault_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from audit.standing import GivenIds
    from audit.status import Status
    from audit.verifications import Verification
    from projector.job_states import JobState

_UNKNOWN = "unknown, as Redis does not answer"


def status_text(status: Status) -> str:
    """Return the status as text, one line per fact."""
    return "\n".join(_lines(status))


def _lines(status: Status) -> Iterator[str]:
    state = "" if status.schema_state == "current" else f", {status.schema_state} than this version's"
    yield f"Version:    {status.version}; schema {status.schema}{state}"
    yield from (f"  {fault_text(asdict(fault))}" for fault in status.schema_faults)
    yield f"Ledger:     {count(status.events, 'event')} in {count(status.streams, 'stream')}"
    yield f"Verified:   {_verified(status)}"
    yield from (f"  {fault_text(asdict(fault))}" for fault in status.faults_found or [])
    yield f"Projection: {count(status.lag_events, 'event')} behind, the oldest for {status.lag_seconds:.1f} s"
    yield f"Task ids:   {_ids(status.task_ids)}"
    if status.users_arriving or status.users_left:
        yield f"Moves:      {_moves(status)}"
    yield f"Projectors: {_UNKNOWN if status.projectors is None else _running(status.projectors)}"
    if status.processes:
        yield f"Admin:      {', '.join(map(_process, status.processes))}"
    yield f"Parked:     {count(status.parked_users, 'user')}"
    for parked in status.parked:
        yield f"  {parked.user_id}: {parked.error} (tried {parked.attempts} times, next {parked.next_attempt})"
    others = status.users_in_other_formats
    yield f"Rebuild:    {count(status.users_to_rebuild, 'user')} to go; {others:,} in another version's format"
    yield from (f"  {fault_text(asdict(fault))}" for fault in status.rebuild_faults)
    yield f"Jobs:       {_UNKNOWN if status.jobs is None else f'last {len(status.jobs)}'}"
    yield from (f"  {_job(job)}" for job in status.jobs or [])


def _ids(given: GivenIds) -> str:
    scarce = ": set a wider TASK_IDS, and run ./run migrate" if given.are_scarce else ""
    return f"{given.left:,} left, the last one was {given.last:,}{scarce}"


def _moves(status: Status) -> str:
    left = f"{count(status.users_left, 'user')} left, {status.users_to_remove:,} of them with rows here"
    unconfirmed = "" if not status.users_unconfirmed else f", {status.users_unconfirmed:,} did not arrive"
    arriving = f"{status.users_arriving:,} arriving"
    end = ": run ./run move again" if status.users_unconfirmed else ""
    return f"{left}{unconfirmed}; {arriving}{end}"


def _verified(status: Status) -> str:
    known: Verification | None = status.verification
    if not status.redis:
        return _UNKNOWN
    if known is None:
        return "no verification is on record"
    faults = count(known.fault_count, "fault") if known.fault_count else "no faults"
    return f"{known.at}: {faults} in {count(known.events, 'event')}"


def _running(projectors: Sequence[Mapping[str, object]]) -> str:
    if not projectors:
        return "no projector has been heard from: none runs, or none reaches Redis"
    versions = ", ".join(sorted({str(projector["version"]) for projector in projectors}))
    verb = "runs" if len(projectors) == 1 else "run"
    return f"{count(len(projectors), 'projector')} {verb}, version {versions}"


def _process(process: Mapping[str, object]) -> str:
    number = "" if process["worker"] is None else f" {process['worker']}"
    return f"{process['service']}{number} on port {process['port']}"


def _job(job: JobState) -> str:
    share = f"{job.done:,}" if job.total is None else f"{job.done:,} of {job.total:,}"
    line = f"{job.queued_at} {job.name} {job.state}, {share} events"
    if job.rate:
        line += f", {job.rate:,.0f}/s"
    faults = (job.result or {}).get("fault_count")
    if isinstance(faults, int):
        line += f", {count(faults, 'fault')}"
    return line + (f", {job.error}" if job.error else "")
