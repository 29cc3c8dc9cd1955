"""The range of task ids, TASK_IDS: the bounds of the sequence. Ledgers whose ranges are disjoint never share an id."""

from __future__ import annotations

from typing import Any, Final

from migrations.locks import ONE_AT_A_TIME, SETTINGS
from runtime.settings import SettingsError

_BOUNDS: Final = """
    SELECT seqmin, seqmax FROM pg_sequence WHERE seqrelid = 'tasklog.task_ids'::regclass
"""
_LAST: Final = """
    -- The last id that was given; the id before the range if none was.
    SELECT last_value - (NOT is_called)::integer FROM tasklog.task_ids
"""
_OUTSIDE: Final = """
    -- A task that was created here, with an id out of the range from $1 to $2. What is left of users who are elsewhere
    -- may come from there.
    SELECT e.task_id FROM tasklog.events e
    WHERE e.version = 1 AND e.task_id IS NOT NULL AND e.task_id NOT BETWEEN $1 AND $2
      AND NOT EXISTS (SELECT FROM tasklog.arrived_tasks a WHERE a.task_id = e.task_id)
      AND EXISTS (SELECT FROM tasklog.streams s WHERE s.user_id = e.user_id)
    LIMIT 1
"""
_ARRIVED: Final = """
    -- A task from another ledger, with an id in the range from $1 to $2.
    SELECT task_id FROM tasklog.arrived_tasks WHERE task_id BETWEEN $1 AND $2 ORDER BY task_id LIMIT 1
"""
_LOCK: Final = "ALTER SEQUENCE tasklog.task_ids OWNED BY NONE"
"""Until the transaction ends, no id is given."""


async def bound_task_ids(connection: Any, wanted: tuple[int, int]) -> None:
    """Give the sequence the bounds `wanted`, if it has others. Ids go on after the last one, or begin at the first.

    Raises:
        SettingsError: the range does not fit the ids that the ledger has, or has given.
    """
    if tuple(await connection.fetchrow(_BOUNDS)) == wanted:
        return
    await _check_tasks(connection, wanted)
    first, last = wanted
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(SETTINGS)
        await connection.execute(ONE_AT_A_TIME)
        await connection.execute(_LOCK)
        given = await connection.fetchval(_LAST)
        if given > last:
            raise _refusal(wanted, f"ids up to {given} were given before, so that some would be given again")
        start = "" if given >= first else f" START {first} RESTART {first}"
        await connection.execute(f"ALTER SEQUENCE tasklog.task_ids MINVALUE {first} MAXVALUE {last}{start}")


async def _check_tasks(connection: Any, wanted: tuple[int, int]) -> None:
    """Refuse a range that leaves out a task of this ledger, or has one of another. This reads all events."""
    if (outside := await connection.fetchval(_OUTSIDE, *wanted)) is not None:
        raise _refusal(wanted, f"the ledger holds task {outside}, which is outside")
    if (arrived := await connection.fetchval(_ARRIVED, *wanted)) is not None:
        raise _refusal(wanted, f"task {arrived} came from another ledger, so the ranges of both would overlap")


def _refusal(wanted: tuple[int, int], reason: str) -> SettingsError:
    first, last = wanted
    return SettingsError(
        f"TASK_IDS={first}-{last} does not fit ({reason}): choose a range with all ids of this ledger and "
        "none of another."
    )
