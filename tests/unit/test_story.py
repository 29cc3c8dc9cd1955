"""The story of a stream: which event can follow which, as `decide` says, and ids that belong to one user."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.commands import CompleteTask, CreateTask, DeleteTask, EditTask, ReopenTask, RestoreTask, ToggleTask
from domain.decide import CommandError, decide
from domain.events import Recorded
from domain.evolve import evolve
from domain.task import NoTask, TaskState
from event_log.codec import encode
from event_log.story import Story, TaskIds

NOW = datetime.now(UTC)
COMMANDS = [
    CreateTask(title="a"),
    EditTask(title="b"),
    EditTask(title="c", completed=True),
    CompleteTask(),
    ReopenTask(),
    ToggleTask(),
    DeleteTask(),
    RestoreTask(),
]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(COMMANDS)), max_size=30))
def test_whatever_commands_lead_to_is_possible(asked: list[tuple[int, object]]) -> None:
    states: dict[int, TaskState] = {}
    story, position = Story(), 0
    for task, command in asked:
        try:
            events = decide(command, states.get(task, NoTask()))  # type: ignore[arg-type]
        except CommandError:
            continue
        for event in events:
            position += 1
            state = states.get(task, NoTask())
            recorded = Recorded(event, task, position, state.version + 1, NOW)
            states[task] = evolve(state, recorded)
            name, schema_version, _ = encode(event)
            story.feed([("alice", position, task, recorded.version, name, schema_version)])
    assert story.faults == {}


EVENTS = {
    "completed": ("task.completed", 1),
    "reopened": ("task.reopened", 1),
    "edited": ("task.edited", 1),
    "deleted": ("task.deleted", 1),
    "restored": ("task.restored", 1),
    "created": ("task.created", 2),
    "adopted": ("task.adopted", 1),
}


@pytest.mark.parametrize(
    "names",
    [
        ["completed"],
        ["reopened"],
        ["edited"],
        ["deleted"],
        ["created", "created"],
        ["created", "reopened"],
        ["created", "completed", "completed"],
        ["created", "completed", "reopened", "reopened"],
        ["created", "deleted", "edited"],
        ["created", "restored"],
        ["restored"],
        ["created", "completed", "deleted", "restored", "completed"],
        ["created", "deleted", "restored", "reopened"],
        ["created", "deleted", "created"],
        ["created", "edited", "reopened"],
        ["created", "adopted"],
        ["adopted", "adopted"],
        ["adopted", "created"],
        ["adopted", "restored"],
        ["adopted", "reopened", "reopened"],
        ["adopted", "edited", "completed", "completed"],
        ["adopted", "deleted", "reopened"],
    ],
)
def test_what_no_command_leads_to_is_a_fault_at_its_position(names: list[str]) -> None:
    story = Story()
    story.feed([("alice", n, 1, n, *EVENTS[name]) for n, name in enumerate(names, start=1)])
    assert story.faults["alice"].position == len(names)


@pytest.mark.parametrize("then", ["completed", "reopened", "edited", "deleted"])
def test_an_adopted_task_may_have_been_pending_or_completed(then: str) -> None:
    story = Story()
    names = ["adopted", "edited", "deleted", "restored", then]
    story.feed([("alice", n, 1, n, *EVENTS[name]) for n, name in enumerate(names, start=1)])
    assert story.faults == {}


def test_task_ids_are_taken_once_whatever_their_order() -> None:
    ids = TaskIds()
    wanted = [2**53 - 1, 1, 1023, 2, 1024, 1025]
    assert [ids.take(task_id) for task_id in wanted] == [True] * 6
    assert [ids.take(task_id) for task_id in wanted] == [False] * 6
    assert ids.highest(1, 2**53 - 1) == 2**53 - 1
    assert ids.highest(1, 2**53 - 2) == ids.highest(1025, 5000) == 1025
    assert (ids.highest(1, 1024), ids.highest(1, 1023), ids.highest(3, 1022)) == (1024, 1023, 0)
