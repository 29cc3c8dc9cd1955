"""Release 1.0 and this code side by side on one database: before, during and after its migration.

Clients use both in turn: a write on one, its read on the other. No answer may be wrong or a 500. Clients of this code
write fields that 1.0 does not know: its answers go without them, and its writes keep them.

How the parts were seen to fail: see tests/integration/test_read_by_release_1_0.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.walker import walking
from tests.releases import Release, releases
from tests.servers import Database, Servers, eventually, token

USERS = ("alice", "bob")
UNPROJECTED = (
    "SELECT FROM tasklog.streams LEFT JOIN tasklog.checkpoints USING (user_id) WHERE head > coalesce(position, 0)"
)


@pytest.fixture
def both(servers: Servers, redis_url: str, tmp_path: Path) -> Iterator[tuple[Release, Release]]:
    """Yield release 1.0, which has migrated the database, and this code."""
    database = servers.database(f"tasklog_releases_{os.getpid()}")
    servers.execute(f"CREATE DATABASE {database.name}")
    try:
        with releases(database, redis_url, tmp_path) as (old, new):
            old.migrate()
            yield old, new
    finally:
        servers.execute(f"DROP DATABASE {database.name} WITH (FORCE)")


@pytest.mark.timeout(600)
def test_release_1_0_and_this_one_serve_the_same_users_while_the_database_is_migrated(
    both: tuple[Release, Release],
) -> None:
    old, new = both
    old.start()
    with walking(USERS, old) as walk:
        walk.on(old)
        new.migrate()
        walk.on(old)
        new.start()
        walk.on(old, new)
        walk.on(new)
        old.stop()
        old.start()
        walk.on(old, new)
        walk.stop()
        walk.check()
        for walker in walk.walkers:
            for side in both:
                walker.sides = [side]
                walker.compare_past()
                walker.repeat_keys()
    for _ in range(5):
        restored_on_the_new_is_read_on_the_old(old, new)
    eventually(lambda: old.database.execute(UNPROJECTED) == [])
    for release in both:
        release.assert_running()
    assert verified(new.database) == (0, "")


def restored_on_the_new_is_read_on_the_old(old: Release, new: Release) -> None:
    """Delete, restore and undo, and read on release 1.0 at once: projectors of both are at work."""
    headers, reads, base = {"Authorization": f"Bearer {token('carol')}"}, old.read_url, "/api/carol"
    with httpx.Client(headers=headers, timeout=20) as http:
        task = http.post(f"{old.write_url}{base}/tasks", json={"title": "Milk"}).json()
        path = f"{base}/tasks/{task['id']}"
        assert http.delete(old.write_url + path).status_code == 200
        assert http.get(reads + path).status_code == 404
        assert http.post(f"{new.write_url}{path}/restore").status_code == 200
        assert http.get(reads + path).json()["title"] == "Milk"
        assert task["id"] in ids(http.get(f"{reads}{base}/tasks"))
        toggled = http.patch(f"{old.write_url}{path}/complete")
        assert (toggled.status_code, toggled.json()["completed"]) == (200, True), toggled.text
        assert http.post(f"{new.write_url}{base}/undo").json()["tasks"][0]["completed"] is False
        assert http.get(reads + path).json()["completed"] is False
        entries = http.get(f"{reads}{path}/history").json()["events"]
        past = [ids(http.get(f"{reads}{base}/tasks", params={"as_of": entry["position"]})) for entry in entries]
        assert [task["id"] in shown for shown in past] == [True, False, True, True, True]


def ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [task["id"] for task in answer.json()]


def verified(database: Database) -> tuple[int, str]:
    """Return the exit code of this code's `verify` on a database, and its stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "tasklog", "verify"],
        env={**os.environ, "DATABASE_URL": database.owner},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr
