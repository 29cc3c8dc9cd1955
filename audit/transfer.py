"""Moving every row to another Postgres: each table is copied as it is, read back, and compared byte by byte.

Unlike an export, this moves all tables: idempotency keys, so that a repeated request is still answered as the first
one; checkpoints and tasks, so that tokens, entity tags and reads are the same at once; and the sequence of task ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from audit.copying import Rows, copy_rows
from audit.report import Progress
from event_log.tables import SCHEMA, metadata
from read_model import tables as read_model

assert read_model.tasks.metadata is metadata  # imported because its tables belong to the same schema

_COLUMNS: Final = """
    -- The columns of all tables, except those of Postgres itself.
    SELECT n.nspname || '.' || c.relname AS "table", array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^(pg_|information_schema$)' GROUP BY 1
"""
_DATABASES: Final = """
    -- Databases of others.
    SELECT datname FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', current_database())
"""
_SEQUENCE: Final = "SELECT last_value, is_called FROM tasklog.task_ids"
_OUR_OWN: Final = f"{SCHEMA}.alembic_version"
_LEFT_BEHIND: Final = "The old Postgres also holds {}, which is not Tasklog's: move it elsewhere first."
_DIFFERS: Final = "{} did not arrive as it was: check the disk and the memory of this machine, and try again."
_SESSION: Final = {
    # The same row is the same text in both; rows come by their primary key's index, without files for a sort.
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "bytea_output": "hex",
    "enable_sort": "off",
}


class TransferError(Exception):
    """Rows that cannot be moved, or that arrived otherwise: one sentence that says what to do."""


@dataclass(kw_only=True, slots=True)
class Table:
    """A table to copy: its columns, which both databases have, and its number of rows."""

    name: str
    columns: Sequence[str]
    key: Sequence[str]
    rows: int = 0

    def query(self) -> str:
        """Return the statement that reads all rows, in order."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name} ORDER BY {', '.join(self.key)}"


async def refuse_other_databases(source: Any) -> None:
    """Refuse a server with a database that nobody would move.

    Raises:
        TransferError: there is one.
    """
    for (name,) in await source.fetch(_DATABASES):
        raise TransferError(_LEFT_BEHIND.format(f"the database {name}"))


async def tables_of(source: Any, target: Any) -> list[Table]:
    """Return the tables to copy; both databases are Tasklog's, and the target has this version's schema.

    Raises:
        TransferError: the source has a table that would be left behind, or the schema of a newer version.
    """
    for setting, value in _SESSION.items():
        for connection in (source, target):
            await connection.execute(f"SET {setting} = '{value}'")
    there, here = await _columns(source), await _columns(target)
    for name in sorted(there.keys() - here.keys() - {_OUR_OWN}):
        raise TransferError(_LEFT_BEHIND.format(f"the table {name}"))
    found = []
    for table in metadata.sorted_tables:
        columns = there.get(table.fullname, [])
        if set(columns) - set(here[table.fullname]):
            raise TransferError("The ledger has the schema of a newer version of Tasklog: move it with that version.")
        if columns:
            rows = await source.fetchval(f"SELECT count(*) FROM {table.fullname}")
            key = [column.name for column in table.primary_key]
            found.append(Table(name=table.fullname, columns=columns, key=key, rows=rows))
    return found


async def transfer(source: Any, target: Any, tables: Sequence[Table], progress: Progress = lambda _: None) -> None:
    """Copy all rows and the sequence in one transaction of each side, then read them back and compare.

    `progress` gets each row twice: when it is copied, and when it is compared.

    Raises:
        TransferError: a table is not the same in both.
    """
    async with source.transaction(isolation="repeatable_read", readonly=True), target.transaction():
        copied = {table.name: await _copy(source, target, table, progress) for table in tables}
        if tables:
            await target.execute("SELECT setval('tasklog.task_ids', $1, $2)", *await source.fetchrow(_SEQUENCE))
    for table in tables:
        stored = _Rows(progress)
        await target.copy_from_query(table.query(), output=stored.take)
        if stored.digest() != copied[table.name]:
            raise TransferError(_DIFFERS.format(table.name))
    await target.execute("VACUUM (FREEZE, ANALYZE)")


async def _columns(connection: Any) -> Mapping[str, Sequence[str]]:
    return {row["table"]: row["columns"] for row in await connection.fetch(_COLUMNS)}


async def _copy(source: Any, target: Any, table: Table, progress: Progress) -> bytes:
    """Copy a table, and return the SHA-256 of its rows."""
    taken = _Rows(progress)
    rows = Rows(query=table.query(), table=table.name, columns=table.columns)
    await copy_rows(source, target, rows, taken.take)
    return taken.digest()


@dataclass(slots=True)
class _Rows:
    """Counts and digests rows in the text form of COPY, in which each row is a line."""

    progress: Progress
    _hash: Any = field(default_factory=sha256)

    async def take(self, block: bytes) -> None:
        self._hash.update(block)
        self.progress(block.count(b"\n"))

    def digest(self) -> bytes:
        """Return the SHA-256 of all rows."""
        return bytes(self._hash.digest())
