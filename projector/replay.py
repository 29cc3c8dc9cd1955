"""Replay: compute users' rows from the ledger alone, and compare them with the stored rows.

Long texts are not kept in memory: a state says which event holds them. Rows with long texts are rendered in parts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from domain.evolve import HistoryError, evolve
from domain.task import NoTask, Task, TaskState
from event_log.codec import UnreadableEventError
from event_log.long_texts import SHORT_CHARACTERS, left_out, parts, whole, without_long_texts
from event_log.read import TaskKey, recorded
from projector.statements import WHOLE_ROWS
from read_model.rows import Row, row_of

_NOTHING: Final = NoTask()


@dataclass(kw_only=True, slots=True)
class Replay:
    """Folds events from the first one on; `until` is the position at which each user's replay stops."""

    until: Mapping[str, int]
    states: dict[TaskKey, TaskState] = field(default_factory=dict)
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def feed(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Fold more events, in order; an impossible event ends its user's replay."""
        states, user, until = self.states, "", 0
        for row in rows:
            user_id = row["user_id"]
            if user_id != user:
                user = user_id
                until = 0 if user in self.failed else self.until.get(user, 0)
            if row["position"] > until:
                continue
            try:
                if event := recorded(row):
                    key = (user_id, event.task_id)
                    state = evolve(states.get(key, _NOTHING), event)
                    is_long = len(row["data"] or "") > SHORT_CHARACTERS
                    states[key] = without_long_texts(state, event.position) if is_long else state
            except (HistoryError, UnreadableEventError) as error:
                self.failed[user_id] = (row["position"], str(error))
                until = 0

    def tasks(self) -> dict[TaskKey, Task]:
        """Return the tasks that must have a row."""
        return {key: state for key, state in self.states.items() if isinstance(state, Task)}


class Difference(NamedTuple):
    """A row that differs from the replay: `task` is what it must be, if anything; `stored` is false without a row."""

    key: TaskKey
    task: Task | None
    stored: bool


async def differences(
    connection: Any,
    expected: dict[TaskKey, Task],
    stored: AsyncIterator[list[Any]],
    others: Container[str] = frozenset(),
) -> AsyncIterator[Difference]:
    """Compare the `stored` rows with the `expected` tasks, and remove those from the dict.

    Of `others`, the users whose rows are in another format, only ids and versions are compared.
    `connection` must not be used while this runs.

    Raises:
        UnreadableEventError: the event that holds a long text cannot be read.
    """
    long: list[tuple[tuple[TaskKey, Task], int]] = []
    async for rows in stored:
        for row in rows:
            key = (row["user_id"], row["id"])
            task = expected.pop(key, None)
            if task is None or key[0] in others:
                if task is None or task.version != row["version"]:
                    yield Difference(key, task, stored=True)
            elif row["left_out"] or left_out(task):
                size = (row["left_out"] or 0) + sum(text.size for text in left_out(task))
                long.append(((key, task), size))
            elif row_of(key[0], task) != tuple(row)[:-1]:
                yield Difference(key, task, stored=True)
    for part in parts(long):
        for difference in await _differences_of_whole(connection, part):
            yield difference
    for key, task in expected.items():
        yield Difference(key, task, stored=False)


async def _differences_of_whole(connection: Any, tasks: list[tuple[TaskKey, Task]]) -> list[Difference]:
    """Compare the rows of some tasks, with all their texts."""
    found = await connection.fetch(WHOLE_ROWS, [key[0] for key, _ in tasks], [key[1] for key, _ in tasks])
    stored = {(row["user_id"], row["id"]): tuple(row) for row in found}
    expected = zip(tasks, await whole_rows(connection, tasks), strict=True)
    return [Difference(key, task, stored=True) for (key, task), row in expected if stored.get(key) != row]


async def whole_rows(connection: Any, tasks: list[tuple[TaskKey, Task]]) -> list[Row]:
    """Return the rows of some tasks with all their texts."""
    found = await whole(connection, [(key[0], task) for key, task in tasks])
    return [row_of(key[0], task) for (key, _), task in zip(tasks, found, strict=True)]
