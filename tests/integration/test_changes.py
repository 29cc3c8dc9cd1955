"""Changes since a bookmark, against a plain model: whatever is projected, however the answers are cut."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_api.known_states import KnownStates
from domain.commands import Command, CompleteTask, CreateTask, DeleteTask, EditTask, ToggleTask
from domain.events import TaskCreated
from event_log.codec import UnreadableEventError
from projector.catch_up import catch_up
from projector.rebuild import rebuild, request_rebuild
from read_api import changes as changing
from read_api.change_reader import ChangeReader
from read_api.changes import Changes
from read_api.queries import TaskQuery
from read_api.reader import Reader
from read_model.bookmark import Bookmark, UnknownBookmarkError, bookmark_after_write, read_bookmark
from runtime.database import Database
from tests.integration.answers import live, whole_tasks
from tests.integration.commands import happen
from tests.ledger import TITLES, appended, created, list_tasks, of
from tests.model import Model
from tests.replica import Replica

_users = count(1)

commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(CreateTask, title=st.sampled_from(TITLES), description=st.sampled_from([None, "x" * 700])),
    st.builds(EditTask, title=st.sampled_from(TITLES)),
    st.sampled_from([CompleteTask(), ToggleTask(), ToggleTask(), DeleteTask()]),
)
histories = st.lists(st.tuples(commands, st.integers(0, 7)), max_size=12)
small = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def changes(reader: Database) -> ChangeReader:
    return ChangeReader(Reader(reader))


async def answer(found: Changes) -> Any:
    """Return an answer as a client parses it."""
    return json.loads(b"".join([part async for part in found.body_in_parts()]) if found.parts else found.body)


async def ask(changes: ChangeReader, user: str, token: str | None, limit: int = 1000) -> Any:
    return await answer(await changes.changes(user, None if token is None else read_bookmark(token), limit))


async def follow(changes: ChangeReader, user: str, replica: Replica, limit: int = 1000) -> int:
    """Bring a replica up to date; return the number of answers that this took."""
    for n in range(1, 500):
        found = await ask(changes, user, replica.token, limit)
        assert len(found["tasks"]) + len(found["deleted"]) <= limit
        replica.apply(found)
        if not found["more"]:
            return n
    pytest.fail("the answers do not end")


async def assert_equal(replica: Replica, model: Model, owner: asyncpg.Connection) -> None:
    tasks = await whole_tasks(model, owner)
    assert replica.listed() == [tasks[task_id] for task_id in sorted(tasks)]


@small
@given(
    parts=st.lists(histories, min_size=1, max_size=4),
    projected=st.integers(0, 4),
    limit=st.integers(1, 4),
    span=st.integers(1, 9),
    together=st.sampled_from([1, 400, 100_000]),
    alone=st.sampled_from([1, 900, 100_000]),
)
async def test_a_replica_that_follows_equals_the_model_after_each_part_of_a_history(  # noqa: PLR0913, PLR0917 - drawn
    writer: Database,
    projector: Database,
    changes: ChangeReader,
    owner: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    parts: Any,
    projected: int,
    limit: int,
    span: int,
    together: int,
    alone: int,
) -> None:
    model, known, replica, old = Model(f"followed-{next(_users)}"), KnownStates(), Replica(), Replica()
    with monkeypatch.context() as patch:
        patch.setattr(changing, "SPAN_EVENTS", span)
        patch.setattr(changing, "TOGETHER_BYTES", together)
        patch.setattr(changing, "ALONE_BYTES", alone)
        await follow(changes, model.user, old)
        for n, part in enumerate(parts):
            await live(model, writer, known, part)
            if n < projected:
                await catch_up(projector)
            await follow(changes, model.user, replica, limit)
            await assert_equal(replica, model, owner)
        await follow(changes, model.user, old, limit)
        await assert_equal(old, model, owner)


@small
@given(before=histories, rounds=st.lists(histories, max_size=6), limit=st.integers(1, 3), catching=st.booleans())
async def test_a_walk_over_all_tasks_misses_nothing_that_happens_meanwhile(  # noqa: PLR0913, PLR0917 - drawn
    writer: Database,
    projector: Database,
    changes: ChangeReader,
    owner: asyncpg.Connection,
    before: Any,
    rounds: Any,
    limit: int,
    catching: bool,
) -> None:
    model, known, replica = Model(f"walked-{next(_users)}"), KnownStates(), Replica()
    await live(model, writer, known, before)
    for meanwhile in rounds:
        replica.apply(await ask(changes, model.user, replica.token, limit))
        await live(model, writer, known, meanwhile)
        if catching:
            await catch_up(projector)
    await follow(changes, model.user, replica, limit)
    await assert_equal(replica, model, owner)


async def test_an_answer_has_what_is_different_and_nothing_else(writer: Database, changes: ChangeReader) -> None:
    model, known = Model("alice"), KnownStates()
    await live(model, writer, known, [(CreateTask(title=title), 0) for title in "ked"])
    _, edited, deleted = model.ids
    start = await ask(changes, "alice", None)
    assert ([task["title"] for task in start["tasks"]], start["deleted"], start["more"]) == (["d", "e", "k"], [], False)
    lived: list[tuple[Command, int]] = [
        (EditTask(title="E"), 1),
        (DeleteTask(), 2),
        (CreateTask(title="short life"), 0),
        (DeleteTask(), 3),
        (CreateTask(title="new"), 0),
    ]
    for command, number in lived:
        await happen(model, writer, known, command, number)
    found = await ask(changes, "alice", start["token"])
    assert [(task["id"], task["title"]) for task in found["tasks"]] == [(edited, "E"), (model.ids[-1], "new")]
    assert (found["deleted"], found["more"]) == ([deleted], False)
    nothing = await ask(changes, "alice", found["token"])
    assert nothing == {
        "token": found["token"],
        "position": found["position"],
        "more": False,
        "tasks": [],
        "deleted": [],
    }


async def test_someone_without_a_task_has_a_token_that_the_first_task_comes_after(
    writer: Database, changes: ChangeReader
) -> None:
    nothing = await ask(changes, "alice", None)
    assert (nothing["tasks"], nothing["more"]) == ([], False)
    assert await ask(changes, "alice", nothing["token"]) == nothing
    task = await created(writer, "alice")
    assert [task["id"] for task in (await ask(changes, "alice", nothing["token"]))["tasks"]] == [task]


async def test_the_bookmark_of_a_write_is_the_one_that_follows_from_it(
    writer: Database, changes: ChangeReader, owner: asyncpg.Connection
) -> None:
    await created(writer, "alice")
    digest = await owner.fetchval("SELECT encode(hash, 'hex') FROM tasklog.events")
    token = bookmark_after_write(1, digest)
    assert (await ask(changes, "alice", token))["tasks"] == []
    task = await created(writer, "alice")
    assert [task["id"] for task in (await ask(changes, "alice", token))["tasks"]] == [task]


async def test_a_long_task_comes_whole_and_its_neighbours_with_the_next_answer(
    writer: Database, projector: Database, changes: ChangeReader
) -> None:
    replica = Replica()
    await follow(changes, "alice", replica)
    text = "x" * 1_200_000
    for n in range(6):
        title = f"{'long' if n % 3 == 1 else 'short'} {n}"
        await appended(writer, of("alice", TaskCreated(title=title, description=text if n % 3 == 1 else None)))
        if n == 3:
            await catch_up(projector)
    assert await follow(changes, "alice", replica) == 5
    assert [task["title"] for task in replica.listed()] == [
        "short 0",
        "long 1",
        "short 2",
        "short 3",
        "long 4",
        "short 5",
    ]
    assert {task["description"] for task in replica.listed()} == {None, text}


_HEAD = """; UPDATE tasklog.streams s SET (head, hash) =
    (SELECT e.position, e.hash FROM tasklog.events e WHERE e.user_id = s.user_id ORDER BY e.position DESC LIMIT 1)"""
RESTORED = {
    "another history": "UPDATE tasklog.events SET hash = sha256('other') WHERE position = 2" + _HEAD,
    "a shorter history": "DELETE FROM tasklog.events WHERE position >= 2; DELETE FROM tasklog.tasks WHERE"
    " created_position >= 2; UPDATE tasklog.checkpoints SET position = 1, row_format = NULL" + _HEAD,
    "an erasure": "SELECT tasklog.erase('alice', 'operator', 'test')",
    "a repair of rows": "UPDATE tasklog.checkpoints SET mended_at = now()",
}


@pytest.mark.parametrize("name", RESTORED)
async def test_a_bookmark_is_unknown_after(
    writer: Database, projector: Database, changes: ChangeReader, owner: asyncpg.Connection, name: str
) -> None:
    for _ in range(2):
        await created(writer, "alice")
    await catch_up(projector)
    token = (await ask(changes, "alice", None))["token"]
    walking = (await ask(changes, "alice", None, 1))["token"]
    assert (await ask(changes, "alice", token))["tasks"] == []
    await owner.execute(RESTORED[name])
    for old in (token, walking):
        with pytest.raises(UnknownBookmarkError):
            await ask(changes, "alice", old)
    again = await ask(changes, "alice", None)
    assert json.dumps(again["tasks"]) == json.dumps(json.loads(await list_body(changes)))
    assert (await ask(changes, "alice", again["token"]))["tasks"] == []


async def list_body(changes: ChangeReader) -> bytes:
    return (await list_tasks(changes._reader.rows.of(["alice", "bob"]), "alice", TaskQuery())).body


async def test_a_rebuild_that_corrects_rows_makes_the_bookmarks_of_wrong_ones_unknown(
    writer: Database, projector: Database, changes: ChangeReader, owner: asyncpg.Connection
) -> None:
    await created(writer, "alice")
    await catch_up(projector)
    await owner.execute("UPDATE tasklog.tasks SET body = replace(body, 'Milk', 'Forged')")
    wrong = await ask(changes, "alice", None)
    assert wrong["tasks"][0]["title"] == "Forged"
    await request_rebuild(projector)
    await rebuild(projector)
    with pytest.raises(UnknownBookmarkError):
        await ask(changes, "alice", wrong["token"])
    assert (await ask(changes, "alice", None))["tasks"][0]["title"] == "Milk"


async def test_an_event_that_cannot_be_read_is_an_error_of_its_user_alone(
    writer: Database, changes: ChangeReader, owner: asyncpg.Connection
) -> None:
    tokens = {user: (await ask(changes, user, None))["token"] for user in ("alice", "bob")}
    for user in tokens:
        await created(writer, user)
    await owner.execute("UPDATE tasklog.events SET schema_version = 99 WHERE user_id = 'alice'")
    keys = [(user, read_bookmark(token), 10) for user, token in tokens.items()]
    found = await changing.changes(changes._reader.rows.of(["alice", "bob"]), keys)
    assert isinstance(found[0], UnreadableEventError)
    assert isinstance(found[1], Changes)
    assert found[1].tasks.count(b'"id"') == 1


async def test_a_bookmark_far_behind_the_end_is_unknown(changes: ChangeReader) -> None:
    """Seen to fail with 2^63 - 1, to which Postgres cannot add."""
    with pytest.raises(UnknownBookmarkError):
        await ask(changes, "alice", str(Bookmark(position=2**63 - 1, hash_prefix="")))
    with pytest.raises(UnknownBookmarkError):
        await ask(changes, "alice", str(Bookmark(position=2**62, hash_prefix="ab")))
