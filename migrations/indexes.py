"""Indexes on tables that may be large: built while writes go on, before the revision that names them."""

from __future__ import annotations

from typing import Any, Final

_VALID: Final = """
    SELECT i.indisvalid FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relnamespace = to_regnamespace('tasklog') AND c.relname = $1
"""


async def build_indexes(connection: Any, revision: Any) -> None:
    """Build a revision's CONCURRENT_INDEXES: name -> `ON table (columns) ...`.

    Each is its own statement outside of any transaction. An index that was left half built is rebuilt.
    """
    for name, definition in getattr(revision, "CONCURRENT_INDEXES", {}).items():
        valid = await connection.fetchval(_VALID, name)
        if valid is None:
            await connection.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {definition}")
        elif not valid:
            await connection.execute(f"REINDEX INDEX CONCURRENTLY tasklog.{name}")
