"""Changes cost what has changed: blocks that the statement touches, for one change after a short and a long history.

Seen to fail: with a scan of the whole history.
"""

from __future__ import annotations

import json

import asyncpg

from projector.catch_up import catch_up
from read_api.changes import CHANGES
from runtime.database import Database
from tests.ledger import created


async def test_what_is_read_grows_with_what_changed_and_not_with_the_history(
    writer: Database, projector: Database, owner: asyncpg.Connection
) -> None:
    async def touched(user: str, position: int) -> int:
        plan = await owner.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {CHANGES}", [user], [position], [10], 10_000, 100_000
        )
        top = json.loads(plan)[0]["Plan"]
        return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])

    async def blocks(user: str) -> int:
        position = await owner.fetchval("SELECT head FROM tasklog.streams WHERE user_id = $1", user)
        await created(writer, user)
        await catch_up(projector)
        # When autovacuum has been at a table, the next statement plans anew, and the catalog's blocks count with it.
        return min([await touched(user, position) for _ in range(5)])

    await created(writer, "short")
    await owner.execute(
        "INSERT INTO tasklog.events (user_id, position, task_id, version, event_id, type, schema_version, data,"
        " metadata, recorded_at, hash) SELECT 'long', n, 1000000 + n / 20, n % 20 + 1, gen_random_uuid(),"
        " CASE n % 20 WHEN 0 THEN 'task.created' ELSE 'task.edited' END, CASE n % 20 WHEN 0 THEN 2 ELSE 1 END,"
        """ CASE n % 20 WHEN 0 THEN '{"description":null,"title":"a"}' ELSE '{"title":"b"}' END::json, '{}', now(),"""
        " sha256(n::text::bytea) FROM generate_series(1, 20000) n WHERE n >= 20"
    )
    await owner.execute("INSERT INTO tasklog.streams VALUES ('long', 20000, sha256('x'), now(), NULL)")
    await owner.execute("INSERT INTO tasklog.checkpoints (user_id, position) VALUES ('long', 20000)")
    await owner.execute("VACUUM ANALYZE tasklog.events")
    assert await blocks("long") <= await blocks("short") + 60
