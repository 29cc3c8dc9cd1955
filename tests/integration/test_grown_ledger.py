"""A grown ledger: its heaviest users cost no more than a new one, also with plans that were kept for average users.

Seen to fail: without OFFSET 0 in `tasklog.last_positions`, `tasklog.joined_bodies` and `tasklog.rows_of_tasks`, and
with totals that are counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import pytest
from pydantic import SecretStr

from audit.status import status
from audit.verify import verify
from bench.grown import People, fill
from domain.events import TaskEdited
from event_log.read import known_tasks
from projector.catch_up import catch_up
from read_api.history import HistoryQuery, history
from read_api.queries import TaskQuery, lists
from runtime.database import Database, open_database
from runtime.settings import Settings
from tests.integration.test_growing_tables import flushed
from tests.ledger import appended, of
from tests.servers import Database as Addresses

FEW: Final = People(name="few", number=1_000, events=9, tasks=3)
LONG: Final = People(name="long", number=1, events=4_000, tasks=10)
MANY: Final = People(name="many", number=1, events=3_000, tasks=3_000)
PLAN_KEPT_FROM: Final = 7
"""From this execution on, Postgres has kept a plan for any user."""

_READ: Final = """
    -- Rows, and entries of indexes, of the ledger and of the tasks that were read so far.
    SELECT sum(t.seq_tup_read + entries.read)::bigint
    FROM pg_stat_user_tables t
    CROSS JOIN LATERAL (SELECT sum(i.idx_tup_read) AS read FROM pg_stat_user_indexes i WHERE i.relid = t.relid) entries
    WHERE schemaname = 'tasklog' AND relname IN ('events', 'tasks', 'streams', 'checkpoints', 'idempotency_keys')
"""

Work = Callable[[Any, str, int], Awaitable[Any]]


async def task(database: Any, user: str, task_id: int) -> None:
    (found,) = await known_tasks(database, [((user, task_id), None)])
    assert found is not None


async def page_of_history(database: Any, user: str, _: int) -> None:
    page = await history(database, user, HistoryQuery(after=5, limit=3))
    assert page is not None


async def page_by_title(database: Any, user: str, _: int) -> None:
    (page,) = await lists(database, [(user, TaskQuery(sort="title", limit=2))])
    assert not isinstance(page, Exception)


async def part_of_a_list(database: Any, user: str, task_id: int) -> None:
    versions = "SELECT version FROM tasklog.tasks WHERE user_id = $1 AND id = $2"
    version = await database.fetchval(versions, user, task_id)
    await database.fetch("SELECT * FROM tasklog.joined_bodies($1, $2, $3, NULL)", user, [task_id], [version])


async def ids_for_keys(database: Any, user: str, _: int) -> None:
    await database.fetch("SELECT * FROM tasklog.ids_of_new_tasks($1, $2, $3)", user, ["K"], [b"f"])


@pytest.fixture
async def grown(owner: asyncpg.Connection, projector: Database) -> asyncpg.Connection:
    """Return a connection of the owner's, as services set it, to a grown ledger that is projected."""
    written = await fill(owner, (FEW, LONG, MANY))
    assert await catch_up(projector) == written == 16_000
    await flushed(owner, projector)  # an idle session reports later, and its rows would count below
    await owner.execute(
        """INSERT INTO tasklog.idempotency_keys (user_id, key, fingerprint, task_id, version, recorded_at, position)
           SELECT user_id, position::text, '\\x01', task_id, version, now(), position FROM tasklog.events
           WHERE position < 3 OR user_id LIKE 'long-%'"""
    )
    await owner.execute("VACUUM ANALYZE")
    await owner.execute("SET enable_seqscan = off; SET jit = off")
    return owner


async def edit(owner: asyncpg.Connection, user: str) -> None:
    """Edit a task of a user; nobody projects it."""
    task_id, version = await owner.fetchrow("SELECT id, version FROM tasklog.tasks WHERE user_id = $1 LIMIT 1", user)
    await appended(owner, of(user, TaskEdited(title="new"), task=task_id, expected=version))


async def rows_read(connection: asyncpg.Connection, work: Work, user: str, task_id: int) -> int:
    """Return how many rows a piece of work reads."""
    before = await _read(connection)
    await work(connection, user, task_id)
    return await _read(connection) - before


async def _read(connection: asyncpg.Connection) -> int:
    await connection.execute("SELECT pg_stat_force_next_flush()")
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    return int(await connection.fetchval(_READ))


@pytest.mark.parametrize("has_tail", [False, True])
async def test_the_heaviest_users_read_as_few_rows_as_others(grown: asyncpg.Connection, has_tail: bool) -> None:
    works: tuple[Work, ...] = (task, page_of_history, page_by_title, part_of_a_list, ids_for_keys)
    long_task, many_task = FEW.number * FEW.tasks + 1, FEW.number * FEW.tasks + LONG.tasks + 1
    found = {}
    if has_tail:
        await edit(grown, LONG.user())
        await edit(grown, MANY.user())
    for work in works:
        for n in range(PLAN_KEPT_FROM):
            await work(grown, FEW.user(n), n * FEW.tasks + 1)
        found[work.__name__] = [
            await rows_read(grown, work, LONG.user(), long_task),
            await rows_read(grown, work, MANY.user(), many_task),
        ]
    assert {name: rows for name, rows in found.items() if max(rows) > 100} == {}, found


async def test_what_was_made_verifies_and_its_status_is_right(
    grown: asyncpg.Connection, projector: Database, settings: Settings, database: Addresses
) -> None:
    report = await verify(projector)
    assert (report.faults, report.events, report.streams) == ([], 16_000, 1_002)
    as_owner = settings.model_copy(update={"database_url": SecretStr(database.owner), "allow_superuser": True})
    async with open_database(as_owner, "owner") as opened:
        found = await status(opened, None)
    assert (found.streams, found.events, found.lag_events, found.lag_seconds) == (1_002, 16_000, 0, 0)
    assert (found.parked_users, found.users_to_rebuild, found.users_in_other_formats) == (0, 0, 0)
