"""The operational jobs that projectors run: verify (also nightly), rebuild and export."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import structlog

from audit.anchor import read_anchors
from audit.export import export_to
from audit.status import event_count
from audit.verify import verify
from projector.job_states import Meter
from projector.jobs import Job
from projector.rebuild import faults, left, rebuild, request_rebuild
from runtime.database import Database

_SHOWN_FAULTS: Final = 20
_LOOK_SECONDS: Final = 0.2

log = structlog.get_logger()


async def verify_job(
    database: Database, progress: Meter, *, user_id: str | None = None, anchors: str | None = None
) -> Mapping[str, Any]:
    """Verify; log each fault as an error, and put the first ones into the result."""
    progress.total = await event_count(database, user_id)
    known = read_anchors(Path(anchors)) if anchors else None
    report = await verify(database, user_id=user_id, anchors=known, progress=progress)
    for fault in report.faults:
        log.error("the ledger has a fault", **asdict(fault))
    return report.summary()


async def rebuild_job(database: Database, progress: Meter, *, user_id: str | None = None) -> Mapping[str, Any]:
    """Mark users, then share the work with every idle projector until no user is marked."""
    users = await request_rebuild(database, user_id)
    _, progress.total = await left(database)
    while True:
        await rebuild(database)
        users_left, events_left = await left(database)
        progress.done = max(0, progress.total - events_left)
        if not users_left:
            found = list((await faults(database, user_id)).items())[:_SHOWN_FAULTS]
            return {"users": users, "failed": {user: f"position {position}: {why}" for user, (position, why) in found}}
        await asyncio.sleep(_LOOK_SECONDS)


async def export_job(database: Database, progress: Meter, *, out: str, user_id: str | None = None) -> Mapping[str, Any]:
    """Export to a new file on the projector's machine."""
    progress.total = await event_count(database, user_id)
    events = await export_to(database, Path(out), user_id=user_id, progress=progress)
    return {"out": out, "events": events}


JOBS: Final = (
    Job(name="verify", run=verify_job, nightly=True),
    Job(name="rebuild", run=rebuild_job),
    Job(name="export", run=export_job),
)
