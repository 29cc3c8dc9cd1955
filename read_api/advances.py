"""What was appended to a user's stream lately, by this process: its listeners get it without a read.

It is used only where it is sure to be what a read would find: a listener's bookmark must name the very head that the
append found under its lock, by position and hash. Whatever else happens to the stream breaks that chain, and is read.
An erasure deletes every task with an event, so no later append is decided on a text from before.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from domain.task import DeletedTask, Task
from read_api.changes import Changes
from read_api.queries import Head
from read_model.body import task_body
from read_model.bookmark import HASH_PREFIX_DIGITS, Bookmark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_log.followers import Advance
    from event_log.receipt import Receipt

KEPT_SECONDS: Final = 1.0
_MOST: Final = 8
"""For how long advances are kept, in seconds, and the most of a user. A listener that is further behind reads."""
_LONGEST_TEXT: Final = 4096
"""In characters: a task with a longer description is not kept, but read."""
_MOST_TASKS: Final = 100
"""The most tasks of an advance that is kept: as many as a call of commands can change."""

_Place = tuple[int, str]
"""A position of a stream, and the hash prefix there."""


class _Change(NamedTuple):
    """A task's JSON after an advance, None for a deleted one, and the position at which it was created."""

    body: bytes | None
    created: int


class _Kept(NamedTuple):
    before: _Place
    after: _Place
    changes: dict[int, _Change]


class RecentAdvances:
    """The last advances of one user's stream, each of which continues the one before it."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque(maxlen=_MOST)

    def add(self, advance: Advance) -> None:
        """Keep an advance. One that is too long, or does not continue the last one, ends the chain."""
        before, after = _place(advance.before), _place(advance.after)
        if self._kept and self._kept[-1].after != before:
            self._kept.clear()
        if _is_short(advance.states):
            changes = {state.id: _change_of(advance.user_id, state) for state in advance.states}
            self._kept.append(_Kept(before, after, changes))
        else:
            self._kept.clear()

    def forget(self, position: int) -> None:
        """Forget what leads up to a position."""
        while self._kept and self._kept[0].after[0] <= position:
            self._kept.popleft()

    def since(self, bookmark: Bookmark, limit: int) -> Changes | None:
        """Return what changed since a bookmark, or None if that has to be read."""
        start = (bookmark.position, bookmark.hash_prefix)
        if bookmark.after is not None or bookmark.repair is None or not any(one.before == start for one in self._kept):
            return None
        changed: dict[int, _Change] = {}
        for one in self._kept:
            if one.before[0] >= bookmark.position:
                for task_id, change in one.changes.items():
                    changed.pop(task_id, None)
                    changed[task_id] = change
        if len(changed) > limit:
            return None
        return _changes(bookmark, self._kept[-1].after, changed)


def _changes(since: Bookmark, reached: _Place, changed: dict[int, _Change]) -> Changes:
    position, prefix = reached
    assert since.repair is not None
    # A task that was created and deleted since then was never seen.
    gone = [task_id for task_id, one in changed.items() if one.body is None and one.created <= since.position]
    return Changes(
        bookmark=Bookmark(position=position, hash_prefix=prefix, repair=since.repair),
        more=False,
        head=Head(position, f"{prefix}.{since.repair}" if since.repair else prefix),
        tasks=b",".join([one.body for one in changed.values() if one.body is not None]),
        deleted=",".join(map(str, gone)).encode(),
    )


def _place(receipt: Receipt) -> _Place:
    return receipt.position, receipt.hash[:HASH_PREFIX_DIGITS] if receipt.position else ""


def _change_of(user_id: str, state: Task | DeletedTask) -> _Change:
    if isinstance(state, DeletedTask):
        return _Change(None, state.task.created_position)
    return _Change(task_body(user_id, state), state.created_position)


def _is_short(states: Sequence[Task | DeletedTask]) -> bool:
    return len(states) <= _MOST_TASKS and all(
        isinstance(state, DeletedTask) or len(state.description or "") <= _LONGEST_TEXT for state in states
    )
