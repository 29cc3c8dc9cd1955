"""After an erasure a person's text is nowhere: not in Postgres, not in Redis, not in a log.

How it was seen to fail: see test_erase.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis import Redis

from tasklog.embedded.binaries import find_postgres
from tests.servers import RunningService, Servers, eventually, eventually_async

TEXT = "Zyxomma"
"""Only the person who is erased writes this."""
FIELDS = ("priority", "tags", "category")
STATISTICS = "SELECT stavalues1::text, stavalues2::text, stavalues3::text, stavalues4::text FROM pg_statistic"


async def test_a_persons_text_is_gone_from_postgres_redis_and_logs_and_the_person_can_go_on(
    service: RunningService, redis_url: str, owner: asyncpg.Connection, servers: Servers, tmp_path: Path
) -> None:
    """Through the running service and the command line, over a dump of the whole database."""
    erin, bob = service.client("erin"), service.client("bob")
    bobs = [bob.post("/api/bob/tasks", json={"title": f"Bread {n}"}).json() for n in range(3)]
    first, second = (
        erin.post(
            "/api/erin/tasks",
            json={"title": f"{TEXT} {n}", "description": TEXT * 500} | dict.fromkeys(FIELDS, f"{TEXT} {n}"),
            headers={"Idempotency-Key": f"key-{TEXT}-{n}"},
        ).json()
        for n in range(2)
    )
    erin.put(f"/api/erin/tasks/{first['id']}", json={"title": f"More {TEXT}", "tags": [TEXT], "priority": TEXT})
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
    """Return everything in a database, by the pg_dump that belongs to the server."""
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
                case b"none":
                    pass  # it has expired
                case other:
                    pytest.fail(f"{key!r} is a {other!r}")
    return found
