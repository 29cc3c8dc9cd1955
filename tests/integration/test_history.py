"""The history shows every event and what it changed, from what to what, wherever a page begins.

Expected values are computed from the stored JSON with plain dicts. Seen to fail: without the events before a page, with
the oldest value instead of the last, with a look-back that ignores which field an edit sets, and with an unreadable
event raising an error. A page that begins at its own `after` would never end: the time limit catches it.
"""

from __future__ import annotations

import json
import random
from itertools import count
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_api.known_states import KnownStates
from domain.commands import Command, CreateTask, DeleteTask, EditTask, RestoreTask, ToggleTask
from domain.events import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskEvent, TaskReopened, TaskRestored
from event_log.codec import EVENT_TYPES
from read_api.history import Change, HistoryQuery, changes, history
from runtime.database import Database
from tests.integration.commands import FIELDS, happen
from tests.ledger import TITLES, appended, created, of
from tests.model import DEFAULTS, Model

ALWAYS = {"title", "description", "completed"}
ALL = ("title", "description", "due_date", "priority", "tags", "category", "completed")
_users = count(1)
titles = st.sampled_from([*TITLES, '"title":', '","description":"'])
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(CreateTask, title=titles, description=st.none() | titles),
    st.builds(CreateTask, title=titles, **FIELDS),
    st.builds(EditTask, title=titles),
    *(st.builds(EditTask, **{name: values}) for name, values in FIELDS.items()),
    st.builds(EditTask, description=st.none() | titles, completed=st.booleans()),
    st.sampled_from([ToggleTask(), DeleteTask(), DeleteTask(), RestoreTask()]),
)


async def page_of(reader: Database, user: str, **asked: Any) -> dict[str, Any]:
    page = await history(reader, user, HistoryQuery(**asked))
    assert page is not None
    answer: dict[str, Any] = json.loads(page.body)
    assert answer["next"] == page.next
    return answer


async def walk(reader: Database, user: str, **asked: Any) -> list[dict[str, Any]]:
    """Return all entries, page by page."""
    entries: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await page_of(reader, user, after=after, **asked)
        assert len(page["events"]) <= asked["limit"]
        entries += page["events"]
        after = page["next"]
    return entries


async def live(writer: Database, user: str, drawn: list[tuple[Command, int]]) -> list[int]:
    """Carry commands out, and return the ids of all tasks that ever existed."""
    model = Model(user)
    for command, number in drawn:
        await happen(model, writer, KnownStates(), command, number)
    return model.ids


async def stored_changes(owner: asyncpg.Connection, user: str) -> dict[int, list[dict[str, Any]]]:
    """Return what each position changed, from the stored events only."""
    tasks: dict[int, dict[str, Any]] = {}
    before_deletion: dict[int, dict[str, Any]] = {}
    found = {}
    for row in await owner.fetch("SELECT * FROM tasklog.events WHERE user_id = $1 ORDER BY position", user):
        stored: dict[str, Any] = json.loads(row["data"])
        sets = {
            "task.created": DEFAULTS | stored | {"completed": False},
            "task.edited": stored,
            "task.completed": {"completed": True},
            "task.reopened": {"completed": False},
            "task.deleted": dict.fromkeys(ALL),
            "task.restored": before_deletion.get(row["task_id"], {}),
        }[row["type"]]
        task = tasks.setdefault(row["task_id"], dict.fromkeys(ALL))
        changed = [{"field": field, "from": task[field], "to": sets[field]} for field in ALL if field in sets]
        side = {"task.created": "to", "task.deleted": "from", "task.restored": "to"}.get(row["type"])
        found[row["position"]] = [one for one in changed if side is None or tells(one["field"], one[side])]
        before_deletion[row["task_id"]] = dict(task)
        task |= sets
    return found


def tells(field: str, value: object) -> bool:
    """Return whether a creation or a deletion tells of a field: of a later one only where it has a value."""
    return field in ALWAYS or value != DEFAULTS[field]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(st.tuples(commands, st.integers(0, 3)), max_size=25), limit=st.integers(1, 4))
async def test_every_entry_tells_what_it_changed_wherever_its_page_begins(
    writer: Database, reader: Database, owner: asyncpg.Connection, drawn: Any, limit: int
) -> None:
    user = f"drawn-{next(_users)}"
    ids = await live(writer, user, drawn)
    expected = await stored_changes(owner, user)
    whole = await page_of(reader, user, limit=1000)
    assert {entry["position"]: entry["changes"] for entry in whole["events"]} == expected
    assert await walk(reader, user, limit=limit) == whole["events"]
    for task_id in ids:
        own = [entry for entry in whole["events"] if entry["task_id"] == task_id]
        assert [entry["version"] for entry in own] == list(range(1, len(own) + 1))
        assert await walk(reader, user, limit=limit, task_id=task_id) == own
    for name in EVENT_TYPES:
        typed = [entry for entry in whole["events"] if entry["type"] == name]
        assert await walk(reader, user, limit=limit, type=name) == typed


async def test_what_was_before_is_what_was_set_last(
    writer: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    edits: list[Command] = [EditTask(title=title, completed=n % 2 == 0) for n, title in enumerate("bcde")]
    edits += [EditTask(description=text, completed=n % 2 == 1) for n, text in enumerate("wxyz")]
    last: list[Command] = [
        EditTask(title="f"),
        EditTask(description='"title":'),
        ToggleTask(),
        EditTask(title="g"),
        DeleteTask(),
    ]
    commands: list[Command] = [CreateTask(title="a", description="v"), *edits, *last]
    task = [(command, 0) for command in commands]
    await live(writer, "alice", task)
    expected = await stored_changes(owner, "alice")
    for limit in (1, 2, 3):
        entries = await walk(reader, "alice", limit=limit)
        assert {entry["position"]: entry["changes"] for entry in entries} == expected


def test_a_change_is_what_the_event_sets_and_what_was_before() -> None:
    before = {"title": "a", "description": "b", "completed": True}
    cases: list[tuple[TaskEvent, Any, list[tuple[str, Any, Any]]]] = [
        (
            TaskCreated(title="t", description=None),
            {},
            [("title", None, "t"), ("description", None, None), ("completed", None, False)],
        ),
        (TaskEdited(title="t"), before, [("title", "a", "t")]),
        (TaskEdited(description=None), before, [("description", "b", None)]),
        (TaskCompleted(), {"completed": False}, [("completed", False, True)]),
        (TaskReopened(), before, [("completed", True, False)]),
        (TaskDeleted(), before, [("title", "a", None), ("description", "b", None), ("completed", True, None)]),
        (TaskRestored(), before, [("title", None, "a"), ("description", None, "b"), ("completed", None, True)]),
        (
            TaskCreated(title="t", due_date="2026-03-01", tags=("a",)),
            {},
            [
                ("title", None, "t"),
                ("description", None, None),
                ("due_date", None, "2026-03-01"),
                ("tags", None, ("a",)),
                ("completed", None, False),
            ],
        ),
        (TaskEdited(priority="P1", category=None), before, [("priority", None, "P1"), ("category", None, None)]),
        (
            TaskDeleted(),
            before | {"priority": "medium", "tags": ("a",), "category": None},
            [("title", "a", None), ("description", "b", None), ("tags", ("a",), None), ("completed", True, None)],
        ),
    ]
    for event, known, expected in cases:
        assert changes(event, known) == [Change(*change) for change in expected]


async def test_a_task_that_the_user_never_had_has_no_history(writer: Database, reader: Database) -> None:
    task = await created(writer, "alice")
    assert await history(reader, "mallory", HistoryQuery(task_id=task)) is None
    assert await history(reader, "alice", HistoryQuery(task_id=task + 1)) is None
    assert (await page_of(reader, "alice", task_id=task, after=1))["events"] == []
    assert (await page_of(reader, "alice", after=10**18 - 1))["events"] == []
    empty = await page_of(reader, "nobody")
    assert empty == {"user_id": "nobody", "head": {"position": 0, "hash": "0" * 64}, "events": [], "next": None}


@pytest.mark.parametrize(
    "damage",
    [
        "type = 'task.renamed'",
        "schema_version = 9",
        "data = '[]'",
        "data = '{\"title\":1}'",
        'data = \'{"title":"\\u0000"}\'',
        "metadata = '7'",
        "version = 9",
    ],
)
async def test_an_event_that_cannot_be_read_is_shown_as_it_is_stored(
    writer: Database, reader: Database, owner: asyncpg.Connection, damage: str
) -> None:
    task = await created(writer, "alice", "a")
    await appended(writer, of("alice", TaskEdited(title="b"), TaskCompleted(), TaskDeleted(), task=task, expected=1))
    await owner.execute(f"UPDATE tasklog.events SET {damage} WHERE position = 2")
    stored = await owner.fetch("SELECT data::text, metadata::text FROM tasklog.events ORDER BY position")
    for limit in (1, 2, 10):
        entries = await walk(reader, "alice", limit=limit)
        assert [(entry["data"], entry["metadata"]) for entry in entries] == [tuple(row) for row in stored]
        assert entries[2]["changes"] == [{"field": "completed", "from": False, "to": True}]
        if "metadata" in damage:
            assert (entries[1]["actor"], entries[1]["request_id"]) == (None, None)
        elif damage != "version = 9":
            assert entries[1]["changes"] == [] or "u0000" in damage


async def test_an_old_schema_version_is_told_as_it_is_understood_today(
    writer: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "alice", "a")
    await owner.execute("""UPDATE tasklog.events SET schema_version = 1, data = '{"title": "old"}'""")
    await appended(writer, of("alice", TaskEdited(title="b", description="c"), task=task, expected=1))
    first, second = (await page_of(reader, "alice", limit=10))["events"]
    assert first["changes"][1] == {"field": "description", "from": None, "to": None}
    assert (await page_of(reader, "alice", after=1))["events"] == [second]
    assert second["changes"][0] == {"field": "title", "from": "old", "to": "b"}


async def test_an_erased_history_keeps_its_entries_without_text_and_without_who(
    writer: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    task = await created(writer, "alice", "secret")
    await appended(writer, of("alice", TaskEdited(title="secret too"), TaskCompleted(), task=task, expected=1))
    await owner.execute("SELECT tasklog.erase('alice', 'operator', 'r')")
    for limit in (1, 10):
        entries = await walk(reader, "alice", limit=limit)
        assert "secret" not in json.dumps(entries)
        assert [entry["erased"] for entry in entries] == [True, True, True, False, False]
        assert {(e["data"], e["metadata"], e["actor"], e["request_id"]) for e in entries[:3]} == {(None,) * 4}
        assert (entries[4]["type"], entries[4]["task_id"]) == ("stream.erased", None)
        assert (entries[4]["actor"], entries[4]["changes"]) == ("operator", [])


async def test_rare_types_are_found_in_a_long_stream_in_bounded_steps(writer: Database, reader: Database) -> None:
    """A page searches at most 10,000 events; an empty page says where to continue."""
    task = await created(writer, "alice", "first")
    toggles = [TaskCompleted() if n % 2 else TaskReopened() for n in range(1, 1001)]
    for expected in range(1, 12_001, 1000):
        await appended(writer, of("alice", *toggles, task=task, expected=expected))
    await appended(writer, of("alice", TaskDeleted(), task=task, expected=12_001))
    for of_task in (None, task):
        page = await page_of(reader, "alice", task_id=of_task, type="task.deleted")
        assert (page["events"], page["next"]) == ([], 10_000)
        page = await page_of(reader, "alice", task_id=of_task, type="task.deleted", after=page["next"])
        assert page["next"] is None
        (entry,) = page["events"]
        assert entry["changes"] == [
            {"field": field, "from": was, "to": None}
            for field, was in zip(("title", "description", "completed"), ("first", None, False), strict=True)
        ]
        after = random.Random(7).randrange(12_000)
        page = await page_of(reader, "alice", task_id=of_task, after=after, limit=1000)
        last = min(after + 1000, 12_002)
        assert [entry["position"] for entry in page["events"]] == list(range(after + 1, last + 1))


async def test_a_page_of_long_texts_is_shorter_and_the_walk_tells_everything(
    writer: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    """The events are long, or their earlier values. Seen to fail without each of the two limits."""
    long = ["x" * 1_000_000, "\U0001f34e" * 200_000, '"' * 400_000]
    made: list[tuple[Command, int]] = [(CreateTask(title="a", description=long[n % 3]), n) for n in range(9)]
    edited: list[tuple[Command, int]] = [(EditTask(description=long[(n + 1) % 3]), n) for n in range(9)]
    await live(writer, "alice", [*made, *edited, *((DeleteTask(), n) for n in range(9))])
    expected = await stored_changes(owner, "alice")
    for asked in ({"limit": 1}, {"limit": 3}, {"limit": 1000}):
        entries = await walk(reader, "alice", **asked)
        assert {entry["position"]: entry["changes"] for entry in entries} == expected
    for name, first in (("task.created", 1), ("task.deleted", 19)):
        typed = await walk(reader, "alice", limit=1000, type=name)
        assert [entry["position"] for entry in typed] == [*range(first, first + 9)]
        page = await page_of(reader, "alice", limit=1000, type=name)
        assert 1 <= len(page["events"]) < len(typed)
        texts = [
            str(change[side]) for entry in page["events"] for change in entry["changes"] for side in ("from", "to")
        ]
        assert sum(len(text.encode()) for text in texts) < 2 * 2**20
