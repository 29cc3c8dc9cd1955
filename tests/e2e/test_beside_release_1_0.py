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

import pytest

from tests.e2e.walker import walking
from tests.releases import Release, releases
from tests.servers import Database, Servers, eventually

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
    eventually(lambda: old.database.execute(UNPROJECTED) == [])
    for release in both:
        release.assert_running()
    assert verified(new.database) == (0, "")


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
