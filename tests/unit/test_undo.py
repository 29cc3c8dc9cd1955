"""Undo, decided: any history beside a plain model, and which later changes stand in between.

Seen to fail: with a later change and its undo not cancelling each other, with an undone change still standing, and
without the existence of a task among the fields while it is deleted.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import CreateTask, DeleteTask, EditTask, RestoreTask, TaskCommand, ToggleTask
from domain.decide import TaskNotFoundError, decide
from domain.events import Recorded, TaskCreated, TaskDeleted, TaskEdited, TaskEvent, TaskRestored
from domain.evolve import evolve
from domain.fields import FIELDS
from domain.fields import given as given_fields
from domain.task import DeletedTask, NoTask, Task, TaskState
from domain.undo import COMPLETED, EXISTENCE, NOTHING, CannotUndoError, Effect, Step, commands, inverse, newest_to_undo
from tests.undo_model import Change, UndoModel

NOW = datetime(2026, 2, 7, tzinfo=UTC)


def sets(event: TaskEvent) -> frozenset[str]:
    match event:
        case TaskCreated():
            return frozenset({*FIELDS, EXISTENCE})
        case TaskEdited():
            return frozenset(given_fields(event))
        case TaskDeleted() | TaskRestored():
            return frozenset({EXISTENCE})
        case _:
            return frozenset({COMPLETED})


class Ledger:
    """A user's events in memory, beside the model."""

    def __init__(self) -> None:
        self.states: defaultdict[int, list[TaskState]] = defaultdict(lambda: [NoTask()])
        self.steps: list[tuple[int, Step]] = []
        self.model = UndoModel()

    def state(self, task: int, version: int = -1) -> TaskState:
        return self.states[task][version]

    def append(self, task: int, events: tuple[TaskEvent, ...], undoes: int | None = None) -> int:
        for n, event in enumerate(events):
            version, position = len(self.states[task]), len(self.steps) + 1
            self.states[task].append(evolve(self.state(task), Recorded(event, task, position, version, NOW)))
            self.steps.append((task, Step(position, version, sets(event), undoes, continues=n > 0)))
        return len(self.steps)

    def carry_out(self, task: int, command: TaskCommand) -> None:
        before = self.state(task)
        try:
            events = decide(command, before)
        except TaskNotFoundError:
            return
        if not events:
            return
        position = self.append(task, events)
        values: dict[str, Any] = {}
        for event in events:
            for name in sets(event) - {EXISTENCE}:
                values[name] = getattr(self.state(task), name)
        match command:
            case CreateTask():
                self.model.create(
                    position, task, **{name: getattr(command, name) for name in ("title", "description", "priority")}
                )
            case DeleteTask():
                self.model.set(position, task, here=False)
            case RestoreTask():
                self.model.set(position, task, here=True)
            case _:
                self.model.set(position, task, **values)

    def done(self, task: int) -> list[Effect]:
        return list(commands(step for of, step in reversed(self.steps) if of == task))

    def undo(self, change: Change) -> None:
        """Undo on both sides; what the model forbids is refused, and changes nothing."""
        done = self.done(change.task)
        target = next(found for found in done if found.position == change.position)
        later = done[: done.index(target)]
        now = self.state(change.task)
        if not self.model.may_undo(change):
            with pytest.raises(CannotUndoError) as refused:
                inverse(target, later, self.state(change.task, target.before), now)
            assert all(position > change.position for position in refused.value.positions)
            assert refused.value.positions
            return
        command = inverse(target, later, self.state(change.task, target.before), now)
        position = self.append(change.task, decide(command, now), change.position)
        self.model.undo(position, change)

    def check(self) -> None:
        states = {task: self.state(task) for task in self.states}
        assert {
            task: {name: getattr(state, name) for name in ("title", "description", "priority", "completed")}
            for task, state in states.items()
            if isinstance(state, Task)
        } == self.model.here()
        assert {task for task, state in states.items() if isinstance(state, DeletedTask)} == self.model.deleted()
        newest = newest_to_undo(commands(step for _, step in reversed(self.steps)))
        expected = self.model.newest()
        assert (newest and newest.position) == (expected and expected.position)


values = st.sampled_from("abc")
asked: st.SearchStrategy[TaskCommand] = st.one_of(
    st.builds(EditTask, title=values),
    st.builds(EditTask, title=values, completed=st.booleans()),
    st.builds(EditTask, description=st.none() | values, priority=values),
    st.sampled_from([ToggleTask(), ToggleTask(), DeleteTask(), RestoreTask()]),
)
steps = st.one_of(
    st.tuples(st.just("command"), st.integers(0, 2), asked),
    st.tuples(st.just("undo"), st.integers(0, 40), st.none()),
    st.tuples(st.just("newest"), st.none(), st.none()),
)


@given(st.lists(steps, min_size=5, max_size=40))
def test_any_history_with_undos_is_as_the_model_says(drawn: list[tuple[str, Any, Any]]) -> None:
    ledger = Ledger()
    for task in range(3):
        ledger.carry_out(task, CreateTask(title="a"))
    for kind, number, command in drawn:
        changes = ledger.model.changes
        if kind == "command":
            ledger.carry_out(number, command)
        elif kind == "undo":
            ledger.undo(changes[-1 - number % len(changes)])
        elif (newest := ledger.model.newest()) is not None:
            ledger.undo(newest)
        ledger.check()


@given(st.lists(st.tuples(st.integers(0, 2), asked), max_size=15))
def test_undoing_all_and_redoing_all_gives_each_state_back(drawn: list[tuple[int, TaskCommand]]) -> None:
    ledger = Ledger()
    seen: list[dict[int, dict[str, Any]]] = [ledger.model.here()]
    for task, command in [*((task, CreateTask(title="a")) for task in range(3)), *drawn]:
        before = len(ledger.steps)
        ledger.carry_out(task, command)
        if len(ledger.steps) > before:
            seen.append(ledger.model.here())
    undos = []
    for state in reversed(seen[:-1]):
        newest = ledger.model.newest()
        assert newest is not None
        ledger.undo(newest)
        ledger.check()
        undos.append(ledger.model.changes[-1])
        assert ledger.model.here() == state
    assert ledger.model.newest() is None
    for undo, state in zip(reversed(undos), seen[1:], strict=True):
        ledger.undo(undo)
        ledger.check()
        assert ledger.model.here() == state


def refused(*asked: TaskCommand | int, undo: int) -> tuple[int, ...]:
    """Return the positions that stand in the way, after commands of one task and undos of positions."""
    ledger = Ledger()
    for step in (CreateTask(title="a"), *asked):
        if isinstance(step, int):
            ledger.undo(next(change for change in ledger.model.changes if change.position == step))
        else:
            ledger.carry_out(7, step)
    done = ledger.done(7)
    target = next(found for found in done if found.position == undo)
    with pytest.raises(CannotUndoError) as error:
        inverse(target, done[: done.index(target)], ledger.state(7, target.before), ledger.state(7))
    return error.value.positions


OAT, SOY = EditTask(title="oat"), EditTask(title="soy")


@pytest.mark.parametrize(
    ("asked", "undo", "positions"),
    [
        ([OAT, SOY], 2, (3,)),
        ([OAT, ToggleTask(), SOY, ToggleTask()], 2, (4,)),
        ([OAT, ToggleTask()], 1, (2, 3)),
        ([OAT, SOY, 3, SOY], 2, (5,)),
        ([OAT, 2], 2, (3,)),
        ([OAT, 2, SOY], 3, (4,)),
        ([OAT, SOY, 3, 2], 4, (5,)),
        ([OAT, DeleteTask()], 2, (3,)),
        ([DeleteTask(), RestoreTask()], 2, (3,)),
        ([EditTask(title="oat", completed=True), ToggleTask()], 3, (4,)),
    ],
)
def test_the_changes_in_between_are_named(
    asked: list[TaskCommand | int], undo: int, positions: tuple[int, ...]
) -> None:
    assert refused(*asked, undo=undo) == positions


def test_an_adoption_is_not_undone_and_never_the_newest_change_to_undo() -> None:
    created = Step(1, 1, frozenset({EXISTENCE}), None, continues=False)
    adopted = Step(2, 1, frozenset({EXISTENCE}), NOTHING, continues=False)
    newest = newest_to_undo(commands([adopted, created]))
    assert (newest and newest.position) == 1
    (target,) = commands([adopted])
    with pytest.raises(CannotUndoError, match="came from another backend") as error:
        inverse(target, [], NoTask(), NoTask())
    assert error.value.positions == (2,)


def test_both_events_of_a_command_are_undone_together() -> None:
    ledger = Ledger()
    for command in (CreateTask(title="a"), EditTask(title="b", completed=True)):
        ledger.carry_out(7, command)
    done = ledger.done(7)
    assert [(found.position, found.before, found.version) for found in done] == [(3, 1, 3), (1, 0, 1)]
    assert inverse(done[0], [], ledger.state(7, 1), ledger.state(7)) == EditTask(title="a", completed=False)
