"""Verify: check each stream's chain, story and anchors, its projection against a replay, and the schema."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from operator import itemgetter
from typing import Any, Final

import asyncpg

from audit.ranges import Range, Stream, ranges
from audit.report import Anchors, Progress, Report, gone
from audit.standing import orphans, schema_faults, sequence_faults
from event_log.chain import Chain, Fault, Head, Link
from event_log.read import NoStreamError
from event_log.story import Story, TaskIds
from event_log.user_id import is_user_id
from projector.replay import Replay, differences
from projector.totals import Totals, changes
from runtime.database import Database

_link: Final = itemgetter(*Link._fields)
"""Returns the members of a Link from a stored event, as a plain tuple: for millions of events, Links would be slow."""
_story: Final = itemgetter("user_id", "position", "task_id", "version", "type", "schema_version")
"""Returns the members of a StoryEvent from a stored event."""


async def verify(
    database: Database,
    *,
    user_id: str | None = None,
    anchors: Anchors | None = None,
    task_ids: TaskIds | None = None,
    progress: Progress = lambda _: None,
) -> Report:
    """Check the schema, and one user or all: their events, rows and `anchors`.

    `task_ids` has those of other ledgers that were verified before and gets this one's: none may be there twice.

    Raises:
        NoStreamError: there is nothing of the user to check.
        UnavailableError: the database went away.
    """
    given, anchors = anchors, {user: hashes for user, hashes in (anchors or {}).items() if user_id in {None, user}}
    report = Report(anchors=None if given is None else sum(map(len, anchors.values())))
    report.faults += await schema_faults(database)
    story = Story(task_ids=task_ids or TaskIds())
    try:
        async with aclosing(ranges(database, user_id)) as walk:
            await _verify_users(walk, anchors, story, report, progress)
        await _verify_rest(database, user_id, story, report)
    except asyncpg.PostgresError:
        if not report.faults:  # the faults say what is missing
            raise
        return report
    if user_id is not None and not report.streams and all(fault.user_id is None for fault in report.faults):
        raise NoStreamError(user_id)
    return report


async def _verify_users(
    walk: AsyncIterator[Range], anchors: Anchors, story: Story, report: Report, progress: Progress
) -> None:
    seen = set[str]()
    async for part in walk:
        seen.update(stream.user_id for stream in part.streams if stream.user_id in anchors)
        seen.update(part.closed.keys() & anchors.keys())
        await _verify(part, anchors, story, report, progress)
    report.faults += gone(anchors, seen)


async def _verify_rest(database: Database, user_id: str | None, story: Story, report: Report) -> None:
    known = {fault.user_id for fault in report.faults}
    report.faults += [fault for fault in await orphans(database, user_id) if fault.user_id not in known]
    report.faults += await sequence_faults(database, story.task_ids, story.ids_elsewhere)


async def _verify(part: Range, anchors: Anchors, story: Story, report: Report, progress: Progress) -> None:
    chain = Chain(anchors=anchors)
    replay = Replay(until={stream.user_id: stream.projected for stream in part.streams})
    story.elsewhere = part.closed.keys() - {stream.user_id for stream in part.streams}
    async for events in part.events():
        chain.feed(map(_link, events))
        story.feed(map(_story, events))
        replay.feed(events)
        report.events += len(events)
        progress(len(events))
    for stream in part.streams:
        chain.finish(stream.user_id, Head(stream.head, stream.hash, stream.recorded_at))
        if not is_user_id(stream.user_id):
            chain.fault(stream.user_id, 1, "no token can have this user id")
    for user_id, last in list(chain.heads.items()):
        chain.finish(user_id, _closed_head(last, part.closed.get(user_id)))
    report.streams += len(part.streams)
    projection = await _projection_faults(part, replay, report)
    report.faults += (projection | story.take_faults() | chain.faults).values()


async def _projection_faults(part: Range, replay: Replay, report: Report) -> dict[str, Fault]:
    """Return the first fault of each user whose checkpoint or rows differ from the replay."""
    faults: dict[str, Fault] = {}

    def fault(user_id: str, position: int, reason: str) -> None:
        faults.setdefault(user_id, Fault(user_id=user_id, position=position, reason=reason))

    for stream in part.streams:
        report.behind += max(0, stream.head - stream.projected)
        if stream.projected > stream.head:
            fault(stream.user_id, stream.head + 1, f"the projection is ahead of the stream, at {stream.projected}")
    for user_id, (position, error) in replay.failed.items():
        fault(user_id, position, error)
    others = {stream.user_id for stream in part.streams if not stream.in_format}
    report.other_formats += len(others)
    expected, rows = replay.tasks(), _counted(part, report)
    totals = changes({}, expected)
    async for (user_id, task_id), _, stored in differences(part.connection, expected, rows, others):
        if user_id in part.closed:
            continue  # nobody reads the rows of a user who left
        reason = "differs from its replay" if stored else "is missing from the projection"
        fault(user_id, replay.until.get(user_id, 0), f"task {task_id} {reason}")
    for stream in part.streams:
        if wrong := _wrong_totals(stream, totals.get(stream.user_id, Totals())):
            fault(stream.user_id, stream.projected, wrong)
    for stream in filter(_is_forgotten, part.streams):
        fault(
            stream.user_id, stream.projected + 1, "the event is not projected, and not marked as work for the projector"
        )
    return faults


def _closed_head(last: Head, closed: tuple[int, str] | None) -> Head:
    """Return the head of a stream that left, or is arriving; without one, none of its events should be there."""
    return Head() if closed is None else Head(*closed, last.recorded_at)


def _wrong_totals(stream: Stream, totals: Totals) -> str | None:
    """Return how the checkpoint's numbers of tasks, from which pages take their total, differ from the replay."""
    tasks, completed = stream.task_count, stream.completed_count
    if tasks is None or (tasks, completed) == totals:
        return None
    return (
        f"the checkpoint counts {tasks} tasks, {completed} of them completed; "
        f"the replay has {totals.tasks} and {totals.completed}"
    )


def _is_forgotten(stream: Stream) -> bool:
    """Return whether a stream is ahead of its projection without a mark for the projector."""
    return stream.projected < stream.head and not stream.marked


async def _counted(part: Range, report: Report) -> AsyncIterator[list[Any]]:
    """Yield the rows of a range, and count them for the report."""
    async for rows in part.rows():
        report.tasks += len(rows)
        yield rows
