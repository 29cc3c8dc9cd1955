"""The table to adopt: found, checked and read once, in one snapshot, without any change to its database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from adoption.columns import KINDS, Column, ColumnsError, found, quoted
from runtime.connecting import hosts
from runtime.database_url import address
from runtime.pool import chunks
from runtime.refusals import is_database_error, reason_of, refusal
from runtime.settings import SettingsError

OPTION: Final = "--from"
_CONNECT_SECONDS: Final = 10.0
_TABLES: Final = """
    -- The tables and views of this name, in schema $1 or, for null, where an unqualified name is looked up.
    SELECT c.oid, n.nspname AS schema, c.relname AS name, has_table_privilege(c.oid, 'SELECT') AS readable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND CASE WHEN $1::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = $1 END
"""
_SIMILAR: Final = """
    -- Tables and views with a title and a user id, which may be meant instead.
    SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema$|tasklog$)'
      AND (SELECT count(*) FROM pg_attribute a
           WHERE a.attrelid = c.oid AND lower(a.attname) IN ('title', 'user_id', 'userid')) = 2
    ORDER BY 1 LIMIT 5
"""
_COLUMNS: Final = """
    -- The columns of a table with their types; for a domain, its base type.
    SELECT a.attname AS name,
           CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
                ELSE format_type(a.atttypid, a.atttypmod) END AS type
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_BEGIN: Final = """
    BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
    SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, MDY'; SET LOCAL work_mem = '64MB';
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL row_security = off -- fail rather than leave out rows
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A table or view, open in a snapshot; `left_behind` are the columns that tasks have no field for."""

    connection: Any
    name: str
    columns: dict[str, Column]
    left_behind: list[str]
    rows: int

    def read(self) -> AsyncIterator[list[Any]]:
        """Yield all rows in chunks, ordered by user and then by creation.

        Events are appended in this order, so lists that show the newest task first look as before.
        """
        members = ", ".join(
            f"{self.columns[member].sql(member) if member in self.columns else 'NULL'} AS {member}" for member in KINDS
        )
        query = f"""
            SELECT * FROM (SELECT {members} FROM {self.name} t) AS t
            ORDER BY t.user_id COLLATE "C", coalesce(t.created_at, t.updated_at), t.id
        """  # noqa: S608 - quoted names
        return chunks(self.connection, query)


@asynccontextmanager
async def opened(url: str, table: str) -> AsyncIterator[Source]:
    """Yield a table of the database, in a snapshot that ends with this context.

    Raises:
        SettingsError: the database, the table or a column cannot be used: one sentence.
    """
    connection = await _connected(url)
    try:
        await connection.execute(_BEGIN)
        yield await _source(connection, table)
    except asyncpg.InsufficientPrivilegeError:
        raise SettingsError(_may_not_read(table)) from None
    except UnicodeDecodeError:
        raise SettingsError(f"The table {table} has text that is not UTF-8: correct it, and run this again.") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SettingsError(
            f"The table {table} could not be read to its end ({reason_of(error)}): nothing was adopted, run this again."
        ) from None
    finally:
        connection.terminate()  # it changed nothing


async def _connected(url: str) -> asyncpg.Connection:
    """Connect to the first host that answers; a standby is as good as the primary."""
    error: Exception = OSError()
    try:
        where = address(url)
        for host in hosts(where.url):
            try:
                return await asyncpg.connect(
                    where.url, timeout=_CONNECT_SECONDS, ssl=where.tls, statement_cache_size=0, **host
                )
            except (OSError, TimeoutError) as refused:
                error = refused
    except ValueError:
        raise SettingsError(f"{OPTION} must be a URL like postgresql://user:password@host:5432/database.") from None
    except Exception as refused:
        if not is_database_error(refused):
            raise
        error = refused
    raise refusal(OPTION, error) from None


async def _source(connection: asyncpg.Connection, table: str) -> Source:
    schema, _, name = table.rpartition(".")
    tables = await connection.fetch(_TABLES, schema or None, name)
    if not tables:
        raise SettingsError(_no_table(table, [row[0] for row in await connection.fetch(_SIMILAR)]))
    (row,) = tables
    if not row["readable"]:
        raise SettingsError(_may_not_read(table))
    columns = [
        Column(name=column["name"], type=column["type"]) for column in await connection.fetch(_COLUMNS, row["oid"])
    ]
    try:
        members, left_behind = found(columns)
    except ColumnsError as error:
        raise SettingsError(f"The table {table} {error}.") from None
    full_name = f"{quoted(row['schema'])}.{quoted(row['name'])}"
    rows = await _count(connection, full_name, members["id"], table)
    return Source(connection=connection, name=full_name, columns=members, left_behind=left_behind, rows=rows)


async def _count(connection: asyncpg.Connection, full_name: str, id_: Column, table: str) -> int:
    """Return the number of rows.

    Raises:
        SettingsError: an id occurs twice, or is not a whole number that a bigint can hold.
    """
    column = f"t.{quoted(id_.name)}"
    wrong = (
        f"{column} <> trunc({column}) OR abs({column}) >= 2::numeric ^ 63"
        if id_.type.startswith("numeric")
        else "false"
    )
    row = await connection.fetchrow(f"""
        SELECT count(*) AS rows, count({column}) - count(DISTINCT {column}) AS repeated,
               (min({column}) FILTER (WHERE {wrong}))::text AS wrong
        FROM {full_name} t
    """)  # noqa: S608 - quoted names
    assert row is not None
    if row["repeated"]:
        raise SettingsError(
            f"The table {table} has {row['repeated']:,} ids more than once: give each task one of its own."
        )
    if row["wrong"]:
        raise SettingsError(f"The table {table} has the id {row['wrong']}, which is not between 1 and 2^52.")
    return int(row["rows"])


def _no_table(table: str, similar: Sequence[str]) -> str:
    hint = f"name one with --table, like {', '.join(similar)}" if similar else "name one with --table, as schema.table"
    return f"The database of {OPTION} has no table {table} that this login sees: {hint}."


def _may_not_read(table: str) -> str:
    return (
        f"The login of {OPTION} may not read all of {table}: GRANT SELECT on it, "
        "and use the table's owner if it has row security."
    )
