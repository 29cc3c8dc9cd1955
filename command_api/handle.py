"""Carries out a batch of commands: load their tasks, plan, append the events of all in one statement, settle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from command_api.advances import advances, look_at_head
from command_api.idempotency import repeated
from command_api.known_states import KnownStates
from command_api.plan import CommandRequest, Decision, Loaded, Outcome, plan, settle
from domain.commands import CreateTask, RestoreTask, UndoCommand
from domain.evolve import HistoryError
from event_log.append import Fetching, append
from event_log.codec import UnreadableEventError
from event_log.followers import Followers
from event_log.read import Known, TaskKey, known_tasks

_OF_OLD_STATES: Final = (RestoreTask, UndoCommand)
"""Commands that bring a text back."""
_NOBODY: Final = Followers()


class LoadError(Exception):
    """The events of a task are impossible or unreadable, as the cause says; nothing was decided or appended."""


async def handle(
    database: Fetching,
    known: KnownStates,
    requests: Sequence[CommandRequest],
    *,
    light: int | None = None,
    followers: Followers = _NOBODY,
) -> list[Outcome]:
    """Try each of `requests` once, in order; return what is done, its error, or why it must be tried again.

    What is done is committed, and `followers` are told of it. Commands on a task with more than `light` bytes of data
    are not tried.

    Raises:
        LoadError, asyncpg.PostgresError: none of `requests` was carried out.
        UnavailableError: they may or may not have been carried out.
    """
    loaded = await _load(database, known, requests, light)
    plans = plan(requests, loaded)
    appends = [decided.append for decided in plans if isinstance(decided, Decision) and decided.append]
    followed = followers.followed([one.user_id for one in appends])
    looks = [look_at_head(user_id) for user_id in followed]
    found = await append(database, [*looks, *appends]) if appends else []
    heads, results = dict(zip(followed, found, strict=False)), found[len(looks) :]
    outcomes, proved = settle(requests, plans, results, loaded)
    for key, task in proved.items():
        known.keep(key, task)
    if heads:
        followers.advanced(advances(heads, requests, plans, results, outcomes))
    return outcomes


async def _load(
    database: Fetching, known: KnownStates, requests: Sequence[CommandRequest], light: int | None
) -> Loaded:
    """Read the tasks that are not cached, then the answers under the requests' idempotency keys."""
    tasks: dict[TaskKey, Known] = {}
    missing: dict[TaskKey, None] = {}
    new: set[TaskKey] = set()
    # Read old states again: after a restore or a fail-over, the ledger may even be behind the cache. What comes back is
    # always read: the cache may hold a text that was erased since.
    old = {
        (request.user_id, request.task_id)
        for request in requests
        if request.reload or isinstance(request.command, _OF_OLD_STATES)
    }
    for request in requests:
        if request.task_id is not None:
            key = (request.user_id, request.task_id)
            if isinstance(request.command, CreateTask) and not request.reload:
                new.add(key)
            if key not in old and (task := known.get(key)) is not None:
                tasks[key] = task
            elif key not in new:
                missing[key] = None
    heavy: set[TaskKey] = set()
    try:
        read = await known_tasks(database, [(key, None) for key in missing], light) if missing else []
        # Keys are read after the tasks, so that a command whose effect is in a task is also found by its key.
        # A creation is decided without them: if its key was used, the append refuses it, and it is loaded again.
        keys = [
            (item.user_id, item.idempotency_key)
            for item in requests
            if item.idempotency_key and (item.reload or not isinstance(item.command, CreateTask))
        ]
        answers = await repeated(database, keys, light)
    except (HistoryError, UnreadableEventError) as error:
        raise LoadError from error
    for key, found in zip(missing, read, strict=True):
        if found is None:
            heavy.add(key)
        else:
            tasks[key] = found
    return Loaded(tasks=tasks, fresh=frozenset(missing), heavy=frozenset(heavy), answers=answers)
