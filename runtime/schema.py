"""Which database schema this code needs, and whether the installed one works.

`./run migrate` writes what it installed into the comment of the sequence `tasklog.task_ids`. Services of release 1.0
read the comment of the schema instead, and accept only one text. That text stays as long as the schema serves them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from runtime.settings import SettingsError

_ROOT: Final = Path(__file__).resolve().parent.parent
_VERSIONS: Final = _ROOT / "migrations" / "versions"

FUNCTIONS: Final = (
    _ROOT / "read_model" / "formats.sql",
    _ROOT / "event_log" / "moves.sql",
    _ROOT / "event_log" / "functions.sql",
    _ROOT / "event_log" / "append.sql",
    _ROOT / "event_log" / "last.sql",
    _ROOT / "event_log" / "erase.sql",
    _ROOT / "event_log" / "undo.sql",
    _ROOT / "read_api" / "functions.sql",
    _ROOT / "read_api" / "lists.sql",
    _ROOT / "read_api" / "find.sql",
    _ROOT / "read_api" / "past.sql",
    _ROOT / "read_api" / "long.sql",
    _ROOT / "read_api" / "changes.sql",
    _ROOT / "read_api" / "trash.sql",
    _ROOT / "migrations" / "release_1_0.sql",
)
"""The SQL functions of the services, in the order in which they are installed."""

_WRITTEN_OUT: Final = (
    _ROOT / "domain" / "fields.py",
    _ROOT / "event_log" / "setters.py",
    _ROOT / "domain" / "labels.py",
    _ROOT / "domain" / "task.py",
    _ROOT / "read_model" / "body.py",
    _ROOT / "read_model" / "formats.py",
    _ROOT / "read_model" / "keys.py",
    _ROOT / "read_model" / "rows.py",
    _ROOT / "read_model" / "sorts.py",
    _ROOT / "migrations" / "templates.py",
)
"""What the SQL functions are generated from (each field, each sort, the row format), and the code that does it."""

RIGHTS: Final = _ROOT / "migrations" / "rights.sql"
"""What each role may do, installed last."""

SERVES: Final = "0002"
"""The oldest revision whose services can still use this schema, with all its functions, columns and rights."""

OF_RELEASE_1_0: Final = "tasklog 99f34e2e15e0"
"""The comment of the schema that services of release 1.0 look for."""

OLDEST_POSTGRES: Final = 15

INSTALLED: Final = """
    SELECT (SELECT obj_description(oid, 'pg_class') FROM pg_class
            WHERE relnamespace = to_regnamespace('tasklog') AND relname = 'task_ids') AS installed,
           getdatabaseencoding()::text AS encoding, current_setting('server_version_num')::integer / 10000 AS version
"""
"""Reads what is installed (null before the first migration), the database's encoding, and Postgres's version."""

_WRITTEN: Final = re.compile(r"(?P<digest>tasklog [0-9a-f]+) at (?P<revision>\w+) for (?P<serves>\w+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """An installed schema; `serves` is the oldest revision whose services can use it."""

    digest: str
    revision: str
    serves: str

    def written(self) -> str:
        """Return the schema as the text of a comment."""
        return f"{self.digest} at {self.revision} for {self.serves}"


def read(comment: str | None) -> Schema | None:
    """Return the schema that a comment describes, or None if it describes none."""
    match = _WRITTEN.fullmatch(comment or "")
    return None if match is None else Schema(**match.groupdict())


def head_revision() -> str:
    """Return the newest revision that this code knows."""
    return max(path.stem for path in _VERSIONS.glob("[0-9]*.py")).partition("_")[0]


@cache
def schema_version() -> str:
    """Return a digest of this code's migrations, SQL functions and rights."""
    digest = hashlib.sha256()
    for path in (*sorted(_VERSIONS.glob("*.py")), *FUNCTIONS, *_WRITTEN_OUT, RIGHTS):
        digest.update(path.read_bytes())
    return f"tasklog {digest.hexdigest()[:12]}"


def is_current(comment: str | None) -> bool:
    """Return whether a comment says that exactly this code's schema is installed."""
    schema = read(comment)
    return schema is not None and schema.digest == schema_version()


def check_database(setting: str, encoding: str, version: int) -> None:
    """Refuse a database whose encoding cannot store every text, and a Postgres that is too old.

    Raises:
        SettingsError: names the setting, and what to do.
    """
    if encoding != "UTF8":
        raise SettingsError(
            f"The database of {setting} has the encoding {encoding}, which cannot hold every text: create one with "
            "CREATE DATABASE tasklog ENCODING 'UTF8' TEMPLATE template0."
        )
    if version < OLDEST_POSTGRES:
        raise SettingsError(
            f"The database of {setting} is a Postgres {version}: Tasklog needs {OLDEST_POSTGRES} or newer."
        )


def check_schema(comment: str | None) -> None:
    """Refuse a schema that this code's services cannot use. A newer schema may serve them.

    Raises:
        SettingsError: says what to do.
    """
    installed, ours = read(comment), head_revision()
    if installed is None or installed.revision < ours:
        raise SettingsError("The database does not have the schema of this version: run ./run migrate.")
    if installed.digest == schema_version() or installed.serves <= ours < installed.revision:
        return
    if installed.revision > ours:
        raise SettingsError(
            f"The database has the schema of a newer version of Tasklog (revision {installed.revision}, this version "
            f"knows {ours}): start that version, or a newer one."
        )
    raise SettingsError("The database does not have the schema of this version: run ./run migrate.")
