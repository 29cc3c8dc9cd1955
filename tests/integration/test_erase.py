"""Erasure: a person's text is nowhere any more, and everything else is as it was, the proof included.

Seen to fail: with the tasks' rows, the idempotency keys or the metadata left as they are, with the planner's statistics
of titles, with `through` one too low, with the digest of something else, with the checkpoint not moved, and with
EXECUTE on more than `tasklog.erase`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from redis import Redis

from audit.verify import verify
from domain.events import TaskDeleted, TaskEdited
from projector.catch_up import catch_up
from projector.rebuild import mark, rebuild
from read_api.history import HistoryQuery, history
from read_api.queries import TaskQuery
from runtime.database import Database, open_database
from runtime.settings import Settings
from tasklog.embedded.binaries import find_postgres
from tests.ledger import appended, copy_of, created, list_tasks, of, positions, tasks_copy, within
from tests.servers import Database as Addresses
from tests.servers import RunningService, Servers, eventually, eventually_async

TEXT = "Zyxomma"
"""Nobody but the person who is erased writes this."""
ERASE = "SELECT tasklog.erase($1, $2, $3)"
STATISTICS = "SELECT stavalues1::text, stavalues2::text, stavalues3::text, stavalues4::text FROM pg_statistic"


@pytest.fixture
async def eraser(settings: Settings, database: Addresses) -> AsyncIterator[Database]:
    as_owner = settings.model_copy(update={"database_url": SecretStr(database.owner)})
    async with open_database(as_owner, "eraser") as opened:
        yield opened


async def erase(eraser: Database, user: str) -> int | None:
    position: int | None = (await eraser.fetch(ERASE, user, "an operator", "r"))[0][0]
    return position


async def test_a_persons_text_is_gone_from_postgres_redis_and_logs_and_the_person_can_go_on(
    service: RunningService, redis_url: str, owner: asyncpg.Connection, servers: Servers, tmp_path: Path
) -> None:
    """Through the running service and the command line, over a dump of the whole database."""
    erin, bob = service.client("erin"), service.client("bob")
    bobs = [bob.post("/api/bob/tasks", json={"title": f"Bread {n}"}).json() for n in range(3)]
    first, second = (
        erin.post(
            "/api/erin/tasks",
            json={"title": f"{TEXT} {n}", "description": TEXT * 500},
            headers={"Idempotency-Key": f"key-{TEXT}-{n}"},
        ).json()
        for n in range(2)
    )
    erin.put(f"/api/erin/tasks/{first['id']}", json={"title": f"More {TEXT}"})
    erin.delete(f"/api/erin/tasks/{second['id']}")
    await eventually_async(
        lambda: owner.fetchval("SELECT title LIKE 'More%' FROM tasklog.tasks WHERE user_id = 'erin'")
    )
    for table in ("events", "tasks", "idempotency_keys"):
        await owner.execute(f"ANALYZE tasklog.{table}")
    assert TEXT.encode() in _dump(service.database.owner)
    assert TEXT not in str(await owner.fetch(STATISTICS))

    done = _run(service.database.owner, redis_url, tmp_path, "erase", "erin", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["user_id"], answer["vacuumed"]) == ("erin", True)

    assert TEXT.encode() not in _dump(service.database.owner)
    assert TEXT.encode() not in _everything_in(redis_url)
    assert TEXT not in service.log.read_text()
    assert service.log.read_text()
    assert _run(service.database.owner, redis_url, tmp_path, "verify").returncode == 0
    assert erin.get("/api/erin/tasks").json() == []
    assert bob.get("/api/bob/tasks").json() == bobs[::-1]
    fresh = erin.post("/api/erin/tasks", json={"title": "A new life"}).json()
    assert erin.get("/api/erin/tasks").json() == [fresh]
    assert erin.patch(f"/api/erin/tasks/{first['id']}/complete").status_code == 404
    eventually(lambda: _run(service.database.owner, redis_url, tmp_path, "verify").returncode == 0)


def _run(owner: str, redis_url: str, directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DATABASE_URL": owner, "REDIS_URL": redis_url, "DATA_DIR": str(directory / "data")}
    return subprocess.run(
        [sys.executable, "-m", "tasklog", *command], env=env, capture_output=True, text=True, check=False
    )


def _dump(url: str) -> bytes:
    """Everything in a database: by the pg_dump that belongs to the server."""
    program = find_postgres(None)[0] / "pg_dump"
    if not urlsplit(url).query.startswith("host="):  # a server from outside
        program = Path(shutil.which("pg_dump") or program)
    done = subprocess.run([program, url], capture_output=True, check=True)
    assert b"tasklog.events" in done.stdout
    return done.stdout


def _everything_in(redis_url: str) -> bytes:
    found = b""
    with Redis.from_url(redis_url) as redis:
        for key in redis.scan_iter():
            found += key
            match redis.type(key):
                case b"string":
                    found += redis.get(key) or b""
                case b"hash":
                    found += repr(redis.hgetall(key)).encode()
                case b"zset":
                    found += repr(redis.zrange(key, 0, -1)).encode()
                case b"stream":
                    found += repr(redis.xrange(key)).encode()
                case b"set":
                    found += repr(redis.smembers(key)).encode()
                case b"list":
                    found += repr(redis.lrange(key, 0, -1)).encode()
                case other:
                    pytest.fail(f"{key!r} is a {other!r}")
    return found


@pytest.fixture
async def ledger(writer: Database, projector: Database) -> Database:
    for user in ("alice", "erin", "zoe"):
        task = await created(writer, user, f"{TEXT} of {user}")
        deleted = await created(writer, user)
        await appended(writer, of(user, TaskEdited(description=TEXT), task=task, expected=1))
        await appended(writer, of(user, TaskDeleted(), task=deleted, expected=1))
    await catch_up(projector)
    return writer


async def test_positions_stay_dense_the_chain_holds_and_the_erasure_is_on_record(
    ledger: Database, eraser: Database, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    hashes = "SELECT position, hash FROM tasklog.events WHERE user_id = 'erin' AND position <= 4 ORDER BY position"
    before = await owner.fetch(hashes)
    assert await erase(eraser, "erin") == 6
    assert await positions(owner, "erin") == [1, 2, 3, 4, 5, 6]
    assert await owner.fetch(hashes) == before
    assert (await verify(projector)).faults == []
    page = await history(reader, "erin", HistoryQuery())
    assert page is not None
    events = json.loads(page.body)["events"]
    assert [event["type"] for event in events[4:]] == ["task.deleted", "stream.erased"]
    assert [event["erased"] for event in events] == [True] * 4 + [False] * 2
    assert (events[5]["actor"], events[5]["data"]) == ("an operator", '{"through":4}')
    assert TEXT not in page.body.decode()


async def test_other_users_are_untouched(ledger: Database, eraser: Database, owner: asyncpg.Connection) -> None:
    async def others() -> list[Any]:
        tables = ("events", "tasks", "streams", "checkpoints")
        where = "WHERE user_id <> 'erin' ORDER BY user_id"
        return [await owner.fetch(f"SELECT ctid::text, xmin::text, t::text FROM tasklog.{t} t {where}") for t in tables]

    before = await others()
    await erase(eraser, "erin")
    assert await others() == before


async def test_whoever_was_erased_has_no_tasks_neither_by_the_projection_nor_by_a_replay(
    ledger: Database, eraser: Database, projector: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    await erase(eraser, "erin")
    assert (await list_tasks(reader, "erin", TaskQuery())).body == b"[]"
    before = await tasks_copy(owner)
    await mark(projector)
    assert (await rebuild(projector)).failed == {}
    await catch_up(projector)
    assert await tasks_copy(owner) == before
    await created(ledger, "erin", "A new life")
    await catch_up(projector)
    assert (await verify(projector)).faults == []


async def test_a_second_erasure_erases_what_came_since_and_keeps_the_first_on_record(
    ledger: Database, eraser: Database, projector: Database, owner: asyncpg.Connection
) -> None:
    await erase(eraser, "erin")
    await created(ledger, "erin", TEXT)
    assert await erase(eraser, "erin") == 9
    dump = await copy_of(owner, "events", "position", "*")
    assert dump.count(TEXT.encode()) == 4  # of alice and zoe
    assert await owner.fetchval("SELECT count(*) FROM tasklog.events WHERE data ->> 'through' IN ('4', '7')") == 2
    assert (await verify(projector)).faults == []


async def test_erasing_somebody_unknown_leaves_no_trace(eraser: Database, owner: asyncpg.Connection) -> None:
    assert await erase(eraser, "ghost") is None
    for table in ("events", "streams", "checkpoints", "tasks"):
        assert await owner.fetchval(f"SELECT count(*) FROM tasklog.{table}") == 0


async def test_a_parked_user_can_be_erased(
    ledger: Database, eraser: Database, projector: Database, owner: asyncpg.Connection
) -> None:
    await created(ledger, "erin")
    await owner.execute("UPDATE tasklog.events SET type = 'x' WHERE user_id = 'erin' AND position = 5")
    await catch_up(projector)
    parked = "SELECT count(*) FROM tasklog.checkpoints WHERE error IS NOT NULL"
    assert await owner.fetchval(parked) == 1
    await erase(eraser, "erin")
    assert await owner.fetchval(parked) == 0
    assert await catch_up(projector) == 0


async def test_erasures_while_commands_run_and_the_projector_works_lose_and_leave_nothing(
    ledger: Database, eraser: Database, projector: Database, owner: asyncpg.Connection
) -> None:
    """Whatever the order: each erasure erases all before it, nothing behind it, and the projection is the replay."""
    done = asyncio.Event()
    written = 0

    async def write() -> None:
        nonlocal written
        while not done.is_set():
            await created(ledger, "erin", f"{TEXT} {written}")
            written += 1

    async def project() -> None:
        while not done.is_set():
            await catch_up(projector)
            await mark(projector, "erin")
            await rebuild(projector)

    async def erase_often() -> list[int | None]:
        positions = []
        for _ in range(12):
            positions.append(await erase(eraser, "erin"))
            await asyncio.sleep(0.02)
        done.set()
        return positions

    *_, erased = await within(60, asyncio.gather(write(), write(), project(), erase_often()))
    assert written > 24
    await catch_up(projector)
    with_text = "SELECT min(position) FROM tasklog.events WHERE user_id = 'erin' AND data ->> 'title' LIKE $1"
    first = await owner.fetchval(with_text, f"%{TEXT}%")
    assert first is None or first > erased[-1]
    kept = await owner.fetchval("SELECT count(*) FROM tasklog.tasks WHERE user_id = 'erin'")
    behind = "SELECT count(*) FROM tasklog.events WHERE user_id = 'erin' AND position > $1"
    assert kept == await owner.fetchval(behind, erased[-1])
    assert (await verify(projector)).faults == []


FORBIDDEN = [
    *[f"SELECT count(*) FROM tasklog.{table}" for table in ("events", "streams", "tasks", "checkpoints")],
    "UPDATE tasklog.events SET data = NULL",
    "DELETE FROM tasklog.events",
    "TRUNCATE tasklog.events",
    "DELETE FROM tasklog.tasks",
    "DROP TABLE tasklog.tasks",
    "SELECT * FROM tasklog.take_head('alice', true)",
    "SELECT * FROM tasklog.list_tasks('alice', NULL, 'created', NULL, NULL, NULL)",
    "SELECT * FROM tasklog.tail('alice', 0)",
    "SELECT * FROM tasklog.task_events('{}', '{}', '{}')",
    "SELECT nextval('tasklog.task_ids')",
    "CREATE TABLE tasklog.mine ()",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_the_eraser_may_do_nothing_else(eraser: Database, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await eraser.fetch(statement)


async def test_the_eraser_may_call_no_other_function(owner: asyncpg.Connection) -> None:
    rows = await owner.fetch(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'tasklog'::regnamespace"
        " AND has_function_privilege('tasklog_eraser', oid, 'EXECUTE')"
    )
    assert [row[0] for row in rows] == ["erase"]


@pytest.mark.parametrize("role", ["writer", "projector", "reader"])
async def test_no_service_may_erase(database: Addresses, role: str) -> None:
    connection = await asyncpg.connect(getattr(database, role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(ERASE, "alice", "a", "r")
    finally:
        await connection.close()
