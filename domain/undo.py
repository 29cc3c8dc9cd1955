"""Undo: find what takes back what a command did, from what was done to its task since.

A command stands until an undo of it stands. An undo sets the fields to what they were before the command, so it is
refused while a later change of the same fields stands. A later command and its undo cancel each other: both together
changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, assert_never

from domain.commands import DeleteTask, EditTask, Inverse, RestoreTask
from domain.decide import CommandError
from domain.task import DeletedTask, NoTask, Task, TaskState

EXISTENCE: Final = "existence"
"""What a creation, a deletion and a restoration set, beside the fields."""
COMPLETED: Final = "completed"
NOTHING: Final = 0
"""The `undoes` of an adoption, which is no position. So an adoption counts as an undo, and never as a newest change."""


class CannotUndoError(CommandError):
    """What a command did cannot be taken back; `positions` are those of the changes that stand in the way."""

    def __init__(self, reason: str, positions: Sequence[int] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.positions = tuple(positions)


class Step(NamedTuple):
    """An event, as far as undo has to know it.

    `sets` names the fields that it set, and EXISTENCE. `undoes` is the position of what its command took back, or
    NOTHING for an adoption.
    `continues` tells that it belongs to the same command as the event before it.
    """

    position: int
    version: int
    sets: frozenset[str]
    undoes: int | None
    continues: bool


class Effect(NamedTuple):
    """What a command did to a task: `position` is that of its last event, the versions are those around it."""

    position: int
    before: int
    version: int
    sets: frozenset[str]
    undoes: int | None


def commands(steps: Iterable[Step]) -> Iterator[Effect]:
    """Yield what each command did, newest first; `steps` are in this order, too."""
    last: Step | None = None
    sets: frozenset[str] = frozenset()
    for step in steps:
        last = last or step
        sets |= step.sets
        if not step.continues:
            yield Effect(last.position, step.version - 1, last.version, sets, step.undoes)
            last, sets = None, frozenset()


def newest_to_undo(done: Iterable[Effect]) -> Effect | None:
    """Return the newest command that stands and is no undo; `done` are a user's commands, newest first."""
    undone: set[int] = set()
    for command in done:
        if command.position in undone:
            continue
        if command.undoes is None:
            return command
        undone.add(command.undoes)
    return None


def inverse(target: Effect, later: Sequence[Effect], before: TaskState, now: TaskState) -> Inverse:
    """Return the command that takes back what `target` did.

    `later` is what was done to its task since, newest first. `before` is the task's state before the target, `now` its
    state now.

    Raises:
        CannotUndoError: the target is an adoption, is undone already, or a later change of the same fields stands.
    """
    if target.undoes == NOTHING:
        reason = f"At position {target.position} the task came from another backend, which cannot be undone: delete it"
        raise CannotUndoError(reason, [target.position])
    undone = _undone(later)
    if target.position in undone:
        raise CannotUndoError(f"The change at position {target.position} is undone already", [undone[target.position]])
    since = {command.position for command in later}
    standing = [command for command in later if command.position not in undone and command.undoes not in since]
    between = sorted(command.position for command in standing if _is_in_the_way(command, target, before, now))
    if between:
        reason = f"Later changes stand between position {target.position} and now: undo them first"
        raise CannotUndoError(reason, between)
    return _inverse(target, before)


def _undone(done: Iterable[Effect]) -> dict[int, int]:
    """Return the positions of what is undone, each with that of the undo; `done` is newest first."""
    undone: dict[int, int] = {}
    for command in done:
        if command.undoes is not None and command.position not in undone:
            undone[command.undoes] = command.position
    return undone


def _is_in_the_way(later: Effect, target: Effect, before: TaskState, now: TaskState) -> bool:
    """Return whether a later change stands between the target and its undo."""
    if isinstance(before, NoTask):
        return True  # without its creation, a task has no changes
    fields = target.sets | {EXISTENCE} if isinstance(now, DeletedTask) else target.sets
    return not fields.isdisjoint(later.sets)


def _inverse(target: Effect, before: TaskState) -> Inverse:
    match before:
        case NoTask() | DeletedTask():
            return DeleteTask()
        case Task() if EXISTENCE in target.sets:
            return RestoreTask()
        case Task():
            return EditTask(**{name: getattr(before, name) for name in target.sets})
        case _:  # pragma: no cover
            assert_never(before)
