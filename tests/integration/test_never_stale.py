"""Reads are never stale: events that are not projected yet are in the answer, in their place.

This holds for any history and any checkpoint; every status, sort, limit and walk by cursor; lists and single tasks. The
answer equals a plain model's, and stays the same in every byte after the projector has caught up. Seen to fail: without
the tail, with a tail in another order than the ledger's, with touched rows left in the page, with `total` of the rows
only, with a page that ignores its cursor, and with times in the server's zone.
"""

from __future__ import annotations

import asyncio
import json
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_api.known_states import KnownStates
from domain.commands import Command, CompleteTask, CreateTask, DeleteTask, EditTask, ReopenTask, RestoreTask, ToggleTask
from projector.catch_up import catch_up
from read_api.queries import TaskQuery, get_tasks
from runtime.database import Database
from runtime.settings import Settings
from tests.integration.answers import answers, assert_right, live
from tests.integration.commands import FIELDS
from tests.ledger import TITLES, appended, created, list_tasks, of, opened
from tests.model import LISTS, Model, Sort, Status

_users = count(1)

titles = st.sampled_from(TITLES) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1
)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(CreateTask, title=titles, description=st.none() | titles),
    st.builds(CreateTask, title=titles, **FIELDS),
    st.builds(EditTask, title=titles),
    *(st.builds(EditTask, **{name: values}) for name, values in FIELDS.items()),
    st.builds(EditTask, description=st.none() | titles, completed=st.booleans()),
    st.sampled_from([CompleteTask(), ReopenTask(), ToggleTask(), ToggleTask(), DeleteTask(), RestoreTask()]),
)
histories = st.lists(st.tuples(commands, st.integers(0, 7)), max_size=25)


@pytest.mark.timeout(600)  # behind a pooler on a busy machine it took half a minute
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(projected=histories, tail=histories, limit=st.integers(1, 4))
async def test_an_answer_is_that_after_catching_up_and_the_models(  # noqa: PLR0913, PLR0917 - what is drawn, and where
    writer: Database,
    projector: Database,
    reader: Database,
    owner: asyncpg.Connection,
    projected: Any,
    tail: Any,
    limit: int,
) -> None:
    model, known = Model(f"drawn-{next(_users)}"), KnownStates()
    await live(model, writer, known, projected)
    await catch_up(projector)
    await live(model, writer, known, tail)
    lagging = await answers(reader, model, limit)
    await assert_right(lagging, model, owner, limit)
    await catch_up(projector)
    assert await answers(reader, model, limit) == lagging


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(projected=histories, tail=histories, at=st.sampled_from(LISTS))
async def test_a_walk_goes_on_where_it_was_when_the_projector_catches_up(  # noqa: PLR0913, PLR0917
    writer: Database, projector: Database, reader: Database, projected: Any, tail: Any, at: tuple[Status, Sort]
) -> None:
    model, known = Model(f"drawn-{next(_users)}"), KnownStates()
    await live(model, writer, known, projected)
    await catch_up(projector)
    await live(model, writer, known, tail)
    first = await list_tasks(reader, model.user, TaskQuery(status=at[0], sort=at[1], limit=2))
    await catch_up(projector)
    ids = [task["id"] for task in json.loads(first.body)]
    if first.next:
        rest = TaskQuery(status=at[0], sort=at[1], limit=1000, after=first.next)
        ids += [task["id"] for task in json.loads((await list_tasks(reader, model.user, rest)).body)]
    assert ids == model.listed(*at)


@pytest.mark.parametrize("lagging", [True, False])
@pytest.mark.parametrize("sort", ["created", "title"])
async def test_a_cursor_without_a_limit_gives_the_rest_of_the_list(
    writer: Database, projector: Database, reader: Database, lagging: bool, sort: Sort
) -> None:
    ids = [await created(writer, "alice", title) for title in "abcd"]
    if not lagging:
        await catch_up(projector)
    first = await list_tasks(reader, "alice", TaskQuery(sort=sort, limit=1))
    rest = await list_tasks(reader, "alice", TaskQuery(sort=sort, after=first.next))
    expected = ids[1:] if sort == "title" else ids[-2::-1]
    assert [task["id"] for task in json.loads(rest.body)] == expected


async def test_a_servers_time_zone_shows_in_no_answer(
    settings: Settings, database: Any, owner: asyncpg.Connection
) -> None:
    """A tail travels as JSON, in which Postgres writes times in the session's zone."""
    await owner.execute(f"ALTER DATABASE {database.name} SET timezone TO 'Asia/Kolkata'")
    model = Model("alice")
    history: list[tuple[Command, int]] = [(CreateTask(title="Milk"), 0), (ToggleTask(), 0)]
    async with opened((settings, "writer"), (settings, "projector"), (settings, "reader")) as (
        writer,
        projector,
        reader,
    ):
        await live(model, writer, KnownStates(), history)
        await catch_up(projector)
        await live(model, writer, KnownStates(), [(EditTask(title="Oat"), 0), *history])
        lagging = await answers(reader, model, 2)
        await assert_right(lagging, model, owner, 2)
        await catch_up(projector)
        assert await answers(reader, model, 2) == lagging


async def test_another_users_tasks_are_not_found(writer: Database, projector: Database, reader: Database) -> None:
    projected = await created(writer, "alice")
    await catch_up(projector)
    waiting = await created(writer, "alice")
    assert await get_tasks(reader, [("mallory", projected), ("mallory", waiting)]) == [None, None]
    assert (await list_tasks(reader, "mallory", TaskQuery())).body == b"[]"


async def test_what_is_acknowledged_is_in_the_next_read_while_projectors_run(
    writer: Database, projector: Database, reader: Database
) -> None:
    """Rows, checkpoint and tail are of one snapshot: a checkpoint that is read later would miss events between."""
    stopping = asyncio.Event()

    async def project() -> None:
        while not stopping.is_set():
            await catch_up(projector)

    async def write_and_read(user: str) -> None:
        for n in range(1, 41):
            ((event,),) = await appended(writer, of(user))
            page = await list_tasks(reader, user, TaskQuery())
            assert (len(json.loads(page.body)), page.head.position) == (n, n)
            assert (await get_tasks(reader, [(user, event.task_id)]))[0] is not None

    projecting = asyncio.create_task(project())
    await asyncio.gather(*(write_and_read(f"user-{n}") for n in range(6)))
    stopping.set()
    await projecting
