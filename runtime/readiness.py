"""Whether a process can serve: its databases answer, and have a schema that it can use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import asyncpg

from runtime.database import needed_databases
from runtime.pool import UnavailableError
from runtime.schema import INSTALLED, check_schema
from runtime.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.pool import Database

_SECONDS: Final = 2.0
"""How long a database may take to answer, in seconds."""


_Note = Callable[[], str | None]

_notes: Final[list[_Note]] = []


@contextmanager
def noting(note: _Note) -> Iterator[None]:
    """While the block runs, a ready process also says what `note` returns."""
    _notes.append(note)
    try:
        yield
    finally:
        _notes.remove(note)


def notes() -> list[str]:
    """Return what this process has to do without, a sentence each, although it can serve."""
    return [said for note in _notes if (said := note()) is not None]


async def reason_not_ready() -> str | None:
    """Return why this process cannot serve, in one sentence, or None if it can."""
    databases = {database.role: database for database in needed_databases()}  # of a role, the shortest limit
    for role, database in databases.items():
        if (reason := await _reason(database)) is not None:
            return f"The database of the {role} cannot be used: {reason}"
    return None


async def _reason(database: Database) -> str | None:
    try:
        async with asyncio.timeout(_SECONDS):
            (row,) = await database.fetch(INSTALLED)
        check_schema(row["installed"])
    except TimeoutError:
        return f"it did not answer within {_SECONDS:.0f} s."
    except UnavailableError as error:
        return f"it does not answer ({error})."
    except asyncpg.PostgresError as error:
        return f"it refuses the query ({error.sqlstate})."
    except SettingsError as error:
        return str(error)
    return None
