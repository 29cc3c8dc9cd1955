"""Which database schema this code needs: a digest of the migrations, of the SQL functions and of the rights."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parent.parent

FUNCTIONS: Final = (
    _ROOT / "event_log" / "functions.sql",
    _ROOT / "event_log" / "erase.sql",
    _ROOT / "read_api" / "functions.sql",
    _ROOT / "read_api" / "past.sql",
    _ROOT / "read_api" / "long.sql",
)
"""The SQL functions of the services, in the order in which they are installed."""

RIGHTS: Final = _ROOT / "migrations" / "rights.sql"
"""What each role may do, installed last."""

INSTALLED: Final = "SELECT obj_description(to_regnamespace('tasklog'), 'pg_namespace')"
"""Reads the schema version of a database; null before the first migration."""


@cache
def schema_version() -> str:
    """What `./run migrate` writes into the database and every service looks for at its start."""
    digest = hashlib.sha256()
    for path in (*sorted((_ROOT / "migrations" / "versions").glob("*.py")), *FUNCTIONS, RIGHTS):
        digest.update(path.read_bytes())
    return f"tasklog {digest.hexdigest()[:12]}"
