"""What Postgres writes to its log, the WAL, for a work: its records, by `pg_waldump`.

Whole pages are left out. Postgres adds them after a checkpoint, so they tell how long ago that was, not what was done.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from typing import TYPE_CHECKING, Final

import asyncpg

from tasklog.embedded.binaries import find_postgres
from tasklog.embedded.cluster import version_of

if TYPE_CHECKING:
    from bench.lab import Lab

# A message of no length; its commit waits until the disk has all that was logged before.
_POSITION: Final = "SELECT pg_logical_emit_message(true, '', '')::text"
_TOTAL: Final = re.compile(r"^Total\s+\d+\s+(\d+)", re.MULTILINE)


_FLUSHES: Final = {
    18: "SELECT sum(fsyncs)::bigint, sum(fsync_time)::float8 FROM pg_stat_io WHERE object = 'wal'",
    15: "SELECT wal_sync, wal_sync_time FROM pg_stat_wal",
}
"""How often Postgres has flushed its log, and for how many ms; by the first major version that has these columns."""


async def flushes(connection: asyncpg.Connection) -> tuple[int, float]:
    """Return how often Postgres has flushed its log so far, and how many ms that took in total."""
    version = connection.get_server_version().major
    number, milliseconds = await connection.fetchrow(_FLUSHES[max(first for first in _FLUSHES if first <= version)])
    return number, milliseconds


async def wal_position(lab: Lab) -> str:
    """Return how far the log is written."""
    return str(await lab.execute(_POSITION))


async def wal_bytes(lab: Lab, since: str) -> int:
    """Return how many bytes of records were logged since a position."""
    cluster = lab.directory / "postgres"
    programs, _ = find_postgres(version_of(cluster))
    until = await wal_position(lab)
    # Without their names pg_waldump opens any file first, and one may still be empty.
    files = [str(await lab.execute(f"SELECT pg_walfile_name('{at}')")) for at in (since, until)]
    span = ("--start", since, "--end", until, "--path", str(cluster / "pg_wal"), *files)
    command = (str(programs / "pg_waldump"), "--stats", *span)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, said = await process.communicate()
    if process.returncode:
        raise SystemExit(f"pg_waldump could not read the log of Postgres: {said.decode().strip()}")
    return records_bytes(output.decode())


def records_bytes(stats: str) -> int:
    """Return the bytes of all records, without pages, of what `pg_waldump --stats` prints."""
    found = _TOTAL.search(stats)
    if found is None:
        raise SystemExit("pg_waldump printed no total: its format is another than that of Postgres 15 to 18.")
    return int(found[1])
