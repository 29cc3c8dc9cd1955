"""`./run migrate` under load: repeatedly, and while a pg_dump holds its locks."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg

import migrations
from tasklog.embedded.binaries import find_postgres
from tasklog.embedded.cluster import plain_environment, version_of
from tests.chaos.checker import Violation
from tests.chaos.scenario import Scenario
from tests.chaos.world import World
from tests.servers import eventually

READ_SECONDS: Final = 1.0
"""The longest that a read may take while a migration waits for a lock, in seconds."""

_MIGRATE_SECONDS: Final = 60
_DUMP_SECONDS: Final = 3.0
_REVISION: Final = '''
"""A revision of the tests: it changes a table, for which it needs a lock that conflicts with every other."""
from alembic import op
revision, down_revision, branch_labels, depends_on = "chaos", "{before}", None, None

def upgrade() -> None:
    op.execute("ALTER TABLE tasklog.{table} ADD COLUMN chaos text")
    op.execute("ALTER TABLE tasklog.{table} DROP COLUMN chaos")
'''
_DUMP_HOLDS: Final = """
    SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE application_name = 'pg_dump' AND granted AND relation = 'tasklog.events'::regclass
"""
_WAITS: Final = "SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"


def migrate(world: World, _: random.Random) -> bool:
    """Migrate a database that already has this schema: nothing changes, and nobody notices."""
    _wait_for(world, _start_migration(world, Path(migrations.__file__).parents[1]))
    return True


def migrate_behind_dump(world: World, rng: random.Random) -> bool:
    """Change a table in a revision while pg_dump reads it: the migration waits, and nobody else does."""
    (before,) = world.execute("SELECT version_num FROM tasklog.alembic_version")
    tree = _add_revision(world.directory, before[0], rng.choice(["tasks", "events", "streams", "checkpoints"]))
    with _standing_dump(world):
        migration = _start_migration(world, tree)
        waited = _wait_until_it_waits(world, migration)
        world.pause(_DUMP_SECONDS)
    _wait_for(world, migration)
    world.execute("UPDATE tasklog.alembic_version SET version_num = $1", before[0])
    return waited


def lock_tables(world: World, _: random.Random) -> bool:
    """Planted: hold the lock of a schema change."""
    world.execute_script("BEGIN; LOCK TABLE tasklog.tasks IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT")
    return True


def reads_do_not_wait(world: World) -> Iterator[Violation]:
    """Check that reads are as fast as without a migration."""
    for one in world.load.history:
        if not one.is_write and one.user != "probe" and one.returned - one.invoked > READ_SECONDS * world.patience:
            yield Violation("reads do not wait for a migration", one.user, str(one))


@contextmanager
def _standing_dump(world: World) -> Iterator[None]:
    """Run a pg_dump that has all its locks but one, for which it waits until the block ends."""
    programs, _ = find_postgres(version_of(world.directory / "postgres"))
    world.execute_script("CREATE TABLE IF NOT EXISTS public.chaos ()")
    holder = world.background.run(asyncpg.connect(world.url))
    world.background.run(holder.execute("BEGIN; LOCK TABLE public.chaos IN ACCESS EXCLUSIVE MODE"))
    command: list[str | Path] = [programs / "pg_dump", "--file=/dev/null", world.url]
    dump = subprocess.Popen(command, env=plain_environment())
    try:
        eventually(lambda: world.execute(_DUMP_HOLDS))
        yield
    finally:
        world.background.run(holder.close())
        assert dump.wait(_MIGRATE_SECONDS) == 0


def _wait_until_it_waits(world: World, migration: subprocess.Popen[bytes]) -> bool:
    """Return whether the migration began to wait for a lock before it ended."""
    end = time.monotonic() + _MIGRATE_SECONDS
    while migration.poll() is None and time.monotonic() < end:
        if world.execute(_WAITS):
            return True
        world.pause(0.02)
    return False


def _add_revision(directory: Path, before: str, table: str) -> Path:
    """Return a copy of the migrations with one more revision."""
    tree = directory / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(Path(migrations.__file__).parent, tree / "migrations")
    revision = _REVISION.format(before=before, table=table)
    (tree / "migrations" / "versions" / "9999_chaos.py").write_text(revision)
    return tree


def _start_migration(world: World, tree: Path) -> subprocess.Popen[bytes]:
    """Start `migrate` with a copy of the migrations, and otherwise our code."""
    root = Path(migrations.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-m", "tasklog", "migrate"],
        cwd=tree,
        env=os.environ | {"DATABASE_URL": world.url, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _wait_for(world: World, migration: subprocess.Popen[bytes]) -> None:
    output, _ = migration.communicate(timeout=_MIGRATE_SECONDS * world.patience)
    if migration.returncode != 0:
        world.complain("a migration succeeds", f"code {migration.returncode}: {output.decode()[-500:]}")


MIGRATIONS: Final[dict[str, Scenario]] = {
    "migrate-often": Scenario(faults=(migrate,), count=20, pause=0.2, check=reads_do_not_wait),
    "migrate-behind-dump": Scenario(faults=(migrate_behind_dump,), count=4, pause=1, check=reads_do_not_wait),
}
