"""A stream that is copied from one ledger to another, and checked there event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Table

from audit.arrival import Home, NewTask
from audit.copying import Rows, copy_rows
from event_log.chain import SCAN_AFTER, Chain, Head, Link
from event_log.codec import STREAM_ERASED
from event_log.long_texts import with_data
from event_log.story import Story
from event_log.tables import events, idempotency_keys
from runtime.database import chunks

_ERASED: Final = """
    SELECT EXISTS (SELECT FROM tasklog.events e WHERE e.user_id = $1 AND e.position > $2 AND e.position <= $3
                   AND e.task_id IS NULL AND e.type = $4)
"""
_LINK: Final = itemgetter(*Link._fields)
_STORY: Final = itemgetter("user_id", "position", "task_id", "version", "type", "schema_version")


def _rows(table: Table, where: str) -> Rows:
    columns = [column.name for column in table.columns]
    query = f"SELECT {', '.join(columns)} FROM {table.fullname} WHERE {where}"  # noqa: S608 - constants
    return Rows(query=query, table=table.fullname, columns=columns, form="binary")


_EVENTS: Final = _rows(events, "user_id = $1 AND position > $2 AND position <= $3 ORDER BY position")
_KEYS: Final = _rows(idempotency_keys, "user_id = $1 AND recorded_at > now() - interval '24 hours'")


class ErasedError(Exception):
    """The user was erased while the stream was copied: the copy still has the text."""


class FaultError(Exception):
    """The stream has a fault: a part of a sentence that says which."""


@dataclass(kw_only=True, slots=True)
class StreamCopy:
    """A copy of a stream in a transaction of the target: how far it is, what was checked, and its tasks."""

    target: Any
    user_id: str
    home: Home | None
    position: int = 0
    tasks: list[NewTask] = field(default_factory=list)
    _chain: Chain = field(default_factory=Chain)
    _story: Story = field(default_factory=Story)

    async def events(self, here: Any, until: int) -> None:
        """Copy the events up to a position, and check what has arrived.

        Raises:
            ErasedError: an erasure is among them, so what was copied before has to be copied again.
        """
        if self.position and await here.fetchval(_ERASED, self.user_id, self.position, until, STREAM_ERASED):
            raise ErasedError
        span = (self.user_id, self.position, until)
        await copy_rows(here, self.target, replace(_EVENTS, arguments=span))
        async for rows in chunks(self.target, SCAN_AFTER, self.user_id, self.position, complete=with_data):
            self._take(rows)
        self.position = until

    async def keys(self, here: Any) -> None:
        """Copy the idempotency keys that still count."""
        await copy_rows(here, self.target, replace(_KEYS, arguments=(self.user_id,)))

    def _take(self, rows: Sequence[Any]) -> None:
        self._chain.feed(map(_LINK, rows))
        self._story.feed(map(_STORY, rows))
        self.tasks += [
            NewTask(self.user_id, row["task_id"], row["position"])
            for row in rows
            if row["version"] == 1 and row["task_id"] is not None
        ]

    def check(self, head: Head) -> None:
        """Check that what arrived is the whole stream, with the source's head.

        Raises:
            FaultError: it has a fault, which it had at the source, too.
        """
        self._chain.finish(self.user_id, head)
        for fault in (self._chain.faults | self._story.take_faults()).values():
            raise FaultError(
                f"the stream of {self.user_id} has a fault at position {fault.position} ({fault.reason}; see "
                f"./run verify {self.user_id})"
            )
