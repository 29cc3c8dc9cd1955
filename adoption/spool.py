"""The tasks of a source, kept on disk between reading and appending; memory holds one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, Final

import orjson

from event_log.adoption import Adoptable

_TASKS: Final = 10_000
_USERS: Final = 1_000
_CHARACTERS: Final = 8 * 1024 * 1024
"""The most tasks, users and characters of a batch. Each user takes a lock, and the server has a few thousand locks."""


class Spool:
    """Batches of tasks, ordered by user, in an unnamed file that disappears with the process."""

    def __init__(self, file: IO[bytes]) -> None:
        self.tasks = 0
        self.highest_id = 0
        self.lowest_id = 2**63
        self._file = file
        self._batch: list[Adoptable] = []
        self._users = 0
        self._characters = 0

    def add(self, task: Adoptable) -> None:
        """Add a task."""
        self._users += not self._batch or self._batch[-1].user_id != task.user_id
        self._batch.append(task)
        self._characters += len(task.data)
        self.tasks += 1
        self.highest_id = max(self.highest_id, task.task_id)
        self.lowest_id = min(self.lowest_id, task.task_id)
        if len(self._batch) == _TASKS or self._users == _USERS or self._characters >= _CHARACTERS:
            self.end()

    def end(self) -> None:
        """End the current batch."""
        if self._batch:
            self._file.write(orjson.dumps([*map(tuple, self._batch)]) + b"\n")
        self._batch, self._users, self._characters = [], 0, 0

    def batches(self) -> Iterator[list[Adoptable]]:
        """Yield the batches."""
        self._file.seek(0)
        for line in self._file:
            yield [Adoptable(*task) for task in orjson.loads(line)]


@contextmanager
def spooled() -> Iterator[Spool]:
    """Yield an empty spool."""
    with TemporaryFile() as file:
        yield Spool(file)
