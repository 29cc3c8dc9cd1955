"""Time travel: for any history, `as_of` a position or a time equals the fold of the events up to it.

Expected values come from the plain model, which is copied after every event. Seen to fail: with a chunk skipped or read
twice, with `<` instead of `<=` in the bisection of times, with a total of only the page, with an ignored cursor, and
with events after the position.
"""

from __future__ import annotations

import asyncio
import copy
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_api.known_states import KnownStates
from domain.commands import Command, CompleteTask, CreateTask, DeleteTask, EditTask, ReopenTask, RestoreTask, ToggleTask
from domain.events import TaskCompleted, TaskEdited, TaskReopened
from domain.evolve import HistoryError
from event_log.codec import ERASED_TITLE, UnreadableEventError
from read_api import time_travel
from read_api.long_lists import task_at
from read_api.queries import TaskQuery
from read_api.time_travel import FutureError, list_tasks_as_of, moment
from runtime.database import Database
from tests.integration.commands import FIELDS, happen
from tests.ledger import TITLES, appended, created, list_tasks, of
from tests.model import LISTS, Model

_users = count(1)
titles = st.sampled_from(TITLES)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(CreateTask, title=titles, description=st.none() | titles, **FIELDS),
    st.builds(EditTask, title=titles, completed=st.booleans()),
    st.builds(EditTask, description=st.none() | titles),
    *(st.builds(EditTask, **{name: values}) for name, values in FIELDS.items()),
    st.sampled_from([CompleteTask(), ReopenTask(), ToggleTask(), DeleteTask(), RestoreTask()]),
)
histories = st.lists(st.tuples(commands, st.integers(0, 5)), max_size=20)


async def live(model: Model, writer: Database, history: list[tuple[Command, int]]) -> dict[int, Model]:
    """Carry a history out, and return the model at each position that a command led to."""
    past = {0: copy.deepcopy(model)}
    for command, number in history:
        await happen(model, writer, KnownStates(), command, number)
        (row,) = await writer.fetch("SELECT count(*) AS head FROM tasklog.task_events($1, $2, $3)", *_all(model))
        past[row["head"]] = copy.deepcopy(model)
    return past


def _all(model: Model) -> tuple[list[str], list[int], list[int]]:
    return [model.user] * len(model.ids), model.ids, [0] * len(model.ids)


def shown(body: bytes) -> list[dict[str, Any]]:
    times = {"user_id", "created_at", "updated_at", "completed_at"}
    return [{name: value for name, value in task.items() if name not in times} for task in json.loads(body)]


def expected(model: Model, status: Any, sort: Any) -> list[dict[str, Any]]:
    return [{"id": task_id} | model.tasks[task_id] for task_id in model.listed(status, sort)]


async def pages(reader: Database, user: str, at: tuple[Any, Any], limit: int, position: int) -> list[dict[str, Any]]:
    """Return the list, walked by its cursors; each page has the total of the whole list."""
    found: list[dict[str, Any]] = []
    totals = set()
    after = None
    while True:
        query = TaskQuery(status=at[0], sort=at[1], limit=limit, after=after)
        page = await list_tasks_as_of(reader, user, query, position)
        assert len(shown(page.body)) <= limit
        found += shown(page.body)
        totals.add(page.total)
        after = page.next
        if after is None:
            assert totals == {len(found)}
            return found
        assert after.as_of == position


@pytest.mark.timeout(600)  # behind a pooler on a busy machine it took half a minute
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, limit=st.integers(1, 3), chunk=st.integers(1, 4))
async def test_as_of_each_position_is_the_fold_of_the_prefix(
    writer: Database, reader: Database, history: Any, limit: int, chunk: int
) -> None:
    model = Model(f"drawn-{next(_users)}")
    past = await live(model, writer, history)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_travel, "_CHUNK", chunk)
        for position, then in past.items():
            for at in LISTS:
                page = await list_tasks_as_of(reader, model.user, TaskQuery(status=at[0], sort=at[1]), position)
                assert shown(page.body) == expected(then, *at)
                assert (page.head.position, page.total, page.next) == (position, None, None)
                assert await pages(reader, model.user, at, limit, position) == expected(then, *at)
            for task_id in model.ids:
                task = await task_at(reader, model.user, task_id, position)
                found = None if task is None else shown(b"[" + task.body + b"]")[0]
                assert found == ({"id": task_id} | then.tasks[task_id] if task_id in then.tasks else None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(0, 3), min_size=1, max_size=20), asked=st.integers(-1, 40))
async def test_as_of_a_time_is_the_last_position_that_was_recorded_then(
    writer: Database, reader: Database, owner: asyncpg.Connection, steps: list[int], asked: int
) -> None:
    """Events of the same microsecond belong to one moment, and times are compared to the microsecond."""
    user = f"drawn-{next(_users)}"
    await appended(writer, *(of(user) for _ in steps))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(microseconds=sum(steps[: n + 1])) for n in range(len(steps))]
    for position, at in enumerate(times, start=1):
        await owner.execute(
            "UPDATE tasklog.events SET recorded_at = $1 WHERE user_id = $2 AND position = $3", at, user, position
        )
    at = start + timedelta(microseconds=asked)
    assert (await moment(reader, user, at)).position == sum(time <= at for time in times)


async def test_now_is_the_present_list_in_every_byte(writer: Database, reader: Database) -> None:
    model = Model("alice")
    await live(
        model, writer, [(CreateTask(title=title), 0) for title in TITLES] + [(ToggleTask(), 3), (DeleteTask(), 4)]
    )
    for status, sort in LISTS:
        query = TaskQuery(status=status, sort=sort)
        present = await list_tasks(reader, "alice", query)
        assert (await list_tasks_as_of(reader, "alice", query, present.head.position)).body == present.body


async def test_what_is_still_to_come_is_refused(writer: Database, reader: Database, owner: asyncpg.Connection) -> None:
    await created(writer, "alice")
    assert (await moment(reader, "alice", 1)).position == 1
    for user, future in (("alice", 2), ("alice", datetime.now(UTC) + timedelta(minutes=1)), ("nobody", 1)):
        with pytest.raises(FutureError):
            await moment(reader, user, future)
    assert await moment(reader, "nobody", datetime.now(UTC) - timedelta(days=1)) == (0, "", 0)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    await owner.execute("UPDATE tasklog.events SET recorded_at = $1", ahead)
    await owner.execute("UPDATE tasklog.streams SET recorded_at = $1", ahead)
    assert (await moment(reader, "alice", ahead)).position == 1, "a stream may be ahead of a clock that was set back"


async def test_before_an_erasure_there_are_tasks_without_their_text(
    writer: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "alice", "the secret")
    await appended(writer, of("alice", TaskEdited(title="also secret"), TaskCompleted(), task=task, expected=1))
    assert (await moment(reader, "alice", 3)).erased == 0
    await owner.execute("SELECT tasklog.erase('alice', 'operator', 'r')")
    then = await moment(reader, "alice", 3)
    assert (then.position, then.erased) == (3, 5)
    found = await list_tasks_as_of(reader, "alice", TaskQuery(), 3)
    assert [(task["title"], task["completed"]) for task in shown(found.body)] == [(ERASED_TITLE, True)]
    assert (await list_tasks_as_of(reader, "alice", TaskQuery(), 5)).body == b"[]"


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        ("type = 'task.renamed'", UnreadableEventError),
        ("schema_version = 9", UnreadableEventError),
        ("version = 7", HistoryError),
        ("type = 'task.created'", UnreadableEventError),
    ],
)
async def test_the_past_before_an_event_that_cannot_be_followed_is_answered(
    writer: Database, reader: Database, owner: asyncpg.Connection, damage: str, error: type[Exception]
) -> None:
    task = await created(writer, "alice")
    other = await created(writer, "alice")
    await appended(writer, of("alice", TaskEdited(description="x"), task=task, expected=1))
    await owner.execute(f"UPDATE tasklog.events SET {damage} WHERE position = 3")
    assert len(shown((await list_tasks_as_of(reader, "alice", TaskQuery(), 2)).body)) == 2
    assert await task_at(reader, "alice", other, 3) is not None
    with pytest.raises(error):
        await list_tasks_as_of(reader, "alice", TaskQuery(), 3)
    with pytest.raises(error):
        await list_tasks(reader, "alice", TaskQuery())


async def test_a_long_stream_is_read_in_chunks_and_lets_others_have_their_turn(
    writer: Database, reader: Database, rows_fetched: list[int]
) -> None:
    task = await created(writer, "alice")
    toggles = [TaskCompleted() if n % 2 else TaskReopened() for n in range(1, 4000)]
    await appended(writer, of("alice", *toggles, task=task, expected=1))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(others())
    for one in (None, task):
        rows_fetched.clear()
        turns = 0
        if one is None:
            body = (await list_tasks_as_of(reader, "alice", TaskQuery(), 4000)).body
            assert [found["completed"] for found in shown(body)] == [True]
            assert sum(rows_fetched) == 4000
        else:
            assert await task_at(reader, "alice", one, 4000) is not None
            assert sum(rows_fetched) <= 5, "what a task was, few events say"
        assert max(rows_fetched) <= 500
        assert turns >= (8 if one is None else 1)
    other.cancel()
