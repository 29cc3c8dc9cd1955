"""Verify: the chain of every stream, its density, its anchors, and that the projection equals its replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from operator import itemgetter
from typing import Any, Final

from audit.ranges import Range, ranges
from audit.report import Anchors, Progress, Report, gone
from event_log.chain import GENESIS, Chain, Fault, Link
from event_log.read import NoStreamError
from projector.replay import Replay, differences
from runtime.database import Database

_link: Final = itemgetter(*Link._fields)
"""What a stored event has of a Link, as a plain tuple: at millions of events, making Links would show."""


async def verify(
    database: Database,
    *,
    user_id: str | None = None,
    anchors: Anchors | None = None,
    progress: Progress = lambda _: None,
) -> Report:
    """Check one user, or all, against themselves and against `anchors`.

    Raises:
        NoStreamError: there is nothing of the user to check.
        UnavailableError: the database went away.
    """
    given, anchors = anchors, {user: hashes for user, hashes in (anchors or {}).items() if user_id in {None, user}}
    report = Report(anchors=None if given is None else sum(map(len, anchors.values())))
    seen: set[str] = set()
    async with aclosing(ranges(database, user_id)) as walk:
        async for part in walk:
            seen.update(stream.user_id for stream in part.streams if stream.user_id in anchors)
            await _verify(part, anchors, report, progress)
    report.faults += gone(anchors, seen)
    if user_id is not None and not report.streams and not report.faults:
        raise NoStreamError(user_id)
    return report


async def _verify(part: Range, anchors: Anchors, report: Report, progress: Progress) -> None:
    chain = Chain(anchors=anchors)
    replay = Replay(until={stream.user_id: stream.projected for stream in part.streams})
    async for events in part.events():
        chain.feed(map(_link, events))
        replay.feed(events)
        report.events += len(events)
        progress(len(events))
    for stream in part.streams:
        chain.finish(stream.user_id, (stream.head, stream.hash))
    for user_id in list(chain.heads):
        chain.finish(user_id, (0, GENESIS))
    report.streams += len(part.streams)
    report.faults += chain.faults.values()
    projection = await _projection_faults(part, replay, report)
    report.faults += [fault for user_id, fault in projection.items() if user_id not in chain.faults]


async def _projection_faults(part: Range, replay: Replay, report: Report) -> dict[str, Fault]:
    """The first fault of each user whose checkpoint or rows are not as the replay says."""
    faults: dict[str, Fault] = {}

    def fault(user_id: str, position: int, reason: str) -> None:
        faults.setdefault(user_id, Fault(user_id=user_id, position=position, reason=reason))

    for stream in part.streams:
        report.behind += max(0, stream.head - stream.projected)
        if stream.projected > stream.head:
            fault(stream.user_id, stream.head + 1, f"the projection is ahead of the stream, at {stream.projected}")
    for user_id, (position, error) in replay.failed.items():
        fault(user_id, position, error)
    async for (user_id, task_id), _, stored in differences(part.connection, replay.tasks(), _counted(part, report)):
        reason = "is not in the projection as replayed" if stored else "is missing in the projection"
        fault(user_id, replay.until.get(user_id, 0), f"task {task_id} {reason}")
    return faults


async def _counted(part: Range, report: Report) -> AsyncIterator[list[Any]]:
    """The rows of a range, counted for the report."""
    async for rows in part.rows():
        report.tasks += len(rows)
        yield rows
