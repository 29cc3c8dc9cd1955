"""The cause of events: the command that `decide` turns into exactly these events.

Seen to fail: with the completion of an edit left out, and with an undo that is not told from the same change.
"""

from __future__ import annotations

import pytest

from domain.cause import cause, is_one_command
from domain.commands import (
    Command,
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    ReopenTask,
    RestoreTask,
    UndoCommand,
)
from domain.events import (
    TaskAdopted,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskReopened,
    TaskRestored,
)

CREATED = TaskCreated(title="Milk", tags=("home",))
EDITED = TaskEdited(title="Oat milk", description=None)


@pytest.mark.parametrize(
    ("events", "command"),
    [
        ([CREATED], CreateTask(title="Milk", tags=("home",))),
        ([EDITED], EditTask(title="Oat milk", description=None)),
        ([EDITED, TaskCompleted()], EditTask(title="Oat milk", description=None, completed=True)),
        ([EDITED, TaskReopened()], EditTask(title="Oat milk", description=None, completed=False)),
        ([TaskCompleted()], CompleteTask()),
        ([TaskReopened()], ReopenTask()),
        ([TaskDeleted()], DeleteTask()),
        ([TaskRestored()], RestoreTask()),
    ],
)
def test_events_have_the_command_that_leads_to_them(events: list[TaskEvent], command: Command) -> None:
    assert cause(events, version=3) == command


@pytest.mark.parametrize(
    ("event", "inverse"),
    [
        (EDITED, EditTask(title="Oat milk", description=None)),
        (TaskCompleted(), EditTask(completed=True)),
        (TaskReopened(), EditTask(completed=False)),
        (TaskDeleted(), DeleteTask()),
        (TaskRestored(), RestoreTask()),
    ],
)
def test_an_undo_has_the_inverse_command_and_the_version_that_it_was_decided_on(
    event: TaskEvent, inverse: EditTask | DeleteTask | RestoreTask
) -> None:
    assert cause([event], version=3, undoes=2) == UndoCommand(undoes=2, version=3, inverse=inverse)


def test_no_command_leads_to_an_adoption() -> None:
    with pytest.raises(ValueError, match="no command leads to an adoption"):
        cause([TaskAdopted(title="Milk", created_at=None, updated_at=None)], version=0)


def test_a_creation_takes_nothing_back_whatever_an_imported_file_says() -> None:
    assert cause([CREATED], version=0, undoes=2) == CreateTask(title="Milk", tags=("home",))


def test_only_an_edit_and_a_completion_can_be_one_command() -> None:
    assert is_one_command(EDITED, TaskCompleted())
    assert is_one_command(EDITED, TaskReopened())
    assert not is_one_command(EDITED, EDITED)
    assert not is_one_command(TaskCompleted(), TaskReopened())
