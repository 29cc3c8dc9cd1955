"""Replay: what the rows of some users must be, from the ledger alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from domain.evolve import HistoryError, evolve
from domain.task import NoTask, Task, TaskState
from event_log.codec import UnreadableEventError
from event_log.read import TaskKey, recorded
from read_model.rows import Row, row_of

_NOTHING: Final = NoTask()


@dataclass(kw_only=True, slots=True)
class Replay:
    """Folds events from the first one on; `until` says at which position each user's replay stops."""

    until: Mapping[str, int]
    states: dict[TaskKey, TaskState] = field(default_factory=dict)
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def feed(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Fold further events, in order; a user's first impossible one ends that user's replay."""
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
                    states[key] = evolve(states.get(key, _NOTHING), event)
            except (HistoryError, UnreadableEventError) as error:
                self.failed[user_id] = (row["position"], str(error))
                until = 0

    def rows(self) -> dict[TaskKey, Row]:
        """The rows that `tasks` must have."""
        return {key: row_of(key[0], state) for key, state in self.states.items() if isinstance(state, Task)}
