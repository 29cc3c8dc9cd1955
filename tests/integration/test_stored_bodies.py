"""Rows hold the JSON of most tasks without its end, and Postgres gives it back; new rows are copied, whatever is there.

Seen to fail: with the end left out of bodies of any length, and without the second try of a batch whose rows are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import asyncpg
import orjson
import pytest

from domain.events import TaskDeleted, TaskEdited
from domain.labels import MEDIUM
from domain.task import Task
from projector.catch_up import catch_up
from projector.woken import catch_up_by_name
from read_api.queries import Long, TaskBody, get_tasks
from read_model.body import task_body
from read_model.rows import COLUMNS, row_of
from runtime.database import Database
from tests.ledger import appended, created, of, projected

AT = datetime(2026, 11, 29, 4, 3, 2, 1, UTC)
END = (
    ',"priority":"medium","due_date":null,"tags":[],"category":null,"completed_at":null,"is_completed":false,'
    '"status":"pending"}'
)
PLAIN = Task(
    id=7, title="Milk", description=None, due_date=None, priority=MEDIUM, tags=(), category=None, completed=False,
    completed_at=None, created_at=AT, updated_at=AT, created_position=1, version=1,
)  # fmt: skip
TASKS = {
    "a plain one": PLAIN,
    "braces and quotes": PLAIN._replace(title='{"}\\'),
    "a title like the end": PLAIN._replace(title=END),
    "a description like the end": PLAIN._replace(description=END),
    "letters of several bytes": PLAIN._replace(title="Straße 🥛", description="½ 日本"),
    "short enough": PLAIN._replace(description="x" * (1000 - len(task_body("u", PLAIN._replace(description=""))))),
    "one byte too long": PLAIN._replace(description="x" * (1001 - len(task_body("u", PLAIN._replace(description=""))))),
    "long": PLAIN._replace(description="x" * 20_000),
    "completed": PLAIN._replace(completed=True, completed_at=AT),
    "with a priority": PLAIN._replace(priority="high"),
    "with all": PLAIN._replace(due_date="2026-12-24", tags=("a", "b"), category="c"),
}
WHOLE = "SELECT tasklog.whole_body($1) AS body, tasklog.body_bytes($1) AS bytes"


def stored(task: Task) -> str:
    """Return the body in the row of a task of user u."""
    body: str = row_of("u", task)[[*COLUMNS].index("body")]
    return body


def test_a_row_leaves_out_what_most_bodies_end_with() -> None:
    at = "2026-11-29T04:03:02.000001Z"
    assert stored(PLAIN) == (
        f'"id":7,"user_id":"u","title":"Milk","description":null,"completed":false,"created_at":"{at}",'
        f'"updated_at":"{at}"'
    )
    full = {name for name, task in TASKS.items() if stored(task).startswith("{")}
    assert full == {"one byte too long", "long", "completed", "with a priority", "with all"}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
async def test_postgres_gives_a_body_back_byte_for_byte(owner: asyncpg.Connection, task: Task) -> None:
    row = await owner.fetchrow(WHOLE, stored(task))
    body = row["body"].encode()
    assert body == task_body("u", task)
    assert orjson.loads(body)["title"] == task.title
    assert row["bytes"] == len(body)


async def test_many_tasks_are_read_as_each_of_them_alone(
    projector: Database, writer: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    """In every state that a task can be in. Seen to fail: with events behind a row not looked for in `short_tasks`."""
    current, edited, deleted, long = [await created(writer, "alice", f"Milk {n}") for n in range(4)]
    await appended(writer, of("alice", TaskEdited(description="x" * 20_000), task=long, expected=1))
    foreign = await created(writer, "bob", "Beer")
    await catch_up(projector)
    await appended(writer, of("alice", TaskEdited(title="Oat milk"), task=edited, expected=1))
    await appended(writer, of("alice", TaskDeleted(), task=deleted, expected=1))
    new = await created(writer, "alice", "Tea")
    asked = [current, edited, deleted, long, foreign, new, 2**40]
    titles: list[object] = ["Milk 0", "Oat milk", None, Long.LONG, None, "Tea", None]
    keys = [("alice", task) for task in asked]

    def shown(found: Sequence[object]) -> list[object]:
        return [orjson.loads(one.body)["title"] if isinstance(one, TaskBody) else one for one in found]

    assert shown([one for key in keys for one in await get_tasks(reader, [key])]) == titles
    assert shown(await get_tasks(reader, keys * 3)) == titles * 3
    assert shown(await get_tasks(reader, [("bob", foreign), *keys * 3])) == ["Beer", *titles * 3]


@pytest.mark.parametrize("named", [True, False], ids=["named by a wake-up", "marked"])
async def test_rows_of_new_tasks_that_are_there_against_all_rules_are_written_over(
    projector: Database, writer: Database, owner: asyncpg.Connection, named: bool
) -> None:
    await created(writer, "alice", "first")
    await catch_up(projector)
    new = {await created(writer, "alice", f"Milk {n}"): f"Milk {n}" for n in range(10)}
    await owner.execute(
        "INSERT INTO tasklog.tasks (user_id, id, title, completed, created_at, updated_at, created_position, version,"
        " title_key, body) SELECT user_id, $1, 'forged', false, now(), now(), 77, 9, 'forged', '{}' FROM tasklog.tasks",
        min(new),
    )
    await (catch_up_by_name(projector, ["alice"], asyncio.Event()) if named else catch_up(projector))
    found = (await projected(owner))["alice"]
    assert {task: found[task][0] for task in new} == new
    assert await owner.fetchval("SELECT count(*) FROM tasklog.checkpoints WHERE error IS NOT NULL") == 0
