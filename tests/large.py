"""Tasks with long texts, and the peak memory of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.servers import Database

MEGABYTE: Final = 1_000_000

_APPEND: Final = """
    SELECT tasklog.append(ARRAY[0], ARRAY[$1::text], ARRAY[$2::bigint], ARRAY[version], ARRAY[gen_random_uuid()],
                          ARRAY[type], ARRAY[CASE type WHEN 'task.created' THEN 2 ELSE 1 END]::smallint[], ARRAY[data],
                          ARRAY['{"actor":"a","nonce":"' || replace(gen_random_uuid()::text, '-', '')
                                || '","request_id":"r"}'],
                          ARRAY[NULL]::text[], ARRAY[NULL]::bytea[], true)
    FROM (SELECT type, version, replace(data, '%', CASE WHEN n % 2 = 0 THEN repeat('x', $6) ELSE hard END) AS data
          FROM (SELECT CASE WHEN $2::bigint IS NULL THEN 1 ELSE n END AS version, $3::text AS type, $4::text AS data, n
                FROM generate_series($5::integer, $5::integer + $7::integer - 1) n) AS numbered,
               (SELECT string_agg(md5(n::text), '') AS hard FROM generate_series(1, $6::integer / 32) n) AS text
          ORDER BY n) AS made
"""
_CREATED: Final = '{"description":"%","title":"Long"}'
_EDITED: Final = '{"description":"%"}'

_MEASURED: Final = """
import atexit, runpy, sys
def tell():
    with open("/proc/self/status") as status:
        sys.stderr.write([line for line in status if line.startswith("VmHWM")][0])
atexit.register(tell)
sys.argv[0] = "tasklog"
runpy.run_module("tasklog", run_name="__main__")
"""


def create_long_tasks(database: Database, user: str, number: int, size: int = MEGABYTE) -> list[int]:
    """Create tasks with descriptions of `size` bytes, and return their ids; every other text cannot be compressed."""
    database.execute(_APPEND, user, None, "task.created", _CREATED, 1, size, number)
    rows = database.execute("SELECT DISTINCT task_id FROM tasklog.events WHERE user_id = $1 ORDER BY 1", user)
    return [row["task_id"] for row in rows]


def edit_at_length(database: Database, user: str, task: int, number: int, size: int = MEGABYTE) -> None:
    """Give a new task `number` descriptions of `size` bytes, one after the other."""
    database.execute(_APPEND, user, task, "task.edited", _EDITED, 2, size, number)


def toggle(database: Database, user: str, tasks: list[int]) -> None:
    """Complete tasks that are at version 1."""
    for task in tasks:
        database.execute(_APPEND, user, task, "task.completed", "{}", 2, 32, 1)


def peak_of(process: int) -> int:
    """Return the peak memory of a process so far, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1000


def peak_of_command(database: Database, *arguments: str) -> int:
    """Run a command of `./run` successfully, and return its peak memory in MB."""
    env = {"PATH": os.environ["PATH"], "DATABASE_URL": database.owner, "ALLOW_SUPERUSER": "true"}
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stderr.partition("VmHWM:")[2].split()[0]) // 1000
