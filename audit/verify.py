"""Verify: the chain of every stream, its density, its anchors, and that the projection equals its replay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import aclosing
from operator import itemgetter
from typing import Any, Final

from audit.ranges import Range, ranges
from audit.report import Anchors, Progress, Report, gone
from event_log.chain import GENESIS, Chain, Link
from event_log.read import TaskKey
from projector.project import Row
from projector.replay import Replay
from runtime.database import Database

_link: Final = itemgetter(*Link._fields)


async def verify(
    database: Database,
    *,
    user_id: str | None = None,
    anchors: Anchors | None = None,
    progress: Progress = lambda _: None,
) -> Report:
    """Check one user, or all, against themselves and against `anchors`.

    Raises:
        UnavailableError: the database went away.
    """
    report = Report()
    anchors = {user: hashes for user, hashes in (anchors or {}).items() if user_id in {None, user}}
    seen: set[str] = set()
    async with aclosing(ranges(database, user_id)) as walk:
        async for part in walk:
            seen.update(stream.user_id for stream in part.streams if stream.user_id in anchors)
            await _verify(part, anchors, report, progress)
    report.faults += gone(anchors, seen)
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
    for stream in part.streams:
        if stream.projected > stream.head:
            chain.fault(stream.user_id, stream.head + 1, f"the checkpoint is ahead of the stream: {stream.projected}")
    for user_id, (position, error) in replay.failed.items():
        chain.fault(user_id, position, error)
    expected = replay.rows()
    async for rows in part.rows():
        report.tasks += len(rows)
        _compare(rows, expected, replay.until, chain)
    for user_id, task_id in expected:
        chain.fault(user_id, replay.until[user_id], f"task {task_id} is missing in the projection")
    report.streams += len(part.streams)
    report.faults += chain.faults.values()


def _compare(rows: Iterable[Any], expected: dict[TaskKey, Row], projected: Mapping[str, int], chain: Chain) -> None:
    """Take the rows out of `expected`; a row that is not as expected is a fault of the user."""
    for row in rows:
        user_id, task_id = row["user_id"], row["id"]
        if expected.pop((user_id, task_id), None) != tuple(row):
            chain.fault(user_id, projected.get(user_id, 0), f"task {task_id} is not in the projection as replayed")
